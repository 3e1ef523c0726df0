//! `/api/alert-rules`: rules that watch what arrives.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use monlight_shared::clock::{iso_millis, iso_seconds};
use monlight_shared::http::body::ApiBytes;
use monlight_shared::http::{ApiError, PathText, RawParams, json};
use monlight_shared::notify::rules::{parameters, parse_id, too_many, unknown};
use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::params;
use crate::domain::filter::{Filter, Order, Page};
use crate::domain::rule::{self, MOST_RULES, Rule};
use crate::domain::rule_alert;
use crate::json::{self as wire, millis, nanos};
use crate::state::AppState;
use crate::store::list::{self, EXACT_UP_TO};
use crate::store::rules::{self, StoredRule};

/// How far back a preview looks, in hours.
const USUAL_HOURS: i64 = 24;
const MOST_HOURS: i64 = 7 * 24;
/// Entries, and times at which a rule would have fired, that a preview shows.
const SHOWN: usize = 20;
/// Text of these entries, about.
const SHOWN_BYTES: usize = 512 * 1024;
const HOUR_NS: i64 = 3_600_000_000_000;

#[derive(Serialize)]
struct RuleList {
    rules: Vec<RuleJson>,
    most: usize,
}

#[derive(Serialize)]
struct RuleJson {
    id: i64,
    name: String,
    filter: Map<String, Value>,
    query: String,
    threshold: i64,
    window_seconds: u64,
    cooldown_seconds: u64,
    enabled: bool,
    created: String,
    updated: String,
    /// How often it fired.
    fired: i64,
    last_fired: Option<String>,
    quiet_until: Option<String>,
    /// Matches that count now.
    matches: i64,
}

impl RuleJson {
    fn of(stored: StoredRule, now_ms: i64) -> Self {
        let (rule, counted) = (&stored.rule, &stored.counted);
        Self {
            id: stored.id,
            filter: parameters(&rule.query),
            threshold: rule.threshold,
            window_seconds: rule.window.as_secs(),
            cooldown_seconds: rule.cooldown.as_secs(),
            enabled: rule.enabled,
            created: iso_seconds(stored.created_ms),
            updated: iso_seconds(stored.updated_ms),
            fired: stored.fired,
            last_fired: stored.told_ms.map(iso_millis),
            quiet_until: counted.quiet_until(rule, now_ms).map(iso_millis),
            matches: counted.within(rule, now_ms),
            name: stored.rule.name,
            query: stored.rule.query,
        }
    }
}

/// `GET /api/alert-rules`.
pub(super) async fn all(State(state): State<AppState>) -> Result<Response, ApiError> {
    let now_ms = state.ctx.clock.now_ms();
    let stored = state.ctx.store.read(rules::all).await?;
    let rules = stored
        .into_iter()
        .map(|stored| RuleJson::of(stored, now_ms));
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
    let now_ms = state.ctx.clock.now_ms();
    let added = change(&state, move |conn| rules::add(conn, &rule, now_ms)).await?;
    let added = added.ok_or_else(|| too_many(MOST_RULES))?;
    Ok(json(StatusCode::CREATED, &RuleJson::of(added, now_ms)))
}

/// `GET /api/alert-rules/{id}`.
pub(super) async fn one(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let stored = find(&state, &id).await?;
    let now_ms = state.ctx.clock.now_ms();
    Ok(json(StatusCode::OK, &RuleJson::of(stored, now_ms)))
}

/// `PATCH /api/alert-rules/{id}`: what is not given stays.
pub(super) async fn update(
    State(state): State<AppState>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let now_ms = state.ctx.clock.now_ms();
    let changed = change(&state, move |conn| {
        let Some(known) = rules::one(conn, id)? else {
            return Ok(Ok(None));
        };
        match known.rule.clone().changed(&body) {
            Ok(rule) => rules::replace(conn, &known, &rule, now_ms).map(Ok),
            Err(fault) => Ok(Err(fault)),
        }
    });
    let changed = changed.await?.map_err(ApiError::invalid)?;
    let changed = changed.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &RuleJson::of(changed, now_ms)))
}

