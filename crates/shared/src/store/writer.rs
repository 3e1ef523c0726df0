//! The writer thread: takes whatever is queued, runs it in one transaction, commits, answers.
//!
//! There is no timer: an idle service commits a job at once, a busy one shares each commit (and its fsync) among all
//! jobs that came in during the one before. The upkeep lane is served when the ingest lane is empty, and at the latest
//! in every eighth group.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::QueueLimits;
use super::error::{OpenError, StoreError};
use super::open::FileLock;
use crate::clock::Clock;
use crate::lifecycle::panic_text;
use crate::metrics::{Counter, Registry};

mod fold;
mod tell;

pub(super) use fold::{Fold, WalMarks};
use tell::{Tell, register_queue};

/// Which queue a job waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Requests and whatever somebody waits for.
    Ingest,
    /// Retention, rollups and the like, in small slices.
    Upkeep,
}

const GROUP_JOBS: usize = 256;
const GROUP_BYTES: usize = 4 * 1024 * 1024;
const GROUP_TIME: Duration = Duration::from_millis(20);
/// At least one upkeep job in so many groups.
const UPKEEP_EVERY: u32 = 8;
/// With nothing to do for so long, the WAL is folded into the file.
const IDLE: Duration = Duration::from_secs(15);
/// How often a sick database is tried again.
const PROBE: Duration = Duration::from_secs(1);
const STACK_BYTES: usize = 1024 * 1024;

/// A job with its answer's type hidden.
trait Job: Send {
    /// Runs it; `Err` means that its savepoint has to be rolled back.
    fn run(&mut self, conn: &Connection) -> Result<(), Failed>;
    /// Tells the caller. `verdict` is the commit's.
    fn answer(self: Box<Self>, verdict: Result<(), StoreError>);
}

/// Marks a job that failed; what went wrong stays with the job, for its caller, unless it concerns the whole group.
struct Failed {
    sickness: Option<String>,
}

struct TypedJob<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for TypedJob<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &Connection) -> Result<(), Failed> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| work(conn)))
            .unwrap_or_else(|panic| Err(StoreError::Panicked(panic_text(&*panic))));
        let verdict = match &result {
            Ok(_) => Ok(()),
            Err(fault) => Err(Failed {
                sickness: fault.sickness().map(str::to_owned),
            }),
        };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, verdict: Result<(), StoreError>) {
        let answer = match (self.result, verdict) {
            // The job's own fault says more than the group's.
            (Some(Err(fault)), _) | (_, Err(fault)) => Err(fault),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // The caller may have gone away; the job is done all the same.
        let _ = self.reply.send(answer);
    }
}

struct Queued {
    job: Box<dyn Job>,
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    ingest: VecDeque<Queued>,
    upkeep: VecDeque<Queued>,
    bytes: usize,
    closing: bool,
    groups_without_upkeep: u32,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.ingest.is_empty() && self.upkeep.is_empty()
    }
}

