//! Looks frames up in the decoded maps: a handful of indexed reads for each.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::deobfuscate::{Found, LINES_AROUND, Outcome, Query, Unmapped};
use crate::domain::source_map::names::{self, NAMES_PER_CHUNK};
use crate::domain::source_map::{Original, block, content, lookup_path};

/// A map that fits a file.
#[derive(Debug, Clone, Copy)]
struct Map {
    map_set: i64,
    lines: u32,
}

/// Looks up the frames of one stack.
///
/// A map fits when project and release are the same and so is the path; among several of one path, the one uploaded for
/// just this URL is taken, else the latest.
pub(crate) fn look_up(
    conn: &Connection,
    project: &str,
    release: &str,
    queries: Vec<Result<Query, Unmapped>>,
) -> Result<Vec<Outcome>, StoreError> {
    // One view of the database, or upkeep could remove a replaced map between two reads.
    let conn = conn.unchecked_transaction()?;
    let mut known: Vec<(String, Result<Map, Unmapped>)> = Vec::new();
    let mut outcomes = Vec::with_capacity(queries.len());
    for query in queries {
        let query = match query {
            Ok(query) => query,
            Err(unmapped) => {
                outcomes.push(Err(unmapped));
                continue;
            }
        };
        let map = if let Some((_, map)) = known.iter().find(|(file, _)| *file == query.file) {
            *map
        } else {
            let map = find_map(&conn, project, release, &query.file)?;
            known.push((query.file.clone(), map));
            map
        };
        outcomes.push(match map {
            Ok(map) => find_place(&conn, map, &query)?,
            Err(unmapped) => Err(unmapped),
        });
    }
    Ok(outcomes)
}

/// Looks a place up in one map, from 1 each; `None` when there is no such map.
pub(crate) fn look_up_in(
    conn: &Connection,
    id: i64,
    line: u32,
    column: u32,
) -> Result<Option<Outcome>, StoreError> {
    // One view of the database, as above.
    let conn = conn.unchecked_transaction()?;
    let map = conn
        .prepare_cached("SELECT map_set, lines FROM source_maps WHERE id = ?1")?
        .query_row([id], |row| {
            Ok(Map {
                map_set: row.get(0)?,
                lines: row.get(1)?,
            })
        })
        .optional()?;
    let query = Query {
        file: String::new(),
        line,
        column,
    };
    map.map(|map| find_place(&conn, map, &query)).transpose()
}

fn find_map(
    conn: &Connection,
    project: &str,
    release: &str,
    file: &str,
) -> Result<Result<Map, Unmapped>, StoreError> {
    let map = conn
        .prepare_cached(
            "SELECT map_set, lines FROM source_maps WHERE project = ?1 AND release = ?2 AND path = ?3
             ORDER BY file_url = ?4 DESC, uploaded_at DESC, id DESC LIMIT 1",
        )?
        .query_row(params![project, release, lookup_path(file), file], |row| {
            Ok(Map { map_set: row.get(0)?, lines: row.get(1)? })
        })
        .optional()?;
    if let Some(map) = map {
        return Ok(Ok(map));
    }
    let any = conn
        .prepare_cached("SELECT 1 FROM source_maps WHERE project = ?1 AND release = ?2")?
        .exists([project, release])?;
    Ok(Err(if any {
        Unmapped::NoMapForFile
    } else {
        Unmapped::NoMapForRelease
    }))
}

