//! `GET /api/metrics/names` and `GET /api/projects`: what there is, whether its points are still kept or not.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, Query, RawParams, json_text};

use super::text;
use crate::domain::labels;
use crate::state::AppState;
use crate::store::series;

/// Distinct pairs of name and type, by name.
pub(super) async fn names(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let project = project(&query);
    let mut names = state
        .store
        .read(move |conn| Ok(series::names(conn, project.as_deref())?))
        .await?;
    names.dedup_by(|next, known| next.name == known.name && next.kind == known.kind);
    let mut out = String::new();
    text::object(&mut out, |answer| {
        answer.array("metrics", &names, |out, name| {
            text::object(out, |metric| {
                metric
                    .text("name", &name.name)
                    .text("type", name.kind.as_str());
            });
        });
    });
    Ok(json_text(StatusCode::OK, out))
}

/// The names of projects.
pub(super) async fn projects(State(state): State<AppState>) -> Result<Response, ApiError> {
    let projects = state.store.read(|conn| Ok(series::projects(conn)?)).await?;
    let mut out = String::new();
    text::object(&mut out, |answer| {
        answer.array("projects", &projects, |out, project| {
            text::string(out, project);
        });
    });
    Ok(json_text(StatusCode::OK, out))
}

/// The project that is asked for, in the form in which projects are stored.
pub(super) fn project(query: &Query) -> Option<String> {
    query
        .first_nonempty("project")
        .map(|name| labels::project(name).into_owned())
}
