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
use crate::domain::bulk::{self, Action, Bulk, MAX_IDS, Which};
use crate::domain::filter::Filter;
use crate::domain::group::GroupId;
use crate::state::AppState;
use crate::store::bulk::{Done, apply, slice, some};
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
    let bulk = Bulk::read(&body, state.clock.now_ms());
    let Bulk { action, which } = bulk.map_err(|fault| ApiError::invalid(fault.to_string()))?;
    let done = match (&action, which) {
        (Action::Merge { into }, which) => {
            let ids = all_to_merge(&state, which).await?;
            let action = with_target(&state, *into, &ids).await?;
            in_slices(&state, &action, &ids).await?
        }
        (action, Which::Ids(ids)) => in_slices(&state, action, &ids).await?,
        (action, Which::Filter(filter)) => to_all(&state, action, filter).await?,
    };
    let Done { matched, changed } = done;
    let (status, action) = ("done", action.name());
    let done = AllDone {
        status,
        action,
        matched,
        changed,
    };
    Ok(answer(StatusCode::OK, &done))
}

/// Groups are found in portions of this many.
const FOUND_AT_ONCE: usize = 500;

/// Works through all groups that a filter leaves. Those that come to match it meanwhile are left out.
async fn to_all(state: &AppState, action: &Action, filter: Filter) -> Result<Done, StoreError> {
    let mut done = Done::default();
    let mut after = None;
    loop {
        let filter = filter.clone();
        let portion = move |conn: &Connection| some(conn, &filter, after, FOUND_AT_ONCE);
        let (ids, next) = state.store.read(portion).await?;
        done.add(in_slices(state, action, &ids).await?);
        if next.is_none() {
            return Ok(done);
        }
        after = next;
    }
}

async fn all_to_merge(state: &AppState, which: Which) -> Result<Vec<GroupId>, ApiError> {
    let filter = match which {
        Which::Ids(ids) => return Ok(ids),
        Which::Filter(filter) => filter,
    };
    let found = move |conn: &Connection| some(conn, &filter, None, MAX_IDS);
    let (mut ids, more) = state.store.read(found).await?;
    if more.is_some() {
        let detail =
            format!("filter: more than {MAX_IDS} errors, the most that can be merged at once");
        return Err(ApiError::invalid(detail));
    }
    ids.sort_unstable();
    Ok(ids)
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