fn find_place(conn: &Connection, map: Map, query: &Query) -> Result<Outcome, StoreError> {
    let (Some(line), Some(column)) = (query.line.checked_sub(1), query.column.checked_sub(1))
    else {
        return Ok(Err(Unmapped::NoPlace));
    };
    if line >= map.lines {
        return Ok(Err(Unmapped::LineOutside));
    }
    let token = conn
        .prepare_cached(
            "SELECT line, data FROM map_block WHERE map_set = ?1 AND (line, col) <= (?2, ?3)
             ORDER BY line DESC, col DESC LIMIT 1",
        )?
        .query_row(params![map.map_set, line, column], |row| {
            Ok(block::find(
                row.get_ref(1)?.as_blob()?,
                row.get(0)?,
                line,
                column,
            ))
        })
        .optional()?
        .flatten();
    let Some((token, original)) = token.and_then(|token| Some((token, token.original?))) else {
        return Ok(Err(Unmapped::NoMapping));
    };
    let Some(source) = source_path(conn, map, original.source)? else {
        return Ok(Err(Unmapped::NoMapping));
    };
    let (context_line, context) = context(conn, map, original)?;
    let at = original.line.saturating_sub(context_line) as usize;
    Ok(Ok(Found {
        source,
        line: original.line.saturating_add(1),
        column: original.column.saturating_add(1),
        name: name(conn, map, original)?,
        exact: token.column == column,
        function: function(conn, map, original)?,
        text: context.get(at).cloned(),
        context,
        context_line: context_line.saturating_add(1),
    }))
}

fn source_path(conn: &Connection, map: Map, source: u32) -> Result<Option<String>, StoreError> {
    let path = conn
        .prepare_cached("SELECT path FROM map_source WHERE map_set = ?1 AND source = ?2")?
        .query_row(params![map.map_set, source], |row| row.get(0))
        .optional()?;
    Ok(path)
}

fn name(conn: &Connection, map: Map, original: Original) -> Result<Option<String>, StoreError> {
    let Some(index) = original.name else {
        return Ok(None);
    };
    let name = conn
        .prepare_cached("SELECT list FROM map_names WHERE map_set = ?1 AND chunk = ?2")?
        .query_row(params![map.map_set, index / NAMES_PER_CHUNK], |row| {
            Ok(names::find(row.get_ref(0)?.as_blob()?, index % NAMES_PER_CHUNK).map(str::to_owned))
        })
        .optional()?
        .flatten();
    // An empty name says no more than none.
    Ok(name.filter(|name| !name.is_empty()))
}

fn function(conn: &Connection, map: Map, original: Original) -> Result<Option<String>, StoreError> {
    let Original {
        source,
        line,
        column,
        ..
    } = original;
    let function = conn
        .prepare_cached(
            "SELECT line, data FROM map_function WHERE map_set = ?1 AND source = ?2 AND (line, col) <= (?3, ?4)
             ORDER BY line DESC, col DESC LIMIT 1",
        )?
        .query_row(params![map.map_set, source, line, column], |row| {
            let data = row.get_ref(1)?.as_blob()?;
            Ok(content::find_function(data, row.get(0)?, line, column).map(str::to_owned))
        })
        .optional()?
        .flatten();
    Ok(function)
}

