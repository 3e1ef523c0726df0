//! The route table.

mod alerts;
mod counts;
mod entry;
mod export;
mod histogram;
mod logs;
pub mod pages;
mod params;
mod rules;
mod tail;

use axum::Router;
use axum::routing::{get, post};
use monlight_shared::http::App;
use monlight_shared::http::sse::Slots;
use monlight_shared::service::{Context, Service as _};

use crate::LogViewer;
use crate::state::AppState;

/// The whole service.
pub fn router(ctx: &Context, state: AppState, tail_clients: usize) -> Router {
    let slots = Slots::new(tail_clients, &ctx.metrics);
    let health = state.clone();
    let api = Router::new()
        .route("/api/logs", get(logs::list))
        .route("/api/containers", get(counts::containers))
        .route("/api/logs/containers", get(counts::containers))
        .route("/api/logs/histogram", get(histogram::histogram))
        .route("/api/logs/{id}", get(entry::entry))
        .route("/api/logs/{id}/context", get(entry::context))
        .route("/api/stats", get(counts::stats))
        .route("/api/logs/stats", get(counts::stats))
        .route("/api/alert-rules", get(rules::all).post(rules::add))
        .route("/api/alert-rules/preview", post(rules::preview_new))
        .route(
            "/api/alert-rules/{id}",
            get(rules::one).patch(rules::update).delete(rules::remove),
        )
        .route("/api/alert-rules/{id}/preview", get(rules::preview))
        .route("/api/alert-rules/{id}/test", post(rules::test))
        .route("/api/alerts", get(alerts::list))
        .route("/api/test-alert", post(alerts::test_alert))
        .with_state(state.clone())
        .merge(
            Router::new()
                .route("/api/logs/export", get(export::export))
                .with_state(export::ExportState::new(state.clone())),
        )
        .merge(
            Router::new()
                .route("/api/logs/tail", get(tail::tail))
                .with_state(tail::TailState { app: state, slots }),
        );
    App::new(ctx, &LogViewer::INFO)
        .api(api)
        .pages(pages::ASSETS, pages::PAGES)
        .health(move || counts::health(health.clone()))
        .build()
}
