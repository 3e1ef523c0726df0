//! Who waits when the write-ahead log has grown and reads are in the way of making it small.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::clock::ManualClock;

const MARKS: WalMarks = WalMarks {
    fold: 1_000_000,
    hold: 4_000_000,
};
/// Longer than anything here takes: whoever waits so long waits in vain.
const LONG: Duration = Duration::from_mins(1);

struct Rig {
    store: Store,
    metrics: Registry,
    path: PathBuf,
    dir: tempfile::TempDir,
}

fn rig(clock: Clock) -> Rig {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("test.db");
    let metrics = Registry::default();
    let limits = QueueLimits::default();
    let schema = Schema::from(&MIGRATIONS);
    let store = Store::open_with(&path, &schema, limits, MARKS, clock, &metrics).expect("opens");
    Rig {
        store,
        metrics,
        path,
        dir,
    }
}

/// A rig whose time stands still.
fn still() -> (Rig, ManualClock) {
    let (clock, hand) = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
    (rig(clock), hand)
}

impl Rig {
    fn wal(&self) -> u64 {
        let wal = open::with_suffix(&self.path, "-wal");
        std::fs::metadata(wal).expect("is there").len()
    }

    /// Stores some 100 kB.
    fn store(&self) {
        let job = |conn: &Connection| -> Result<(), StoreError> {
            let sql = "INSERT INTO item (text) VALUES (hex(randomblob(50000)))";
            conn.execute(sql, [])?;
            Ok(())
        };
        self.store
            .write_blocking(Lane::Ingest, 1, job)
            .expect("is acknowledged");
    }

    fn grow_to(&self, bytes: u64) {
        while self.wal() < bytes {
            self.store();
        }
        self.settle();
    }

    /// Returns when the writer is done with what follows the answers of earlier writes.
    fn settle(&self) {
        self.store
            .write_blocking(Lane::Ingest, 0, |_| Ok(()))
            .expect("is answered");
    }

    fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.expect("is shown").parse().expect("a whole number")
    }

    fn folds(&self, result: &str) -> u64 {
        self.metric(&format!(
            "monlight_store_wal_folds_total{{result=\"{result}\"}}"
        ))
    }

    fn holds(&self) -> u64 {
        self.metric("monlight_store_read_holds_total")
    }

    /// Reads with a snapshot that is kept until the sender is dropped.
    fn hold_read(&self) -> (mpsc::Sender<()>, JoinHandle<Result<(), StoreError>>) {
        let (release, wait) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let store = self.store.clone();
        let reading = std::thread::spawn(move || {
            store.read_blocking(|conn| {
                let _snapshot = conn.unchecked_transaction()?;
                count(conn)?;
                entered.send(()).expect("the test waits");
                // A dropped sender releases as well.
                let _ = wait.recv();
                Ok(())
            })
        });
        inside.recv().expect("the read runs");
        (release, reading)
    }

    /// A read for which `deadline` is time enough or not.
    fn read(&self, deadline: Duration) -> Result<i64, StoreError> {
        let readers = &self.store.0.readers;
        readers.read_blocking(deadline, &self.store.0.clock, count)
    }
}

fn count(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn.query_row("SELECT count(*) FROM item", [], |row| row.get(0))?)
}

#[test]
fn writers_wait_for_a_long_read_only_now_and_then() {
    let (rig, hand) = still();
    rig.store();
    let (release, reading) = rig.hold_read();
    rig.grow_to(2 * MARKS.fold);
    // However many commits there were since: the time between two attempts has not passed.
    assert_eq!(rig.folds("busy"), 1);
    hand.advance(Duration::from_secs(1));
    rig.store();
    rig.settle();
    assert_eq!(rig.folds("busy"), 2);
    rig.read(LONG).expect("others may read");
    assert_eq!((rig.folds("done"), rig.holds()), (0, 0));
    drop(release);
    reading.join().expect("joins").expect("read");
    hand.advance(Duration::from_secs(1));
    rig.store();
    rig.settle();
    assert_eq!((rig.folds("done"), rig.holds()), (1, 0));
    assert!(rig.wal() < MARKS.fold, "{} bytes", rig.wal());
}

