//! Frames looked up in maps of real bundles.

use super::*;
use crate::domain::debug_id::DebugIds;
use crate::domain::deobfuscate::{deobfuscate, queries};
use crate::domain::source_map::decode::decode;
use crate::domain::source_map::survey::survey;
use crate::domain::stack::Stack;
use crate::domain::upload::Names;
use crate::store::map_rows::{self, DirectSink};
use crate::store::source_maps::{self, NewMap};
use crate::store::testing::database;

const ESBUILD: &str = include_str!("../../../tests/data/app.min.js.map");
const TERSER: &str = include_str!("../../../tests/data/terser.min.js.map");

fn upload(conn: &Connection, project: &str, release: &str, file_url: &str, text: &str) {
    let some = |text: &str| Some(text.to_owned());
    let names = Names {
        project: project.to_owned(),
        release: some(release),
        file_url: some(file_url),
        debug_id: None,
    };
    put(conn, names, text);
}

fn put(conn: &Connection, names: Names, text: &str) {
    let map_set = map_rows::begin(conn, 1).unwrap();
    let mut sink = DirectSink { conn, map_set };
    let survey = survey(text.as_bytes()).unwrap();
    let summary = decode(text.as_bytes(), &survey, &mut sink).unwrap();
    let map = NewMap {
        names: Names {
            debug_id: survey.debug_id,
            ..names
        },
        map_set,
        size_bytes: text.len() as i64,
        summary,
    };
    source_maps::put(conn, &map, 1).unwrap();
}

fn rewritten(conn: &Connection, stack: &str) -> (String, Vec<(String, String)>) {
    let stack = Stack::parse(stack);
    let outcomes = look_up(
        conn,
        "web",
        Some("1"),
        queries(&stack, &DebugIds::default()),
    )
    .unwrap();
    let (text, symbolication) = deobfuscate(&stack, &outcomes);
    let symbolication: serde_json::Value = serde_json::from_str(symbolication.as_json()).unwrap();
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
fn check(map: &str, file: &str, stacks: &str, index: usize, expected: &str, functions: &[&str]) {
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
    let stacks = include_str!("../../../tests/data/app.min.stacks.json");
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
    let stacks = include_str!("../../../tests/data/terser.min.stacks.json");
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
            "column before the first mapping"
        ]
    );
    let elsewhere = look_up(
        &conn,
        "shop",
        Some("1"),
        queries(&Stack::parse(stack), &DebugIds::default()),
    )
    .unwrap();
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

const ID: &str = "85314830-023f-4cf1-a267-535f4e37bb17";
const OTHER_ID: &str = "00000000-0000-4000-8000-000000000001";

fn plain_map(source: &str, more: &str) -> String {
    format!("{{\"version\":3,\"sources\":[\"{source}\"],\"mappings\":\"AAAA\"{more}}}")
}

/// What becomes of one frame of an event of the project `web`.
fn outcome(
    conn: &Connection,
    release: Option<&str>,
    file: &str,
    id: Option<&str>,
) -> Result<String, Unmapped> {
    let query = Query {
        file: file.to_owned(),
        debug_id: id.and_then(DebugId::parse),
        line: 1,
        column: 1,
    };
    let mut outcomes = look_up(conn, "web", release, vec![Ok(query)]).unwrap();
    outcomes.remove(0).map(|found| found.source)
}

#[test]
fn a_debug_id_finds_its_map_before_all_else() {
    let conn = database();
    let with_id = |source: &str, id: &str| plain_map(source, &format!(",\"debugId\":\"{id}\""));
    let names = |project: &str| Names {
        project: project.to_owned(),
        release: None,
        file_url: None,
        debug_id: None,
    };
    put(&conn, names("web"), &with_id("id.ts", ID));
    put(&conn, names("shop"), &with_id("shop.ts", OTHER_ID));
    upload(&conn, "web", "1", "/app.js", &plain_map("path.ts", ""));
    let app = "https://shop.example/app.js";
    let ok = |source: &str| Ok(source.to_owned());
    assert_eq!(outcome(&conn, Some("1"), app, Some(ID)), ok("id.ts"));
    assert_eq!(outcome(&conn, None, "blob:x", Some(ID)), ok("id.ts"));
    assert_eq!(outcome(&conn, Some("1"), app, None), ok("path.ts"));
    // That of another project is none; the path is a second chance.
    assert_eq!(
        outcome(&conn, Some("1"), app, Some(OTHER_ID)),
        ok("path.ts")
    );
    for (release, file) in [(None, app), (Some("2"), app), (Some("1"), "/other.js")] {
        let unmapped = outcome(&conn, release, file, Some(OTHER_ID));
        assert_eq!(
            unmapped,
            Err(Unmapped::NoMapForDebugId),
            "{release:?} {file}"
        );
    }
    assert_eq!(outcome(&conn, None, app, None), Err(Unmapped::NoRelease));
    put(&conn, names("web"), &with_id("again.ts", ID));
    assert_eq!(outcome(&conn, None, app, Some(ID)), ok("again.ts"));
    let (maps, _) = source_maps::list(&conn, None, 10, 0).unwrap();
    let listed: Vec<_> = maps
        .iter()
        .map(|map| (map.id, map.debug_id.as_deref()))
        .collect();
    assert_eq!(listed, [(1, Some(ID)), (2, Some(OTHER_ID)), (3, None)]);
}

