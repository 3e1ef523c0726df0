//! `/api/alert-rules`: rules that watch metrics.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use monlight_shared::clock::{iso_millis, iso_seconds};
use monlight_shared::http::body::ApiBytes;
use monlight_shared::http::{ApiError, PathText, Query, RawParams, json};
use monlight_shared::notify::rules::{parse_id, spoken, too_many, unknown};
use monlight_shared::store::Lane;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Map, Value};

use super::names;
use super::question::number;
use crate::domain::rule::{MOST_RULES, Rule};
use crate::domain::rule_alert::{self, Happened};
use crate::domain::rule_state::Phase;
use crate::rules::Look;
use crate::state::AppState;
use crate::store::rule_ends;
use crate::store::rule_preview::{self, Line, Preview, Span};
use crate::store::rules::{self, StoredEvent, StoredGroup, StoredRule};
use crate::store::{HOUR_MS, MINUTE_MS, snapshot};

/// How far back a preview looks, in hours.
const MOST_HOURS: usize = 24;
/// Events in one answer.
const USUAL_EVENTS: usize = 50;
const MOST_EVENTS: usize = 500;

#[derive(Serialize)]
struct RuleList {
    rules: Vec<RuleJson>,
    most: usize,
}

#[derive(Serialize)]
struct RuleJson {
    id: i64,
    #[serde(flatten)]
    rule: Map<String, Value>,
    /// What it looks for, in one line.
    sentence: String,
    created: String,
    updated: String,
    /// How often groups began to fire.
    fired: i64,
    last_fired: Option<String>,
    /// `disabled`, `unknown`, `ok`, `pending` or `firing`.
    state: &'static str,
    pending: i64,
    firing: i64,
    /// The end of the window it last looked at, the groups with a value then, and the worst value.
    looked_at: Option<String>,
    groups: Option<usize>,
    left_out: Option<usize>,
    last_value: Option<f64>,
    fault: Option<String>,
    /// Of one rule: its groups that are pending or firing.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Vec<ActiveJson>>,
}

#[derive(Serialize)]
struct ActiveJson {
    labels: Map<String, Value>,
    state: &'static str,
    since: String,
    value: Option<f64>,
    /// When people were last told.
    told: Option<String>,
}

impl RuleJson {
    fn of(stored: &StoredRule, look: Option<Look>, [pending, firing]: [i64; 2]) -> Self {
        let look_state = match &look {
            _ if firing > 0 => "firing",
            _ if pending > 0 => "pending",
            Some(look) if look.fault.is_none() && look.groups > 0 => "ok",
            // Nothing to read, or not looked at yet.
            _ => "unknown",
        };
        let look = look.as_ref();
        Self {
            id: stored.id,
            rule: stored.rule.to_json(),
            sentence: stored.rule.sentence(),
            created: iso_seconds(stored.created_ms),
            updated: iso_seconds(stored.updated_ms),
            fired: stored.fired,
            last_fired: stored.fired_ms.map(iso_seconds),
            state: if stored.rule.enabled {
                look_state
            } else {
                "disabled"
            },
            pending,
            firing,
            looked_at: look.map(|look| iso_seconds(look.end_ms)),
            groups: look.map(|look| look.groups),
            left_out: look.map(|look| look.left_out),
            last_value: look.and_then(|look| look.worst),
            fault: look.and_then(|look| look.fault.clone()),
            active: None,
        }
    }

    /// With its groups.
    fn with(state: &AppState, stored: &StoredRule, groups: &[StoredGroup]) -> Self {
        let count = |phase| {
            groups
                .iter()
                .filter(|known| known.group.phase == phase)
                .count() as i64
        };
        let counts = [count(Phase::Pending), count(Phase::Firing)];
        let look = state.rules.look(stored.id, stored.revision);
        let has_channels = !state.rules.alerts().outbox.channels().is_empty();
        let active = groups
            .iter()
            .filter(|known| known.group.phase != Phase::Calm);
        let active = active.map(|known| ActiveJson {
            labels: rule_alert::labels(&stored.rule, &known.labels),
            state: match known.group.phase {
                Phase::Firing => "firing",
                Phase::Pending | Phase::Calm => "pending",
            },
            since: iso_seconds(known.group.since_ms),
            value: known.value,
            told: known
                .group
                .told_ms
                .filter(|_| has_channels)
                .map(iso_seconds),
        });
        Self {
            active: Some(active.collect()),
            ..Self::of(stored, look, counts)
        }
    }
}

/// `GET /api/alert-rules`: all of them, or those of a project.
pub(super) async fn all(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let project = names::project(&query);
    let (mut stored, counts) = state
        .store
        .read(|conn| {
            snapshot(conn, |conn| {
                Ok((rules::all(conn)?, rules::group_counts(conn)?))
            })
        })
        .await?;
    stored.retain(|stored| project.is_none() || stored.rule.project == project);
    let rules = stored.iter().map(|stored| {
        let look = state.rules.look(stored.id, stored.revision);
        let counts = counts.get(&stored.id).copied().unwrap_or_default();
        RuleJson::of(stored, look, counts)
    });
    let list = RuleList {
        rules: rules.collect(),
        most: MOST_RULES,
    };
    Ok(json(StatusCode::OK, &list))
}

