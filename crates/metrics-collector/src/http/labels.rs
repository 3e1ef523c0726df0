//! `GET /api/metrics/labels` and `GET /api/metrics/label-values`: what a question can filter and group by.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, Query, RawParams, json_text};

use super::question::{filter, number, required};
use super::{names, text};
use crate::domain::labels;
use crate::state::AppState;
use crate::store::discover::{self, Scope, Values};

/// Values in an answer unless another number is asked for.
const USUAL_VALUES: usize = 100;
/// The most that can be asked for.
const MOST_VALUES: usize = 1000;

/// The labels of a metric, each with its number of values and of series.
pub(super) async fn labels(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    required(&params, "name")?;
    let scope = scope(&params)?;
    let name = scope.name.clone().unwrap_or_default();
    let read = move |conn: &_| Ok(discover::label_names(conn, &scope)?);
    let (labels, series) = state.store.read(read).await?;
    let mut out = String::new();
    text::object(&mut out, |answer| {
        answer
            .text("name", &name)
            .count("series", series as u64)
            .array("labels", &labels, |out, label| {
                text::object(out, |row| {
                    row.text("name", &label.name)
                        .count("values", label.values as u64)
                        .count("series", label.series as u64);
                });
            });
    });
    Ok(json_text(StatusCode::OK, out))
}

/// The values of a label, those of the most series first.
pub(super) async fn values(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let label = labels::bounded_name(required(&params, "label")?.to_owned()).into_owned();
    let limit = number(&params, "limit", 1..=MOST_VALUES)?.unwrap_or(USUAL_VALUES);
    let search = params
        .last_nonempty("search")
        .unwrap_or_default()
        .to_owned();
    let scope = scope(&params)?;
    let (name, wanted) = (scope.name.clone(), label.clone());
    let read = move |conn: &_| {
        Ok(discover::label_values(
            conn, &scope, &wanted, &search, limit,
        )?)
    };
    let values = state.store.read(read).await?;
    Ok(json_text(
        StatusCode::OK,
        written(name.as_deref(), &label, &values),
    ))
}

fn written(name: Option<&str>, label: &str, values: &Values) -> String {
    let mut out = String::new();
    text::object(&mut out, |answer| {
        if let Some(name) = name {
            answer.text("name", name);
        }
        answer
            .text("label", label)
            .array("values", &values.values, |out, (value, series)| {
                text::object(out, |row| {
                    row.text("value", value).count("series", *series as u64);
                });
            })
            .count("total", values.total as u64)
            .count("left_out", (values.total - values.values.len()) as u64);
    });
    out
}

fn scope(params: &Query) -> Result<Scope, ApiError> {
    let conditions = params.last_nonempty("labels").map(filter).transpose()?;
    Ok(Scope {
        name: params.last_nonempty("name").map(str::to_owned),
        project: names::project(params),
        filter: conditions.unwrap_or_default(),
    })
}
