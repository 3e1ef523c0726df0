//! Looks the stacks of events up in the source maps, those that come together in one read.
//!
//! A read costs two changes of threads beside what it reads, so under load it should be for many stacks. There is no
//! timer: a stack that comes alone is read for at once, and what comes during a read waits for the next one, in its
//! order. What is found is larger than what was asked, so a read ends when it has found [`FOUND_BYTES`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monlight_shared::lifecycle::Lifecycle;
use monlight_shared::metrics::{Counter, Registry};
use monlight_shared::store::{Store, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::domain::deobfuscate::{Outcome, Query, Unmapped};
use crate::store::symbols;

/// Stacks in one read.
const STACKS: usize = 32;
/// Bytes of what a read finds, unless a single stack has more.
const FOUND_BYTES: usize = 512 * 1024;
/// So many waiting stacks are worth a second read beside the first.
const WORTH_A_READ: usize = STACKS / 2;
const MOST_READS: usize = 2;

/// The frames of one stack, and whose maps may fit them.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) project: Arc<str>,
    pub(crate) release: Option<String>,
    pub(crate) queries: Vec<Result<Query, Unmapped>>,
}

/// Where stacks are looked up. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LookUps(Arc<Inner>);

struct Inner {
    store: Store,
    lifecycle: Lifecycle,
    queue: Mutex<Queue>,
    reads: Counter,
    stacks: Counter,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    reads: usize,
}

struct Waiting {
    question: Question,
    tell: oneshot::Sender<Answer>,
}

type Answer = Result<Vec<Outcome>, StoreError>;

impl Queue {
    /// Whether another read should begin.
    fn wants_read(&self) -> bool {
        let worth = if self.reads == 0 { 1 } else { WORTH_A_READ };
        self.reads < MOST_READS && self.waiting.len() >= worth
    }
}

impl LookUps {
    pub(crate) fn new(store: &Store, lifecycle: &Lifecycle, metrics: &Registry) -> Self {
        Self(Arc::new(Inner {
            store: store.clone(),
            lifecycle: lifecycle.clone(),
            queue: Mutex::default(),
            reads: metrics.counter(
                "monlight_relay_stack_reads_total",
                "Reads in which stacks were looked up.",
                &[],
            ),
            stacks: metrics.counter(
                "monlight_relay_stacks_total",
                "Stacks that were looked up in the source maps.",
                &[],
            ),
        }))
    }

    /// One outcome for each frame. It waits for at most the deadlines of the reads before it and its own.
    pub(crate) async fn look_up(&self, question: Question) -> Answer {
        let told = self.ask(question);
        told.await.unwrap_or(Err(StoreError::Closed))
    }

    fn ask(&self, question: Question) -> oneshot::Receiver<Answer> {
        let (tell, told) = oneshot::channel();
        let mut queue = self.queue();
        queue.waiting.push_back(Waiting { question, tell });
        if queue.wants_read() {
            queue.reads += 1;
            // By the time it runs, others that can go on now have asked as well.
            let this = self.clone();
            let reading = async move { this.read().await };
            self.0.lifecycle.spawn_once(reading);
        }
        told
    }

    /// Reads until nobody waits.
    async fn read(&self) {
        loop {
            let mut asked = self.next();
            if asked.is_empty() {
                return;
            }
            let count = asked.len();
            let read = self.0.store.read(move |conn| {
                let answers = answers(conn, &mut asked)?;
                Ok((answers, asked))
            });
            match read.await {
                Ok((answers, left)) => {
                    self.0.reads.inc();
                    self.0.stacks.add((count - left.len()) as u64);
                    self.put_back(left);
                    for (tell, answer) in answers {
                        // Somebody who has gone away needs none.
                        drop(tell.send(answer));
                    }
                }
                // Those who asked hear that nobody will tell them.
                Err(fault) => tracing::warn!(%fault, "cannot look up stacks in the source maps"),
            }
        }
    }

    /// Who is next; empty: nobody, and this read is over.
    fn next(&self) -> VecDeque<Waiting> {
        let mut queue = self.queue();
        queue.waiting.retain(|one| !one.tell.is_closed());
        let count = queue.waiting.len().min(STACKS);
        if count == 0 {
            queue.reads -= 1;
        }
        queue.waiting.drain(..count).collect()
    }

    fn put_back(&self, left: VecDeque<Waiting>) {
        let mut queue = self.queue();
        for one in left.into_iter().rev() {
            queue.waiting.push_front(one);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers some of those who asked, the first of them at least; the others are left.
fn answers(
    conn: &Connection,
    asked: &mut VecDeque<Waiting>,
) -> Result<Vec<(oneshot::Sender<Answer>, Answer)>, StoreError> {
    // One view of the database, or upkeep could remove a replaced map between two look-ups.
    let conn = conn.unchecked_transaction()?;
    let (mut answers, mut bytes) = (Vec::with_capacity(asked.len()), 0);
    while bytes < FOUND_BYTES
        && let Some(Waiting { question, tell }) = asked.pop_front()
    {
        let Question {
            project,
            release,
            queries,
        } = question;
        let answer = symbols::look_up(&conn, &project, release.as_deref(), queries);
        bytes += answer.iter().flatten().map(size_of_outcome).sum::<usize>();
        answers.push((tell, answer));
    }
    Ok(answers)
}

fn size_of_outcome(outcome: &Outcome) -> usize {
    outcome
        .as_ref()
        .map_or(0, |found| found.context.iter().map(String::len).sum())
}
