//! Delivers what the outbox holds: a task for each service, so that one that is down does not hold up the other.

use std::time::Duration;

use anyhow::Result;
use monlight_shared::idempotency::{ItemAnswer, MOST_IN_BATCH};
use monlight_shared::lifecycle::Lifecycle;

use crate::outbox::Gone;
use crate::state::State;
use crate::store::outbox::{self as table, Fate, Waiting};
use crate::telemetry::EventKind;
use crate::upstream::{Failure, Rejected, Verdict, batch_body};

/// Bytes of documents in one batch, unless a single one has more.
const BATCH_BYTES: usize = 512 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Batches that go behind events which the service failed at before these have another turn, though more keep coming; twice
/// as many each time that it fails at them again.
const FIRST_BATCHES_BEHIND: u32 = 16;
const MOST_BATCHES_BEHIND: u32 = 512;
/// From one look for dead events that are too old to the next.
const EXPIRE_EVERY: Duration = Duration::from_mins(10);
/// What a service may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

pub(crate) fn start(lifecycle: &Lifecycle, state: &State) {
    let dead = state.clone();
    lifecycle.every("dead events", EXPIRE_EVERY, move || {
        let state = dead.clone();
        async move {
            for kind in EventKind::ALL {
                state.outbox.expire(kind, Fate::Dead).await?;
            }
            Ok(())
        }
    });
    for (kind, name) in [
        (EventKind::Error, "outbox of errors"),
        (EventKind::Metrics, "outbox of metrics"),
    ] {
        let (state, lifecycle_) = (state.clone(), lifecycle.clone());
        lifecycle.spawn(name, move || {
            let (state, lifecycle) = (state.clone(), lifecycle_.clone());
            async move {
                let soft = lifecycle.soft();
                // A request that is cut may have been carried out; its keys keep that from happening twice.
                let ended = soft.run_until_cancelled(deliver(&state, kind, &lifecycle));
                ended.await.unwrap_or(Ok(()))
            }
        });
    }
}

/// Delivers for as long as the service runs.
async fn deliver(state: &State, kind: EventKind, lifecycle: &Lifecycle) -> Result<()> {
    let mut pace = Pace::default();
    loop {
        if !state.outbox.holds(kind) {
            state.outbox.woken(kind).await;
            continue;
        }
        state.outbox.expire(kind, Fate::Waits).await?;
        let step = batch(state, kind, &pace).await?;
        if let Some(pause) = pace.after(step)
            && lifecycle.sleep(pause).await
        {
            return Ok(());
        }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy)]
enum Step {
    Went,
    /// So many at once were not accepted as a batch.
    TooMany(usize),
    /// The service failed at single events up to the one with this id, and took others or did not.
    Passed {
        last: i64,
        some_went: bool,
    },
    /// There are no more behind those that it failed at, or these have waited for enough others.
    Around,
    /// Something is left that has to be tried again, after this time at the earliest.
    Failed(Duration),
}

/// What is sent next, and how long the next pause is.
struct Pace {
    /// Events at once.
    most: usize,
    /// The id of the last event that the service failed at: those behind it must not wait for it. 0: the beginning.
    after: i64,
    /// Batches that went behind it, and how many may.
    behind: u32,
    most_behind: u32,
    pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            most: MOST_IN_BATCH,
            after: 0,
            behind: 0,
            most_behind: FIRST_BATCHES_BEHIND,
            pause: FIRST_PAUSE,
        }
    }
}

impl Pace {
    /// The pause that an attempt asks for.
    fn after(&mut self, step: Step) -> Option<Duration> {
        match step {
            Step::Went => {
                (self.most, self.pause) = (MOST_IN_BATCH, FIRST_PAUSE);
                if self.after > 0 {
                    self.behind += 1;
                } else {
                    self.most_behind = FIRST_BATCHES_BEHIND;
                }
                None
            }
            Step::TooMany(count) => {
                self.most = (count / 2).max(1);
                None
            }
            Step::Passed { last, some_went } => {
                self.behind += u32::from(self.after > 0);
                self.after = last;
                if some_went {
                    self.pause = FIRST_PAUSE;
                }
                Some(self.grow())
            }
            Step::Around => {
                (self.after, self.behind) = (0, 0);
                self.most_behind = (self.most_behind * 2).min(MOST_BATCHES_BEHIND);
                None
            }
            Step::Failed(retry_after) => Some(self.grow().max(retry_after)),
        }
    }

    /// Whether those that the service failed at have waited for enough others.
    fn turns_around(&self) -> bool {
        self.behind >= self.most_behind
    }

