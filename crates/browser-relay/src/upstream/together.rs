//! Events that come while others are on their way to a service go together, in one request, and each gets its own answer.
//!
//! There is no timer. An event goes at once while fewer than [`AT_ONCE`] requests are on their way, with others that were
//! ready to go in the same moment. The others wait, in their order, and as many as fit go with the next request, which
//! begins when one ends. So a service that nobody hurries gets single events without delay, and a busy one gets batches,
//! which cost both sides a fraction.
//!
//! A service that does not know batches, such as the original, answers one with a status that says so; then events go one
//! by one for a while. Events of a batch whose request fails are not sent again from here: each is told so, and its
//! handler keeps it in the outbox.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use monlight_shared::idempotency::{ItemAnswer, MOST_IN_BATCH};
use monlight_shared::metrics::{Gauge, Registry};
use tokio::sync::oneshot;

use super::verdict::{judge_item, worst};
use super::{
    Accepted, Event, Failure, LONGEST_BATCH_ANSWER, LONGEST_WAIT, MOST_AT_ONCE, Rejected, Upstream,
    batch_body,
};

/// Requests on their way at the same time, while batches are taken: one that is being worked on, and one that is ready when
/// that ends.
const AT_ONCE: usize = 2;
/// Bytes of documents in one batch, unless a single one has more.
const BATCH_BYTES: usize = 512 * 1024;
/// For how long events go one by one after a batch was not taken as one.
const ONE_BY_ONE: Duration = Duration::from_mins(1);

/// Where events wait for their turn.
pub(super) struct Desk(Mutex<Queue>);

struct Queue {
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
    on_their_way: usize,
    /// The monotonic time until which events go one by one.
    one_by_one_until: Option<Duration>,
    shown: Gauge,
}

struct Waiting {
    ticket: u64,
    event: Event,
    tell: oneshot::Sender<Told>,
}

/// What one that waits is told in the end.
enum Told {
    Answer(Result<Accepted, Rejected>),
    /// To go by itself.
    Go(Event, Turn),
}

/// The right to send a request. When it is dropped, others have their turn.
struct Turn(Upstream);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.desk.lock().on_their_way -= 1;
        self.0.call_next();
    }
}

/// A place in the queue, which is left when it is dropped.
struct Place {
    upstream: Upstream,
    ticket: u64,
}