/// `POST /api/alert-rules`.
pub(super) async fn add(
    State(state): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let rule = Rule::read(&body).map_err(ApiError::invalid)?;
    let now_ms = state.clock.now_ms();
    let added = state
        .store
        .write(Lane::Ingest, 0, move |conn| rules::add(conn, &rule, now_ms))
        .await?;
    let added = added.ok_or_else(|| too_many(MOST_RULES))?;
    Ok(json(
        StatusCode::CREATED,
        &RuleJson::with(&state, &added, &[]),
    ))
}

/// `GET /api/alert-rules/{id}`.
pub(super) async fn one(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let (stored, groups) = find(&state, &id).await?;
    Ok(json(
        StatusCode::OK,
        &RuleJson::with(&state, &stored, &groups),
    ))
}

/// `PATCH /api/alert-rules/{id}`: what is not given stays.
pub(super) async fn update(
    State(state): State<AppState>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let (outbox, now_ms) = (state.rules.alerts().outbox.clone(), state.clock.now_ms());
    let change = move |conn: &Connection| {
        let Some(known) = rules::one(conn, id)? else {
            return Ok(Ok(None));
        };
        let rule = match known.rule.changed(&body) {
            Ok(rule) => rule,
            Err(fault) => return Ok(Err(fault)),
        };
        let changed = rules::replace(conn, &outbox, &known, &rule, now_ms)?;
        let groups = rules::groups(conn, id)?;
        Ok(Ok(changed.map(|changed| (changed, groups))))
    };
    let changed = state.store.write(Lane::Ingest, 0, change).await?;
    let changed = changed.map_err(ApiError::invalid)?;
    let ((changed, ended), groups) = changed.ok_or_else(unknown)?;
    state.rules.told().ended.add(ended);
    Ok(json(
        StatusCode::OK,
        &RuleJson::with(&state, &changed, &groups),
    ))
}

