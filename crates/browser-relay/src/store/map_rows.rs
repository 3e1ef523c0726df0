//! The rows of decoded maps: written in slices while a map is decoded, removed in slices when no source map names them.

use monlight_shared::store::{Lane, Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::source_map::content::Part;
use crate::domain::source_map::decode::{Row, Sink};

/// Bytes of rows that are collected before they are written.
const SLICE_BYTES: usize = 256 * 1024;
/// Rows that one step of upkeep deletes from a table.
const SWEEP_ROWS: u32 = 200;

/// Free pages that are kept for what comes next.
const PAGES_TO_SPARE: i64 = 1024;
/// Pages that one step of upkeep gives back.
const PAGES_IN_SLICE: u32 = 256;

/// Makes room for a decoded map and returns the number its rows are to carry.
pub(crate) fn begin(conn: &Connection, now_ms: i64) -> Result<i64, StoreError> {
    conn.prepare_cached("INSERT INTO map_sets (begun_at) VALUES (?1)")?
        .execute([now_ms])?;
    Ok(conn.last_insert_rowid())
}

/// Deletes some rows of a map that no source map names; false when there is none. Must not run while a map is being
/// decoded, whose rows nothing names yet.
pub(crate) fn sweep(conn: &Connection) -> Result<bool, StoreError> {
    let unnamed: Option<i64> = conn
        .prepare_cached(
            "SELECT id FROM map_sets WHERE NOT EXISTS (SELECT 1 FROM source_maps WHERE map_set = map_sets.id) LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(map_set) = unnamed else {
        return Ok(false);
    };
    let mut deleted = 0;
    for statement in [
        "DELETE FROM map_block WHERE map_set = ?1 AND (line, col) IN
           (SELECT line, col FROM map_block WHERE map_set = ?1 LIMIT ?2)",
        "DELETE FROM map_source WHERE map_set = ?1 AND source IN
           (SELECT source FROM map_source WHERE map_set = ?1 LIMIT ?2)",
        "DELETE FROM map_names WHERE map_set = ?1 AND chunk IN
           (SELECT chunk FROM map_names WHERE map_set = ?1 LIMIT ?2)",
        "DELETE FROM map_content WHERE map_set = ?1 AND (source, line) IN
           (SELECT source, line FROM map_content WHERE map_set = ?1 LIMIT ?2)",
        "DELETE FROM map_function WHERE map_set = ?1 AND (source, line, col) IN
           (SELECT source, line, col FROM map_function WHERE map_set = ?1 LIMIT ?2)",
    ] {
        deleted += conn
            .prepare_cached(statement)?
            .execute(params![map_set, SWEEP_ROWS])?;
    }
    if deleted == 0 {
        conn.prepare_cached("DELETE FROM map_sets WHERE id = ?1")?
            .execute([map_set])?;
    }
    Ok(true)
}

/// Gives some of the pages that hold nothing any more back to the file system; false when there are not many.
pub(crate) fn shrink(conn: &Connection) -> Result<bool, StoreError> {
    let free = || conn.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    let before = free()?;
    if before <= PAGES_TO_SPARE {
        return Ok(false);
    }
    let mut statement =
        conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_IN_SLICE})"))?;
    // It frees a page with each row it gives.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(free()? < before)
}

/// Takes the rows of one map and writes them to the store in slices. For a thread of one's own.
pub(crate) struct StoreSink<'s> {
    store: &'s Store,
    map_set: i64,
    rows: Vec<OwnedRow>,
    bytes: usize,
}

enum OwnedRow {
    Block {
        line: u32,
        column: u32,
        data: Vec<u8>,
    },
    Source {
        source: u32,
        path: String,
        ignored: bool,
    },
    Names {
        chunk: u32,
        list: Vec<u8>,
    },
    Content {
        source: u32,
        line: u32,
        text: String,
    },
    Function {
        source: u32,
        line: u32,
        column: u32,
        data: Vec<u8>,
    },
}

impl<'s> StoreSink<'s> {
    pub(crate) fn new(store: &'s Store, map_set: i64) -> Self {
        Self {
            store,
            map_set,
            rows: Vec::new(),
            bytes: 0,
        }
    }

    /// Writes what has been collected.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.rows);
        let bytes = std::mem::take(&mut self.bytes);
        if rows.is_empty() {
            return Ok(());
        }
        let map_set = self.map_set;
        self.store.write_blocking(Lane::Upkeep, bytes, move |conn| {
            rows.iter().try_for_each(|row| row.write(conn, map_set))
        })
    }
}

