//! Databases of the original with damage in them.

use std::path::Path;

use monlight_shared::store::{Schema, Store};
use monlight_shared::testing::files::{connection, open_store};

use super::*;
use crate::store::{MIGRATIONS, list};

/// 2026-01-02T03:04:05Z and as much as nobody believes.
const NOW_MS: i64 = 1_767_323_045_000;

const ENTRIES: &str = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
    INSERT INTO _meta VALUES ('schema_version', '1');
    CREATE TABLE log_entries (
      id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp DATETIME, container VARCHAR(200), stream VARCHAR(10) DEFAULT 'stdout',
      level VARCHAR(10) DEFAULT 'INFO', message TEXT, raw TEXT);";
const CURSORS: &str = "UPDATE _meta SET value = '4';
    CREATE TABLE cursors (
      id INTEGER PRIMARY KEY AUTOINCREMENT, container_id, file_path, position, inode, updated_at);";

struct Moved {
    store: Store,
    _dir: tempfile::TempDir,
}

fn open(path: &Path) -> Store {
    let schema = Schema {
        migrations: MIGRATIONS,
        take_over: Some(TAKE_OVER),
    };
    open_store(path, schema, NOW_MS)
}

impl Moved {
    /// A file of the original with these rows besides, taken over.
    fn with(sql: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("logs.db");
        connection(&path)
            .execute_batch(&format!("{ENTRIES}{sql}"))
            .expect("a file of the original");
        Self {
            store: open(&path),
            _dir: dir,
        }
    }

    fn read<T>(&self, job: impl FnOnce(&Connection) -> Result<T, StoreError>) -> T {
        self.store.read_blocking(job).expect("is read")
    }

    /// Id, time in seconds, level, stream and message of each entry.
    fn entries(&self) -> Vec<(i64, i64, Level, Stream, String)> {
        self.read(|conn| {
            let ids: Vec<i64> = (1..=100).collect();
            let (entries, _) = list::entries(conn, &ids, usize::MAX)?;
            let entries = entries.into_iter();
            Ok(entries
                .map(|entry| {
                    let second = entry.time_ns.div_euclid(1_000_000_000);
                    (entry.id, second, entry.level, entry.stream, entry.message)
                })
                .collect())
        })
    }

    fn ids(&self) -> Vec<i64> {
        self.entries().into_iter().map(|entry| entry.0).collect()
    }

    fn next_id(&self) -> i64 {
        self.read(list::last_id) + 1
    }

    fn number(&self, sql: &str) -> Option<i64> {
        self.read(|conn| Ok(conn.query_row(sql, [], |row| row.get(0))?))
    }
}