/// `DELETE /api/alert-rules/{id}`.
pub(super) async fn remove(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let (outbox, now_ms) = (state.rules.alerts().outbox.clone(), state.clock.now_ms());
    let remove = move |conn: &Connection| rule_ends::remove(conn, &outbox, id, now_ms);
    let ended = state.store.write(Lane::Ingest, 0, remove).await?;
    state.rules.told().ended.add(ended.ok_or_else(unknown)?);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/alert-rules/{id}/test`: tries every channel. 503 when there is none; 202 whatever the channels say.
pub(super) async fn test(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let (stored, _) = find(&state, &id).await?;
    let (alerts, now_ms) = (state.rules.alerts(), state.clock.now_ms());
    let id = format!("test.{now_ms}");
    let message = rule_alert::test(&alerts.base_url, &id, now_ms, Some(&stored.rule));
    alerts.answer_test(Some(stored.id), &message).await
}

#[derive(Serialize)]
struct HistoryJson {
    events: Vec<EventJson>,
    /// What to give as `before` for older ones; null when there are none.
    next: Option<i64>,
}

#[derive(Serialize)]
struct EventJson {
    id: i64,
    state: &'static str,
    labels: Map<String, Value>,
    value: Option<f64>,
    time: String,
    /// When the group began to fire.
    since: String,
    /// Why it ended.
    reason: Option<&'static str>,
    /// When it was handed to the channels; null when nobody was told.
    told: Option<String>,
    /// The rule as it was.
    sentence: String,
}

impl EventJson {
    fn of(stored: &StoredEvent) -> Self {
        let event = &stored.event;
        let ended = event.happened == Happened::Resolved;
        Self {
            id: stored.id,
            state: event.happened.name(),
            labels: rule_alert::labels(&event.rule, &event.group),
            value: event.value,
            time: iso_seconds(event.time_ms),
            since: iso_seconds(event.since_ms),
            reason: ended.then(|| event.reason.name()),
            told: stored.told_ms.map(iso_millis),
            sentence: event.rule.sentence(),
        }
    }
}

/// `GET /api/alert-rules/{id}/history`: what happened, newest first; also of a rule that was deleted.
pub(super) async fn history(
    State(state): State<AppState>,
    PathText(id): PathText,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let most = number(&query, "limit", 1..=MOST_EVENTS)?.unwrap_or(USUAL_EVENTS);
    let before = number(&query, "before", 1..=usize::MAX >> 1)?;
    let before = before.map_or(i64::MAX, |before| before as i64);
    let id = parse_id(&id)?;
    let read = move |conn: &Connection| {
        snapshot(conn, |conn| {
            let events = rules::history(conn, id, before, most as i64 + 1)?;
            let is_known = !events.is_empty() || rules::one(conn, id)?.is_some();
            Ok(is_known.then_some(events))
        })
    };
    let events = state.store.read(read).await?.ok_or_else(unknown)?;
    let shown = events.get(..most).unwrap_or(&events);
    let history = HistoryJson {
        next: shown
            .last()
            .filter(|_| events.len() > most)
            .map(|last| last.id),
        events: shown.iter().map(EventJson::of).collect(),
    };
    Ok(json(StatusCode::OK, &history))
}

#[derive(Serialize)]
struct PreviewJson {
    /// What was asked for.
    since: String,
    until: String,
    hours: usize,
    /// From when it looked.
    from: String,
    /// Why that is later than asked, or why it did not look.
    note: Option<String>,
    /// Seconds between two looks.
    step_seconds: i64,
    groups: usize,
    left_out: usize,
    fired: usize,
    resolved: usize,
    /// How many messages there would have been.
    told: usize,
    spans: Vec<SpanJson>,
    /// The end of the window of the first of all values.
    first: String,
    values: Vec<LineJson>,
    took_ms: u64,
}

#[derive(Serialize)]
struct SpanJson {
    labels: Map<String, Value>,
    from: String,
    to: Option<String>,
    value: Option<f64>,
}

#[derive(Serialize)]
struct LineJson {
    labels: Map<String, Value>,
    values: Vec<Option<f64>>,
}

/// `GET /api/alert-rules/{id}/preview`: what a rule would have done.
pub(super) async fn preview(
    State(state): State<AppState>,
    PathText(id): PathText,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let (stored, _) = find(&state, &id).await?;
    look_back(&state, stored.rule, &query).await
}

/// `POST /api/alert-rules/preview`: the same for a rule that is not stored.
pub(super) async fn preview_new(
    State(state): State<AppState>,
    RawParams(query): RawParams,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let rule = Rule::read(&body).map_err(ApiError::invalid)?;
    look_back(&state, rule, &query).await
}

async fn look_back(state: &AppState, rule: Rule, query: &Query) -> Result<Response, ApiError> {
    let started = state.clock.monotonic();
    let hours = number(query, "hours", 1..=MOST_HOURS)?.unwrap_or(MOST_HOURS);
    let now_ms = state.clock.now_ms();
    let until_ms = now_ms - now_ms.rem_euclid(MINUTE_MS);
    let since_ms = until_ms - hours as i64 * HOUR_MS;
    let asked = rule.clone();
    let read = move |conn: &Connection| {
        snapshot(conn, |conn| {
            rule_preview::look_back(conn, &asked, (since_ms, until_ms))
        })
    };
    let preview = state.store.read(read).await?;
    let took = state.clock.monotonic().saturating_sub(started);
    let shown = shown_preview(&rule, preview, (since_ms, until_ms), hours);
    let took_ms = took.as_millis() as u64;
    Ok(json(StatusCode::OK, &PreviewJson { took_ms, ..shown }))
}

fn shown_preview(
    rule: &Rule,
    preview: Preview,
    (since_ms, until_ms): (i64, i64),
    hours: usize,
) -> PreviewJson {
    let labels = |group: &[String]| rule_alert::labels(rule, group);
    let span = |span: Span| SpanJson {
        labels: labels(&span.group),
        from: iso_seconds(span.from_ms),
        to: span.to_ms.map(iso_seconds),
        value: span.worst,
    };
    let line = |line: Line| LineJson {
        labels: labels(&line.group),
        values: line.values,
    };
    let has_looked = preview.first_ms <= until_ms;
    let from = iso_seconds(if has_looked {
        preview.from_ms
    } else {
        until_ms
    });
    let note = if preview.from_ms > since_ms {
        let window = spoken(rule.window * if rule.compares() { 2 } else { 1 });
        Some(format!(
            "It looked from {from} on: before, the {window} that it looks back are not all kept by the minute (RETENTION_MINUTE)"
        ))
    } else {
        let step = spoken(Duration::from_millis(preview.step_ms.unsigned_abs()));
        (!has_looked).then(|| {
            format!("It did not look: with this window it looks every {step}, ask for more hours")
        })
    };
    PreviewJson {
        since: iso_seconds(since_ms),
        until: iso_seconds(until_ms),
        hours,
        note,
        from,
        step_seconds: preview.step_ms / 1000,
        groups: preview.groups,
        left_out: preview.left_out,
        fired: preview.fired,
        resolved: preview.resolved,
        told: preview.told,
        spans: preview.spans.into_iter().map(span).collect(),
        first: iso_seconds(preview.first_ms),
        values: preview.lines.into_iter().map(line).collect(),
        took_ms: 0,
    }
}

/// A rule and its groups.
async fn find(state: &AppState, id: &str) -> Result<(StoredRule, Vec<StoredGroup>), ApiError> {
    let id = parse_id(id)?;
    let found = state
        .store
        .read(move |conn| {
            snapshot(conn, |conn| {
                Ok((rules::one(conn, id)?, rules::groups(conn, id)?))
            })
        })
        .await?;
    let (stored, groups) = found;
    Ok((stored.ok_or_else(unknown)?, groups))
}
