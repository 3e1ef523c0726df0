//! Takes in reports.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::join_all;
use monlight_shared::http::body::ApiBytes;
use monlight_shared::http::{ApiError, RawParams, json_text};
use monlight_shared::idempotency::{
    self, BatchAnswer, ItemAnswer, Key, LIVE, RequestKey, read_batch,
};
use monlight_shared::store::Lane;
use serde::Serialize;
use serde_json::value::RawValue;

use super::text::{answer, text};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, Recorded};
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
    let (status, text) = told(take(&state, incoming, key).await?)?;
    Ok(json_text(status, text))
}

/// `POST /api/errors/batch`: reports in their order, each by itself. 200 with what became of each. Somebody kept them while
/// this service could not be reached, and they happened when their keys were made; with `?live=1` they happen now, and each is
/// told what [`submit`] answers.
pub(super) async fn submit_batch(
    State(state): State<AppState>,
    RawParams(params): RawParams,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let live = params.last(LIVE) == Some("1");
    // All are handed to the writer before one is waited for, so they share commits.
    let results = read_batch(&body)?.into_iter().map(async |item| {
        let report = read(&state, item.document)?;
        let incoming = if live {
            Incoming::new(report, state.clock.now_ms(), &state.intake)
        } else {
            Incoming::late(report, arrival(&state, item.key), &state.intake)
        };
        take(&state, incoming, Some(item.key)).await
    });
    let results = join_all(results).await.into_iter();
    let results = results.map(|taken| item_answer(taken, live)).collect();
    Ok(answer(StatusCode::OK, &BatchAnswer { results }))
}

fn item_answer(taken: Result<Taken, ApiError>, live: bool) -> ItemAnswer {
    let (status, text) = match taken.and_then(told) {
        Ok(told) => told,
        Err(fault) => return ItemAnswer::of(Err(fault)),
    };
    let answer = live.then(|| RawValue::from_string(text).ok()).flatten();
    ItemAnswer {
        answer,
        ..ItemAnswer::of(Ok(status.as_u16()))
    }
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

/// What became of a report; `None` when one with its key was stored before.
type Taken = Option<(Recorded, Fingerprint)>;

/// Stores a report.
async fn take(state: &AppState, incoming: Incoming, key: Option<Key>) -> Result<Taken, ApiError> {
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

/// Status and text of the answer.
fn told(taken: Taken) -> Result<(StatusCode, String), ApiError> {
    let known = |status, id: GroupId, count| Known {
        status,
        id: id.get(),
        count,
    };
    let (status, text) = match taken {
        None => (
            StatusCode::OK,
            text(&serde_json::json!({"status": "duplicate"})),
        ),
        Some((Recorded::Created { id }, fingerprint)) => {
            let created = Created {
                status: "created",
                id: id.get(),
                fingerprint: fingerprint.to_string(),
            };
            (StatusCode::CREATED, text(&created))
        }
        Some((Recorded::Incremented { id, count }, _)) => {
            (StatusCode::OK, text(&known("incremented", id, count)))
        }
        Some((Recorded::Reopened { id, count }, _)) => {
            (StatusCode::CREATED, text(&known("reopened", id, count)))
        }
    };
    Ok((status, text.map_err(ApiError::internal)?))
}
