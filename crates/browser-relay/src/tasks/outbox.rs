//! Delivers what the outbox holds: a task for each service, so that one that is down does not hold up the other.

use std::time::Duration;

use anyhow::Result;
use monlight_shared::idempotency::{ItemAnswer, MOST_IN_BATCH};
use monlight_shared::lifecycle::Lifecycle;

use crate::outbox::Gone;
use crate::state::State;
use crate::store::outbox::{self as table, Fate, Waiting};
use crate::telemetry::EventKind;
use crate::upstream::Rejected;

/// Bytes of documents in one batch, unless a single one has more.
const BATCH_BYTES: usize = 512 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
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
    let mut pause = FIRST_PAUSE;
    let mut most = MOST_IN_BATCH;
    loop {
        if !state.outbox.holds(kind) {
            state.outbox.woken(kind).await;
            continue;
        }
        state.outbox.expire(kind, Fate::Waits).await?;
        match batch(state, kind, most).await? {
            Step::Went => (pause, most) = (FIRST_PAUSE, MOST_IN_BATCH),
            Step::TooMany(count) => most = (count / 2).max(1),
            Step::Failed(retry_after) => {
                if lifecycle.sleep(pause.max(retry_after)).await {
                    return Ok(());
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// What came of an attempt.
enum Step {
    Went,
    /// So many at once were not accepted as a batch.
    TooMany(usize),
    /// Something is left that has to be tried again, after this time at the earliest.
    Failed(Duration),
}

async fn batch(state: &State, kind: EventKind, most: usize) -> Result<Step> {
    let next = move |conn: &_| table::next(conn, kind, most, BATCH_BYTES);
    let waiting = state.store.read(next).await?;
    if waiting.is_empty() {
        // What is counted is still being stored.
        state.outbox.woken(kind).await;
        return Ok(Step::Went);
    }
    let sent = state
        .upstream(kind)
        .send_batch(body(&waiting), waiting.len());
    match sent.await {
        Ok(answers) => settle(state, kind, &waiting, &answers).await,
        Err(Rejected::Event { detail }) if waiting.len() == 1 => {
            let answer = ItemAnswer {
                status: 400,
                detail: Some(detail),
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
    for (event, answer) in waiting.iter().zip(answers) {
        let row = (event.id, event.key_id, event.document.len());
        match answer.status {
            200..=202 => delivered.push(row),
            400 | 413 | 422 => {
                refused.push(row);
                why_refused = reason(answer);
            }
            408 | 425 | 429 | 500.. => {}
            _ => {
                dead.push(row);
                why_dead = reason(answer);
            }
        }
    }
    let left = waiting.len() - delivered.len() - refused.len() - dead.len();
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
    Ok(if left == 0 {
        Step::Went
    } else {
        Step::Failed(Duration::ZERO)
    })
}

/// `404: Not found`, of a length that a log can bear.
fn reason(answer: &ItemAnswer) -> String {
    let status = answer.status;
    match &answer.detail {
        Some(detail) => format!("{status}: {}", detail.chars().take(200).collect::<String>()),
        None => status.to_string(),
    }
}

/// `[{"key": "…", "document": …}, …]`
fn body(waiting: &[Waiting]) -> Vec<u8> {
    let documents: usize = waiting.iter().map(|event| event.document.len() + 64).sum();
    let mut body = Vec::with_capacity(documents);
    let mut separator = b'[';
    for event in waiting {
        body.push(separator);
        body.extend_from_slice(format!("{{\"key\":\"{}\",\"document\":", event.key).as_bytes());
        body.extend_from_slice(&event.document);
        body.push(b'}');
        separator = b',';
    }
    body.push(b']');
    body
}
