//! What people decide about one group.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::body::ApiBytes;
use monlight_shared::http::{ApiError, PathText};
use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;
use serde::Serialize;

use super::UNKNOWN;
use super::text::answer;
use crate::domain::decision;
use crate::domain::group::GroupId;
use crate::state::AppState;
use crate::store::lifecycle::{self, Decided};
use crate::store::remove;

#[derive(Serialize)]
struct Done {
    status: &'static str,
    id: i64,
}

/// `POST /api/errors/{id}/resolve`: the same answer however often it is asked. The contract ignores the body; one that is
/// a JSON object may name the release with the cure.
pub(super) async fn resolve(
    State(state): State<AppState>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let release = decision::release(&body).map_err(invalid)?;
    let now = state.clock.now_ms();
    let job = move |conn: &Connection| lifecycle::resolve(conn, id, release.as_deref(), now);
    decided(&state, id, "resolved", job).await
}

/// `POST /api/errors/{id}/reopen`.
pub(super) async fn reopen(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let now = state.clock.now_ms();
    let job = move |conn: &Connection| lifecycle::reopen(conn, id, now);
    decided(&state, id, "reopened", job).await
}

/// `POST /api/errors/{id}/ignore`.
pub(super) async fn ignore(
    State(state): State<AppState>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let now = state.clock.now_ms();
    let until = decision::ignore(&body, now).map_err(invalid)?;
    let job = move |conn: &Connection| lifecycle::ignore(conn, id, until, now);
    decided(&state, id, "ignored", job).await
}

/// `PUT` and `POST /api/errors/{id}/note`.
pub(super) async fn note(
    State(state): State<AppState>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let note = decision::note(&body).map_err(invalid)?;
    let now = state.clock.now_ms();
    let job = move |conn: &Connection| lifecycle::note(conn, id, note.as_deref(), now);
    decided(&state, id, "noted", job).await
}

/// `DELETE /api/errors/{id}`: its number is never used again; the next report of the kind makes a new group.
pub(super) async fn delete(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let job = move |conn: &Connection| {
        let known = remove::group(conn, id)?;
        Ok(if known {
            Decided::Now
        } else {
            Decided::Unknown
        })
    };
    decided(&state, id, "deleted", job).await
}

async fn decided(
    state: &AppState,
    id: GroupId,
    status: &'static str,
    job: impl FnOnce(&Connection) -> Result<Decided, StoreError> + Send + 'static,
) -> Result<Response, ApiError> {
    match state.store.write(Lane::Ingest, 0, job).await? {
        Decided::Unknown => Err(ApiError::not_found(UNKNOWN)),
        Decided::Already | Decided::Now => {
            let id = id.get();
            Ok(answer(StatusCode::OK, &Done { status, id }))
        }
    }
}

pub(super) fn invalid(fault: decision::InvalidDecision) -> ApiError {
    ApiError::invalid(fault.to_string())
}
