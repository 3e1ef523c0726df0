//! Database files from outside: as another program would make them, and what they hold.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::clock::Clock;
use crate::metrics::Registry;
use crate::store::{OpenError, QueueLimits, Schema, Store};

/// How long a test waits for what others on the machine hold up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection as another program would have it; the file need not be there.
#[expect(clippy::disallowed_methods, reason = "a file of another program")]
pub fn connection(path: &Path) -> Connection {
    Connection::open(path).expect("opens")
}

/// Opens a file with a clock that stands at `now_ms`, and takes it over if it is one of the original.
pub fn open_store(path: &Path, schema: Schema, now_ms: i64) -> Store {
    let now = jiff::Timestamp::from_millisecond(now_ms).expect("in range");
    let (clock, _) = Clock::manual(now);
    open_with(path, schema, &clock, &Registry::default())
}

/// Opens a file that may have been closed just now. Between the fork and the exec of a process that another test starts, the
/// child holds all open files of this one, the lock on the database included: for long, if the machine has much else to do.
pub fn open_with(path: &Path, schema: Schema, clock: &Clock, metrics: &Registry) -> Store {
    let system = Clock::system();
    loop {
        let limits = QueueLimits::default();
        match Store::open(path, schema, limits, clock.clone(), metrics) {
            Err(OpenError::InUse(_)) if system.monotonic() < PATIENCE => std::thread::yield_now(),
            opened => return opened.expect("opens"),
        }
    }
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
