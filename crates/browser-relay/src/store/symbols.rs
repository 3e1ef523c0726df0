//! Looks frames up in the decoded maps: a handful of indexed reads for each.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::debug_id::DebugId;
use crate::domain::deobfuscate::{Found, LINES_AROUND, Outcome, Query, Unmapped};
use crate::domain::source_map::names::{self, NAMES_PER_CHUNK};
use crate::domain::source_map::{
    Original, block, content, file_name, is_suffix, lookup_path, plain_path,
};

/// Maps of one file name that are looked at; more fit as little as two.
const MOST_OF_NAME: usize = 200;

/// A map that fits a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Map {
    map_set: i64,
    lines: u32,
}

/// Looks up the frames of one stack, in a transaction of the caller's: one view of the database.
///
/// A map of the project fits a frame when it has the debug id of its script, or else the release and the path, or else
/// the release and a path of which one is the end of the other, if there is only one such path. Among several the one
/// uploaded for just this URL is taken, else the latest.
pub(crate) fn look_up(
    conn: &Connection,
    project: &str,
    release: Option<&str>,
    queries: Vec<Result<Query, Unmapped>>,
) -> Result<Vec<Outcome>, StoreError> {
    let finder = Finder {
        conn,
        project,
        release,
    };
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
            let map = finder.find(&query)?;
            known.push((query.file.clone(), map));
            map
        };
        outcomes.push(match map {
            Ok(map) => find_place(conn, map, &query)?,
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
    // One view of the database, or upkeep could remove a replaced map between two reads.
    let conn = conn.unchecked_transaction()?;
    let map = conn
        .prepare_cached("SELECT map_set, lines FROM source_maps WHERE id = ?1")?
        .query_row([id], Map::read)
        .optional()?;
    let query = Query {
        file: String::new(),
        debug_id: None,
        line,
        column,
    };
    map.map(|map| find_place(&conn, map, &query)).transpose()
}

impl Map {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            map_set: row.get(0)?,
            lines: row.get(1)?,
        })
    }
}

/// Finds the maps of one event.
struct Finder<'f> {
    conn: &'f Connection,
    project: &'f str,
    release: Option<&'f str>,
}

impl Finder<'_> {
    fn find(&self, query: &Query) -> Result<Result<Map, Unmapped>, StoreError> {
        if let Some(id) = query.debug_id
            && let Some(map) = self.by_debug_id(id)?
        {
            return Ok(Ok(map));
        }
        let found = match self.release {
            Some(release) => self.by_file(release, query)?,
            None => Err(Unmapped::NoRelease),
        };
        Ok(found.map_err(|unmapped| match unmapped {
            // It is the id by which the map should have been found.
            Unmapped::NoRelease | Unmapped::NoMapForRelease | Unmapped::NoMapForFile
                if query.debug_id.is_some() =>
            {
                Unmapped::NoMapForDebugId
            }
            unmapped => unmapped,
        }))
    }

    fn by_debug_id(&self, id: DebugId) -> Result<Option<Map>, StoreError> {
        let map = self
            .conn
            .prepare_cached(
                "SELECT map_set, lines FROM source_maps WHERE project = ?1 AND debug_id = ?2
                 ORDER BY uploaded_at DESC, id DESC LIMIT 1",
            )?
            .query_row(params![self.project, id.to_string()], Map::read)
            .optional()?;
        Ok(map)
    }

    fn by_file(&self, release: &str, query: &Query) -> Result<Result<Map, Unmapped>, StoreError> {
        let file = query.file.as_str();
        // A map with another debug id than the script's is of another build: better none than a wrong one.
        let any_id = query.debug_id.is_none();
        let plain = plain_path(file);
        // Maps taken in before paths were decoded lie under what was uploaded.
        let written = Some(lookup_path(file)).filter(|path| *path != plain);
        for path in [&*plain].into_iter().chain(written) {
            let found = self.by_path(release, file, path, any_id)?;
            if found != Err(Unmapped::NoMapForFile) {
                return Ok(found);
            }
        }
        let any = self
            .conn
            .prepare_cached("SELECT 1 FROM source_maps WHERE project = ?1 AND release = ?2")?
            .exists([self.project, release])?;
        Ok(Err(if any {
            Unmapped::NoMapForFile
        } else {
            Unmapped::NoMapForRelease
        }))
    }

    /// The map of a path or, when there is none, of its end.
    fn by_path(
        &self,
        release: &str,
        file: &str,
        path: &str,
        any_id: bool,
    ) -> Result<Result<Map, Unmapped>, StoreError> {
        let map = self
            .conn
            .prepare_cached(
                "SELECT map_set, lines FROM source_maps
                 WHERE project = ?1 AND release = ?2 AND path = ?3 AND (?5 OR debug_id IS NULL)
                 ORDER BY file_url = ?4 DESC, uploaded_at DESC, id DESC LIMIT 1",
            )?
            .query_row(
                params![self.project, release, path, file, any_id],
                Map::read,
            )
            .optional()?;
        match map {
            Some(map) => Ok(Ok(map)),
            None => self.by_suffix(release, path, any_id),
        }
    }

    /// The latest of the maps whose path fits, if they all have the same one.
    fn by_suffix(
        &self,
        release: &str,
        path: &str,
        any_id: bool,
    ) -> Result<Result<Map, Unmapped>, StoreError> {
        let name = file_name(path);
        if name.is_empty() {
            return Ok(Err(Unmapped::NoMapForFile));
        }
        let mut statement = self.conn.prepare_cached(
            "SELECT map_set, lines, path FROM source_maps
             WHERE project = ?1 AND release = ?2 AND file_name = ?3 AND (?4 OR debug_id IS NULL)
             ORDER BY uploaded_at DESC, id DESC",
        )?;
        let mut rows = statement.query(params![self.project, release, name, any_id])?;
        let mut fitting: Option<(Map, String)> = None;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            seen += 1;
            let map_path = row.get_ref(2)?.as_str().unwrap_or_default();
            let other = match &fitting {
                _ if !is_suffix(map_path, path) => false,
                Some((_, known)) => known != map_path,
                None => {
                    fitting = Some((Map::read(row)?, map_path.to_owned()));
                    false
                }
            };
            if other || seen > MOST_OF_NAME {
                return Ok(Err(Unmapped::Ambiguous));
            }
        }
        Ok(fitting.map(|(map, _)| map).ok_or(Unmapped::NoMapForFile))
    }
}

