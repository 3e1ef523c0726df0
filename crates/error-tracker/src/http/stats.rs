//! Reports over time, and the values that lists can be filtered by.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::query::{Query, RawParams};
use monlight_shared::http::{ApiError, PathText};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::text::answer;
use super::{UNKNOWN, groups, refused};
use crate::domain::facet::FacetKind;
use crate::domain::filter::BadParameter;
use crate::domain::group::{GroupId, Source, State as GroupState};
use crate::domain::time;
use crate::domain::window::{self, Range, Window};
use crate::state::AppState;
use crate::store::facet_list::{self, Values};
use crate::store::stats::{self, GroupStats, Scope, Stats};

#[derive(Serialize)]
struct Over<B> {
    from: String,
    to: String,
    step_seconds: i64,
    buckets: Vec<B>,
}

#[derive(Serialize)]
struct OfAll {
    #[serde(flatten)]
    over: Over<Split>,
    #[serde(flatten)]
    sum: Sum,
    before: Option<Sum>,
    groups: Map<String, Value>,
    took_ms: f64,
}

/// Reports of new and of known errors.
#[derive(Serialize)]
struct Split {
    time: String,
    new: i64,
    known: i64,
}

#[derive(Serialize)]
struct Sum {
    total: i64,
    new: i64,
    known: i64,
}

#[derive(Serialize)]
struct OfGroup<'a> {
    id: i64,
    #[serde(flatten)]
    over: Over<Count>,
    total: i64,
    users: i64,
    users_exact: bool,
    facets: std::collections::BTreeMap<&'static str, Vec<&'a str>>,
}

#[derive(Serialize)]
struct Count {
    time: String,
    count: i64,
}

/// `GET /api/stats`.
pub(super) async fn of_all(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let (now, started) = (state.clock.now_ms(), state.clock.monotonic());
    let window = window(&params, now).map_err(refused)?;
    let scope = scope(&params).map_err(refused)?;
    let stats = state
        .store
        .read(move |conn| stats::of_all(conn, &scope, window, now))
        .await?;
    let took = state.clock.monotonic().saturating_sub(started);
    let shown = shown(&stats, window, super::milliseconds(took));
    Ok(answer(StatusCode::OK, &shown))
}

/// `GET /api/errors/{id}/stats`.
pub(super) async fn of_group(
    State(state): State<AppState>,
    PathText(id): PathText,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let id = GroupId::from_path(&id).ok_or_else(ApiError::no_route)?;
    let window = window(&params, state.clock.now_ms()).map_err(refused)?;
    let stats = state
        .store
        .read(move |conn| stats::of_group(conn, id, window))
        .await?
        .ok_or_else(|| ApiError::not_found(UNKNOWN))?;
    Ok(answer(StatusCode::OK, &shown_group(id, &stats, window)))
}

/// `GET /api/facets`.
pub(super) async fn facets(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let project = params.last_nonempty("project").map(str::to_owned);
    let mut found = state
        .store
        .read(move |conn| facet_list::values(conn, project.as_deref()))
        .await?;
    let mut kinds = Map::new();
    for kind in FacetKind::ALL {
        let Values { listed, total } = found.remove(kind).unwrap_or_default();
        let values: Vec<Value> = listed
            .iter()
            .map(|value| json!({"value": value.name(), "groups": value.groups}))
            .collect();
        kinds.insert(
            kind.name().to_owned(),
            json!({"values": values, "total": total}),
        );
    }
    Ok(answer(StatusCode::OK, &kinds))
}

/// The stretch of time that is asked for: `range`, or `since` and `until`, or the last 24 hours.
fn window(params: &Query, now_ms: i64) -> Result<Window, BadParameter> {
    let at = |name: &str| match params.last_nonempty(name) {
        None => Ok(None),
        Some(text) => time::span(text, now_ms)
            .map(Some)
            .ok_or_else(|| BadParameter::new(name, text, time::EXPECTED)),
    };
    let (since, until) = (at("since")?, at("until")?);
    if let Some(text) = params.last_nonempty("range") {
        let range = Range::parse(text);
        let range = range.ok_or_else(|| BadParameter::new("range", text, window::EXPECTED))?;
        return Ok(range.window(now_ms));
    }
    let Some((since_ms, _)) = since else {
        return match until {
            None => Ok(Range::Day.window(now_ms)),
            Some(_) => Err(BadParameter::alone("until", "since")),
        };
    };
    let until_ms = until.map_or(now_ms, |(_, last)| last);
    Window::covering(since_ms, until_ms)
        .ok_or_else(|| BadParameter::new("since", &iso_seconds(since_ms), "a time before until"))
}

fn scope(params: &Query) -> Result<Scope, BadParameter> {
    let source = match params.last_nonempty("source") {
        None => None,
        Some(name) => {
            let known = Source::ALL.iter().find(|source| source.name() == name);
            let unknown = || BadParameter::new("source", name, "browser or server");
            Some(*known.ok_or_else(unknown)?)
        }
    };
    Ok(Scope {
        project: params.last_nonempty("project").map(str::to_owned),
        source,
    })
}

fn shown(stats: &Stats, window: Window, took_ms: f64) -> OfAll {
    let parts = stats.new.iter().zip(&stats.known);
    let split = |part: usize, (new, known): (&i64, &i64)| Split {
        time: iso_seconds(window.start_ms(part)),
        new: *new,
        known: *known,
    };
    let sum = |(new, known): (i64, i64)| Sum {
        total: new + known,
        new,
        known,
    };
    let groups = GroupState::ALL
        .iter()
        .zip(stats.groups)
        .map(|(state, groups)| (state.name().to_owned(), json!(groups)));
    let fresh = [("new".to_owned(), json!(stats.fresh_groups))];
    OfAll {
        over: over(
            window,
            (0..)
                .zip(parts)
                .map(|(part, both)| split(part, both))
                .collect(),
        ),
        sum: sum((stats.new.iter().sum(), stats.known.iter().sum())),
        before: stats.before.map(sum),
        groups: groups.chain(fresh).collect(),
        took_ms,
    }
}

fn shown_group(id: GroupId, stats: &GroupStats, window: Window) -> OfGroup<'_> {
    let count = |(part, count): (usize, &i64)| Count {
        time: iso_seconds(window.start_ms(part)),
        count: *count,
    };
    OfGroup {
        id: id.get(),
        over: over(window, (0..).zip(&stats.parts).map(count).collect()),
        total: stats.parts.iter().sum(),
        users: stats.users,
        users_exact: stats.users_exact,
        facets: groups::by_kind(&stats.facets),
    }
}

fn over<B>(window: Window, buckets: Vec<B>) -> Over<B> {
    Over {
        from: iso_seconds(window.start_ms(0)),
        to: iso_seconds(window.start_ms(window.parts as usize)),
        step_seconds: window.step_seconds(),
        buckets,
    }
}
