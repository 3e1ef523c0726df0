//! Starts background work and ends it in order.
//!
//! SIGTERM or SIGINT trips the *soft* token: streams end, intake stops, tasks finish what they hold. A second signal, or
//! ten seconds, trips the *hard* token: whatever is left is cut. A task that fails or panics is logged and started again
//! with growing pauses; three failures in a minute make [`Lifecycle::degraded`] speak, which `/health` passes on.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;

/// How long a graceful end may take before the rest is cut.
pub const GRACE: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const FAILURE_WINDOW: Duration = Duration::from_mins(1);
const FAILURES_TO_DEGRADE: usize = 3;
const THREAD_STACK_BYTES: usize = 512 * 1024;

/// Handle on everything that runs besides requests. Cheap to clone.
#[derive(Clone)]
pub struct Lifecycle(Arc<Inner>);

struct Inner {
    clock: Clock,
    soft: CancellationToken,
    hard: CancellationToken,
    at_once: CancellationToken,
    tasks: TaskTracker,
    threads: Mutex<Vec<(JoinHandle<()>, Stop)>>,
    failures: Mutex<Vec<Failures>>,
}

struct Failures {
    task: &'static str,
    /// Monotonic times of the failures of the last minute.
    at: VecDeque<Duration>,
    last: String,
}

impl Lifecycle {
    /// A lifecycle that nobody has asked to end yet.
    pub fn new(clock: Clock) -> Self {
        let hard = CancellationToken::new();
        Self(Arc::new(Inner {
            clock,
            soft: hard.child_token(),
            hard,
            at_once: CancellationToken::new(),
            tasks: TaskTracker::new(),
            threads: Mutex::default(),
            failures: Mutex::default(),
        }))
    }

