//! What the service answers to whom.

mod alerts;
mod bulk;
mod entry;
mod errors;
mod export;
mod groups;
mod lifecycle;
mod list;
mod occurrence;
mod stats;
mod text;
pub mod ui;

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post, put};
use monlight_shared::http::{ApiError, App};
use monlight_shared::idempotency::LARGEST_BATCH;
use monlight_shared::service::{Context, Service};
use monlight_shared::store::Store;
use serde_json::{Map, Value};

use crate::domain::filter::BadParameter;
use crate::state::AppState;
use crate::{ErrorTracker, store};

/// The contract's text for a group that is not there.
const UNKNOWN: &str = "Error not found";

/// The whole table. Everything under `/api` needs the key; `/health`, `/metrics` and the session
/// routes are the shared ones.
pub fn router(ctx: &Context, state: AppState) -> Router {
    let api = Router::new()
        .route("/api/errors", post(errors::submit).get(list::list))
        .route("/api/errors/batch", post(errors::submit_batch))
        .route(
            "/api/errors/{id}",
            get(groups::detail).delete(lifecycle::delete),
        )
        .route("/api/errors/{id}/resolve", post(lifecycle::resolve))
        .route("/api/errors/{id}/reopen", post(lifecycle::reopen))
        .route("/api/errors/{id}/ignore", post(lifecycle::ignore))
        .route(
            "/api/errors/{id}/note",
            put(lifecycle::note).post(lifecycle::note),
        )
        .route("/api/errors/{id}/merge", post(bulk::merge))
        .route("/api/errors/bulk", post(bulk::bulk))
        .route("/api/errors/{id}/occurrences", get(groups::occurrences))
        .route("/api/errors/{id}/stats", get(stats::of_group))
        .route("/api/errors/export", get(export::export))
        .route("/api/stats", get(stats::of_all))
        .route("/api/facets", get(stats::facets))
        .route("/api/projects", get(list::projects))
        .route("/api/test-alert", post(alerts::test_alert))
        .route("/api/alerts", get(alerts::list))
        .with_state(state.clone());
    App::new(ctx, &ErrorTracker::INFO)
        .api(api)
        .body_limit("/api/errors/batch", LARGEST_BATCH)
        .pages(ui::ASSETS, ui::PAGES)
        .health(move || health(state.store.clone()))
        .build()
}

/// Well is a service whose database can be written and read.
async fn health(database: Store) -> Result<Map<String, Value>, String> {
    if let Some(reason) = database.sick() {
        return Err(reason);
    }
    let read = database.read(store::list::any).await;
    read.map(|_| Map::new()).map_err(|fault| fault.to_string())
}

/// A parameter that makes no sense is told as it is.
fn refused(fault: BadParameter) -> ApiError {
    ApiError::invalid(fault.to_string())
}

/// As shown: hundredths are enough.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 100_000.0).round() / 100.0
}