impl Place {
    /// `false`: it was called already.
    fn leave(&self) -> bool {
        self.upstream.0.desk.lock().remove(self.ticket)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Desk {
    pub(super) fn new(name: &'static str, metrics: &Registry) -> Self {
        Self(Mutex::new(Queue {
            waiting: VecDeque::new(),
            next_ticket: 0,
            on_their_way: 0,
            one_by_one_until: None,
            shown: metrics.gauge(
                "monlight_relay_upstream_waiting",
                "Events that wait until a request to another service ends, at most all in flight.",
                &[("upstream", name)],
            ),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_one_by_one(&self, now: Duration) -> bool {
        self.one_by_one_until.is_some_and(|until| now < until)
    }

    fn has_turn(&self, now: Duration) -> bool {
        let most = if self.is_one_by_one(now) {
            MOST_AT_ONCE
        } else {
            AT_ONCE
        };
        self.on_their_way < most
    }

    /// Those whose turn it is: one, or as many as fit into a batch. Empty: nobody waits, or it is nobody's turn.
    fn call(&mut self, now: Duration) -> Vec<Waiting> {
        if self.waiting.is_empty() || !self.has_turn(now) {
            return Vec::new();
        }
        let mut count = 1;
        if !self.is_one_by_one(now) {
            let mut bytes = 0;
            let lengths = self.waiting.iter().map(|one| one.event.document.len());
            let fitting = lengths.take_while(|length| {
                bytes += length;
                bytes <= BATCH_BYTES
            });
            count = fitting.take(MOST_IN_BATCH).count().max(1);
        }
        self.on_their_way += 1;
        let called = self.waiting.drain(..count).collect();
        self.show();
        called
    }

    fn remove(&mut self, ticket: u64) -> bool {
        let place = self.waiting.iter().position(|one| one.ticket == ticket);
        let removed = place.and_then(|place| self.waiting.remove(place));
        self.show();
        removed.is_some()
    }

    fn show(&self) {
        self.shown.set(self.waiting.len() as i64);
    }
}

impl Upstream {
    /// Sends an event when it is its turn, which is at once or after [`LONGEST_WAIT`] at the latest; then gives up.
    pub(super) async fn send_in_turn(&self, event: Event) -> Result<Accepted, Rejected> {
        let (place, mut told, turn) = self.enter(event);
        if let Some(turn) = turn {
            // Whoever can go on now comes along.
            tokio::task::yield_now().await;
            drop(turn);
        }
        let told = match tokio::time::timeout(LONGEST_WAIT, &mut told).await {
            Ok(told) => told,
            Err(_) if place.leave() => {
                self.note(Some(Failure::Busy));
                return Err(failed(Failure::Busy));
            }
            // It is on its way, which is bounded in time as well.
            Err(_) => told.await,
        };
        match told {
            Ok(Told::Answer(answer)) => answer,
            Ok(Told::Go(event, turn)) => {
                let answer = self.send_alone(event).await;
                drop(turn);
                answer
            }
            // The service is ending.
            Err(_) => Err(failed(Failure::Broken)),
        }
    }

    /// A place in the queue, what will be told there, and the turn if there is one. As long as that is held, nobody else
    /// takes it.
    fn enter(&self, event: Event) -> (Place, oneshot::Receiver<Told>, Option<Turn>) {
        let (tell, told) = oneshot::channel();
        let now = self.0.clock.monotonic();
        let mut queue = self.0.desk.lock();
        let has_turn = queue.waiting.is_empty() && queue.has_turn(now);
        queue.on_their_way += usize::from(has_turn);
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back(Waiting {
            ticket,
            event,
            tell,
        });
        queue.show();
        drop(queue);
        let upstream = self.clone();
        let turn = has_turn.then(|| Turn(self.clone()));
        (Place { upstream, ticket }, told, turn)
    }

    /// Begins what may begin.
    fn call_next(&self) {
        loop {
            let mut called = self.0.desk.lock().call(self.0.clock.monotonic());
            let Some(first) = called.pop() else {
                return;
            };
            let turn = Turn(self.clone());
            if called.is_empty() {
                // One that has just gone away gives the turn back.
                drop(first.tell.send(Told::Go(first.event, turn)));
                continue;
            }
            called.push(first);
            let this = self.clone();
            // Not in the request of one of them: that may be cut, the others must hear their answers.
            let task = async move { this.send_together(called, turn).await };
            self.0.lifecycle.spawn_once(task);
        }
    }

    async fn send_together(&self, events: Vec<Waiting>, turn: Turn) {
        let documents = events
            .iter()
            .map(|one| (one.event.key, &*one.event.document));
        let request = self.post(&self.0.live_url, batch_body(documents).into());
        let sent = self
            .attempt(request, LONGEST_BATCH_ANSWER, events.len())
            .await;
        let result = sent.and_then(|accepted| self.answers(&accepted, events.len()));
        match result {
            Ok(answers) => self.tell(events, answers),
            Err(Rejected::Upstream {
                failure,
                retry_after,
            }) if failure != Failure::Unexpected => {
                self.note(Some(failure));
                for one in events {
                    let rejected = Rejected::Upstream {
                        failure,
                        retry_after,
                    };
                    // Those who have gone away need no answer, here and below.
                    drop(one.tell.send(Told::Answer(Err(rejected))));
                }
            }
            Err(_) => self.part(events),
        }
        drop(turn);
    }

    fn tell(&self, events: Vec<Waiting>, answers: Vec<ItemAnswer>) {
        self.0.desk.lock().one_by_one_until = None;
        self.note(worst(&answers));
        for (one, answer) in events.into_iter().zip(answers) {
            drop(one.tell.send(Told::Answer(judge_item(answer))));
        }
    }

    /// A batch was not taken as one: its events go one by one, before all others, and so does what comes soon.
    fn part(&self, events: Vec<Waiting>) {
        let until = self.0.clock.monotonic() + ONE_BY_ONE;
        let mut queue = self.0.desk.lock();
        if queue.one_by_one_until.replace(until).is_none() {
            let upstream = self.0.name;
            tracing::info!(upstream, "batches are not taken, events go one by one");
        }
        for one in events.into_iter().rev() {
            if !one.tell.is_closed() {
                queue.waiting.push_front(one);
            }
        }
        queue.show();
    }
}

fn failed(failure: Failure) -> Rejected {
    Rejected::Upstream {
        failure,
        retry_after: None,
    }
}
