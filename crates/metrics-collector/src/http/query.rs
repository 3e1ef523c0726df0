//! `GET /api/metrics`: one metric over time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use monlight_shared::http::{ApiError, Query, RawParams, json_text};
use monlight_shared::store::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use super::{names, text};
use crate::domain::labels;
use crate::domain::metric::MetricType;
use crate::domain::range::{Period, Resolution};
use crate::state::{AppState, MOST_SERIES_ON_THE_WAY};
use crate::store::query::{self, AnswerRow, Merged, Prepared, Question};
use crate::store::snapshot;

/// Text is handed on when there is so much of it.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) async fn get(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let Some(name) = params.last_nonempty("name").map(str::to_owned) else {
        return Err(ApiError::invalid("Missing required parameter: name"));
    };
    let period = last_valid(&params, "period", Period::parse).unwrap_or_default();
    let auto = period.resolution(state.config.keep_hour_ms);
    let question = question(name, (&period, auto), &params, state.clock.now_ms())?;
    let out = head(&question, &period);
    let group_by = question.group_by.clone();
    let prepare = move |conn: &_| snapshot(conn, |conn| query::prepare(conn, &question));
    let prepared = Arc::new(state.store.read(prepare).await?);
    let room = room_for(&state, &prepared)?;
    let rows = Rows {
        state,
        at: prepared.from,
        prepared,
        _room: room,
        group_by,
        out,
        written: 0,
    };
    rows.answer().await
}

/// An answer knows its series until the client has taken it. Alone, it may be about any number of them.
fn room_for(state: &AppState, prepared: &Prepared) -> Result<OwnedSemaphorePermit, ApiError> {
    let series = prepared.series_count.min(MOST_SERIES_ON_THE_WAY) as u32;
    let room = Arc::clone(&state.series_room).try_acquire_many_owned(series);
    room.map_err(|_| ApiError::busy("Too many answers about many series at the same time"))
}

fn question(
    name: String,
    (period, auto): (&Period, Resolution),
    params: &Query,
    now_ms: i64,
) -> Result<Question, ApiError> {
    Ok(Question {
        name,
        project: names::project(params),
        labels: params.last_nonempty("labels").map(labels::from_filter),
        group_by: params.last("group_by").map(label_names).transpose()?,
        resolution: last_valid(params, "resolution", |text| resolution(text, auto)).unwrap_or(auto),
        from_ms: period.start_ms(now_ms),
        now_ms,
    })
}

/// The last value of a parameter that is valid; others are as if they were not there.
fn last_valid<T>(params: &Query, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    params.all(name).filter_map(parse).last()
}

fn resolution(text: &str, auto: Resolution) -> Option<Resolution> {
    match text {
        "minute" => Some(Resolution::Minute),
        "hour" => Some(Resolution::Hour),
        "day" => Some(Resolution::Day),
        "auto" => Some(auto),
        _ => None,
    }
}

/// Each name once. No series has more labels than [`labels::MAX_LABELS`], and every name costs memory for every series.
fn label_names(list: &str) -> Result<Vec<String>, ApiError> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if name.is_empty() || names.iter().any(|known| known == name) {
            continue;
        }
        if names.len() == labels::MAX_LABELS {
            return Err(ApiError::invalid(format!(
                "group_by: too many labels; expected at most {}",
                labels::MAX_LABELS
            )));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The answer up to its first row.
fn head(question: &Question, period: &Period) -> String {
    let mut out = String::new();
    let mut answer = text::Object::begin(&mut out);
    answer
        .text("name", &question.name)
        .text("resolution", question.resolution.as_str())
        .text("period", &period.text);
    if let Some(group_by) = &question.group_by {
        answer.array("group_by", group_by, |out, label| text::string(out, label));
    }
    answer.member("data", |out| out.push('['));
    out
}

/// An answer on its way: read and written a stretch of time at a time.
struct Rows {
    state: AppState,
    prepared: Arc<Prepared>,
    _room: OwnedSemaphorePermit,
    group_by: Option<Vec<String>>,
    /// Where the next stretch begins.
    at: i64,
    out: String,
    written: usize,
}

impl Rows {
    /// The whole answer at once when it is short, else as a stream.
    async fn answer(mut self) -> Result<Response, ApiError> {
        let first = self.next_chunk().await?;
        if self.is_done() {
            return Ok(json_text(StatusCode::OK, first));
        }
        let rest = stream::try_unfold(self, async |mut rows| {
            if rows.is_done() {
                return Ok::<_, StoreError>(None);
            }
            let chunk = rows.next_chunk().await?;
            Ok(Some((chunk, rows)))
        });
        let whole = futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest);
        Ok(json_text(StatusCode::OK, Body::from_stream(whole)))
    }

    fn is_done(&self) -> bool {
        self.at >= self.prepared.to
    }

    /// Text up to the end or until there is enough of it.
    async fn next_chunk(&mut self) -> Result<String, StoreError> {
        while !self.is_done() && self.out.len() < CHUNK_BYTES {
            let (from, to) = (
                self.at,
                self.at
                    .saturating_add(self.prepared.step)
                    .min(self.prepared.to),
            );
            let prepared = Arc::clone(&self.prepared);
            let rows = self
                .state
                .store
                .read(move |conn| snapshot(conn, |conn| query::read(conn, &prepared, from, to)))
                .await?;
            for row in rows {
                self.write(&row);
            }
            self.at = to;
        }
        if self.is_done() {
            self.out.push_str("]}");
        }
        Ok(std::mem::take(&mut self.out))
    }

    fn write(&mut self, row: &AnswerRow) {
        let AnswerRow {
            bucket,
            group,
            rollup,
        } = row;
        let Some(group) = self.prepared.groups.get(*group as usize) else {
            return;
        };
        if self.written > 0 {
            self.out.push(',');
        }
        self.written += 1;
        text::object(&mut self.out, |out| {
            out.time("bucket", *bucket);
            if let Some(names) = &self.group_by {
                write_group(out, names, group);
            }
            out.count("count", rollup.count)
                .number("sum", rollup.sum)
                .number("min", rollup.min)
                .number("max", rollup.max)
                .number("avg", rollup.mean());
            let percentile =
                |percent| (group.kind == MetricType::Histogram).then(|| rollup.percentile(percent));
            out.optional("p50", percentile(50))
                .optional("p95", percentile(95))
                .optional("p99", percentile(99));
            out.number("last", rollup.last.value);
        });
    }
}

/// What tells merged series apart.
fn write_group(row: &mut text::Object<'_>, names: &[String], group: &Merged) {
    row.text("type", group.kind.as_str())
        .object("labels", |labels| {
            for (name, value) in names.iter().zip(&group.values) {
                labels.text(name, value);
            }
        });
}
