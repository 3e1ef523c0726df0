//! The list of source maps.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::source_map::decode::Summary;
use crate::domain::source_map::{file_name, plain_path};
use crate::domain::upload::Names;

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceMap {
    pub(crate) id: i64,
    pub(crate) project: String,
    pub(crate) release: Option<String>,
    pub(crate) file_url: Option<String>,
    pub(crate) debug_id: Option<String>,
    /// Unix milliseconds.
    pub(crate) uploaded_at: i64,
}

/// What [`put`] stores.
#[derive(Debug, Clone)]
pub(crate) struct NewMap {
    pub(crate) names: Names,
    pub(crate) map_set: i64,
    pub(crate) size_bytes: i64,
    pub(crate) summary: Summary,
}

/// How many maps there are and how large their texts were together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) maps: i64,
    pub(crate) bytes: i64,
}

/// Some of the maps, all or those of a project, by id, and how many there are.
pub(crate) fn list(
    conn: &Connection,
    project: Option<&str>,
    limit: u32,
    offset: i64,
) -> Result<(Vec<SourceMap>, i64), StoreError> {
    let transaction = conn.unchecked_transaction()?;
    let total = transaction
        .prepare_cached("SELECT COUNT(*) FROM source_maps WHERE ?1 IS NULL OR project = ?1")?
        .query_row([project], |row| row.get(0))?;
    let maps = transaction
        .prepare_cached(
            "SELECT id, project, release, file_url, debug_id, uploaded_at FROM source_maps
             WHERE ?1 IS NULL OR project = ?1 ORDER BY id LIMIT ?2 OFFSET ?3",
        )?
        .query_map(params![project, limit, offset], |row| {
            Ok(SourceMap {
                id: row.get(0)?,
                project: row.get(1)?,
                release: row.get(2)?,
                file_url: row.get(3)?,
                debug_id: row.get(4)?,
                uploaded_at: row.get(5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok((maps, total))
}

/// Stores a map or replaces the one of the same project, release and file, which keeps its id; one that lacks release or
/// file replaces the one that lacks the same and has the same debug id. The rows of a replaced map are left to upkeep.
///
/// A map of another debug id is of another build, whose scripts may still be in caches, or of another script that is called
/// the same: it is not replaced but only loses release and file, so that it is found by its id.
pub(crate) fn put(conn: &Connection, map: &NewMap, now_ms: i64) -> Result<i64, StoreError> {
    let Names {
        project,
        release,
        file_url,
        debug_id,
    } = &map.names;
    let debug_id = debug_id.map(|id| id.to_string());
    // Not INSERT … ON CONFLICT: that would use up an id each time.
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let known: Option<(i64, Option<String>)> = if release.is_some() && file_url.is_some() {
        conn.prepare_cached(
            "SELECT id, debug_id FROM source_maps WHERE project = ?1 AND release = ?2 AND file_url = ?3",
        )?
        .query_row(params![project, release, file_url], read)
    } else {
        conn.prepare_cached(
            "SELECT id, debug_id FROM source_maps
             WHERE project = ?1 AND debug_id = ?2 AND release IS ?3 AND file_url IS ?4",
        )?
        .query_row(params![project, debug_id, release, file_url], read)
    }
    .optional()?;
    let Summary { tokens, lines } = map.summary;
    let replaced = match known {
        Some((id, Some(other))) if debug_id.as_ref() != Some(&other) => {
            keep_by_debug_id(conn, project, id, &other)?;
            None
        }
        known => known.map(|(id, _)| id),
    };
    if let Some(id) = replaced {
        conn.prepare_cached(
            "UPDATE source_maps SET map_set = ?2, lines = ?3, tokens = ?4, size_bytes = ?5, uploaded_at = ?6, debug_id = ?7
             WHERE id = ?1",
        )?
        .execute(params![id, map.map_set, lines, tokens as i64, map.size_bytes, now_ms, debug_id])?;
        return Ok(id);
    }
    let path = file_url.as_deref().map(plain_path);
    conn.prepare_cached(
        "INSERT INTO source_maps
           (project, release, file_url, path, file_name, debug_id, map_set, lines, tokens, size_bytes, uploaded_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        project,
        release,
        file_url,
        path,
        path.as_deref().map(file_name),
        debug_id,
        map.map_set,
        lines,
        tokens as i64,
        map.size_bytes,
        now_ms
    ])?;
    Ok(conn.last_insert_rowid())
}

/// Takes release and file from a map with a debug id, and deletes the one that was left with the same id before.
fn keep_by_debug_id(
    conn: &Connection,
    project: &str,
    id: i64,
    debug_id: &str,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM source_maps WHERE project = ?1 AND debug_id = ?2 AND release IS NULL AND file_url IS NULL",
    )?
    .execute([project, debug_id])?;
    conn.prepare_cached(
        "UPDATE source_maps SET release = NULL, file_url = NULL, path = NULL, file_name = NULL WHERE id = ?1",
    )?
    .execute([id])?;
    Ok(())
}

/// Deletes a map; false when there is none. Its rows are left to upkeep.
pub(crate) fn delete(conn: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("DELETE FROM source_maps WHERE id = ?1")?
        .execute([id])?
        > 0)
}

/// Deletes some of the maps uploaded before `cutoff_ms` and returns how many.
pub(crate) fn delete_older(conn: &Connection, cutoff_ms: i64) -> Result<usize, StoreError> {
    let deleted = conn
        .prepare_cached(
            "DELETE FROM source_maps WHERE id IN
               (SELECT id FROM source_maps WHERE uploaded_at < ?1 ORDER BY uploaded_at LIMIT 100)",
        )?
        .execute([cutoff_ms])?;
    Ok(deleted)
}

/// Deletes the oldest map if all together are larger than `most_bytes`; false when they are not.
pub(crate) fn delete_oldest_beyond(conn: &Connection, most_bytes: i64) -> Result<bool, StoreError> {
    if totals(conn)?.bytes <= most_bytes {
        return Ok(false);
    }
    let deleted = conn
        .prepare_cached(
            "DELETE FROM source_maps WHERE id = (SELECT id FROM source_maps ORDER BY uploaded_at, id LIMIT 1)",
        )?
        .execute([])?;
    Ok(deleted > 0)
}

pub(crate) fn totals(conn: &Connection) -> Result<Totals, StoreError> {
    let totals = conn
        .prepare_cached("SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM source_maps")?
        .query_row([], |row| {
            Ok(Totals {
                maps: row.get(0)?,
                bytes: row.get(1)?,
            })
        })?;
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::map_rows;
    use crate::store::testing::database;

    fn upload(
        conn: &Connection,
        project: &str,
        file_url: &str,
        size_bytes: i64,
        now_ms: i64,
    ) -> i64 {
        let map_set = map_rows::begin(conn, now_ms).unwrap();
        let map = NewMap {
            names: Names {
                project: project.to_owned(),
                release: Some("1".to_owned()),
                file_url: Some(file_url.to_owned()),
                debug_id: None,
            },
            map_set,
            size_bytes,
            summary: Summary {
                tokens: 1,
                lines: 1,
            },
        };
        put(conn, &map, now_ms).unwrap()
    }

    #[test]
    fn a_replaced_map_keeps_its_id() {
        let conn = database();
        assert_eq!(upload(&conn, "web", "/a.js", 10, 1), 1);
        assert_eq!(upload(&conn, "web", "/b.js", 10, 2), 2);
        assert_eq!(upload(&conn, "web", "/a.js", 30, 3), 1);
        assert_eq!(upload(&conn, "shop", "/a.js", 10, 4), 3);
        let (maps, total) = list(&conn, None, 100, 0).unwrap();
        let ids: Vec<_> = maps.iter().map(|map| (map.id, map.uploaded_at)).collect();
        assert_eq!((ids, total), (vec![(1, 3), (2, 2), (3, 4)], 3));
        assert_eq!(totals(&conn).unwrap(), Totals { maps: 3, bytes: 50 });
    }

    #[test]
    fn lists_are_filtered_and_cut() {
        let conn = database();
        for n in 0..5 {
            upload(
                &conn,
                if n % 2 == 0 { "web" } else { "shop" },
                &format!("/{n}.js"),
                1,
                n,
            );
        }
        let ids = |project, limit, offset| {
            let (maps, total) = list(&conn, project, limit, offset).unwrap();
            (maps.iter().map(|map| map.id).collect::<Vec<_>>(), total)
        };
        assert_eq!(ids(None, 2, 1), (vec![2, 3], 5));
        assert_eq!(ids(Some("web"), 10, 0), (vec![1, 3, 5], 3));
        assert_eq!(ids(Some("none"), 10, 0), (vec![], 0));
        assert_eq!(ids(Some(""), 10, 0), (vec![], 0));
        assert_eq!(ids(None, 10, i64::MAX), (vec![], 5));
    }

    #[test]
    fn the_old_and_the_too_many_go_first() {
        let conn = database();
        for n in 0..5 {
            upload(&conn, "web", &format!("/{n}.js"), 10, n);
        }
        assert_eq!(delete_older(&conn, 2).unwrap(), 2);
        assert_eq!(delete_older(&conn, 2).unwrap(), 0);
        assert!(delete_oldest_beyond(&conn, 20).unwrap());
        assert!(!delete_oldest_beyond(&conn, 20).unwrap());
        let (maps, _) = list(&conn, None, 10, 0).unwrap();
        assert_eq!(maps.iter().map(|map| map.id).collect::<Vec<_>>(), [4, 5]);
        assert!(delete(&conn, 4).unwrap() && !delete(&conn, 4).unwrap());
    }
}