struct Shared {
    limits: QueueLimits,
    queue: Mutex<Queue>,
    wake: Condvar,
    sick: Mutex<Option<String>>,
    full: Counter,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_sick(&self, reason: Option<String>) {
        let mut sick = self.sick.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*sick, &reason) {
            (None, Some(reason)) => tracing::error!(reason, "nothing can be stored"),
            (Some(_), None) => tracing::info!("the database can be written again"),
            _ => {}
        }
        *sick = reason;
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        conn: Connection,
        lock: FileLock,
        fold: Fold,
        limits: QueueLimits,
        clock: Clock,
        metrics: &Registry,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            limits,
            queue: Mutex::default(),
            wake: Condvar::new(),
            sick: Mutex::default(),
            full: metrics.counter(
                "monlight_store_refused_total",
                "Writes refused because the queue was full.",
                &[],
            ),
        });
        register_queue(&shared, metrics);
        let thread = Thread {
            shared: Arc::clone(&shared),
            conn,
            clock,
            tell: Tell::new(metrics),
            fold,
            lock,
        };
        let last = LastOne(Arc::clone(&shared));
        let handle = std::thread::Builder::new()
            .name("writer".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _last = last;
                thread.serve();
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(handle)),
        })
    }

    pub(super) fn submit<T: Send + 'static>(
        &self,
        lane: Lane,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(TypedJob {
            work: Some(work),
            result: None,
            reply,
        });
        let limits = &self.shared.limits;
        let mut queue = self.shared.queue();
        if queue.closing {
            return Err(StoreError::Closed);
        }
        let (waiting, most) = match lane {
            Lane::Ingest => (queue.ingest.len(), limits.ingest_jobs),
            Lane::Upkeep => (queue.upkeep.len(), limits.upkeep_jobs),
        };
        // A job larger than the whole bound is let in when it is alone; it was bounded by whoever read it.
        if waiting >= most || (queue.bytes > 0 && queue.bytes + bytes > limits.bytes) {
            self.shared.full.inc();
            return Err(StoreError::Full);
        }
        queue.bytes += bytes;
        match lane {
            Lane::Ingest => queue.ingest.push_back(Queued { job, bytes }),
            Lane::Upkeep => queue.upkeep.push_back(Queued { job, bytes }),
        }
        drop(queue);
        self.shared.wake.notify_one();
        Ok(answer)
    }

    pub(super) fn sick(&self) -> Option<String> {
        self.shared
            .sick
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn close(&self) {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // The thread catches the panics of jobs; one of its own was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Sees to it that nobody waits for a writer that is gone, also when a panic ended it.
struct LastOne(Arc<Shared>);

impl Drop for LastOne {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_sick(Some(
                "the writer ended by a panic; the service has to be started again".to_owned(),
            ));
        }
        let mut queue = self.0.queue();
        queue.closing = true;
        let left = (
            std::mem::take(&mut queue.ingest),
            std::mem::take(&mut queue.upkeep),
        );
        drop(queue);
        // Dropping a job tells its caller.
        drop(left);
    }
}

struct Thread {
    shared: Arc<Shared>,
    conn: Connection,
    clock: Clock,
    tell: Tell,
    fold: Fold,
    /// The last field, so that it goes after the connection.
    lock: FileLock,
}

impl Thread {
    fn serve(mut self) {
        let mut group = Vec::with_capacity(GROUP_JOBS);
        while self.next_group(&mut group) {
            self.run_group(&mut group);
        }
        self.finish();
    }

    /// Waits for work and takes as much as one transaction should hold. `false` when closing and all is done.
    fn next_group(&mut self, group: &mut Vec<Queued>) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        while queue.is_empty() {
            if queue.closing {
                return false;
            }
            let sick = self.is_sick();
            let soon = self.fold.soon();
            let pause = soon.unwrap_or(if sick { PROBE } else { IDLE });
            let (locked, waited) = shared
                .wake
                .wait_timeout(queue, pause)
                .unwrap_or_else(PoisonError::into_inner);
            queue = locked;
            if waited.timed_out() && queue.is_empty() {
                drop(queue);
                if soon.is_some() {
                    self.fold.bound(&self.conn);
                } else if sick {
                    self.probe();
                } else {
                    // Reads are not waited for: requests would wait as well.
                    self.fold.fold(&self.conn, Duration::ZERO);
                }
                queue = shared.queue();
            }
        }
        let upkeep_due = queue.ingest.is_empty() || queue.groups_without_upkeep >= UPKEEP_EVERY;
        let mut bytes = 0;
        while group.len() < GROUP_JOBS && bytes < GROUP_BYTES {
            let Some(queued) = queue.ingest.pop_front() else {
                break;
            };
            bytes += queued.bytes;
            group.push(queued);
        }
        if upkeep_due && let Some(queued) = queue.upkeep.pop_front() {
            bytes += queued.bytes;
            group.push(queued);
            queue.groups_without_upkeep = 0;
        } else if !queue.upkeep.is_empty() {
            queue.groups_without_upkeep += 1;
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        true
    }

    fn run_group(&mut self, group: &mut Vec<Queued>) {
        let started = self.clock.monotonic();
        let mut done: Vec<Box<dyn Job>> = Vec::with_capacity(group.len());
        let verdict = self.run_jobs(group, &mut done, started);
        let verdict = verdict.and_then(|()| self.commit());
        match &verdict {
            Ok(()) => {
                self.tell.commits.inc();
                self.tell.jobs.add(done.len() as u64);
                self.fold.committed();
                // A group that stored nothing proves nothing.
                if self.is_sick() {
                    self.probe();
                }
            }
            Err(fault) => {
                self.roll_back();
                if let Some(reason) = fault.sickness() {
                    self.shared.set_sick(Some(reason.to_owned()));
                }
            }
        }
        self.tell
            .group_seconds
            .add(nanos(self.clock.monotonic().saturating_sub(started)));
        for job in done {
            job.answer(verdict.as_ref().copied().map_err(StoreError::for_neighbour));
        }
        self.requeue(group);
        self.fold.bound(&self.conn);
    }