/// The lines of the original text around a place, the first one's number with them, from 0. It reads from the last line
/// backwards, which is one row unless the lines begin in another.
fn context(
    conn: &Connection,
    map: Map,
    original: Original,
) -> Result<(u32, Vec<String>), StoreError> {
    let first = original.line.saturating_sub(LINES_AROUND);
    let last = original.line.saturating_add(LINES_AROUND);
    let mut statement = conn.prepare_cached(
        "SELECT line, text FROM map_content WHERE map_set = ?1 AND source = ?2 AND line <= ?3 ORDER BY line DESC",
    )?;
    let mut rows = statement.query(params![map.map_set, original.source, last])?;
    let mut lines = Vec::new();
    let mut end = last.saturating_add(1);
    while let Some(row) = rows.next()? {
        let row_line: u32 = row.get(0)?;
        let text = row.get_ref(1)?;
        let text = text.as_str().unwrap_or_default();
        let of_row = (row_line.max(first)..end).rev();
        lines.extend(of_row.filter_map(|line| {
            content::find_line(text, row_line, line).map(|text| (line, text.to_owned()))
        }));
        if row_line <= first {
            break;
        }
        end = row_line;
    }
    lines.reverse();
    let begins = lines.first().map_or(first, |(line, _)| *line);
    Ok((begins, lines.into_iter().map(|(_, text)| text).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::deobfuscate::{deobfuscate, queries};
    use crate::domain::source_map::decode::decode;
    use crate::domain::source_map::survey::survey;
    use crate::domain::stack::Stack;
    use crate::store::map_rows::{self, DirectSink};
    use crate::store::source_maps::{self, NewMap};
    use crate::store::testing::database;

    const ESBUILD: &str = include_str!("../../tests/data/app.min.js.map");
    const TERSER: &str = include_str!("../../tests/data/terser.min.js.map");

    fn upload(conn: &Connection, project: &str, release: &str, file_url: &str, text: &str) {
        let map_set = map_rows::begin(conn, 1).unwrap();
        let mut sink = DirectSink { conn, map_set };
        let survey = survey(text.as_bytes()).unwrap();
        let summary = decode(text.as_bytes(), &survey, &mut sink).unwrap();
        let map = NewMap {
            project: project.to_owned(),
            release: release.to_owned(),
            file_url: file_url.to_owned(),
            map_set,
            size_bytes: text.len() as i64,
            summary,
        };
        source_maps::put(conn, &map, 1).unwrap();
    }

    fn rewritten(conn: &Connection, stack: &str) -> (String, Vec<(String, String)>) {
        let stack = Stack::parse(stack);
        let outcomes = look_up(conn, "web", "1", queries(&stack)).unwrap();
        let (text, symbolication) = deobfuscate(&stack, &outcomes);
        let symbolication: serde_json::Value =
            serde_json::from_str(&symbolication.to_json()).unwrap();
        let text_of =
            |frame: &serde_json::Value, key: &str| frame[key].as_str().unwrap_or("-").to_owned();
        let frames = symbolication["frames"].as_array().unwrap();
        let described = frames.iter().map(|frame| {
            let main = if frame["reason"].is_string() {
                "reason"
            } else {
                "function"
            };
            (text_of(frame, main), text_of(frame, "source"))
        });
        (text, described.collect())
    }

    #[track_caller]
    fn check(
        map: &str,
        file: &str,
        stacks: &str,
        index: usize,
        expected: &str,
        functions: &[&str],
    ) {
        let conn = database();
        upload(&conn, "web", "1", file, map);
        let stacks: Vec<String> = serde_json::from_str(stacks).unwrap();
        let (text, described) = rewritten(&conn, &stacks[index]);
        assert_eq!(text, expected);
        assert_eq!(
            described
                .iter()
                .map(|(function, _)| function.as_str())
                .collect::<Vec<_>>(),
            functions
        );
        assert!(described.iter().all(|(_, source)| source != "-"));
    }

    #[test]
    fn stacks_that_node_made_of_an_esbuild_bundle() {
        let stacks = include_str!("../../tests/data/app.min.stacks.json");
        check(
            ESBUILD,
            "/assets/app.min.js",
            stacks,
            0,
            "TypeError: Cannot read properties of undefined (reading 'cents')
    at l (../src/cart.ts:32:38)
    at lineTotal (../src/cart.ts:23:16)
    at a (../src/checkout.ts:8:15)
    at checkout (../src/main.ts:18:19)
    at handleClick (../src/main.ts:6:32)",
            &[
                "lineTotal",
                "computeTotal",
                "checkout",
                "handleClick",
                "onClick",
            ],
        );
        check(
            ESBUILD,
            "/assets/app.min.js",
            stacks,
            1,
            "SyntaxError: Unexpected token '/', \"/catalog?not json {\" is not valid JSON
    at JSON.parse (<anonymous>)
    at m (../src/checkout.ts:22:15)
    at parseCatalog (../src/checkout.ts:13:10)
    at async Object.onLoad (../src/main.ts:9:7)",
            &["parseCatalog", "reloadCatalog", "onLoad"],
        );
    }

    #[test]
    fn stacks_that_node_made_of_a_terser_bundle() {
        let stacks = include_str!("../../tests/data/terser.min.stacks.json");
        check(
            TERSER,
            "https://shop.example/assets/terser.min.js",
            stacks,
            0,
            "TypeError: Cannot read properties of undefined (reading 'cents')
    at cents (../src/cart.ts:32:38)
    at lineTotal (../src/cart.ts:23:16)
    at computeTotal (../src/checkout.ts:8:15)
    at checkout (../src/main.ts:18:19)
    at handleClick (../src/main.ts:6:32)",
            &[
                "lineTotal",
                "computeTotal",
                "checkout",
                "handleClick",
                "onClick",
            ],
        );
    }

    #[test]
    fn lines_around_a_place_stop_at_the_ends_of_the_text() {
        let conn = database();
        let content = (1..=400).map(|n| format!("line {n} {}\n", "x".repeat(90)));
        let map = serde_json::json!({"version": 3, "sources": ["a.ts"], "sourcesContent": [content.collect::<String>()],
            "mappings": "AAAA;AACA;AAqCA;AAsFA;AAsFA"});
        upload(&conn, "web", "1", "/a.js", &map.to_string());
        let mut seen = Vec::new();
        for line in 1..=5 {
            let found = look_up_in(&conn, 1, line, 1).unwrap().unwrap().unwrap();
            let first = found.line.saturating_sub(2).max(1);
            assert_eq!(found.context_line, first);
            for (number, text) in (first..).zip(&found.context) {
                assert!(
                    text.starts_with(&format!("line {number} ")),
                    "{number}: {text}"
                );
            }
            assert!(
                found
                    .text
                    .unwrap()
                    .starts_with(&format!("line {} ", found.line))
            );
            seen.push((found.line, found.context.len()));
        }
        assert_eq!(seen[..2], [(1, 3), (2, 4)]);
        assert!(seen[2..].iter().all(|(_, count)| *count == 5), "{seen:?}");
        assert_eq!(look_up_in(&conn, 2, 1, 1).unwrap(), None);
    }

    #[test]
    fn frames_say_why_they_stay() {
        let conn = database();
        upload(&conn, "web", "1", "/assets/app.min.js", ESBUILD);
        let stack = "E\n    at a (https://shop.example/other.js:1:1)\n    at b (https://shop.example/assets/app.min.js:7:1)\n    at c (https://shop.example/assets/app.min.js:1:1)";
        let (text, described) = rewritten(&conn, stack);
        assert_eq!(text, stack);
        let reasons: Vec<_> = described
            .iter()
            .map(|(reason, _)| reason.as_str())
            .collect();
        assert_eq!(
            reasons,
            [
                "no map for file",
                "line outside the map",
                "no mapping at this place"
            ]
        );
        let elsewhere = look_up(&conn, "shop", "1", queries(&Stack::parse(stack))).unwrap();
        assert_eq!(elsewhere, vec![Err(Unmapped::NoMapForRelease); 3]);
    }

    #[test]
    fn the_map_for_just_this_url_wins_over_the_latest_of_its_path() {
        let conn = database();
        let map = |source: &str| {
            format!("{{\"version\":3,\"sources\":[\"{source}\"],\"mappings\":\"AAAA\"}}")
        };
        upload(&conn, "web", "1", "https://a.example/app.js", &map("a.ts"));
        upload(&conn, "web", "1", "https://b.example/app.js", &map("b.ts"));
        upload(&conn, "web", "1", "app.js", &map("relative.ts"));
        let place = |file: &str| rewritten(&conn, &format!("at f ({file}:1:1)")).0;
        assert_eq!(place("https://a.example/app.js"), "at f (a.ts:1:1)");
        assert_eq!(place("https://b.example/app.js"), "at f (b.ts:1:1)");
        assert_eq!(place("https://c.example/app.js"), "at f (b.ts:1:1)");
        assert_eq!(place("app.js"), "at f (relative.ts:1:1)");
    }
}
