//! What disks, other programs and impatient callers do to a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Lets at most `pages` more pages be added; SQLite then answers `SQLITE_FULL`, as on a full disk.
fn limit_growth(store: &Store, pages: i64) {
    let limit = move |conn: &Connection| -> Result<(), StoreError> {
        let count: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let sql = format!("PRAGMA max_page_count={}", count + pages);
        Ok(conn.query_row(&sql, [], |_| Ok(()))?)
    };
    // The limit belongs to the connection, and nothing is written by setting it.
    let set = store.0.writer.submit(Lane::Upkeep, 0, limit);
    let _ = set.expect("queued").blocking_recv().expect("answered");
}

fn store(store: &Store, text: &str) -> Result<i64, StoreError> {
    store.write_blocking(Lane::Ingest, 1, insert(text))
}

#[test]
fn databases_of_others_are_left_as_they_are() {
    for (prepare, what) in [
        ("CREATE TABLE other (a)", "another program's"),
        (
            "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT); INSERT INTO _meta VALUES ('schema_version', '101')",
            "a newer one",
        ),
    ] {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("test.db");
        std::fs::write(&path, b"").expect("file");
        let conn = open::open_backup_target(&path).expect("opens");
        conn.execute_batch(prepare).expect("prepared");
        drop(conn);
        let before = std::fs::read(&path).expect("readable");
        reopen(&path, &MIGRATIONS).err().expect("refused");
        let after = std::fs::read(&path).expect("readable");
        assert!(before == after, "{what} was changed");
    }
}

#[test]
fn a_new_database_can_give_space_back() {
    let f = fixture(QueueLimits::default());
    let mode: i64 = f
        .store
        .read_blocking(|conn| Ok(conn.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?))
        .expect("read");
    assert_eq!(mode, 2, "incremental");
}

#[test]
fn a_job_that_stores_nothing_does_not_end_the_sickness() {
    let f = fixture(QueueLimits::default());
    limit_growth(&f.store, 0);
    store(&f.store, &"x".repeat(100_000)).expect_err("full");
    assert!(f.store.sick().is_some());
    // Upkeep that finds nothing to do.
    f.store
        .write_blocking(Lane::Upkeep, 0, |conn| {
            Ok(conn.execute("DELETE FROM item WHERE id < 0", [])?)
        })
        .expect("nothing to store");
    assert!(
        f.store.sick().is_some(),
        "nothing was stored, so nothing was learned"
    );
}

