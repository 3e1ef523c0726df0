//! Delivers what the outbox holds: a task for each service, so that one that is down does not hold up the other.

use std::time::Duration;

use anyhow::Result;
use monlight_shared::idempotency::{ItemAnswer, MOST_IN_BATCH};
use monlight_shared::lifecycle::Lifecycle;

use crate::outbox::Gone;
use crate::state::State;
use crate::store::outbox::{self as table, Waiting};
use crate::telemetry::EventKind;
use crate::upstream::Rejected;

/// Bytes of documents in one batch, unless a single one has more.
const BATCH_BYTES: usize = 512 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a service may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

pub(crate) fn start(lifecycle: &Lifecycle, state: &State) {
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
        state.outbox.expire(kind).await?;
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
    match state.upstream(kind).send_batch(body(&waiting)).await {
        Ok(answers) if answers.len() == waiting.len() => {
            settle(state, kind, &waiting, &answers).await
        }
        Ok(_) => Ok(Step::Failed(LONGEST_PAUSE)),
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

/// Takes out of the outbox what was delivered and what is not wanted.
async fn settle(
    state: &State,
    kind: EventKind,
    waiting: &[Waiting],
    answers: &[ItemAnswer],
) -> Result<Step> {
    let (mut delivered, mut refused) = (Vec::new(), Vec::new());
    let mut detail = None;
    for (event, answer) in waiting.iter().zip(answers) {
        let row = (event.id, event.key_id, event.document.len());
        match answer.status {
            200..=202 => delivered.push(row),
            400 | 413 | 422 => {
                refused.push(row);
                detail = answer.detail.clone().or(detail);
            }
            _ => {}
        }
    }
    let left = waiting.len() - delivered.len() - refused.len();
    for (rows, why) in [(delivered, Gone::Delivered), (refused, Gone::Refused)] {
        if rows.is_empty() {
            continue;
        }
        if why == Gone::Refused {
            let reason: String = detail
                .iter()
                .flat_map(|text| text.chars().take(200))
                .collect();
            tracing::warn!(
                upstream = kind.upstream(),
                events = rows.len(),
                reason,
                "events that were kept are refused"
            );
        }
        state.outbox.remove(kind, &rows, why).await?;
    }
    Ok(if left == 0 {
        Step::Went
    } else {
        Step::Failed(Duration::ZERO)
    })
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
