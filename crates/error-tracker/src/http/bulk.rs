//! What people do with several groups at once: answered when all is done, slice by slice behind the reports that arrive
//! meanwhile.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::body::ApiBytes;
use monlight_shared::http::{ApiError, PathText};
use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;
use serde::Serialize;

use super::UNKNOWN;
use super::lifecycle::invalid;
use super::text::answer;
use crate::domain::bulk::{self, Action, Bulk};
use crate::domain::group::GroupId;
use crate::state::AppState;
use crate::store::bulk::{Done, apply, slice};
use crate::store::merge::{self, Merged};

#[derive(Serialize)]
struct AllDone {
    status: &'static str,
    action: &'static str,
    matched: usize,
    changed: usize,
}

#[derive(Serialize)]
struct OneOfMany {
    status: &'static str,
    id: i64,
    merged: usize,
}

/// `POST /api/errors/{id}/merge`: the others go into this one.
pub(super) async fn merge(
    State(state): State<AppState>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let into = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let mut others = bulk::ids(&body).map_err(invalid)?;
    others.retain(|other| *other != into);
    let checked = others.clone();
    let possible = state
        .store
        .read(move |conn| merge::check(conn, into, &checked))
        .await?;
    possible_merge(possible, into)?;
    let action = Action::Merge { into: Some(into) };
    let merged = in_slices(&state, &action, &others).await?.changed;
    let (status, id) = ("merged", into.get());
    Ok(answer(StatusCode::OK, &OneOfMany { status, id, merged }))
}

/// `POST /api/errors/bulk`.
pub(super) async fn bulk(
    State(state): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let Bulk { action, ids } = Bulk::read(&body, state.clock.now_ms()).map_err(invalid)?;
    let action = match action {
        Action::Merge { into } => with_target(&state, into, &ids).await?,
        other => other,
    };
    let Done { matched, changed } = in_slices(&state, &action, &ids).await?;
    let (status, action) = ("done", action.name());
    let done = AllDone {
        status,
        action,
        matched,
        changed,
    };
    Ok(answer(StatusCode::OK, &done))
}

/// A merge into one of the groups, that can be done.
async fn with_target(
    state: &AppState,
    into: Option<GroupId>,
    ids: &[GroupId],
) -> Result<Action, ApiError> {
    let ids = ids.to_vec();
    let checked = state
        .store
        .read(move |conn| {
            let known = merge::known(conn, &ids)?;
            let Some(into) = into.or(known.first().copied()) else {
                return Ok(None);
            };
            Ok(Some((into, merge::check(conn, into, &known)?)))
        })
        .await?;
    let Some((into, possible)) = checked else {
        return Ok(Action::Merge { into });
    };
    possible_merge(possible, into)?;
    Ok(Action::Merge { into: Some(into) })
}

fn possible_merge(possible: Merged, into: GroupId) -> Result<(), ApiError> {
    match possible {
        Merged::Now => Ok(()),
        Merged::Unknown(id) if id == into => Err(ApiError::not_found(UNKNOWN)),
        Merged::Unknown(id) => {
            let id = id.get();
            Err(ApiError::not_found(format!("Error {id} not found")))
        }
        Merged::OtherProject(id) => {
            let (id, into) = (id.get(), into.get());
            let detail = format!("Error {id} is of another project than error {into}");
            Err(ApiError::invalid(detail))
        }
    }
}

/// Each slice is a commit of its own: whoever hangs up leaves the rest undone.
async fn in_slices(state: &AppState, action: &Action, ids: &[GroupId]) -> Result<Done, StoreError> {
    let now = state.clock.now_ms();
    let mut done = Done::default();
    for ids in ids.chunks(slice(action)) {
        let (action, ids) = (action.clone(), ids.to_vec());
        let job = move |conn: &Connection| apply(conn, &action, &ids, now);
        done.add(state.store.write(Lane::Upkeep, 0, job).await?);
    }
    Ok(done)
}