/// `DELETE /api/alert-rules/{id}`.
pub(super) async fn remove(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    if !change(&state, move |conn| rules::remove(conn, id)).await? {
        return Err(unknown());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Changes rules, and looks for what they are then before anybody else changes them.
async fn change<T: Send + 'static>(
    state: &AppState,
    job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let _alone = state.rules.changing().await;
    let write = state.ctx.store.write(Lane::Ingest, 0, move |conn| {
        let done = job(conn)?;
        Ok((done, rules::all(conn)?))
    });
    let (done, stored) = write.await?;
    state.rules.load(stored);
    Ok(done)
}

/// `POST /api/alert-rules/{id}/test`: tries every channel. 503 when there is none; 202 whatever the channels say.
pub(super) async fn test(
    State(state): State<AppState>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let stored = find(&state, &id).await?;
    let (alerts, now_ms) = (state.rules.alerts(), state.ctx.clock.now_ms());
    let rule = Some((stored.rule.name.as_str(), stored.rule.query.as_str()));
    let message = rule_alert::test(&alerts.base_url, &format!("test.{now_ms}"), now_ms, rule);
    alerts.answer_test(Some(stored.id), &message).await
}

#[derive(Serialize)]
struct PreviewJson {
    since: String,
    hours: i64,
    /// How many entries match, exact up to 10,000.
    matches: i64,
    matches_exact: bool,
    /// How often the rule would have fired.
    fired: usize,
    /// The last of these times, newest first.
    firings: Vec<String>,
    /// Only what came after this was looked at; null when it was all.
    looked_back_to: Option<String>,
    newest: Vec<Box<RawValue>>,
    took_ms: f64,
}

/// `GET /api/alert-rules/{id}/preview`: what a rule would have found.
pub(super) async fn preview(
    State(state): State<AppState>,
    PathText(id): PathText,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let stored = find(&state, &id).await?;
    look_back(&state, stored.rule, query.last_nonempty("hours")).await
}

/// `POST /api/alert-rules/preview`: the same for a rule that is not stored.
pub(super) async fn preview_new(
    State(state): State<AppState>,
    RawParams(query): RawParams,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let rule = Rule::read(&body).map_err(ApiError::invalid)?;
    look_back(&state, rule, query.last_nonempty("hours")).await
}

/// Entries have no time of arrival, so their own counts.
async fn look_back(
    state: &AppState,
    rule: Rule,
    hours: Option<&str>,
) -> Result<Response, ApiError> {
    let started = state.ctx.clock.monotonic();
    let hours = match hours {
        None => USUAL_HOURS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|hours| (1..=MOST_HOURS).contains(hours))
            .ok_or_else(|| params::unexpected("hours", text, &format!("1 to {MOST_HOURS}")))?,
    };
    let now_ns = i64::try_from(state.ctx.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
    let since_ns = now_ns - hours * HOUR_NS;
    let filter = Filter {
        since_ns: Some(since_ns),
        ..rule.filter().map_err(ApiError::invalid)?
    };
    let budget = params::usual_budget(state);
    let page = Page {
        order: Order::Newest,
        limit: EXACT_UP_TO as u32,
        ..Page::default()
    };
    let (listing, newest) = state
        .ctx
        .store
        .read(move |conn| {
            let listing = list::page(conn, &filter, page, &budget)?;
            let newest = listing.ids.get(..SHOWN).unwrap_or(&listing.ids);
            let (newest, _) = list::entries(conn, newest, SHOWN_BYTES)?;
            Ok((listing, newest))
        })
        .await?;
    let times = listing.times_ns.iter().rev();
    let fired = rule::firings(&rule, times.map(|time_ns| time_ns.div_euclid(1_000_000)));
    let is_partial = listing.next.is_some();
    let total = listing
        .total
        .map_or((0, true), |total| (total.count, total.is_exact));
    let entries = newest
        .iter()
        .map(|entry| RawValue::from_string(wire::entry(entry)));
    let preview = PreviewJson {
        since: nanos(since_ns),
        hours,
        matches: total.0,
        matches_exact: total.1,
        fired: fired.len(),
        firings: fired
            .iter()
            .rev()
            .take(SHOWN)
            .map(|ms| iso_millis(*ms))
            .collect(),
        looked_back_to: listing
            .times_ns
            .last()
            .filter(|_| is_partial)
            .map(|ns| nanos(*ns)),
        newest: entries
            .collect::<Result<_, _>>()
            .map_err(ApiError::internal)?,
        took_ms: millis(params::took(state, started)),
    };
    Ok(json(StatusCode::OK, &preview))
}

async fn find(state: &AppState, id: &str) -> Result<StoredRule, ApiError> {
    let id = parse_id(id)?;
    let found = state
        .ctx
        .store
        .read(move |conn| rules::one(conn, id))
        .await?;
    found.ok_or_else(unknown)
}
