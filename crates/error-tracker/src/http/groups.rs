//! One group: what is known of it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::{ApiError, PathText};
use serde::Serialize;

use super::UNKNOWN;
use super::occurrence::{JsonText, Shown};
use super::text::answer;
use crate::domain::facet::FacetKind;
use crate::domain::group::{GroupId, State as GroupState};
use crate::domain::grouping::{GroupingKey, KeyKind};
use crate::state::AppState;
use crate::store::detail::{self, Change, GroupDetail, Occurrence};

#[derive(Serialize)]
struct Detail<'a> {
    id: i64,
    fingerprint: String,
    project: &'a str,
    exception_type: &'a str,
    message: &'a str,
    traceback: &'a str,
    count: i64,
    first_seen: String,
    last_seen: String,
    resolved: bool,
    resolved_at: Option<String>,
    occurrences: Vec<Shown<'a>>,
    // From here on the original has nothing.
    source: &'static str,
    first_seen_ms: i64,
    last_seen_ms: i64,
    hourly: Vec<Hour>,
    state: &'static str,
    reopened: bool,
    users: i64,
    users_exact: bool,
    first_release: Option<&'a str>,
    last_release: Option<&'a str>,
    note: Option<&'a str>,
    resolved_in_release: Option<&'a str>,
    ignored_until: Option<String>,
    ignored_until_count: Option<i64>,
    first_occurrence: Option<Shown<'a>>,
    facets: BTreeMap<&'static str, Vec<&'a str>>,
    grouping: Grouping,
    history: Vec<Happened<'a>>,
}

#[derive(Serialize)]
struct Hour {
    hour: String,
    count: i64,
}

/// What makes a report one of this group.
#[derive(Serialize)]
struct Grouping {
    /// Of the key that made the group.
    kind: &'static str,
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    kind: &'static str,
    fingerprint: String,
}

#[derive(Serialize)]
struct Happened<'a> {
    time: String,
    time_ms: i64,
    action: &'a str,
    detail: Option<JsonText<'a>>,
}

#[derive(Serialize)]
struct Kept<'a> {
    occurrences: Vec<Shown<'a>>,
    first_occurrence: Option<Shown<'a>>,
    count: i64,
}

/// `GET /api/errors/{id}`.
pub(super) async fn detail(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let group = read(&state, &id).await?;
    Ok(answer(StatusCode::OK, &shown(&group)))
}

/// `GET /api/errors/{id}/occurrences`.
pub(super) async fn occurrences(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let group = read(&state, &id).await?;
    let kept = Kept {
        occurrences: group.occurrences.iter().map(Shown::from).collect(),
        first_occurrence: group.first.as_ref().map(Shown::from),
        count: group.count,
    };
    Ok(answer(StatusCode::OK, &kept))
}

async fn read(state: &AppState, id: &str) -> Result<GroupDetail, ApiError> {
    let id = GroupId::from_path(id).ok_or_else(ApiError::no_route)?;
    let now = state.clock.now_ms();
    let read = state.store.read(move |conn| detail::detail(conn, id, now));
    read.await?.ok_or_else(|| ApiError::not_found(UNKNOWN))
}

fn shown(group: &GroupDetail) -> Detail<'_> {
    let hour = |(start, count): &(i64, i64)| Hour {
        hour: iso_seconds(*start),
        count: *count,
    };
    Detail {
        id: group.id.get(),
        fingerprint: group.fingerprint.to_string(),
        project: &group.project,
        exception_type: &group.exception_type,
        message: &group.message,
        traceback: &group.traceback,
        count: group.count,
        first_seen: iso_seconds(group.first_seen),
        last_seen: iso_seconds(group.last_seen),
        resolved: group.state == GroupState::Resolved,
        resolved_at: group.resolved_at.map(iso_seconds),
        occurrences: group.occurrences.iter().map(Shown::from).collect(),
        source: group.source.name(),
        first_seen_ms: group.first_seen,
        last_seen_ms: group.last_seen,
        hourly: group.hours.iter().map(hour).collect(),
        state: group.state.name(),
        reopened: group.state == GroupState::Open && group.fresh_at > group.first_seen,
        users: group.users,
        users_exact: group.users_exact,
        first_release: group.first.as_ref().and_then(release),
        last_release: group.occurrences.first().and_then(release),
        note: group.decided.note.as_deref(),
        resolved_in_release: group.decided.resolved_release.as_deref(),
        ignored_until: group.decided.ignored_until.map(iso_seconds),
        ignored_until_count: group.decided.ignored_count,
        first_occurrence: group.first.as_ref().map(Shown::from),
        facets: by_kind(&group.facets),
        grouping: grouping(group),
        history: group.history.iter().map(happened).collect(),
    }
}

fn release(one: &Occurrence) -> Option<&str> {
    one.release.as_deref()
}

/// The values of each kind, all kinds named.
pub(super) fn by_kind(facets: &[(FacetKind, String, i64)]) -> BTreeMap<&'static str, Vec<&str>> {
    let mut kinds: BTreeMap<_, Vec<_>> = FacetKind::ALL
        .iter()
        .map(|kind| (kind.name(), Vec::new()))
        .collect();
    for (kind, value, _) in facets {
        kinds.entry(kind.name()).or_default().push(value.as_str());
    }
    kinds
}

fn grouping(group: &GroupDetail) -> Grouping {
    let own = group
        .keys
        .iter()
        .find(|key| key.fingerprint() == group.fingerprint);
    let key = |key: &GroupingKey| Key {
        kind: key.kind().as_str(),
        fingerprint: key.fingerprint().to_string(),
    };
    Grouping {
        kind: own.map_or(KeyKind::Original, GroupingKey::kind).as_str(),
        keys: group.keys.iter().map(key).collect(),
    }
}

fn happened(change: &Change) -> Happened<'_> {
    Happened {
        time: iso_seconds(change.time),
        time_ms: change.time,
        action: &change.action,
        detail: change.detail.as_deref().map(JsonText),
    }
}
