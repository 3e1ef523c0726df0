//! Delivers what the outbox holds: a task for each service, so that one that is down does not hold up the other.

use std::time::Duration;

use anyhow::Result;
use monlight_shared::idempotency::ItemAnswer;
use monlight_shared::lifecycle::Lifecycle;

use super::pace::{Left, Pace, Step};
use crate::outbox::Gone;
use crate::state::State;
use crate::store::outbox::{self as table, Fate, Waiting};
use crate::telemetry::EventKind;
use crate::upstream::{Failure, Rejected, Verdict, batch_body};

/// Bytes of documents in one batch, unless a single one has more.
const BATCH_BYTES: usize = 512 * 1024;
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

async fn batch(state: &State, kind: EventKind, pace: &Pace) -> Result<Step> {
    if pace.turns_around() {
        return Ok(Step::Around);
    }
    // Before the outbox is read: what came earlier is in it then, or needs not be.
    let between = (pace.after, state.outbox.first_under_way(kind));
    let (most, aside) = (pace.most, pace.aside.clone());
    let next = move |conn: &_| table::next(conn, kind, between, &aside, most, BATCH_BYTES);
    let waiting = state.store.read(next).await?;
    if waiting.is_empty() && pace.goes_behind() {
        return Ok(Step::Around);
    }
    if waiting.is_empty() {
        // What is counted is still being stored, or came after one that is under way.
        state.outbox.woken(kind).await;
        return Ok(Step::Nothing);
    }
    let events = waiting.iter();
    let body = batch_body(events.map(|event| (event.key, event.document.as_slice())));
    let sent = state.upstream(kind).send_batch(body, waiting.len());
    match sent.await {
        Ok(answers) => settle(state, kind, pace, &waiting, &answers).await,
        Err(Rejected::Event { detail }) if waiting.len() == 1 => {
            let answer = ItemAnswer {
                status: 400,
                detail: Some(detail),
                answer: None,
            };
            settle(state, kind, pace, &waiting, &[answer]).await
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
    pace: &Pace,
    waiting: &[Waiting],
    answers: &[ItemAnswer],
) -> Result<Step> {
    let (mut delivered, mut refused, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    let (mut why_refused, mut why_dead) = (String::new(), String::new());
    let (mut left, mut overloaded) = (Vec::new(), false);
    for (event, answer) in waiting.iter().zip(answers) {
        let row = (event.id, event.key_id, event.document.len());
        match Verdict::of(answer.status) {
            Verdict::Taken => delivered.push(row),
            Verdict::Refused => {
                refused.push(row);
                why_refused = reason(answer);
            }
            Verdict::Later(failure) => {
                left.push((event.id, event.key_id));
                overloaded |= failure == Failure::Overloaded;
            }
            Verdict::Dead => {
                dead.push(row);
                why_dead = reason(answer);
            }
        }
    }
    let last = waiting.last().map_or(pace.after, |last| last.id);
    let step = if left.is_empty() {
        Step::Went(last)
    } else {
        let mut ids = left.iter().filter(|(id, key)| !pace.was_passed(*key, *id));
        Step::Left(Left {
            first: ids.next().map(|(id, _)| *id),
            keys: left.iter().map(|(_, key_id)| *key_id).collect(),
            last,
            some_went: !delivered.is_empty(),
            overloaded,
        })
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