    /// Runs jobs until the group's time is up. Those that ran move to `done`, whatever became of them.
    fn run_jobs(
        &self,
        group: &mut Vec<Queued>,
        done: &mut Vec<Box<dyn Job>>,
        started: Duration,
    ) -> Result<(), StoreError> {
        if let Err(fault) = self.begin() {
            done.extend(group.drain(..).map(|queued| queued.job));
            return Err(fault);
        }
        group.reverse();
        while let Some(Queued { mut job, .. }) = group.pop() {
            let ran = self.run_job(&mut *job);
            done.push(job);
            if let Err(fault) = ran {
                done.extend(group.drain(..).map(|queued| queued.job));
                return Err(fault);
            }
            if self.clock.monotonic().saturating_sub(started) > GROUP_TIME {
                break;
            }
        }
        group.reverse();
        Ok(())
    }

    fn begin(&self) -> Result<(), StoreError> {
        if let Some(missing) = self.lock.missing() {
            return Err(StoreError::Unavailable {
                reason: format!(
                    "{} was removed or replaced while it was in use; put it back or start the service again",
                    missing.display()
                ),
            });
        }
        self.execute("BEGIN IMMEDIATE")
    }

    /// Runs one job in its savepoint. `Err` only when the whole transaction is lost.
    fn run_job(&self, job: &mut dyn Job) -> Result<(), StoreError> {
        self.execute("SAVEPOINT job")?;
        match job.run(&self.conn) {
            Ok(()) => self.execute("RELEASE job"),
            Err(Failed { sickness }) => {
                self.tell.failed.inc();
                // Some faults, a full disk among them, make SQLite roll back everything by itself.
                if self.conn.is_autocommit() {
                    return Err(StoreError::Unavailable {
                        reason: sickness.unwrap_or_else(|| "the transaction was lost".to_owned()),
                    });
                }
                self.execute("ROLLBACK TO job")?;
                self.execute("RELEASE job")?;
                match sickness {
                    Some(reason) => Err(StoreError::Unavailable { reason }),
                    None => Ok(()),
                }
            }
        }
    }

    fn commit(&self) -> Result<(), StoreError> {
        let started = self.clock.monotonic();
        let result = self.execute("COMMIT");
        self.tell
            .commit_seconds
            .add(nanos(self.clock.monotonic().saturating_sub(started)));
        result
    }

    fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(fault) = self.execute("ROLLBACK")
        {
            tracing::error!(%fault, "rollback failed");
        }
    }

    /// Puts back, in order, what the group had no time for.
    fn requeue(&self, group: &mut Vec<Queued>) {
        if group.is_empty() {
            return;
        }
        let mut queue = self.shared.queue();
        while let Some(queued) = group.pop() {
            queue.bytes += queued.bytes;
            queue.ingest.push_front(queued);
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn is_sick(&self) -> bool {
        self.shared
            .sick
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Looks whether the database can be written again.
    fn probe(&self) {
        let tried = self
            .begin()
            .and_then(|()| self.execute("INSERT OR REPLACE INTO _meta (key, value) VALUES ('probe', hex(randomblob(2048)))"))
            .and_then(|()| self.commit());
        match tried {
            Ok(()) => self.shared.set_sick(None),
            Err(_) => self.roll_back(),
        }
    }

    fn finish(mut self) {
        if let Err(fault) = self
            .conn
            .execute_batch("PRAGMA analysis_limit=200; PRAGMA optimize;")
        {
            tracing::warn!(%fault, "cannot update the query planner's statistics");
        }
        self.fold.committed();
        self.fold.fold(&self.conn, fold::LONGEST_HOLD);
        self.conn.flush_prepared_statement_cache();
        match self.conn.close() {
            Ok(()) => tracing::debug!("database closed"),
            Err((_, fault)) => tracing::error!(%fault, "closing the database failed"),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