fn find_place(conn: &Connection, map: Map, query: &Query) -> Result<Outcome, StoreError> {
    let (Some(line), Some(column)) = (query.line.checked_sub(1), query.column.checked_sub(1))
    else {
        return Ok(Err(Unmapped::NoPlace));
    };
    if line >= map.lines {
        return Ok(Err(Unmapped::LineOutside));
    }
    let block = conn
        .prepare_cached(
            "SELECT line, data FROM map_block WHERE map_set = ?1 AND (line, col) <= (?2, ?3)
             ORDER BY line DESC, col DESC LIMIT 1",
        )?
        .query_row(params![map.map_set, line, column], |row| {
            let (data, first_line) = (row.get_ref(1)?.as_blob()?, row.get(0)?);
            let find = |column| block::find(data, first_line, line, column);
            let token = find(column);
            let on_line = token.is_some() || find(u32::MAX).is_some();
            Ok((token, on_line))
        })
        .optional()?;
    let (token, on_line) = block.unwrap_or_default();
    let Some(token) = token else {
        let behind = on_line || begins_on(conn, map, line)?;
        return Ok(Err(if behind {
            Unmapped::BeforeFirst
        } else {
            Unmapped::LineWithout
        }));
    };
    let Some(original) = token.original else {
        return Ok(Err(Unmapped::NoMapping));
    };
    let Some((source, ignored)) = source(conn, map, original.source)? else {
        return Ok(Err(Unmapped::Unavailable));
    };
    let (context_line, context) = context(conn, map, original)?;
    let at = original.line.saturating_sub(context_line) as usize;
    Ok(Ok(Found {
        source,
        ignored,
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

/// Whether a block begins on a line.
fn begins_on(conn: &Connection, map: Map, line: u32) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM map_block WHERE map_set = ?1 AND line = ?2")?
        .exists(params![map.map_set, line])?)
}

/// The path of a source, and whether it is not of the app.
fn source(conn: &Connection, map: Map, source: u32) -> Result<Option<(String, bool)>, StoreError> {
    let found = conn
        .prepare_cached("SELECT path, ignored FROM map_source WHERE map_set = ?1 AND source = ?2")?
        .query_row(params![map.map_set, source], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found)
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
        let of_row: Vec<_> = content::lines(text, row_line, row_line.max(first)..end).collect();
        let of_row = of_row.into_iter().rev();
        lines.extend(of_row.map(|(line, text)| (line, text.to_owned())));
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
mod tests;
