//! `GET /api/scrape-targets`: what is scraped, and how that went last.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_millis;
use monlight_shared::http::json;
use serde::Serialize;

use crate::state::AppState;

#[derive(Serialize)]
struct Answer<'a> {
    interval_seconds: u64,
    timeout_seconds: u64,
    targets: Vec<TargetAnswer<'a>>,
}

#[derive(Serialize)]
struct TargetAnswer<'a> {
    job: &'a str,
    instance: &'a str,
    /// Without user and password.
    url: &'a str,
    /// `None` before the first scrape.
    up: Option<bool>,
    last_scrape: Option<String>,
    duration_seconds: Option<f64>,
    samples: u64,
    last_error: Option<String>,
    scrapes: u64,
    failures: u64,
}

pub(super) async fn get(State(state): State<AppState>) -> Response {
    let scraping = &state.config.scraping;
    let targets = scraping.targets.iter().zip(state.scraper.seen());
    let targets = targets.map(|(target, seen)| TargetAnswer {
        job: &target.job,
        instance: &target.instance,
        url: target.url.as_str(),
        up: seen.at_ms.map(|_| seen.fault.is_none()),
        last_scrape: seen.at_ms.map(iso_millis),
        duration_seconds: seen.at_ms.map(|_| seen.took.as_secs_f64()),
        samples: seen.samples,
        last_error: seen.fault,
        scrapes: seen.scrapes,
        failures: seen.failures,
    });
    let answer = Answer {
        interval_seconds: scraping.interval.as_secs(),
        timeout_seconds: scraping.timeout.as_secs(),
        targets: targets.collect(),
    };
    json(StatusCode::OK, &answer)
}
