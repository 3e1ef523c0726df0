//! One group: its detail, and what people do with it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::{ApiError, PathText};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::UNKNOWN;
use super::text::answer;
use crate::domain::group::{GroupId, State as GroupState};
use crate::state::AppState;
use crate::store::detail::{self, GroupDetail, Occurrence};

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
}

#[derive(Serialize)]
struct Shown<'a> {
    id: i64,
    timestamp: String,
    request_url: Option<&'a str>,
    request_method: Option<&'a str>,
    request_headers: Option<JsonText<'a>>,
    user_id: Option<&'a str>,
    extra: Option<JsonText<'a>>,
    traceback: &'a str,
    // From here on the original has nothing.
    message: &'a str,
    timestamp_ms: i64,
    level: Option<&'a str>,
    release: Option<&'a str>,
    environment: Option<&'a str>,
    server_name: Option<&'a str>,
    tags: Option<JsonText<'a>>,
}

#[derive(Serialize)]
struct Hour {
    hour: String,
    count: i64,
}

/// `GET /api/errors/{id}`.
pub(super) async fn detail(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let now = state.clock.now_ms();
    let group = state
        .store
        .read(move |conn| detail::detail(conn, id, now))
        .await?
        .ok_or_else(|| ApiError::not_found(UNKNOWN))?;
    Ok(answer(StatusCode::OK, &shown(&group)))
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
        occurrences: group.occurrences.iter().map(shown_occurrence).collect(),
        source: group.source.name(),
        first_seen_ms: group.first_seen,
        last_seen_ms: group.last_seen,
        hourly: group.hours.iter().map(hour).collect(),
    }
}

fn shown_occurrence(one: &Occurrence) -> Shown<'_> {
    Shown {
        id: one.number,
        timestamp: iso_seconds(one.time),
        request_url: one.request_url.as_deref(),
        request_method: one.request_method.as_deref(),
        request_headers: one.request_headers.as_deref().map(JsonText),
        user_id: one.user_id.as_deref(),
        extra: one.extra.as_deref().map(JsonText),
        traceback: &one.traceback,
        message: &one.message,
        timestamp_ms: one.time,
        level: one.level.as_deref(),
        release: one.release.as_deref(),
        environment: one.environment.as_deref(),
        server_name: one.server_name.as_deref(),
        tags: one.tags.as_deref().map(JsonText),
    }
}

/// Stored JSON, given back as the value it is, digit for digit.
struct JsonText<'a>(&'a str);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}