#[test]
fn new_reads_wait_at_the_upper_mark_and_writes_do_not() {
    let (rig, _hand) = still();
    rig.store();
    let (release, reading) = rig.hold_read();
    rig.grow_to(MARKS.hold);
    assert_eq!(rig.holds(), 1);
    let held_back = rig.read(Duration::from_millis(1));
    assert!(
        matches!(held_back, Err(StoreError::Deadline)),
        "{held_back:?}"
    );
    assert!(rig.store.read_if_idle(count).is_none());
    for _ in 0..5 {
        rig.store();
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.read(LONG));
        drop(release);
        // Nothing is written any more: the writer looks by itself.
        let rows = waiting.join().expect("joins").expect("is let in");
        assert_eq!(
            rows,
            rig.read(LONG).expect("read"),
            "with all that was written"
        );
    });
    reading.join().expect("joins").expect("read");
    assert_eq!((rig.folds("done"), rig.holds()), (1, 1));
    assert_eq!(rig.wal(), 0);
}

#[test]
fn reads_are_let_in_again_when_one_outlives_the_hold() {
    let (rig, hand) = still();
    rig.store();
    let (release, reading) = rig.hold_read();
    rig.grow_to(MARKS.hold);
    rig.read(Duration::from_millis(1))
        .expect_err("is held back");
    hand.advance(READ_DEADLINE);
    rig.read(LONG).expect("is let in");
    rig.store();
    rig.settle();
    assert_eq!(rig.holds(), 1, "reads have a while for themselves");
    drop(release);
    reading.join().expect("joins").expect("read");
}

#[test]
fn reads_are_not_held_back_because_of_somebody_else() {
    let (rig, hand) = still();
    rig.store();
    let backup = open::open_reader(&rig.path).expect("opens");
    let snapshot = backup.unchecked_transaction().expect("begins");
    count(&snapshot).expect("read");
    rig.grow_to(MARKS.hold);
    assert_eq!(rig.holds(), 1);
    rig.read(LONG).expect("holding back would not help");
    rig.store();
    rig.settle();
    assert_eq!(rig.holds(), 1, "not at each commit");
    drop(snapshot);
    hand.advance(Duration::from_secs(1));
    rig.store();
    rig.settle();
    assert_eq!((rig.folds("done"), rig.holds()), (1, 1));
    assert!(rig.wal() < MARKS.fold, "{} bytes", rig.wal());
}

#[test]
fn reads_that_are_held_back_can_be_closed() {
    let (rig, _hand) = still();
    rig.store();
    let (release, reading) = rig.hold_read();
    rig.grow_to(MARKS.hold);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.read(LONG));
        scope.spawn(|| rig.store.close());
        let closed = waiting.join().expect("joins");
        assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
        drop(release);
    });
    reading.join().expect("joins").expect("read");
    assert!(!rig.dir.path().join("test.db-wal").exists());
}

#[test]
fn reads_without_a_gap_do_not_keep_the_log_growing() {
    let rig = rig(Clock::system());
    rig.store();
    let (done, begun) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 2]);
    let over = |bytes| done.load(Ordering::SeqCst) || rig.wal() >= bytes;
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (rig, done, begun, over) = (&rig, &done, &begun, &over);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let read = rig.store.read_blocking(|conn| {
                        let theirs = begun[1 - reader].load(Ordering::SeqCst);
                        let _snapshot = conn.unchecked_transaction()?;
                        count(conn)?;
                        begun[reader].fetch_add(1, Ordering::SeqCst);
                        // It leaves only when the other one has a new snapshot, so that there is never a gap; or, as
                        // the other one may be held back, at the upper mark, as if it came to its deadline.
                        while begun[1 - reader].load(Ordering::SeqCst) == theirs
                            && !over(MARKS.hold)
                        {
                            std::thread::yield_now();
                        }
                        Ok(())
                    });
                    // One may have waited too long for its connection on a busy machine.
                    assert!(
                        matches!(read, Ok(()) | Err(StoreError::Deadline)),
                        "{read:?}"
                    );
                }
            });
        }
        let clock = Clock::system();
        while rig.folds("done") < 3 && clock.monotonic() < LONG {
            rig.store();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(rig.folds("done") >= 3);
}

#[test]
fn the_marks_can_be_seen() {
    let f = fixture(QueueLimits::default());
    let shown = f.metrics.render();
    for expected in [
        "monlight_store_wal_limit_bytes{step=\"fold\"} 67108864\n",
        "monlight_store_wal_limit_bytes{step=\"hold_reads\"} 268435456\n",
        "monlight_store_wal_fold_seconds_total 0",
    ] {
        assert!(shown.contains(expected), "{expected}");
    }
}
