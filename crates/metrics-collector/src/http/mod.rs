//! Routes and handlers: bytes to domain values, domain values to bytes.

mod alerts;
mod csv;
mod dashboard;
mod import;
mod labels;
mod names;
#[expect(
    unreachable_pub,
    reason = "the build script writes it for any kind of crate"
)]
mod pages;
mod query;
mod question;
mod remove;
mod requests;
mod rows;
mod rules;
mod stats;
mod submit;
mod targets;
mod text;

use axum::Router;
use axum::routing::{get, post};
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::App;
use monlight_shared::idempotency::LARGEST_BATCH;
use monlight_shared::service::{Context, Service as _};
use serde_json::{Map, Value};

use crate::MetricsCollector;
use crate::state::AppState;
use crate::store::{health, snapshot};

/// All routes of the service.
pub(crate) fn router(ctx: &Context, state: AppState) -> Router {
    let routes = Router::new()
        .route(
            "/api/metrics",
            get(query::get).post(submit::post).delete(remove::delete),
        )
        .route("/api/metrics/batch", post(submit::post_batch))
        .route("/api/import/prometheus", post(import::post))
        .route("/api/metrics/export", get(query::export))
        .route("/api/metrics/names", get(names::names))
        .route("/api/metrics/labels", get(labels::labels))
        .route("/api/metrics/label-values", get(labels::values))
        .route("/api/scrape-targets", get(targets::get))
        .route("/api/projects", get(names::projects))
        .route("/api/dashboard", get(dashboard::get))
        .route("/api/stats", get(stats::get))
        .route("/api/alert-rules", get(rules::all).post(rules::add))
        .route("/api/alert-rules/preview", post(rules::preview_new))
        .route(
            "/api/alert-rules/{id}",
            get(rules::one).patch(rules::update).delete(rules::remove),
        )
        .route("/api/alert-rules/{id}/preview", get(rules::preview))
        .route("/api/alert-rules/{id}/history", get(rules::history))
        .route("/api/alert-rules/{id}/test", post(rules::test))
        .route("/api/alerts", get(alerts::list))
        .route("/api/test-alert", post(alerts::test_alert))
        .with_state(state.clone());
    App::new(ctx, &MetricsCollector::INFO)
        .api(routes)
        .body_limit("/api/metrics/batch", LARGEST_BATCH)
        .pages(
            pages::ASSETS,
            &[("/", "index.html"), ("/index.html", "index.html")],
        )
        .health(move || figures(state.clone()))
        .build()
}

/// What `GET /health` adds: points of the last 24 hours and the newest minute that was rolled up.
async fn figures(state: AppState) -> Result<Map<String, Value>, String> {
    if let Some(reason) = state.store.sick() {
        return Err(reason);
    }
    let now_ms = state.clock.now_ms();
    let figures = state
        .store
        .read(move |conn| snapshot(conn, |conn| Ok(health::figures(conn, now_ms)?)));
    let figures = figures.await.map_err(|fault| fault.to_string())?;
    Ok(Map::from_iter([
        (
            "metrics_received_24h".to_owned(),
            figures.received_24h.into(),
        ),
        (
            "last_aggregation".to_owned(),
            figures.last_rolled.map(iso_seconds).into(),
        ),
    ]))
}