    /// Tripped when the service was asked to end: stop taking in, end streams.
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Tripped when time is up.
    pub fn hard(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// Tripped when somebody asked a second time: not even the database is waited for.
    pub fn at_once(&self) -> CancellationToken {
        self.0.at_once.clone()
    }

    /// Asks everything to end.
    pub fn stop(&self) {
        self.0.soft.cancel();
    }

    /// Sleeps; `true` when the service is ending, in which case it returns at once.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the sleep that others are asked to use"
    )]
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.0.soft.cancelled() => true,
            () = tokio::time::sleep(duration) => false,
        }
    }

    /// Runs `work` to its end, once. It is waited for at the end of the service, for at most [`GRACE`].
    pub fn spawn_once(&self, work: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard();
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = hard.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Runs the future that `work` makes; when it fails or panics, logs that once and makes it again after a pause.
    /// A future that returns `Ok` is done. It must end by itself once [`Lifecycle::soft`] is tripped.
    pub fn spawn<F>(&self, name: &'static str, mut work: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let this = self.clone();
        self.spawn_once(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let Err(failure) = caught(work()).await else {
                    return;
                };
                this.note_failure(name, &failure);
                if this.sleep(pause).await {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Runs `step` now and then again `interval` after each end. A failed step is logged and does not stop the rhythm.
    pub fn every<F>(
        &self,
        name: &'static str,
        interval: Duration,
        mut step: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let this = self.clone();
        self.spawn_once(async move {
            loop {
                if this.0.soft.is_cancelled() {
                    return;
                }
                if let Err(failure) = caught(step()).await {
                    this.note_failure(name, &failure);
                }
                if this.sleep(interval).await {
                    return;
                }
            }
        });
    }

    /// Starts an own OS thread for work that blocks. A panic is logged and reported as a failure of the task; the thread
    /// is started again after a pause.
    pub fn thread(
        &self,
        name: &'static str,
        mut work: impl FnMut(&Stop) -> anyhow::Result<()> + Send + 'static,
    ) -> std::io::Result<Stop> {
        let stop = Stop::default();
        let (inside, this) = (stop.clone(), self.clone());
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                let mut pause = FIRST_PAUSE;
                while !inside.is_stopped() {
                    let failure = match std::panic::catch_unwind(AssertUnwindSafe(|| work(&inside)))
                    {
                        Ok(Ok(())) => return,
                        Ok(Err(failure)) => format!("{failure:#}"),
                        Err(panic) => panic_text(&*panic),
                    };
                    this.note_failure(name, &failure);
                    inside.wait_stopped(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            })?;
        let (soft, waker) = (self.soft(), stop.clone());
        self.spawn_once(async move {
            soft.cancelled().await;
            waker.stop();
        });
        self.0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((handle, stop.clone()));
        Ok(stop)
    }

    /// Why the service is not well: the task that failed three times or more within the last minute.
    pub fn degraded(&self) -> Option<String> {
        let since = self.0.clock.monotonic().saturating_sub(FAILURE_WINDOW);
        let mut failures = self
            .0
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failures.iter_mut().find_map(|task| {
            while task.at.front().is_some_and(|at| *at < since) {
                task.at.pop_front();
            }
            (task.at.len() >= FAILURES_TO_DEGRADE)
                .then(|| format!("task {} keeps failing: {}", task.task, task.last))
        })
    }

    fn note_failure(&self, name: &'static str, failure: &str) {
        tracing::error!(task = name, failure, "background task failed");
        let now = self.0.clock.monotonic();
        let mut failures = self
            .0
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let index = failures
            .iter()
            .position(|task| task.task == name)
            .unwrap_or_else(|| {
                failures.push(Failures {
                    task: name,
                    at: VecDeque::new(),
                    last: String::new(),
                });
                failures.len() - 1
            });
        if let Some(task) = failures.get_mut(index) {
            failure.clone_into(&mut task.last);
            task.at.push_back(now);
            if task.at.len() > FAILURES_TO_DEGRADE {
                task.at.pop_front();
            }
        }
    }

    /// Ends everything: trips the soft token, waits for tasks and threads for at most `grace`, then trips the hard token.
    /// `true` when all ended by themselves.
    #[expect(clippy::disallowed_methods, reason = "the bound of the graceful end")]
    pub async fn finish(&self, grace: Duration) -> bool {
        self.stop();
        self.0.tasks.close();
        let threads: Vec<_> = std::mem::take(
            &mut *self
                .0
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for (_, stop) in &threads {
            stop.stop();
        }
        let joined = tokio::task::spawn_blocking(move || {
            for (handle, _) in threads {
                // A panic in the thread was logged by the thread itself.
                let _ = handle.join();
            }
        });
        let ended = async {
            self.0.tasks.wait().await;
            let _ = joined.await;
        };
        let in_time = tokio::select! {
            () = ended => true,
            () = tokio::time::sleep(grace) => false,
            () = self.0.hard.cancelled() => false,
        };
        self.0.hard.cancel();
        in_time
    }

    /// From now on SIGTERM or SIGINT trips the soft token, and a second one the hard token, as soon as the answered future
    /// is polled: what comes in between is not lost.
    pub fn follow_signals(self) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
        let term = signal(SignalKind::terminate())?;
        let int = signal(SignalKind::interrupt())?;
        Ok(self.follow(term, int))
    }

    async fn follow(self, mut term: Signal, mut int: Signal) {
        for signals_seen in 1.. {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if signals_seen == 1 {
                tracing::info!("stopping: finishing requests and closing the database");
                self.stop();
            } else {
                tracing::warn!("stopping at once: second signal");
                self.0.hard.cancel();
                self.0.at_once.cancel();
                break;
            }
        }
    }
}

/// Runs a future and turns an error or a panic into its text.
async fn caught(work: impl Future<Output = anyhow::Result<()>>) -> Result<(), String> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(format!("{failure:#}")),
        Err(panic) => Err(panic_text(&*panic)),
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    format!("panicked: {text}")
}

/// How an own thread hears that it should end, or that there is something to do. Cheap to clone.
#[derive(Clone, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Default)]
struct StopState {
    stopped: AtomicBool,
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Whether the thread should end.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Asks the thread to end and wakes it.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.notify();
    }

    /// Wakes the thread: there is something to do. Notifications before the wait are not lost.
    pub fn notify(&self) {
        *self
            .0
            .notified
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }

    /// Sleeps until somebody notifies or stops, at most `longest`. `true` when the thread should end.
    pub fn wait(&self, longest: Duration) -> bool {
        let notified = self
            .0
            .notified
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (mut notified, _) = self
            .0
            .changed
            .wait_timeout_while(notified, longest, |notified| {
                !*notified && !self.is_stopped()
            })
            .unwrap_or_else(PoisonError::into_inner);
        *notified = false;
        self.is_stopped()
    }

    fn wait_stopped(&self, longest: Duration) {
        let notified = self
            .0
            .notified
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .0
            .changed
            .wait_timeout_while(notified, longest, |_| !self.is_stopped());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn lifecycle() -> Lifecycle {
        Lifecycle::new(Clock::system())
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_started_again_and_reported() {
        let life = lifecycle();
        let runs = Arc::new(AtomicUsize::new(0));
        let (seen, done) = (Arc::clone(&runs), life.clone());
        life.spawn("flaky", move || {
            let (run, life) = (seen.fetch_add(1, Ordering::SeqCst), done.clone());
            async move {
                match run {
                    0 => anyhow::bail!("first"),
                    1 => panic!("second"),
                    2 => anyhow::bail!("third"),
                    _ => life.stop(),
                }
                Ok(())
            }
        });
        life.soft().cancelled().await;
        assert_eq!(runs.load(Ordering::SeqCst), 4);
        assert_eq!(
            life.degraded().as_deref(),
            Some("task flaky keeps failing: third")
        );
        assert!(life.finish(GRACE).await);
    }

    #[tokio::test]
    async fn a_thread_is_woken_and_joined() {
        let life = lifecycle();
        let woken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&woken);
        let (told, mut hear) = tokio::sync::mpsc::channel(8);
        let stop = life
            .thread("worker", move |stop| {
                while !stop.wait(Duration::from_hours(1)) {
                    seen.fetch_add(1, Ordering::SeqCst);
                    told.blocking_send(())?;
                }
                Ok(())
            })
            .expect("starts");
        stop.notify();
        hear.recv().await.expect("the thread runs");
        assert!(life.finish(GRACE).await);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_cut() {
        let life = lifecycle();
        life.spawn_once(std::future::pending());
        assert!(!life.finish(Duration::from_secs(1)).await);
        assert!(life.hard().is_cancelled());
    }
}