#[test]
fn a_map_of_another_debug_id_is_neither_used_nor_lost() {
    let conn = database();
    let names = Names {
        project: "web".to_owned(),
        release: Some("1".to_owned()),
        file_url: Some("/app.js".to_owned()),
        debug_id: None,
    };
    let with_id = |source: &str, id: &str| plain_map(source, &format!(",\"debugId\":\"{id}\""));
    let listed = || {
        let (maps, _) = source_maps::list(&conn, None, 10, 0).unwrap();
        let row = |map: source_maps::SourceMap| (map.id, map.file_url, map.debug_id);
        maps.into_iter().map(row).collect::<Vec<_>>()
    };
    let url = || Some("/app.js".to_owned());
    let some = |id: &str| Some(id.to_owned());
    let ok = |source: &str| Ok(source.to_owned());
    let (app, deep) = ("https://shop.example/app.js", "/deep/app.js");
    // Again and again, as builds do that change back and forth.
    for round in 0..3 {
        put(&conn, names.clone(), &with_id("old.ts", ID));
        put(&conn, names.clone(), &with_id("new.ts", OTHER_ID));
        for release in [Some("1"), Some("2"), None] {
            assert_eq!(outcome(&conn, release, app, Some(ID)), ok("old.ts"));
            assert_eq!(outcome(&conn, release, app, Some(OTHER_ID)), ok("new.ts"));
        }
        assert_eq!(outcome(&conn, Some("1"), app, None), ok("new.ts"));
        assert_eq!(listed().len(), if round == 0 { 2 } else { 3 });
    }
    let unknown = Some("00000000-0000-4000-8000-000000000000");
    for file in [app, deep] {
        let found = outcome(&conn, Some("1"), file, unknown);
        assert_eq!(found, Err(Unmapped::NoMapForDebugId), "{file}");
    }
    // One without an id takes the name, too; one with the same id replaces.
    put(&conn, names.clone(), &plain_map("plain.ts", ""));
    assert_eq!(outcome(&conn, Some("1"), app, unknown), ok("plain.ts"));
    assert_eq!(outcome(&conn, None, app, Some(OTHER_ID)), ok("new.ts"));
    put(&conn, names, &with_id("newer.ts", OTHER_ID));
    let last = listed().pop().unwrap();
    assert_eq!((last.1, last.2), (url(), some(OTHER_ID)));
    assert_eq!(outcome(&conn, None, app, Some(OTHER_ID)), ok("newer.ts"));
}

#[test]
fn the_end_of_a_path_is_enough_when_only_one_map_fits() {
    let conn = database();
    for (file_url, source) in [
        ("dist/assets/app.js", "app.ts"),
        ("worker.js", "worker.ts"),
        ("a/index.js", "a.ts"),
        ("b/index.js", "b.ts"),
        ("~/lib/both.js", "one.ts"),
        ("lib/both.js", "two.ts"),
        ("dist/cut.js?v=1", "cut.ts"),
    ] {
        upload(&conn, "web", "1", file_url, &plain_map(source, ""));
    }
    let ok = |source: &str| Ok(source.to_owned());
    for (file, expected) in [
        ("https://shop.example/assets/app.js", ok("app.ts")),
        ("https://shop.example/assets/app.js?v=9", ok("app.ts")),
        ("https://shop.example/app.js", ok("app.ts")),
        (
            "https://shop.example/js/app.js",
            Err(Unmapped::NoMapForFile),
        ),
        ("https://cdn.example/deep/down/worker.js", ok("worker.ts")),
        (
            "https://cdn.example/my-worker.js",
            Err(Unmapped::NoMapForFile),
        ),
        ("/x/a/index.js", ok("a.ts")),
        ("/index.js", Err(Unmapped::Ambiguous)),
        ("/c/index.js", Err(Unmapped::NoMapForFile)),
        ("/lib/both.js", Err(Unmapped::Ambiguous)),
        ("/cut.js?v=1", ok("cut.ts")),
        ("/cut.js?v=2", Err(Unmapped::NoMapForFile)),
        ("https://shop.example/", Err(Unmapped::NoMapForFile)),
    ] {
        assert_eq!(outcome(&conn, Some("1"), file, None), expected, "{file}");
    }
}