    /// The next pause; the one after it is twice as long.
    fn grow(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

async fn batch(state: &State, kind: EventKind, pace: &Pace) -> Result<Step> {
    if pace.turns_around() {
        return Ok(Step::Around);
    }
    let (after, most) = (pace.after, pace.most);
    let next = move |conn: &_| table::next(conn, kind, after, most, BATCH_BYTES);
    let waiting = state.store.read(next).await?;
    if waiting.is_empty() && after > 0 {
        return Ok(Step::Around);
    }
    if waiting.is_empty() {
        // What is counted is still being stored.
        state.outbox.woken(kind).await;
        return Ok(Step::Went);
    }
    let events = waiting.iter();
    let body = batch_body(events.map(|event| (event.key, event.document.as_slice())));
    let sent = state.upstream(kind).send_batch(body, waiting.len());
    match sent.await {
        Ok(answers) => settle(state, kind, &waiting, &answers).await,
        Err(Rejected::Event { detail }) if waiting.len() == 1 => {
            let answer = ItemAnswer {
                status: 400,
                detail: Some(detail),
                answer: None,
            };
            settle(state, kind, &waiting, &[answer]).await
        }
        Err(Rejected::Event { .. }) => Ok(Step::TooMany(waiting.len())),
        Err(Rejected::Upstream { retry_after, .. }) => {
            let asked = Duration::from_secs(retry_after.unwrap_or_default());
            // Without being asked to, it is the growing pause that counts.
            Ok(Step::Failed(asked.min(LONGEST_RETRY_AFTER)))
        }
    }
}

/// Takes out of the outbox what was delivered and what is not wanted, and gives up for dead what will not be taken though
/// it is not at fault.
async fn settle(
    state: &State,
    kind: EventKind,
    waiting: &[Waiting],
    answers: &[ItemAnswer],
) -> Result<Step> {
    let (mut delivered, mut refused, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    let (mut why_refused, mut why_dead) = (String::new(), String::new());
    let mut overloaded = false;
    for (event, answer) in waiting.iter().zip(answers) {
        let row = (event.id, event.key_id, event.document.len());
        match Verdict::of(answer.status) {
            Verdict::Taken => delivered.push(row),
            Verdict::Refused => {
                refused.push(row);
                why_refused = reason(answer);
            }
            Verdict::Later(failure) => overloaded |= failure == Failure::Overloaded,
            Verdict::Dead => {
                dead.push(row);
                why_dead = reason(answer);
            }
        }
    }
    let left = waiting.len() - delivered.len() - refused.len() - dead.len();
    let step = match waiting.last() {
        Some(last) if left > 0 && !overloaded => Step::Passed {
            last: last.id,
            some_went: !delivered.is_empty(),
        },
        _ if left > 0 => Step::Failed(Duration::ZERO),
        _ => Step::Went,
    };
    let upstream = kind.upstream();
    if !delivered.is_empty() {
        state
            .outbox
            .remove(kind, &delivered, Gone::Delivered)
            .await?;
    }
    if !refused.is_empty() {
        let (events, reason) = (refused.len(), why_refused);
        tracing::warn!(
            upstream,
            events,
            reason,
            "events that were kept are refused"
        );
        state.outbox.remove(kind, &refused, Gone::Refused).await?;
    }
    if !dead.is_empty() {
        let (events, reason) = (dead.len(), why_dead);
        tracing::error!(
            upstream,
            events,
            reason,
            "events that were kept are dead: trying again does not help"
        );
        state.outbox.bury(kind, &dead, reason).await?;
    }
    Ok(step)
}

/// `404: Not found`, of a length that a log can bear.
fn reason(answer: &ItemAnswer) -> String {
    let status = answer.status;
    match &answer.detail {
        Some(detail) => format!("{status}: {}", detail.chars().take(200).collect::<String>()),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_passed_has_another_turn_though_others_keep_coming() {
        let mut pace = Pace::default();
        let mut batches = Vec::new();
        for round in 0..8 {
            assert_eq!(pace.after, 0, "in round {round}");
            pace.after(Step::Passed {
                last: 7,
                some_went: true,
            });
            let mut count = 0;
            while !pace.turns_around() {
                pace.after(Step::Went);
                count += 1;
            }
            pace.after(Step::Around);
            batches.push(count);
        }
        assert_eq!(batches, [16, 32, 64, 128, 256, 512, 512, 512]);
        pace.after(Step::Went);
        assert_eq!(
            pace.most_behind, FIRST_BATCHES_BEHIND,
            "they are taken at last"
        );
    }

    #[test]
    fn pauses_grow_as_long_as_nothing_goes() {
        let mut pace = Pace::default();
        let millis = |pause: Option<Duration>| pause.map(|pause| pause.as_millis());
        let seconds = Duration::from_secs;
        let passed = |last, some_went| Step::Passed { last, some_went };
        for (step, pause, most, after) in [
            (Step::Failed(Duration::ZERO), Some(250), 100, 0),
            (Step::Failed(Duration::ZERO), Some(500), 100, 0),
            (Step::Failed(seconds(7)), Some(7_000), 100, 0),
            (Step::TooMany(100), None, 50, 0),
            (Step::Failed(Duration::ZERO), Some(2_000), 50, 0),
            (passed(7, true), Some(250), 50, 7),
            (passed(9, true), Some(250), 50, 9),
            (passed(12, false), Some(500), 50, 12),
            (Step::Around, None, 50, 0),
            (passed(3, false), Some(1_000), 50, 3),
            (Step::TooMany(1), None, 1, 3),
            (Step::Went, None, 100, 3),
            (Step::Failed(Duration::ZERO), Some(250), 100, 3),
        ] {
            let found = (millis(pace.after(step)), pace.most, pace.after);
            assert_eq!(found, (pause, most, after), "{step:?}");
        }
        let last = (0..20).map(|_| pace.after(Step::Failed(Duration::ZERO)));
        assert_eq!(last.last().flatten(), Some(LONGEST_PAUSE));
    }
}
