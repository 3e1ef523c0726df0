//! `DELETE /api/metrics`: removes a metric with all that is known of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, Query, RawParams, json};
use monlight_shared::store::Lane;
use serde::Serialize;

use super::{names, question};
use crate::state::AppState;
use crate::store::removal::{self, Hidden};

#[derive(Serialize)]
struct Accepted {
    status: &'static str,
    /// How many series it had.
    series: i64,
}

/// It is gone at once; what it has left is deleted later.
pub(super) async fn delete(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let (metric, project) = asked(&query)?;
    let dictionary = Arc::clone(&state.dictionary);
    let hide = move |conn: &_| {
        let hidden = removal::hide(conn, &metric, project.as_deref())?;
        if matches!(hidden, Hidden::Series(_)) {
            // No batch that comes after this job may still name its series.
            dictionary.forget_all();
        }
        Ok(hidden)
    };
    match state.store.write(Lane::Ingest, 0, hide).await? {
        Hidden::Unknown => Err(ApiError::not_found("Metric not found")),
        Hidden::Full => Err(ApiError::busy(
            "Too many metrics wait for their end already, try again later",
        )),
        Hidden::Series(series) => {
            state.told.series.add(-series);
            let status = "accepted";
            Ok(json(StatusCode::ACCEPTED, &Accepted { status, series }))
        }
    }
}

/// The metric and its project. A typing error must not remove more than was meant.
fn asked(query: &Query) -> Result<(String, Option<String>), ApiError> {
    let mut known = Vec::new();
    for (name, value) in query.pairs() {
        if !matches!(name, "name" | "project" | "api_key") {
            let shown: String = name.chars().take(64).collect();
            return Err(ApiError::invalid(format!(
                "{shown:?} is not understood; expected name and project"
            )));
        }
        if known.contains(&name) {
            return Err(ApiError::invalid(format!("{name}: it is given twice")));
        }
        if name == "project" && value.is_empty() {
            return Err(ApiError::invalid(
                "project: it is empty; leave it out to remove the metric in all projects",
            ));
        }
        known.push(name);
    }
    if known.iter().all(|name| *name == "api_key") {
        // What the contract says of a method that is not there.
        return Err(ApiError::not_found("Not found"));
    }
    let metric = question::required(query, "name")?;
    Ok((metric.to_owned(), names::project(query)))
}
