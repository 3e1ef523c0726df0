//! `GET /api/logs/histogram`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, Query, RawParams, json};
use serde::Serialize;

use super::params::{self, unexpected};
use crate::domain::buckets::{Buckets, Cut, MOST_BUCKETS, USUAL_BUCKETS};
use crate::domain::entry::Level;
use crate::domain::span::duration;
use crate::json::{millis, nanos, seconds};
use crate::state::AppState;
use crate::store::histogram::{self, Counts, Fault, Histogram};
use crate::store::scan::Budget;

/// How long the index is asked for what the counters do not know.
const TIME: Duration = Duration::from_millis(350);

#[derive(Serialize)]
struct HistogramJson {
    since: Option<String>,
    until: Option<String>,
    step_seconds: Option<i64>,
    total: i64,
    exact: bool,
    counted_from: Option<String>,
    buckets: Vec<BucketJson>,
    took_ms: f64,
}

#[derive(Serialize)]
struct BucketJson {
    start: String,
    count: i64,
    by_level: BTreeMap<&'static str, i64>,
}

/// Entries per part of time and level.
pub(super) async fn histogram(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let started = state.ctx.clock.monotonic();
    let filter = params::filter(&state, &query).await?;
    let cut = cut(&query)?;
    let now = state.ctx.clock.monotonic();
    let budget = Budget {
        until: now + TIME,
        ..params::budget(&state, &query)?
    };
    let read = state
        .ctx
        .store
        .read(
            move |conn| match histogram::histogram(conn, &filter, cut, &budget) {
                Err(Fault::Store(fault)) => Err(fault),
                Err(Fault::TooMany(count)) => Ok(Err(count)),
                Ok(found) => Ok(Ok(found)),
            },
        )
        .await?;
    let found = read.map_err(|count| {
        ApiError::invalid(format!(
            "step: would make {count} buckets; expected at most {MOST_BUCKETS}, from a longer step or a shorter range"
        ))
    })?;
    Ok(answer(&found, params::took(&state, started)))
}

fn cut(query: &Query) -> Result<Cut, ApiError> {
    if let Some(text) = query.last_nonempty("step") {
        let seconds = text
            .parse()
            .ok()
            .or_else(|| duration(text).map(|ns| ns / 1_000_000_000))
            .filter(|seconds| (1..=1_000_000_000).contains(seconds));
        return seconds
            .map(Cut::Seconds)
            .ok_or_else(|| unexpected("step", text, "seconds, or a duration such as 5m"));
    }
    let Some(text) = query.last_nonempty("buckets") else {
        return Ok(Cut::Parts(USUAL_BUCKETS));
    };
    text.parse()
        .ok()
        .filter(|parts| (2..=MOST_BUCKETS).contains(parts))
        .map(Cut::Parts)
        .ok_or_else(|| {
            unexpected(
                "buckets",
                text,
                &format!("a number from 2 to {MOST_BUCKETS}"),
            )
        })
}

fn answer(found: &Histogram, took: Duration) -> Response {
    let start = |index: usize| {
        let buckets = found.buckets.as_ref()?;
        Some(seconds(buckets.start_ns(index)))
    };
    let parts = found.counts.iter().enumerate();
    let buckets: Vec<BucketJson> = parts
        .filter_map(|(index, counts)| Some(bucket(start(index)?, *counts)))
        .collect();
    json(
        StatusCode::OK,
        &HistogramJson {
            since: start(0),
            until: start(found.counts.len()),
            step_seconds: found
                .buckets
                .as_ref()
                .map(|Buckets { seconds, .. }| *seconds),
            total: buckets.iter().map(|bucket| bucket.count).sum(),
            exact: found.counted_from_ns.is_none(),
            counted_from: found.counted_from_ns.map(nanos),
            buckets,
            took_ms: millis(took),
        },
    )
}

fn bucket(start: String, counts: Counts) -> BucketJson {
    let by_level = Level::ALL
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| *count != 0)
        .map(|(level, count)| (level.name(), count));
    BucketJson {
        start,
        count: counts.iter().sum(),
        by_level: by_level.collect(),
    }
}