#[track_caller]
fn check_lost(damage: impl FnOnce(&Path), expected: &str) {
    let f = fixture(QueueLimits::default());
    store(&f.store, "before").expect("stored");
    damage(&f.path);
    match store(&f.store, "after") {
        Err(StoreError::Unavailable { reason }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("acknowledged into a file nobody will find: {other:?}"),
    }
    assert!(f.store.sick().expect("says so").contains(expected));
}

#[test]
fn a_database_that_was_removed_takes_no_writes() {
    check_lost(
        |path| std::fs::remove_file(path).expect("removed"),
        "removed",
    );
    check_lost(
        |path| std::fs::remove_dir_all(path.parent().expect("has one")).expect("removed"),
        "removed",
    );
    check_lost(
        |path| std::fs::rename(path, path.with_extension("old")).expect("renamed"),
        "removed",
    );
    check_lost(
        |path| std::fs::remove_file(open::with_suffix(path, "-wal")).expect("removed"),
        "removed",
    );
}

#[test]
fn a_database_that_comes_back_is_used_again() {
    let f = fixture(QueueLimits::default());
    store(&f.store, "before").expect("stored");
    let away = f.path.with_extension("old");
    std::fs::rename(&f.path, &away).expect("renamed");
    store(&f.store, "between").expect_err("away");
    std::fs::rename(&away, &f.path).expect("renamed back");
    store(&f.store, "after").expect("stored");
    assert_eq!(f.store.sick(), None);
    assert_eq!(
        f.store.read_blocking(texts).expect("read"),
        ["before", "after"]
    );
}

#[expect(clippy::disallowed_methods, reason = "a caller of its own")]
#[tokio::test]
async fn a_read_that_waits_for_a_connection_keeps_its_deadline() {
    let f = fixture(QueueLimits::default());
    let mut holders = Vec::new();
    let mut releases = Vec::new();
    for _ in 0..2 {
        let (release, wait) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let store = f.store.clone();
        holders.push(std::thread::spawn(move || {
            store.read_blocking(|_| {
                entered.send(()).expect("heard");
                let _ = wait.recv();
                Ok(())
            })
        }));
        inside.recv().expect("inside");
        releases.push(release);
    }
    let store = f.store.clone();
    let (told, answer) = mpsc::channel();
    let waiting = tokio::spawn(async move {
        let result = store.read_within(Duration::from_millis(50), texts).await;
        told.send(result).expect("heard");
    });
    let result = tokio::task::spawn_blocking(move || answer.recv_timeout(Duration::from_secs(3)))
        .await
        .expect("joins");
    releases.clear();
    waiting.await.expect("joins");
    for holder in holders {
        holder.join().expect("joins").expect("read");
    }
    assert!(
        matches!(result, Ok(Err(StoreError::Deadline))),
        "{result:?}"
    );
}

#[expect(clippy::disallowed_methods, reason = "a caller of its own")]
#[tokio::test]
async fn reads_whose_callers_left_are_not_begun() {
    let f = fixture(QueueLimits::default());
    let begun = Arc::new(AtomicUsize::new(0));
    let mut releases = Vec::new();
    for _ in 0..2 {
        let (release, wait) = mpsc::channel::<()>();
        let (entered, inside) = tokio::sync::oneshot::channel();
        let reading = f.store.clone();
        let read = tokio::spawn(async move {
            reading
                .read(move |_| {
                    let _ = entered.send(());
                    let _ = wait.recv();
                    Ok(())
                })
                .await
        });
        inside.await.expect("inside");
        // The caller leaves, the read is still busy with something that SQLite cannot interrupt.
        read.abort();
        let _ = read.await;
        releases.push(release);
    }
    for _ in 0..50 {
        let (store, begun) = (f.store.clone(), Arc::clone(&begun));
        let read = tokio::spawn(async move {
            store
                .read(move |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
                .await
        });
        tokio::task::yield_now().await;
        read.abort();
        let _ = read.await;
    }
    releases.clear();
    f.store.read(texts).await.expect("read");
    f.store.read(texts).await.expect("read");
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_read_that_leaves_a_transaction_open_does_not_freeze_its_connection() {
    let f = fixture(QueueLimits::default());
    for _ in 0..2 {
        let left = f
            .store
            .read(|conn| -> Result<(), StoreError> {
                conn.execute_batch("BEGIN; SELECT count(*) FROM item;")?;
                texts(conn)?;
                Err(StoreError::Job("gave up".to_owned()))
            })
            .await;
        assert!(left.is_err());
    }
    f.store
        .write(Lane::Ingest, 1, insert("new"))
        .await
        .expect("stored");
    for _ in 0..2 {
        assert_eq!(f.store.read(texts).await.expect("read"), ["new"]);
    }
}

#[test]
fn two_backups_to_one_path_do_not_mix() {
    let f = fixture(QueueLimits::default());
    store(&f.store, &"x".repeat(100_000)).expect("stored");
    let target = f.path.with_file_name("copy.db");
    // Another backup is at work on the same copy.
    let unfinished = open::with_suffix(&target, ".unfinished");
    let other = std::fs::File::create(&unfinished).expect("created");
    std::io::Write::write_all(&mut &other, b"half a copy").expect("written");
    other.lock().expect("locked");
    let refused = backup_file(&f.path, &target).expect_err("busy").to_string();
    assert!(refused.contains("another backup"), "{refused}");
    assert_eq!(
        std::fs::read(&unfinished).expect("left alone"),
        b"half a copy"
    );
    // One that was killed holds no lock; what it left is written over.
    drop(other);
    backup_file(&f.path, &target).expect("copied");
    assert!(!unfinished.exists());
}

#[test]
fn a_writer_that_dies_leaves_nobody_waiting() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let f = fixture(QueueLimits::default());
    // Nobody takes the answer, so it is dropped on the writer's thread, outside of the job.
    drop(
        f.store
            .0
            .writer
            .submit(Lane::Ingest, 0, |_| Ok(Bomb))
            .expect("queued"),
    );
    let waiting = f.store.0.writer.submit(Lane::Ingest, 0, insert("a"));
    if let Ok(answer) = waiting {
        // Stored or refused: answered in any case.
        drop(answer.blocking_recv());
    }
    let answer = f.store.0.writer.submit(Lane::Ingest, 0, insert("b"));
    if let Ok(answer) = answer {
        drop(answer.blocking_recv());
    }
}
