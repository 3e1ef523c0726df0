//! A process that is killed in mid-load keeps every row it acknowledged.
//!
//! The test runs its own binary again as the child: a writer with several threads that prints each id only after the
//! store has answered. The parent kills it with SIGKILL after a number of acknowledgements and counts what is in the file.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use monlight_shared::clock::Clock;
use monlight_shared::metrics::Registry;
use monlight_shared::store::{Lane, Migration, QueueLimits, Store, StoreError};

static MIGRATIONS: [Migration; 1] = [Migration {
    version: 100,
    name: "items",
    sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
          CREATE TABLE twin (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",
}];

const CHILD: &str = "MONLIGHT_CRASH_TEST_DATABASE";
const WRITERS: u64 = 8;

fn open(path: &Path) -> Store {
    Store::open(
        path,
        &MIGRATIONS,
        QueueLimits::default(),
        Clock::system(),
        &Registry::default(),
    )
    .expect("opens")
}

/// Writes until it is killed. Not a test of its own: without the variable it does nothing.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let store = open(Path::new(&path));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for n in 0_u64.. {
                    let id = n * WRITERS + writer;
                    let stored = store.write_blocking(
                        Lane::Ingest,
                        100,
                        move |conn| -> Result<(), StoreError> {
                            let text = format!("row {id}");
                            conn.prepare_cached("INSERT INTO item VALUES (?1, ?2)")?
                                .execute((id as i64, &text))?;
                            conn.prepare_cached("INSERT INTO twin VALUES (?1, ?2)")?
                                .execute((id as i64, &text))?;
                            Ok(())
                        },
                    );
                    stored.expect("stored");
                    // One write call a line, so that lines of several threads do not mix. The leading line feed keeps
                    // clear of what the test runner prints.
                    let line = format!("\nack {id}\n");
                    std::io::stdout()
                        .write_all(line.as_bytes())
                        .expect("the parent reads");
                }
            });
        }
    });
}

fn kill_after(acknowledgements: usize) {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("crash.db");
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args([
            "--exact",
            "child_writes_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut acknowledged = HashSet::new();
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    while acknowledged.len() < acknowledgements {
        let line = lines.next().expect("the child lives").expect("reads");
        acknowledged.extend(id_of(&line));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("ends");
    // Those that were on their way in the pipe were acknowledged as well.
    acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| id_of(&line)));

    let store = open(&path);
    let (items, twins) = store
        .read_blocking(|conn| {
            let ids = |table: &str| -> Result<HashSet<i64>, StoreError> {
                let mut statement = conn.prepare(&format!("SELECT id FROM {table}"))?;
                let ids = statement
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                Ok(ids)
            };
            Ok((ids("item")?, ids("twin")?))
        })
        .expect("reads");
    let lost: Vec<_> = acknowledged.difference(&items).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(items, twins, "a job was stored in part");
    assert!(acknowledged.len() >= acknowledgements);
}

fn id_of(line: &str) -> Option<i64> {
    line.trim().strip_prefix("ack ")?.parse().ok()
}

#[test]
fn a_killed_process_keeps_every_acknowledged_row() {
    for acknowledgements in [1, 50, 700] {
        kill_after(acknowledgements);
    }
}