#[test]
fn text_is_decoded_and_kept_in_lines() {
    let moved = Moved::with(
        r#"INSERT INTO log_entries (timestamp, container, message) VALUES
             ('2026-01-02T03:04:05Z', 'web', '{\"msg\":\"a \\u003c b\"}'),
             ('2026-01-02T03:04:06Z', 'web', 'Traceback:
  File \"a.py\"\tx');"#,
    );
    let messages: Vec<String> = moved.entries().into_iter().map(|entry| entry.4).collect();
    assert_eq!(
        messages,
        [
            "{\"msg\":\"a \\u003c b\"}",
            "Traceback:\n  File \"a.py\"\tx"
        ]
    );
}

#[test]
fn fields_can_be_searched() {
    let moved = Moved::with(
        r#"INSERT INTO log_entries (timestamp, container, message) VALUES
             ('2026-01-02T03:04:05Z', 'web', '{\"msg\":\"x\",\"status\":503}');"#,
    );
    let word = fields::token("status", "503");
    let found = moved.read(|conn| {
        let sql = "SELECT rowid FROM f0 WHERE f0 MATCH ?1";
        Ok(conn.query_row(sql, [format!("k : \"{word}\"")], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(found, 1);
}

#[test]
fn values_of_any_kind_are_taken() {
    let moved = Moved::with(
        "INSERT INTO log_entries (timestamp, container, stream, level, message) VALUES
           ('2026-01-02T03:04:05Z', 'web', 'stderr', 'WARN', 'first'),
           ('soon', 'web', 'x', 'LOUD', x'ff41'),
           (NULL, NULL, NULL, NULL, NULL),
           ('2200-01-01T00:00:00Z', 7, 1, 'CRITICAL', 12),
           ('1970-01-01T00:00:00Z', 'web', 'stdout', 'DEBUG', '');",
    );
    let second = NOW_MS / 1000;
    let entry =
        |id, second, level, stream, message: &str| (id, second, level, stream, message.to_owned());
    assert_eq!(
        moved.entries(),
        [
            entry(1, second, Level::Warning, Stream::Stderr, "first"),
            entry(2, second, Level::Info, Stream::Stdout, "\u{fffd}A"),
            entry(3, second, Level::Info, Stream::Stdout, ""),
            entry(4, 7_258_118_400, Level::Critical, Stream::Stdout, "12"),
            entry(5, 0, Level::Debug, Stream::Stdout, ""),
        ]
    );
}

#[track_caller]
fn check(sql: &str, ids: &[i64], next: i64) {
    let moved = Moved::with(sql);
    assert_eq!(
        (moved.ids().as_slice(), moved.next_id()),
        (ids, next),
        "{sql}"
    );
    let kept = moved.number("SELECT count(*) FROM log_entries");
    assert_eq!(kept, Some(ids.len() as i64));
    assert_eq!(moved.number("SELECT next_id - floor FROM ring"), kept);
}

#[test]
fn ids_stay_unless_there_are_gaps() {
    let rows = "INSERT INTO log_entries (id, timestamp, container, message) VALUES";
    let row = |id: i64| format!("({id}, '2026-01-02T03:04:05Z', 'web', 'x')");
    check("", &[], 1);
    check(&format!("{rows} {}, {}", row(41), row(42)), &[41, 42], 43);
    check(
        &format!("{rows} {}, {}, {}", row(2), row(41), row(42)),
        &[40, 41, 42],
        43,
    );
    // The newest ones were deleted, or all.
    check(
        &format!(
            "{rows} {}, {}; DELETE FROM log_entries WHERE id = 42",
            row(41),
            row(42)
        ),
        &[42],
        43,
    );
    check(
        &format!("{rows} {}; DELETE FROM log_entries", row(42)),
        &[],
        43,
    );
    check(
        &format!("{rows} {}, {}, {}", row(-5), row(0), row(1)),
        &[1],
        2,
    );
    check(&format!("{rows} {}", row(i64::MAX)), &[], 1);
}

#[test]
fn cursors_that_say_nothing_are_left_out() {
    let moved = Moved::with(&format!(
        "{CURSORS} INSERT INTO cursors (container_id, file_path, position, inode, updated_at) VALUES
           ('web', '/var/lib/docker/containers/c1/c1-json.log', 6591, 42, '2026-01-02T03:00:00Z'),
           ('db', 'x', 0, 9223372036854775807, 'yesterday'),
           ('bad1', NULL, -1, 1, NULL), ('bad2', '', 'x', 1, NULL), ('', '/a/b/c', 1, 1, NULL),
           (NULL, '/a/b/c', 1, 1, NULL), ('bad3', '/a/b', 1, 1.5, NULL),
           ('web', '/a/older/one', 1, 1, '2026-01-01T03:00:00Z');"
    ));
    let of = |name: &str| moved.read(|conn| original_cursor(conn, name));
    let db = OriginalCursor {
        name: "db".to_owned(),
        container_id: String::new(),
        inode: i64::MAX.unsigned_abs(),
        position: 0,
        updated_ms: NOW_MS,
    };
    assert_eq!(of("db"), Some(db));
    // Of two with one name the one that was written last; the original allows one.
    assert_eq!(
        of("web").map(|cursor| cursor.container_id),
        Some("older".to_owned())
    );
    assert_eq!(
        moved.number("SELECT count(*) FROM original_cursors"),
        Some(2)
    );
    assert_eq!(moved.number("SELECT scanned_ms FROM ring"), Some(NOW_MS));
}

#[test]
fn a_file_without_cursors_knows_no_earlier_look() {
    for sql in ["", CURSORS] {
        let moved = Moved::with(sql);
        assert_eq!(moved.number("SELECT scanned_ms FROM ring"), None);
    }
}
