//! Takes in reports.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::join_all;
use monlight_shared::http::ApiError;
use monlight_shared::http::body::ApiBytes;
use monlight_shared::idempotency::{self, BatchAnswer, ItemAnswer, Key, RequestKey, read_batch};
use monlight_shared::store::Lane;
use serde::Serialize;

use super::text::answer;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::Recorded;
use crate::domain::report::ErrorReport;
use crate::state::AppState;
use crate::store::alerts;
use crate::store::record::{self, Incoming};

#[derive(Serialize)]
struct Created {
    status: &'static str,
    id: i64,
    fingerprint: String,
}

#[derive(Serialize)]
struct Known {
    status: &'static str,
    id: i64,
    count: i64,
}

/// `POST /api/errors`: 201 for a new or reopened group, 200 for one more of an open one, each after
/// it has reached the disk; 200 `{"status": "duplicate"}` when a report with this idempotency key was taken before.
pub(super) async fn submit(
    State(state): State<AppState>,
    RequestKey(key): RequestKey,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let report = read(&state, &body)?;
    drop(body);
    let incoming = Incoming::new(report, state.clock.now_ms(), &state.intake);
    let taken = take(&state, incoming, key).await?;
    Ok(taken.map_or_else(duplicate, |(recorded, fingerprint)| {
        told(recorded, fingerprint)
    }))
}

/// `POST /api/errors/batch`: reports that somebody kept while this service could not be reached, in their order, each by
/// itself. 200 with what became of each. They happened when their keys were made.
pub(super) async fn submit_batch(
    State(state): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    // All are handed to the writer before one is waited for, so they share commits.
    let results = read_batch(&body)?;
    let results = results.into_iter().map(async |item| {
        let report = read(&state, item.document)?;
        let incoming = Incoming::late(report, arrival(&state, item.key), &state.intake);
        let taken = take(&state, incoming, Some(item.key)).await?;
        Ok(taken.map_or(200, |(recorded, fingerprint)| {
            told(recorded, fingerprint).status().as_u16()
        }))
    });
    let results = join_all(results).await;
    let results = results.into_iter().map(ItemAnswer::of).collect();
    Ok(answer(StatusCode::OK, &BatchAnswer { results }))
}

fn read(state: &AppState, body: &[u8]) -> Result<ErrorReport, ApiError> {
    ErrorReport::from_json(body).map_err(|fault| {
        state.tally.invalid.inc();
        ApiError::invalid(fault.to_string())
    })
}

/// When a report came to whoever kept it, as far as that can be: not in the future, nor before its key would be unknown.
fn arrival(state: &AppState, key: Key) -> i64 {
    let now = state.clock.now_ms();
    let longest = i64::try_from(idempotency::KNOWN_FOR.as_millis()).unwrap_or(i64::MAX);
    key.made_at().clamp(now.saturating_sub(longest), now)
}

/// Stores a report; `None` when one with this key was stored before.
async fn take(
    state: &AppState,
    incoming: Incoming,
    key: Option<Key>,
) -> Result<Option<(Recorded, Fingerprint)>, ApiError> {
    let (size, now) = (incoming.size_bytes(), state.clock.now_ms());
    let fingerprint = incoming.fingerprint();
    let (outbox, changed) = (state.alerts.outbox.clone(), Arc::clone(&state.changed));
    let recorded = state
        .store
        .write(Lane::Ingest, size, move |conn| {
            if idempotency::is_known(conn, key)? {
                return Ok(None);
            }
            let recorded = record::record(conn, &incoming)?;
            alerts::note(&outbox, conn, recorded, now)?;
            idempotency::note(conn, key)?;
            changed.note(recorded);
            Ok(Some(recorded))
        })
        .await
        .inspect_err(|_| state.tally.failed.inc())?;
    if let Some(recorded) = recorded {
        state.tally.recorded(recorded);
    }
    Ok(recorded.map(|recorded| (recorded, fingerprint)))
}

fn duplicate() -> Response {
    answer(StatusCode::OK, &serde_json::json!({"status": "duplicate"}))
}

fn told(recorded: Recorded, fingerprint: Fingerprint) -> Response {
    match recorded {
        Recorded::Created { id } => {
            let created = Created {
                status: "created",
                id: id.get(),
                fingerprint: fingerprint.to_string(),
            };
            answer(StatusCode::CREATED, &created)
        }
        Recorded::Incremented { id, count } => {
            let (status, id) = ("incremented", id.get());
            answer(StatusCode::OK, &Known { status, id, count })
        }
        Recorded::Reopened { id, count } => {
            let (status, id) = ("reopened", id.get());
            answer(StatusCode::CREATED, &Known { status, id, count })
        }
    }
}
