//! One SQLite file, one writer thread, two readers.
//!
//! ```text
//! handlers ──write(Lane::Ingest)──▶ bounded queue ─┐
//! tasks ────write(Lane::Upkeep)──▶ bounded queue ──┴▶ writer: BEGIN · job in SAVEPOINT · … · COMMIT (fsync) ─▶ answers
//! handlers ──read──▶ two read-only connections, each read under a deadline
//! ```
//!
//! Invariants: a write is answered only after its COMMIT has reached the disk (`synchronous=FULL`); a job that fails or
//! panics undoes itself and nobody else; a failed COMMIT fails its whole group and nobody was told otherwise; a full
//! queue refuses at once; no read outlives its deadline, and new ones are held back when the WAL has grown too large, so
//! that it can be emptied without letting writes wait for long reads.

mod backup;
mod cells;
mod error;
mod migrate;
mod open;
mod reader;
mod takeover;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

pub use backup::backup_file;
pub use cells::Cells;
pub use error::{OpenError, StoreError};
pub use migrate::{FIRST_VERSION, Migration, Schema, schema_version};
pub use takeover::{Import, LARGEST_ID, TakeOver, TakenOver};
pub use writer::Lane;

use crate::clock::Clock;
use crate::metrics::Registry;
use reader::Readers;
use writer::{Fold, WalMarks, Writer};

/// How long a read may take unless it says otherwise.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);

/// How large the queues in front of the writer may get.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Jobs waiting in [`Lane::Ingest`].
    pub ingest_jobs: usize,
    /// Jobs waiting in [`Lane::Upkeep`].
    pub upkeep_jobs: usize,
    /// Payload of all waiting jobs, as their callers declare it.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            ingest_jobs: 2048,
            upkeep_jobs: 64,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// A service's database. Cheap to clone; [`Store::close`] ends it for all clones.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    clock: Clock,
    writer: Writer,
    readers: Readers,
}

impl Store {
    /// Opens or creates the database at `path`, brings its schema up to date and starts the writer.
    ///
    /// Creates the directory; the file gets mode 0600. Refuses a file that another copy of the service has open, that
    /// holds a newer schema, or that is no database. A file of the original is taken over as the schema says.
    pub fn open(
        path: &Path,
        schema: impl Into<Schema>,
        limits: QueueLimits,
        clock: Clock,
        metrics: &Registry,
    ) -> Result<Self, OpenError> {
        Self::open_with(
            path,
            &schema.into(),
            limits,
            WalMarks::default(),
            clock,
            metrics,
        )
    }

    fn open_with(
        path: &Path,
        schema: &Schema,
        limits: QueueLimits,
        marks: WalMarks,
        clock: Clock,
        metrics: &Registry,
    ) -> Result<Self, OpenError> {
        let (writer, lock) = open::open_writer(path, schema, clock.now_ms())?;
        let readers = Readers::open(path, metrics)?;
        let fold = Fold::new(path, marks, readers.clone(), clock.clone(), metrics);
        let writer = Writer::start(writer, lock, fold, limits, clock.clone(), metrics)?;
        open::register_sizes(path, metrics);
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            clock,
            writer,
            readers,
        })))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs `job` on the writer and answers after the commit that holds it.
    ///
    /// `bytes` is about what the job carries; it counts against the queue's bound. The job runs in a savepoint of its
    /// own: its error or panic rolls back what it did and nothing else. Dropping the future does not undo the job.
    ///
    /// # Errors
    /// [`StoreError::Full`] at once when the queue is full; the job's own error; [`StoreError::Unavailable`] when the
    /// disk is full or the file is damaged; nothing was stored in any of these cases.
    pub async fn write<T: Send + 'static>(
        &self,
        lane: Lane,
        bytes: usize,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.0.writer.submit(lane, bytes, job)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// As [`Store::write`], for a thread of one's own. Must not be called from an async context.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        lane: Lane,
        bytes: usize,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.0.writer.submit(lane, bytes, job)?;
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Runs `step` on the upkeep lane again and again until it says `false`: there is no more to do. Each step should
    /// take a few milliseconds, since requests wait behind it.
    pub async fn in_slices(
        &self,
        step: impl Fn(&Connection) -> Result<bool, StoreError> + Clone + Send + 'static,
    ) -> Result<(), StoreError> {
        while self.write(Lane::Upkeep, 0, step.clone()).await? {}
        Ok(())
    }

    /// Runs `job` on a read-only connection, for at most [`READ_DEADLINE`].
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_within(READ_DEADLINE, job).await
    }

    /// Runs `job` on a read-only connection. It is interrupted after `deadline`, waiting for a connection included, and
    /// when the caller goes away.
    pub async fn read_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.readers.read(deadline, &self.0.clock, job).await
    }

    /// As [`Store::read`], but only when a connection is idle and new reads are not held back, else `None`. The read begins at once, whether or not what is
    /// returned is polled, and is interrupted when that is dropped.
    pub fn read_if_idle<T, F>(
        &self,
        job: F,
    ) -> Option<impl Future<Output = Result<T, StoreError>> + Send + use<T, F>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = &self.0.readers;
        readers.try_read(READ_DEADLINE, &self.0.clock, job)
    }

    /// As [`Store::read`], for a thread of one's own: waits for a connection.
    pub fn read_blocking<T>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0
            .readers
            .read_blocking(READ_DEADLINE, &self.0.clock, job)
    }

    /// Why nothing can be stored at the moment, such as a full disk; `None` when all is well. The writer looks by itself
    /// every second whether the cause has gone.
    pub fn sick(&self) -> Option<String> {
        self.0.writer.sick()
    }

    /// Writes a complete copy to `target`, which must not exist, while the service goes on.
    pub async fn backup(&self, target: PathBuf) -> Result<(), StoreError> {
        let source = self.0.path.clone();
        tokio::task::spawn_blocking(move || backup_file(&source, &target))
            .await
            .map_err(|_| StoreError::Closed)?
            .map_err(|fault| StoreError::Job(format!("{fault:#}")))
    }

    /// Takes no more jobs, finishes those that were accepted, folds the WAL into the file and closes it.
    ///
    /// Afterwards the `.db` file alone is complete. Blocks for as long as the accepted jobs take.
    pub fn close(&self) {
        self.0.readers.close();
        self.0.writer.close();
    }
}

#[cfg(test)]
mod tests;
