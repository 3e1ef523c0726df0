//! Two read-only connections, each read under a deadline.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{OpenError, StoreError};
use super::open;
use crate::clock::Clock;
use crate::metrics::{Counter, Registry};

const CONNECTIONS: usize = 2;
/// SQLite asks after this many instructions of its virtual machine, well below a millisecond, whether to go on.
const INSTRUCTIONS_BETWEEN_CHECKS: i32 = 4000;

#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    /// Callers that may hold a connection; closed when the store is. A permit stays with the read, also when its caller
    /// has left, so that reads nobody waits for do not pile up in the blocking pool.
    permits: Arc<Semaphore>,
    pool: Mutex<Pool>,
    /// A connection came back, or reads are let in again.
    returned: Condvar,
    closed: AtomicBool,
    too_long: Counter,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Whether no new read is let in at the moment.
    held_back: bool,
}

impl Inner {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    pub(super) fn open(path: &Path, metrics: &Registry) -> Result<Self, OpenError> {
        let idle = (0..CONNECTIONS)
            .map(|_| open::open_reader(path))
            .collect::<Result<_, _>>()?;
        let too_long = metrics.counter(
            "monlight_store_reads_too_long_total",
            "Reads that were cut at their deadline.",
            &[],
        );
        Ok(Self(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            pool: Mutex::new(Pool {
                idle,
                held_back: false,
            }),
            returned: Condvar::new(),
            closed: AtomicBool::new(false),
            too_long,
        })))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the deadline of the wait for a connection"
    )]
    pub(super) async fn read<T: Send + 'static>(
        &self,
        deadline: Duration,
        clock: &Clock,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let until = clock.monotonic() + deadline;
        let permit = tokio::select! {
            permit = Arc::clone(&self.0.permits).acquire_owned() => permit.map_err(|_| StoreError::Closed)?,
            () = tokio::time::sleep(deadline) => {
                self.0.too_long.inc();
                return Err(StoreError::Deadline);
            }
        };
        self.begin(permit, until, clock, job).await
    }

    /// Begins at once, whether or not what it returns is polled; `None` when no connection is idle, or reads are held back.
    pub(super) fn try_read<T, F>(
        &self,
        deadline: Duration,
        clock: &Clock,
        job: F,
    ) -> Option<impl Future<Output = Result<T, StoreError>> + Send + use<T, F>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.permits).try_acquire_owned().ok()?;
        if self.0.pool().held_back {
            return None;
        }
        let until = clock.monotonic() + deadline;
        Some(self.begin(permit, until, clock, job))
    }

    /// Begins a read; it ends when it is done or nobody waits for it any more.
    fn begin<T, F>(
        &self,
        permit: OwnedSemaphorePermit,
        until: Duration,
        clock: &Clock,
        job: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let gone = GoneOnDrop(Arc::new(AtomicBool::new(false)));
        let (this, clock, caller_gone) = (self.clone(), clock.clone(), Arc::clone(&gone.0));
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            this.run(until, &clock, caller_gone, job)
        });
        async move {
            let _gone = gone;
            match work.await {
                Ok(result) => result,
                Err(fault) if fault.is_panic() => Err(StoreError::Panicked(
                    crate::lifecycle::panic_text(&*fault.into_panic()),
                )),
                Err(_) => Err(StoreError::Closed),
            }
        }
    }

    pub(super) fn read_blocking<T>(
        &self,
        deadline: Duration,
        clock: &Clock,
        job: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run(clock.monotonic() + deadline, clock, Arc::default(), job)
    }

    fn run<T>(
        &self,
        until: Duration,
        clock: &Clock,
        caller_gone: Arc<AtomicBool>,
        job: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut borrowed = self.borrow(until, clock)?;
        if caller_gone.load(Ordering::Relaxed) {
            return Err(StoreError::Deadline);
        }
        let Some(conn) = borrowed.conn.as_mut() else {
            return Err(StoreError::Closed);
        };
        let clock = clock.clone();
        conn.progress_handler(
            INSTRUCTIONS_BETWEEN_CHECKS,
            Some(move || caller_gone.load(Ordering::Relaxed) || clock.monotonic() > until),
        )?;
        let result = job(&*conn);
        if matches!(result, Err(StoreError::Deadline)) {
            self.0.too_long.inc();
        }
        result
    }

    /// Waits for a connection, at the latest until the monotonic time `until`.
    fn borrow(&self, until: Duration, clock: &Clock) -> Result<Borrowed<'_>, StoreError> {
        let none_left = |pool: &mut Pool| {
            (pool.held_back || pool.idle.is_empty()) && !self.0.closed.load(Ordering::SeqCst)
        };
        let left = until.saturating_sub(clock.monotonic());
        let (mut pool, _) = self
            .0
            .returned
            .wait_timeout_while(self.0.pool(), left, none_left)
            .unwrap_or_else(PoisonError::into_inner);
        if self.0.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let conn = if pool.held_back {
            None
        } else {
            pool.idle.pop()
        };
        let Some(conn) = conn else {
            self.0.too_long.inc();
            return Err(StoreError::Deadline);
        };
        Ok(Borrowed {
            readers: &self.0,
            conn: Some(conn),
        })
    }

    /// Lets nobody in any more and closes the idle connections; a busy one is closed when its read ends.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.permits.close();
        self.0.pool().idle.clear();
        self.0.returned.notify_all();
    }

    /// Whether any read has a connection.
    pub(super) fn running(&self) -> bool {
        self.0.pool().idle.len() < CONNECTIONS
    }

    /// Lets no new read begin until what it returns is dropped; they wait, each for as long as its deadline allows.
    pub(super) fn hold_back(&self) -> HeldBack {
        self.0.pool().held_back = true;
        HeldBack(Arc::clone(&self.0))
    }
}

/// New reads wait for as long as this lives. There is one at a time.
pub(super) struct HeldBack(Arc<Inner>);

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.0.pool().held_back = false;
        self.0.returned.notify_all();
    }
}

/// A connection on loan; goes back also when the job panics.
struct Borrowed<'a> {
    readers: &'a Inner,
    conn: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        // A transaction left open would show all later reads the past and keep the WAL from being reset.
        if !conn.is_autocommit()
            && let Err(fault) = conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%fault, "cannot end the transaction of a read");
        }
        let mut pool = self.readers.pool();
        // Asked under the lock: `close` clears the list after it has said so.
        if !self.readers.closed.load(Ordering::SeqCst) {
            pool.idle.push(conn);
            self.readers.returned.notify_one();
        }
    }
}

/// Tells a running read that nobody waits for it any more.
struct GoneOnDrop(Arc<AtomicBool>);

impl Drop for GoneOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
