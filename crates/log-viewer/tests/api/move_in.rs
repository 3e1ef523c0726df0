//! Taking over a large database of the original in a real process that is killed in the middle.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use monlight_shared::testing::files::connection;

use super::process::Process;

/// The original's schema 4, with entries of 50 containers.
const MANY: &str = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
    INSERT INTO _meta VALUES ('schema_version', '4');
    CREATE TABLE log_entries (
      id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp DATETIME NOT NULL, container VARCHAR(200) NOT NULL,
      stream VARCHAR(10) NOT NULL DEFAULT 'stdout', level VARCHAR(10) NOT NULL DEFAULT 'INFO', message TEXT NOT NULL,
      raw TEXT);
    CREATE TABLE cursors (
      id INTEGER PRIMARY KEY AUTOINCREMENT, container_id VARCHAR(200) NOT NULL UNIQUE, file_path TEXT NOT NULL,
      position INTEGER NOT NULL DEFAULT 0, inode INTEGER NOT NULL DEFAULT 0, updated_at DATETIME NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 40001 UNION ALL SELECT i + 1 FROM n LIMIT 60000)
      INSERT INTO log_entries SELECT i, strftime('%Y-%m-%dT%H:%M:%SZ', 1767225600 + i / 10, 'unixepoch'), 'c' || i % 50,
        CASE WHEN i % 7 = 0 THEN 'stderr' ELSE 'stdout' END, CASE WHEN i % 7 = 0 THEN 'ERROR' ELSE 'INFO' END,
        'request ' || i || ' took ' || (i % 97) || ' ms ' || printf('%0300d', i), NULL FROM n;";

/// What both the original's table and our view of the same name must answer.
const SUMS: &str = "SELECT count(*) || ' ' || min(id) || ' ' || sum(id) || ' ' || sum(length(message)) || ' ' || max(message) || ' ' ||
    sum(unixepoch(timestamp)) || ' ' || sum(level = 'ERROR') || ' ' || count(DISTINCT container) FROM log_entries";

fn sums(path: &Path) -> String {
    let conn = connection(path);
    conn.query_row(SUMS, [], |row| row.get(0)).expect("read")
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn start(dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_log-viewer"))
        .env_clear()
        .env("API_KEY", "test-key")
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("DATABASE_PATH", dir.join("logs.db"))
        .env("LOG_SOURCES", dir.join("containers"))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts")
}

/// Starts the service and kills it once the file that it builds is larger than that; `false`: it was too fast.
fn killed_at(dir: &Path, bytes: u64) -> bool {
    let (aside, wal) = (dir.join("logs.db.taking-over"), dir.join("logs.db-wal"));
    let mut child = start(dir);
    // What the one before has left goes first.
    let mut begun = false;
    let was_reached = loop {
        let built = size(&aside);
        if begun && built > bytes {
            break true;
        }
        begun |= built <= bytes;
        // Only a file of ours has a write-ahead log.
        if wal.exists() {
            break false;
        }
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        std::thread::yield_now();
    };
    child.kill().expect("SIGKILL");
    child.wait().expect("ends");
    was_reached
}

#[test]
fn killed_in_the_middle_it_begins_anew_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("temp dir");
    std::fs::create_dir(dir.path().join("containers")).expect("made");
    let (template, path) = (dir.path().join("template.db"), dir.path().join("logs.db"));
    connection(&template).execute_batch(MANY).expect("filled");
    let expected = sums(&template);
    let bring_back = || {
        for suffix in ["", "-wal", "-shm", ".original", ".taking-over"] {
            // Not all of them are there.
            let _ = std::fs::remove_file(dir.path().join(format!("logs.db{suffix}")));
        }
        std::fs::copy(&template, &path).expect("copied");
    };
    bring_back();
    for bytes in [0, 1 << 20, 4 << 20] {
        let was_reached = (0..20).any(|_| {
            let was_reached = killed_at(dir.path(), bytes);
            if !was_reached {
                bring_back();
            }
            was_reached
        });
        assert!(was_reached, "never seen: {bytes} bytes");
        assert_eq!(sums(&path), expected, "at {bytes} bytes");
    }
    let process = Process::start_with(dir.path(), &[]);
    assert_eq!(process.indexed(), 60_000);
    let newest = process.get("/api/logs?limit=1")["logs"][0].clone();
    assert_eq!(newest["id"], 100_000);
    let found = process.get("/api/logs?search=took&limit=1");
    assert_eq!(
        (&found["total"], &found["total_exact"]),
        (&10_000.into(), &false.into())
    );
    process.kill();
    assert_eq!(sums(&path), expected);
    assert_eq!(sums(&dir.path().join("logs.db.original")), expected);
    assert!(!dir.path().join("logs.db.taking-over").exists());
}
