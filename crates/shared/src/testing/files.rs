//! Database files from outside: as another program would make them, and what they hold.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::clock::Clock;
use crate::metrics::Registry;
use crate::store::{QueueLimits, Schema, Store};

/// A connection as another program would have it; the file need not be there.
#[expect(clippy::disallowed_methods, reason = "a file of another program")]
pub fn connection(path: &Path) -> Connection {
    Connection::open(path).expect("opens")
}

/// Opens a file with a clock that stands at `now_ms`, and takes it over if it is one of the original.
pub fn open_store(path: &Path, schema: Schema, now_ms: i64) -> Store {
    let now = jiff::Timestamp::from_millisecond(now_ms).expect("in range");
    let (clock, _) = Clock::manual(now);
    let limits = QueueLimits::default();
    Store::open(path, schema, limits, clock, &Registry::default()).expect("opens")
}

/// Everything the tables of a file hold, but for those whose names are like `left_out`.
pub fn dump(path: &Path, left_out: &str) -> String {
    let conn = connection(path);
    let mut out = String::new();
    let mut tables = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE ?1 ORDER BY name",
        )
        .expect("a schema");
    let tables = tables.query_map([left_out], |row| row.get::<_, String>(0));
    for table in tables.expect("names") {
        let table = table.expect("a name");
        writeln!(out, "{table}").expect("written");
        let mut rows = conn
            .prepare(&format!("SELECT * FROM {table}"))
            .expect("a table");
        let columns = rows.column_count();
        let mut rows = rows.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                let value: Value = row.get(column).expect("a value");
                write!(out, "{value:?} ").expect("written");
            }
            out.push('\n');
        }
    }
    out
}
