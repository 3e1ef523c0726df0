use std::sync::{Mutex, mpsc};

use super::*;
use crate::clock::Clock;

mod disk;
mod fold;
mod takeover;

static MIGRATIONS: [Migration; 1] = [Migration {
    version: 100,
    name: "first",
    sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);",
}];

struct Fixture {
    store: Store,
    metrics: Registry,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn fixture(limits: QueueLimits) -> Fixture {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("deep/er/test.db");
    let metrics = Registry::default();
    let store = Store::open(&path, &MIGRATIONS, limits, Clock::system(), &metrics).expect("opens");
    Fixture {
        store,
        metrics,
        path,
        _dir: dir,
    }
}

fn insert(text: &str) -> impl FnOnce(&Connection) -> Result<i64, StoreError> + Send + use<> {
    let text = text.to_owned();
    move |conn| {
        conn.prepare_cached("INSERT INTO item (text) VALUES (?1)")?
            .execute([text])?;
        Ok(conn.last_insert_rowid())
    }
}

fn texts(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT text FROM item ORDER BY id")?;
    let rows = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

fn reopen(path: &Path, migrations: &'static [Migration]) -> Result<Store, OpenError> {
    Store::open(
        path,
        migrations,
        QueueLimits::default(),
        Clock::system(),
        &Registry::default(),
    )
}

/// Holds the writer inside a job until the returned sender is used or dropped.
fn hold_writer(
    store: &Store,
) -> (
    mpsc::Sender<()>,
    tokio::task::JoinHandle<Result<(), StoreError>>,
) {
    let (release, wait) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let store = store.clone();
    let held = tokio::task::spawn_blocking(move || {
        store.write_blocking(Lane::Ingest, 0, move |_| {
            entered.send(()).expect("the test waits");
            // A dropped sender releases as well.
            let _ = wait.recv();
            Ok(())
        })
    });
    inside.recv().expect("the job runs");
    (release, held)
}

#[tokio::test]
async fn a_write_is_visible_to_reads_and_survives_reopening() {
    let f = fixture(QueueLimits::default());
    assert_eq!(
        f.store
            .write(Lane::Ingest, 1, insert("a"))
            .await
            .expect("stored"),
        1
    );
    assert_eq!(f.store.read(texts).await.expect("read"), ["a"]);
    f.store.close();
    assert!(matches!(
        f.store.write(Lane::Ingest, 1, insert("b")).await,
        Err(StoreError::Closed)
    ));
    assert!(matches!(f.store.read(texts).await, Err(StoreError::Closed)));
    let wal =
        std::fs::metadata(open::with_suffix(&f.path, "-wal")).map_or(0, |metadata| metadata.len());
    assert_eq!(wal, 0, "the file alone must be complete");
    let again = reopen(&f.path, &MIGRATIONS).expect("opens again");
    assert_eq!(again.read(texts).await.expect("read"), ["a"]);
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let f = fixture(QueueLimits::default());
    f.store
        .write(Lane::Ingest, 1, insert("a"))
        .await
        .expect("stored");
    for suffix in ["", "-wal"] {
        let mode = std::fs::metadata(open::with_suffix(&f.path, suffix))
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix:?}");
    }
}

#[tokio::test]
async fn a_failing_or_panicking_job_harms_nobody() {
    let f = fixture(QueueLimits::default());
    let (release, held) = hold_writer(&f.store);
    // All of these share one group, as the writer is held while they queue up.
    let (first, fails, panics, last) = (
        f.store
            .0
            .writer
            .submit(Lane::Ingest, 1, insert("first"))
            .expect("queued"),
        f.store
            .0
            .writer
            .submit(Lane::Ingest, 1, |conn| {
                insert("half")(conn)?;
                insert("first")(conn)
            })
            .expect("queued"),
        f.store
            .0
            .writer
            .submit(Lane::Ingest, 1, |conn| -> Result<(), StoreError> {
                insert("also half")(conn)?;
                panic!("a bug");
            })
            .expect("queued"),
        f.store
            .0
            .writer
            .submit(Lane::Ingest, 1, insert("last"))
            .expect("queued"),
    );
    drop(release);
    held.await.expect("joins").expect("commits");
    assert!(first.await.expect("answered").is_ok());
    assert!(matches!(
        fails.await.expect("answered"),
        Err(StoreError::Sqlite(_))
    ));
    match panics.await.expect("answered") {
        Err(StoreError::Panicked(text)) => assert_eq!(text, "panicked: a bug"),
        other => panic!("{other:?}"),
    }
    assert!(last.await.expect("answered").is_ok());
    assert_eq!(f.store.read(texts).await.expect("read"), ["first", "last"]);
    assert!(
        f.metrics
            .render()
            .contains("monlight_store_failed_jobs_total 2")
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_recovers() {
    let f = fixture(QueueLimits {
        ingest_jobs: 3,
        upkeep_jobs: 1,
        bytes: 100,
    });
    let (release, held) = hold_writer(&f.store);
    let mut queued: Vec<_> = (0..3)
        .map(|n| {
            f.store
                .0
                .writer
                .submit(Lane::Ingest, 1, insert(&n.to_string()))
                .expect("room")
        })
        .collect();
    assert!(matches!(
        f.store.write(Lane::Ingest, 1, insert("no")).await,
        Err(StoreError::Full)
    ));
    // The lanes do not take each other's room.
    queued.push(
        f.store
            .0
            .writer
            .submit(Lane::Upkeep, 1, insert("upkeep"))
            .expect("room"),
    );
    assert!(matches!(
        f.store.write(Lane::Upkeep, 1, insert("no")).await,
        Err(StoreError::Full)
    ));
    assert!(
        f.metrics
            .render()
            .contains("monlight_store_refused_total 2")
    );
    drop(release);
    held.await.expect("joins").expect("commits");
    for answer in queued {
        answer.await.expect("answered").expect("stored");
    }
    f.store
        .write(Lane::Ingest, 1, insert("yes"))
        .await
        .expect("room again");
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let f = fixture(QueueLimits {
        ingest_jobs: 100,
        upkeep_jobs: 1,
        bytes: 100,
    });
    let (release, held) = hold_writer(&f.store);
    let first = f
        .store
        .0
        .writer
        .submit(Lane::Ingest, 90, insert("a"))
        .expect("room");
    assert!(matches!(
        f.store.write(Lane::Ingest, 11, insert("b")).await,
        Err(StoreError::Full)
    ));
    drop(release);
    held.await.expect("joins").expect("commits");
    first.await.expect("answered").expect("stored");
    // One that is larger than the bound goes through when it is alone.
    f.store
        .write(Lane::Ingest, 1000, insert("c"))
        .await
        .expect("stored");
}

#[tokio::test]
async fn upkeep_is_not_starved() {
    let f = fixture(QueueLimits {
        ingest_jobs: 10_000,
        upkeep_jobs: 4,
        bytes: 1 << 20,
    });
    let (release, held) = hold_writer(&f.store);
    let upkeep = f
        .store
        .0
        .writer
        .submit(Lane::Upkeep, 0, insert("upkeep"))
        .expect("room");
    let ingest: Vec<_> = (0..GROUPS_AHEAD * 256)
        .map(|n| {
            f.store
                .0
                .writer
                .submit(Lane::Ingest, 0, insert(&n.to_string()))
                .expect("room")
        })
        .collect();
    drop(release);
    held.await.expect("joins").expect("commits");
    let id = upkeep.await.expect("answered").expect("stored");
    assert!(
        id < GROUPS_AHEAD * 256,
        "upkeep came only after all ingest, as row {id}"
    );
    for answer in ingest {
        answer.await.expect("answered").expect("stored");
    }
}
const GROUPS_AHEAD: i64 = 14;

#[tokio::test]
async fn an_endless_read_is_cut_and_the_connection_lives_on() {
    let f = fixture(QueueLimits::default());
    let endless = |conn: &Connection| -> Result<i64, StoreError> {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        Ok(conn.query_row(sql, [], |row| row.get(0))?)
    };
    for _ in 0..3 {
        assert!(matches!(
            f.store
                .read_within(Duration::from_millis(30), endless)
                .await,
            Err(StoreError::Deadline)
        ));
    }
    assert_eq!(
        f.store.read(texts).await.expect("read"),
        Vec::<String>::new()
    );
    assert!(
        f.metrics
            .render()
            .contains("monlight_store_reads_too_long_total 3")
    );
}

#[tokio::test]
async fn a_read_ahead_needs_an_idle_connection_and_nobody_who_waits_for_it() {
    let f = fixture(QueueLimits::default());
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Arc::new(Mutex::new(may_go_on));
    let ahead = || {
        let (began, may_go_on) = (began.clone(), Arc::clone(&may_go_on));
        f.store.read_if_idle(move |_| {
            began.send(()).expect("the test waits");
            let may_go_on = may_go_on.lock().expect("nobody panicked");
            may_go_on.recv().expect("the test says when");
            Ok(())
        })
    };
    let (first, second) = (ahead().expect("idle"), ahead().expect("idle"));
    // Both have begun, though nobody polled them.
    for _ in 0..2 {
        has_begun
            .recv_timeout(Duration::from_secs(30))
            .expect("began");
    }
    assert!(ahead().is_none());
    go_on.send(()).expect("both wait");
    go_on.send(()).expect("both wait");
    first.await.expect("read");
    second.await.expect("read");
    assert!(f.store.read_if_idle(texts).is_some());
}

#[tokio::test]
async fn readers_cannot_write() {
    let f = fixture(QueueLimits::default());
    let result = f.store.read(|conn| insert("x")(conn)).await;
    assert!(result.is_err(), "{result:?}");
    assert_eq!(
        f.store.read(texts).await.expect("read"),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn slices_go_on_until_there_is_no_more() {
    let f = fixture(QueueLimits::default());
    for n in 0..25 {
        f.store
            .write(Lane::Ingest, 1, insert(&n.to_string()))
            .await
            .expect("stored");
    }
    f.store
        .in_slices(|conn| {
            let deleted = conn.execute(
                "DELETE FROM item WHERE id IN (SELECT id FROM item ORDER BY id LIMIT 10)",
                [],
            )?;
            Ok(deleted == 10)
        })
        .await
        .expect("all deleted");
    assert_eq!(
        f.store.read(texts).await.expect("read"),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_backup_is_one_complete_file_and_never_overwrites() {
    let f = fixture(QueueLimits::default());
    f.store
        .write(Lane::Ingest, 1, insert("a"))
        .await
        .expect("stored");
    let target = f.path.with_file_name("copy.db");
    f.store.backup(target.clone()).await.expect("copied");
    f.store
        .write(Lane::Ingest, 1, insert("b"))
        .await
        .expect("stored");
    let alone = f.path.with_file_name("elsewhere").join("copy.db");
    std::fs::create_dir_all(alone.parent().expect("has one")).expect("dir");
    std::fs::copy(&target, &alone).expect("moved alone");
    let copy = reopen(&alone, &MIGRATIONS).expect("opens");
    assert_eq!(copy.read(texts).await.expect("read"), ["a"]);
    let again = f
        .store
        .backup(target)
        .await
        .expect_err("exists")
        .to_string();
    assert!(again.contains("exists already"), "{again}");
}

#[tokio::test]
async fn a_second_copy_is_refused_while_the_first_runs() {
    let f = fixture(QueueLimits::default());
    let refused = reopen(&f.path, &MIGRATIONS)
        .err()
        .expect("in use")
        .to_string();
    assert!(
        refused.contains("in use by another running copy"),
        "{refused}"
    );
    f.store.close();
    reopen(&f.path, &MIGRATIONS).expect("free again");
}

#[track_caller]
fn check_refused(prepare: &str, expected: &str) {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("test.db");
    std::fs::write(&path, b"").expect("file");
    let conn = open::open_backup_target(&path).expect("opens");
    conn.execute_batch(prepare).expect("prepared");
    drop(conn);
    let refused = reopen(&path, &MIGRATIONS)
        .err()
        .expect("refused")
        .to_string();
    assert!(refused.contains(expected), "{refused}");
    assert!(refused.contains("DATABASE_PATH"), "{refused}");
}

#[test]
fn databases_that_are_not_ours_are_refused() {
    let meta = |version: &str| {
        format!(
            "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT); INSERT INTO _meta VALUES ('schema_version', '{version}')"
        )
    };
    check_refused(
        &meta("101"),
        "has schema version 101, this program knows up to 100",
    );
    check_refused(
        &meta("4"),
        "was written by the original Monlight (schema version 4)",
    );
    check_refused("CREATE TABLE other (a)", "holds tables of another program");
}

#[test]
fn files_that_are_no_database_are_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("notes.txt");
    std::fs::write(
        &path,
        "just some notes, long enough to be looked at by SQLite as a header ".repeat(20),
    )
    .expect("write");
    let refused = reopen(&path, &MIGRATIONS)
        .err()
        .expect("refused")
        .to_string();
    assert!(refused.contains("no SQLite database"), "{refused}");
    let refused = reopen(dir.path(), &MIGRATIONS)
        .err()
        .expect("refused")
        .to_string();
    assert!(refused.contains("cannot open"), "{refused}");
    let refused = reopen(Path::new("/dev/null/x.db"), &MIGRATIONS)
        .err()
        .expect("refused")
        .to_string();
    assert!(refused.contains("DATABASE_PATH"), "{refused}");
}

#[tokio::test]
async fn a_failed_migration_leaves_the_file_as_it_was() {
    static BROKEN: [Migration; 2] = [
        MIGRATIONS[0],
        Migration {
            version: 101,
            name: "broken",
            sql: "CREATE TABLE more (a); INSERT INTO nowhere VALUES (1);",
        },
    ];
    static MENDED: [Migration; 2] = [
        MIGRATIONS[0],
        Migration {
            version: 101,
            name: "mended",
            sql: "CREATE TABLE more (a);",
        },
    ];
    let f = fixture(QueueLimits::default());
    f.store
        .write(Lane::Ingest, 1, insert("kept"))
        .await
        .expect("stored");
    f.store.close();
    let refused = reopen(&f.path, &BROKEN).err().expect("fails").to_string();
    assert!(refused.contains("schema version 101"), "{refused}");
    let mended = reopen(&f.path, &MENDED).expect("applies");
    assert_eq!(mended.read(texts).await.expect("read"), ["kept"]);
    let version = mended
        .read(|conn| Ok(schema_version(conn)?))
        .await
        .expect("read");
    assert_eq!(version, 101);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_recovers() {
    let f = fixture(QueueLimits::default());
    f.store
        .write(Lane::Ingest, 1, insert("before"))
        .await
        .expect("stored");
    // The page limit makes SQLite answer SQLITE_FULL, the same code as a full disk.
    let pages: i64 = f
        .store
        .read(|conn| Ok(conn.query_row("PRAGMA page_count", [], |row| row.get(0))?))
        .await
        .expect("read");
    let limit = move |conn: &Connection, pages: i64| -> Result<(), StoreError> {
        conn.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()))?;
        Ok(())
    };
    f.store
        .write(Lane::Ingest, 0, move |conn| limit(conn, pages))
        .await
        .expect("set");
    let big = "x".repeat(100_000);
    match f.store.write(Lane::Ingest, 1, insert(&big)).await {
        Err(StoreError::Unavailable { reason }) => {
            assert!(reason.contains("the disk is full"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        f.store
            .sick()
            .expect("says so")
            .contains("the disk is full")
    );
    assert_eq!(f.store.read(texts).await.expect("reads go on"), ["before"]);
    f.store
        .write(Lane::Ingest, 0, move |conn| limit(conn, 1_000_000))
        .await
        .expect("room again");
    f.store
        .write(Lane::Ingest, 1, insert(&big))
        .await
        .expect("stored");
    assert_eq!(f.store.sick(), None);
}
