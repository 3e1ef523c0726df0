//! When the write-ahead log is folded into the database, and who waits for that.
//!
//! At commits beyond `wal_autocheckpoint` pages SQLite copies what it can and waits for nobody; the next write that
//! finds no read in the log begins it anew. Reads that overlap each other without a gap keep that from happening. A
//! [checkpoint](https://www.sqlite.org/c3ref/wal_checkpoint_v2.html) that waits for reads holds the write lock meanwhile,
//! so nothing can be stored. Hence two marks:
//!
//! - from [`WalMarks::fold`] on, reads are waited for so shortly that writers hardly notice, and not often;
//! - from [`WalMarks::hold`] on, new reads are held back while writes go on. Those that run end by their deadlines, and
//!   then nobody is in the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::super::open::{BUSY_TIMEOUT, WAL_KEPT, with_suffix};
use super::super::reader::{HeldBack, Readers};
use super::nanos;
use crate::clock::Clock;
use crate::metrics::{Counter, Registry};

/// How long the writer waits for reads; also how long it sleeps between two looks while reads are held back.
const PATIENCE: Duration = Duration::from_millis(50);
/// The least time between two such waits.
const FOLD_EVERY: Duration = Duration::from_secs(1);
/// How long reads are held back at most, and those that run are waited for at the end: as long as a read may take.
pub(super) const LONGEST_HOLD: Duration = super::super::READ_DEADLINE;
/// How long reads are let in again when that was in vain: something else reads the file, such as a backup.
const HOLD_PAUSE: Duration = Duration::from_secs(30);

/// Sizes of the write-ahead log, in bytes, from which on more is done to make it small again.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct WalMarks {
    /// From here on reads are waited for.
    pub(in super::super) fold: u64,
    /// From here on new reads are held back.
    pub(in super::super) hold: u64,
}

impl Default for WalMarks {
    fn default() -> Self {
        Self {
            fold: 2 * WAL_KEPT,
            hold: 8 * WAL_KEPT,
        }
    }
}

/// Reads being held back.
struct Hold {
    /// Lets them in again when it is dropped.
    _reads: HeldBack,
    /// When they are let in again in any case, as monotonic time.
    until: Duration,
}

pub(in super::super) struct Fold {
    wal: PathBuf,
    marks: WalMarks,
    readers: Readers,
    clock: Clock,
    tell: Tell,
    /// Whether anything was committed since the log was last folded in.
    dirty: bool,
    hold: Option<Hold>,
    /// Monotonic times before which reads are not waited for, and not held back.
    next_try: Duration,
    next_hold: Duration,
}

impl Fold {
    /// For the database at `path`, whose reads go through `readers`.
    pub(in super::super) fn new(
        path: &Path,
        marks: WalMarks,
        readers: Readers,
        clock: Clock,
        metrics: &Registry,
    ) -> Self {
        Self {
            wal: with_suffix(path, "-wal"),
            marks,
            readers,
            clock,
            tell: Tell::new(marks, metrics),
            dirty: true,
            hold: None,
            next_try: Duration::ZERO,
            next_hold: Duration::ZERO,
        }
    }

    /// Something was committed.
    pub(super) fn committed(&mut self) {
        self.dirty = true;
    }

    /// How soon [`Fold::bound`] is to be called also when nothing is written.
    pub(super) fn soon(&self) -> Option<Duration> {
        self.hold.as_ref().map(|_| PATIENCE)
    }

    /// Makes a log that grew too large small again, or sees to it that this will be possible.
    pub(super) fn bound(&mut self, conn: &Connection) {
        let bytes = std::fs::metadata(&self.wal).map_or(0, |wal| wal.len());
        if bytes < self.marks.fold {
            self.hold = None;
            return;
        }
        let now = self.clock.monotonic();
        if self.hold.is_none() && bytes >= self.marks.hold && now >= self.next_hold {
            self.tell.holds.inc();
            self.hold = Some(Hold {
                _reads: self.readers.hold_back(),
                until: now + LONGEST_HOLD,
            });
        }
        if self.hold.is_none() && now < self.next_try {
            return;
        }
        // Asked before: a read that ends in between would look like somebody else's.
        let reading = self.readers.running();
        let folded = self.fold(conn, PATIENCE);
        let now = self.clock.monotonic();
        self.next_try = now + FOLD_EVERY;
        if folded {
            self.hold = None;
        } else if self
            .hold
            .take_if(|hold| !reading || now >= hold.until)
            .is_some()
        {
            self.next_hold = now + HOLD_PAUSE;
            tracing::warn!(
                bytes,
                "the write-ahead log cannot be folded into the database yet, something reads the file for long"
            );
        }
    }

    /// Moves everything from the log into the database and empties it, unless reads stand in the way for longer than
    /// `patience`. Says whether it is empty now.
    pub(super) fn fold(&mut self, conn: &Connection, patience: Duration) -> bool {
        if !self.dirty {
            return true;
        }
        let started = self.clock.monotonic();
        let folded = conn.busy_timeout(patience).and_then(|()| {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            })
        });
        let restored = conn.busy_timeout(BUSY_TIMEOUT);
        self.tell
            .seconds
            .add(nanos(self.clock.monotonic().saturating_sub(started)));
        match folded.and_then(|busy| restored.map(|()| busy)) {
            Ok(busy) => {
                self.dirty = busy;
                let result = if busy {
                    &self.tell.busy
                } else {
                    &self.tell.done
                };
                result.inc();
            }
            Err(fault) => {
                // Reads are not the cause.
                self.hold = None;
                self.next_hold = self.clock.monotonic() + HOLD_PAUSE;
                self.tell.failed.inc();
                tracing::warn!(%fault, "cannot fold the write-ahead log into the database");
            }
        }
        !self.dirty
    }
}

/// What it says about itself in `/metrics`.
struct Tell {
    done: Counter,
    busy: Counter,
    failed: Counter,
    seconds: Counter,
    holds: Counter,
}

impl Tell {
    fn new(marks: WalMarks, metrics: &Registry) -> Self {
        for (step, bytes) in [("fold", marks.fold), ("hold_reads", marks.hold)] {
            metrics.gauge_fn(
                "monlight_store_wal_limit_bytes",
                "Size of the write-ahead log from which on reads are waited for, or held back, to make it small again.",
                &[("step", step)],
                move || bytes as f64,
            );
        }
        let folds = |result| {
            metrics.counter(
                "monlight_store_wal_folds_total",
                "Attempts to empty the write-ahead log; busy: reads were in the way.",
                &[("result", result)],
            )
        };
        Self {
            done: folds("done"),
            busy: folds("busy"),
            failed: folds("failed"),
            seconds: metrics.seconds(
                "monlight_store_wal_fold_seconds_total",
                "Time of those attempts, in which nothing is stored.",
                &[],
            ),
            holds: metrics.counter(
                "monlight_store_read_holds_total",
                "Times that new reads were held back so that the write-ahead log could be emptied.",
                &[],
            ),
        }
    }
}