impl Sink for StoreSink<'_> {
    type Fault = StoreError;

    fn put(&mut self, row: Row<'_>) -> Result<(), StoreError> {
        let row = OwnedRow::from(row);
        self.bytes += row.size();
        self.rows.push(row);
        if self.bytes >= SLICE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }
}

impl From<Row<'_>> for OwnedRow {
    fn from(row: Row<'_>) -> Self {
        match row {
            Row::Block(block) => Self::Block {
                line: block.line,
                column: block.column,
                data: block.data.to_vec(),
            },
            Row::Source {
                index,
                path,
                ignored,
            } => Self::Source {
                source: index,
                path: path.to_owned(),
                ignored,
            },
            Row::Names { chunk, list } => Self::Names {
                chunk,
                list: list.to_vec(),
            },
            Row::Content {
                source,
                part: Part::Text { line, text },
            } => Self::Content {
                source,
                line,
                text: text.to_owned(),
            },
            Row::Content {
                source,
                part: Part::Functions { line, column, data },
            } => Self::Function {
                source,
                line,
                column,
                data: data.to_vec(),
            },
        }
    }
}

impl OwnedRow {
    /// About what it takes in memory.
    fn size(&self) -> usize {
        let data = match self {
            Self::Block { data, .. } | Self::Function { data, .. } => data.len(),
            Self::Names { list, .. } => list.len(),
            Self::Source { path, .. } => path.len(),
            Self::Content { text, .. } => text.len(),
        };
        size_of::<Self>() + data
    }

    fn write(&self, conn: &Connection, map_set: i64) -> Result<(), StoreError> {
        match self {
            Self::Block { line, column, data } => conn
                .prepare_cached("INSERT INTO map_block (map_set, line, col, data) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![map_set, line, column, data])?,
            Self::Source { source, path, ignored } => conn
                .prepare_cached("INSERT INTO map_source (map_set, source, path, ignored) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![map_set, source, path, ignored])?,
            Self::Names { chunk, list } => conn
                .prepare_cached("INSERT INTO map_names (map_set, chunk, list) VALUES (?1, ?2, ?3)")?
                .execute(params![map_set, chunk, list])?,
            Self::Content { source, line, text } => conn
                .prepare_cached("INSERT INTO map_content (map_set, source, line, text) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![map_set, source, line, text])?,
            Self::Function { source, line, column, data } => conn
                .prepare_cached(
                    "INSERT INTO map_function (map_set, source, line, col, data) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![map_set, source, line, column, data])?,
        };
        Ok(())
    }
}

/// Writes rows straight to a connection, inside whatever transaction it is in.
pub(crate) struct DirectSink<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) map_set: i64,
}

impl Sink for DirectSink<'_> {
    type Fault = StoreError;

    fn put(&mut self, row: Row<'_>) -> Result<(), StoreError> {
        OwnedRow::from(row).write(self.conn, self.map_set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::database;

    #[test]
    fn sweeping_removes_what_nothing_names() {
        let conn = database();
        let kept = begin(&conn, 1).unwrap();
        conn.execute(
            "INSERT INTO source_maps (project, release, file_url, path, map_set, lines, tokens, size_bytes, uploaded_at)
             VALUES ('p', 'r', 'f', 'f', ?1, 1, 1, 1, 1)",
            [kept],
        )
        .unwrap();
        let swept = begin(&conn, 2).unwrap();
        for map_set in [kept, swept] {
            for line in 0..(SWEEP_ROWS + 10) {
                OwnedRow::Block {
                    line,
                    column: 0,
                    data: vec![0],
                }
                .write(&conn, map_set)
                .unwrap();
            }
            for row in [
                OwnedRow::Source {
                    source: 0,
                    path: "a".to_owned(),
                    ignored: false,
                },
                OwnedRow::Names {
                    chunk: 0,
                    list: vec![0],
                },
                OwnedRow::Content {
                    source: 0,
                    line: 0,
                    text: "x".to_owned(),
                },
                OwnedRow::Function {
                    source: 0,
                    line: 0,
                    column: 0,
                    data: vec![0, 0, 0],
                },
            ] {
                row.write(&conn, map_set).unwrap();
            }
        }
        let mut steps = 0;
        while sweep(&conn).unwrap() {
            steps += 1;
        }
        assert_eq!(steps, 3);
        for table in [
            "map_block",
            "map_source",
            "map_names",
            "map_content",
            "map_function",
        ] {
            let count = |map_set: i64| -> i64 {
                conn.query_row(
                    &format!("SELECT COUNT(*) FROM {table} WHERE map_set = ?1"),
                    [map_set],
                    |row| row.get(0),
                )
                .unwrap()
            };
            assert_eq!(count(swept), 0, "{table}");
            assert!(count(kept) > 0, "{table}");
        }
    }
}
