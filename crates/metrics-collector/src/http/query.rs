//! `GET /api/metrics`: one metric over time, and the same as a file.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use monlight_shared::http::{ApiError, RawParams, json_text};
use tokio::sync::OwnedSemaphorePermit;

use super::question::Asked;
use super::rows::{Form, Rows};
use super::text;
use crate::domain::aggregate::Aggregate;
use crate::state::{AppState, MOST_SERIES_ON_THE_WAY};
use crate::store::query::{self, Prepared};
use crate::store::snapshot;

pub(super) async fn get(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let asked = Asked::read(&params, state.config.kept(), state.clock.now_ms())?;
    let (prepared, room) = prepare(&state, &asked).await?;
    let head = head(&asked, &prepared);
    let rows = Rows::new(&state, asked.question, (prepared, room), Form::Json, head);
    Ok(json_text(StatusCode::OK, rows.body().await?))
}

/// `GET /api/metrics/export`.
pub(super) async fn export(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let asked = Asked::read(&params, state.config.kept(), state.clock.now_ms())?;
    let format = params.last_nonempty("format").unwrap_or("ndjson");
    let (form, content_type, disposition) = match format {
        "ndjson" => (
            Form::Ndjson,
            "application/x-ndjson",
            "attachment; filename=\"metrics.ndjson\"",
        ),
        "csv" => (
            Form::Csv,
            "text/csv; charset=utf-8",
            "attachment; filename=\"metrics.csv\"",
        ),
        _ => return Err(ApiError::invalid("format: expected csv or ndjson")),
    };
    let (prepared, room) = prepare(&state, &asked).await?;
    let rows = Rows::new(
        &state,
        asked.question,
        (prepared, room),
        form,
        String::new(),
    );
    let mut response = Response::new(rows.body().await?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static(disposition),
    );
    Ok(response)
}

/// Finds the series of a question and takes the room that their answer needs.
async fn prepare(
    state: &AppState,
    asked: &Asked,
) -> Result<(Prepared, OwnedSemaphorePermit), ApiError> {
    let question = asked.question.clone();
    let prepared = state
        .store
        .read(move |conn| snapshot(conn, |conn| query::prepare(conn, &question)))
        .await?;
    let room = room_for(state, &prepared)?;
    Ok((prepared, room))
}

/// An answer knows its series until the client has taken it. Alone, it may be about any number of them.
fn room_for(state: &AppState, prepared: &Prepared) -> Result<OwnedSemaphorePermit, ApiError> {
    let series = prepared.series_count.min(MOST_SERIES_ON_THE_WAY) as u32;
    let room = Arc::clone(&state.series_room).try_acquire_many_owned(series);
    room.map_err(|_| ApiError::busy("Too many answers about many series at the same time"))
}

/// The answer up to its first row.
fn head(asked: &Asked, prepared: &Prepared) -> String {
    let question = &asked.question;
    let mut out = String::new();
    let mut answer = text::Object::begin(&mut out);
    answer
        .text("name", &question.name)
        .text("resolution", question.buckets.tier.as_str());
    match &asked.period {
        Some(period) => answer.text("period", &period.text),
        None => answer.optional("period", None),
    };
    if asked.has_bounds {
        answer
            .time("start", question.buckets.from_ms)
            .time("end", question.buckets.until_ms);
    }
    if asked.has_step {
        answer.count(
            "step_seconds",
            question.buckets.step_ms.unsigned_abs() / 1000,
        );
    }
    if let Some(group_by) = &question.group_by {
        answer.array("group_by", group_by, |out, label| text::string(out, label));
    }
    if !question.aggregates.is_empty() {
        let names = question.aggregates.iter().map(|one| one.as_str());
        answer.array("agg", names, text::string);
    }
    if let Some(top) = &prepared.top {
        write_top(&mut answer, asked, prepared, top);
    }
    answer.member("data", |out| out.push('['));
    out
}

/// What a limit has left, and what it has left out.
fn write_top(
    answer: &mut text::Object<'_>,
    asked: &Asked,
    prepared: &Prepared,
    top: &crate::store::top::Top,
) {
    let question = &asked.question;
    let names = question.group_by.as_deref().unwrap_or_default();
    let usual = [Aggregate::Count, Aggregate::Sum];
    let figures: &[Aggregate] = if question.aggregates.is_empty() {
        &usual
    } else {
        &question.aggregates
    };
    answer
        .count("groups", top.groups as u64)
        .object("left_out", |left_out| {
            left_out
                .count("groups", top.left_out as u64)
                .count("points", top.left_out_points);
        })
        .array(
            "totals",
            prepared.groups.iter().zip(&top.totals),
            |out, (group, total)| {
                text::object(out, |row| {
                    super::rows::write_group(row, names, group);
                    for figure in figures {
                        let value = figure.of(total, group.kind, prepared.seconds());
                        super::rows::write_figure(row, *figure, value);
                    }
                });
            },
        );
}