#[test]
fn a_path_is_found_however_it_is_escaped() {
    let conn = database();
    for (release, file_url) in [
        ("plain", "/p q/[id] \u{e9}.js"),
        ("escaped", "https://a.example/p%20q/%5Bid%5D%20%C3%A9.js"),
        ("half", "/p%20q/[id]%20%c3%a9.js"),
        ("end", "[id] \u{e9}.js"),
        ("before", "/before"),
    ] {
        upload(&conn, "web", release, file_url, &plain_map("a.ts", ""));
    }
    // As it was stored before.
    conn.execute(
        "UPDATE source_maps SET path = '/p%20q/%5Bid%5D%20%C3%A9.js', file_name = '%5Bid%5D%20%C3%A9.js'
         WHERE release = 'before'",
        [],
    )
    .unwrap();
    let file = "https://b.example/p%20q/%5Bid%5D%20%C3%A9.js";
    for release in ["plain", "escaped", "half", "end", "before"] {
        let found = outcome(&conn, Some(release), file, None);
        assert_eq!(found, Ok("a.ts".to_owned()), "{release}");
    }
    let found = outcome(&conn, Some("plain"), "/p q/[id] \u{e9}.js:x", None);
    assert_eq!(found, Err(Unmapped::NoMapForFile));
}

#[test]
fn a_line_says_where_its_mappings_begin() {
    let conn = database();
    // One token behind column 4, none, one without a source, one behind column 2.
    let map = plain_map("a.ts", "").replace("AAAA", "IAAA;;A;EAAA");
    upload(&conn, "web", "1", "/a.js", &map);
    let reason = |line, column| look_up_in(&conn, 1, line, column).unwrap().unwrap().err();
    assert_eq!(reason(1, 4), Some(Unmapped::BeforeFirst));
    assert_eq!(reason(1, 5), None);
    assert_eq!(reason(2, 1), Some(Unmapped::LineWithout));
    assert_eq!(reason(3, 1), Some(Unmapped::NoMapping));
    assert_eq!(reason(4, 2), Some(Unmapped::BeforeFirst));
    assert_eq!(reason(5, 1), Some(Unmapped::LineOutside));
    assert_eq!(reason(0, 1), Some(Unmapped::NoPlace));
}

#[test]
fn maps_are_found_by_index() {
    let conn = database();
    for (sql, index) in [
        (
            "project = ?1 AND debug_id = ?2 ORDER BY uploaded_at DESC",
            "source_maps_by_debug_id",
        ),
        (
            "project = ?1 AND release = ?2 AND file_name = ?3",
            "source_maps_by_name",
        ),
        (
            "project = ?1 AND release = ?2 AND path = ?3",
            "source_maps_by_path",
        ),
    ] {
        let mut plan = conn
            .prepare(&format!(
                "EXPLAIN QUERY PLAN SELECT map_set FROM source_maps WHERE {sql}"
            ))
            .unwrap();
        let count = plan.parameter_count();
        let steps = plan.query_map(rusqlite::params_from_iter(vec!["x"; count]), |row| {
            row.get::<_, String>(3)
        });
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        assert!(steps[0].contains(index), "{steps:?}");
    }
}

#[test]
fn sources_that_the_map_ignores_are_not_of_the_app() {
    let conn = database();
    let map = r#"{"version":3,"x_google_ignoreList":[1],"sources":["app.ts","../node_modules/lib/x.js"],"mappings":"AAAA;ACAA"}"#;
    upload(&conn, "web", "1", "/a.js", map);
    let section =
        |line: u32, map: &str| format!(r#"{{"offset":{{"line":{line},"column":0}},"map":{map}}}"#);
    let plain = plain_map("b.ts", "");
    let index = format!(
        r#"{{"version":3,"sections":[{},{}]}}"#,
        section(0, &plain),
        section(1, map)
    );
    upload(&conn, "web", "1", "/b.js", &index);
    let ignored = |id: i64, line: u32| {
        let found = look_up_in(&conn, id, line, 1).unwrap().unwrap().unwrap();
        (found.source, found.ignored)
    };
    let lib = "../node_modules/lib/x.js".to_owned();
    assert_eq!(ignored(1, 1), ("app.ts".to_owned(), false));
    assert_eq!(ignored(1, 2), (lib.clone(), true));
    assert_eq!(ignored(2, 1), ("b.ts".to_owned(), false));
    assert_eq!(ignored(2, 2), ("app.ts".to_owned(), false));
    assert_eq!(ignored(2, 3), (lib, true));
    let stack =
        "E\n    at a (https://shop.example/a.js:2:1)\n    at b (https://shop.example/a.js:1:1)";
    let stack = Stack::parse(stack);
    let queries = queries(&stack, &DebugIds::default());
    let outcomes = look_up(&conn, "web", Some("1"), queries).unwrap();
    let (_, symbolication) = deobfuscate(&stack, &outcomes);
    let said: serde_json::Value = serde_json::from_str(symbolication.as_json()).unwrap();
    assert_eq!(said["frames"][0]["in_app"], false);
    assert_eq!(said["frames"][1].get("in_app"), None);
}
