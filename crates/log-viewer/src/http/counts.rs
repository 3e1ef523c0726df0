//! `GET /api/containers`, `GET /api/stats` and what `GET /health` says.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, json};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::json::seconds;
use crate::state::AppState;
use crate::store::counts::{self, Stats};

#[derive(Serialize)]
struct Containers {
    containers: Vec<Container>,
}

#[derive(Serialize)]
struct Container {
    name: String,
    log_count: i64,
    project: String,
    service: String,
}

#[derive(Serialize)]
struct StatsJson {
    total_logs: i64,
    oldest_log: Option<String>,
    newest_log: Option<String>,
    by_level: std::collections::BTreeMap<&'static str, i64>,
    by_container: std::collections::BTreeMap<String, i64>,
}

/// Containers that have entries, by name.
pub(super) async fn containers(State(state): State<AppState>) -> Result<Response, ApiError> {
    let found = state.ctx.store.read(counts::containers).await?;
    let containers = found
        .into_iter()
        .map(|container| Container {
            name: container.name,
            log_count: container.count,
            project: container.project,
            service: container.service,
        })
        .collect();
    Ok(json(StatusCode::OK, &Containers { containers }))
}

/// Totals.
pub(super) async fn stats(State(state): State<AppState>) -> Result<Response, ApiError> {
    let Stats {
        total,
        oldest_ns,
        newest_ns,
        by_level,
        by_container,
    } = state.ctx.store.read(counts::stats).await?;
    let stats = StatsJson {
        total_logs: total,
        oldest_log: oldest_ns.map(seconds),
        newest_log: newest_ns.map(seconds),
        by_level,
        by_container,
    };
    Ok(json(StatusCode::OK, &stats))
}

/// How many entries there are, the time of the newest, and whether log files can be found.
pub(super) async fn health(state: AppState) -> Result<Map<String, Value>, String> {
    if let Some(fault) = state.ctx.store.sick() {
        return Err(fault);
    }
    let found = state.ctx.store.read(counts::newest).await;
    let (total, newest_ns) = found.map_err(|fault| fault.to_string())?;
    Ok(Map::from_iter([
        ("logs_indexed".to_owned(), total.into()),
        ("last_ingest".to_owned(), newest_ns.map(seconds).into()),
        ("log_sources_error".to_owned(), state.sources.fault().into()),
        ("log_sources_notes".to_owned(), state.sources.notes().into()),
    ]))
}
