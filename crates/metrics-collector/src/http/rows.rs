//! The rows of an answer, as members of a JSON array, as lines of JSON or as CSV: read and written a stretch of time at a
//! time, so that an answer of any length takes the same memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::vec;

use axum::body::Body;
use futures_util::stream;
use monlight_shared::http::ApiError;
use monlight_shared::store::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use super::csv;
use super::text;
use crate::domain::aggregate::Aggregate;
use crate::domain::metric::MetricType;
use crate::state::AppState;
use crate::store::query::{self, AnswerRow, Merged, Prepared, Question};
use crate::store::{series, snapshot};

/// Text is handed on when there is so much of it.
const CHUNK_BYTES: usize = 64 * 1024;
/// A JSON answer up to this is sent as one piece with its length, as the original did: clients read that which do not
/// understand pieces.
const WHOLE_BYTES: usize = 512 * 1024;
/// Rows whose labels are looked up together.
const ROWS_WITH_LABELS: usize = 200;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As members of an array, which the head of the answer has begun.
    Json,
    /// A JSON object a line.
    Ndjson,
    /// A line of names, then one for each row.
    Csv,
}

/// An answer on its way.
pub(super) struct Rows {
    state: AppState,
    prepared: Arc<Prepared>,
    _room: OwnedSemaphorePermit,
    form: Form,
    group_by: Option<Vec<String>>,
    aggregates: Vec<Aggregate>,
    /// Where the next stretch begins.
    at: i64,
    /// Rows that were read, but not written yet.
    read: vec::IntoIter<AnswerRow>,
    out: String,
    written: usize,
    ended: bool,
}

impl Rows {
    pub(super) fn new(
        state: &AppState,
        question: Question,
        (prepared, room): (Prepared, OwnedSemaphorePermit),
        form: Form,
        head: String,
    ) -> Self {
        let mut rows = Self {
            state: state.clone(),
            at: prepared.from,
            prepared: Arc::new(prepared),
            _room: room,
            form,
            group_by: question.group_by,
            aggregates: question.aggregates,
            read: Vec::new().into_iter(),
            out: head,
            written: 0,
            ended: false,
        };
        if form == Form::Csv {
            rows.write_names();
        }
        rows
    }

    /// The whole answer at once when it is short, else as a stream.
    pub(super) async fn body(mut self) -> Result<Body, ApiError> {
        let first = self
            .next_chunk(match self.form {
                Form::Json => WHOLE_BYTES,
                Form::Ndjson | Form::Csv => CHUNK_BYTES,
            })
            .await?;
        if self.ended {
            return Ok(Body::from(first));
        }
        let rest = stream::try_unfold(self, async |mut rows| {
            if rows.ended {
                return Ok::<_, StoreError>(None);
            }
            let chunk = rows.next_chunk(CHUNK_BYTES).await?;
            Ok(Some((chunk, rows)))
        });
        let whole = futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest);
        Ok(Body::from_stream(whole))
    }

    /// Text up to the end or until there is enough of it.
    async fn next_chunk(&mut self, enough: usize) -> Result<String, StoreError> {
        while !self.ended && self.out.len() < enough {
            if self.read.as_slice().is_empty() {
                self.read_stretch().await?;
            } else {
                self.write_some().await?;
            }
        }
        Ok(std::mem::take(&mut self.out))
    }

    async fn read_stretch(&mut self) -> Result<(), StoreError> {
        let Prepared { to, stretch, .. } = *self.prepared;
        if self.at >= to {
            if self.form == Form::Json {
                self.out.push_str("]}");
            }
            self.ended = true;
            return Ok(());
        }
        let (from, to) = (self.at, self.at.saturating_add(stretch).min(to));
        let prepared = Arc::clone(&self.prepared);
        let read = move |conn: &_| {
            let rows = query::read(conn, &prepared, from, to)?;
            let next = if rows.is_empty() {
                query::skip(conn, &prepared, to)?
            } else {
                to
            };
            Ok((rows, next))
        };
        let store = &self.state.store;
        let (rows, next) = store.read(move |conn| snapshot(conn, read)).await?;
        self.read = rows.into_iter();
        self.at = next;
        Ok(())
    }

    async fn write_some(&mut self) -> Result<(), StoreError> {
        let some: Vec<AnswerRow> = self.read.by_ref().take(ROWS_WITH_LABELS).collect();
        let label_sets = if self.group_by.is_none() && self.form != Form::Json {
            self.label_sets(&some).await?
        } else {
            HashMap::new()
        };
        let prepared = Arc::clone(&self.prepared);
        for row in &some {
            let Some(group) = prepared.groups.get(row.group as usize) else {
                continue;
            };
            let labels = label_sets
                .get(&group.series)
                .map(String::as_str)
                .unwrap_or_default();
            match self.form {
                Form::Json => self.write_member(row, group),
                Form::Ndjson => self.write_line(row, group, labels),
                Form::Csv => self.write_csv(row, group, labels),
            }
            self.written += 1;
        }
        Ok(())
    }

    /// The labels of the series of some rows, in canonical form.
    async fn label_sets(&self, rows: &[AnswerRow]) -> Result<HashMap<i64, String>, StoreError> {
        let mut ids: Vec<i64> = rows
            .iter()
            .filter_map(|row| Some(self.prepared.groups.get(row.group as usize)?.series))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        self.state
            .store
            .read(move |conn| Ok(series::label_sets(conn, &ids)?))
            .await
    }

    fn write_member(&mut self, row: &AnswerRow, group: &Merged) {
        if self.written > 0 {
            self.out.push(',');
        }
        let Self {
            out,
            group_by,
            aggregates,
            prepared,
            ..
        } = self;
        text::object(out, |out| {
            out.time("bucket", row.bucket);
            if let Some(names) = group_by {
                write_group(out, names, group);
            }
            let seconds = prepared.seconds_of(row.bucket);
            if aggregates.is_empty() || group_by.is_none() {
                write_usual(out, row, group, aggregates);
                for one in aggregates.iter().filter(|one| is_unusual(**one)) {
                    write_figure(out, *one, one.of_total(&row.total, group.kind, seconds));
                }
            } else {
                for one in aggregates.iter() {
                    write_figure(out, *one, one.of_total(&row.total, group.kind, seconds));
                }
            }
        });
    }

    fn write_line(&mut self, row: &AnswerRow, group: &Merged, labels: &str) {
        let figures = self.figures(row, group);
        text::object(&mut self.out, |out| {
            out.time("bucket", row.bucket);
            if let Some(names) = &self.group_by {
                write_group(out, names, group);
            } else {
                out.text("type", group.kind.as_str());
                let labels = if labels.is_empty() { "{}" } else { labels };
                out.member("labels", |out| out.push_str(labels));
            }
            for (figure, value) in figures {
                match value {
                    Some(value) => write_figure(out, figure, value),
                    None => {
                        out.optional(figure.as_str(), None);
                    }
                }
            }
        });
        self.out.push('\n');
    }

    fn write_csv(&mut self, row: &AnswerRow, group: &Merged, labels: &str) {
        let figures = self.figures(row, group);
        let mut line = csv::Line::begin(&mut self.out);
        line.time(row.bucket).text(group.kind.as_str());
        match &self.group_by {
            Some(names) if group.rest => {
                for _ in names {
                    line.text("");
                }
                line.text("rest");
            }
            Some(_) => {
                for value in &group.values {
                    line.text(value);
                }
                line.text("");
            }
            None => {
                line.text(labels);
            }
        }
        for (figure, value) in figures {
            match figure {
                Aggregate::Count => line.count(row.total.counted().count),
                _ => line.number(value),
            };
        }
        line.end();
    }

    /// The first line of a CSV file.
    fn write_names(&mut self) {
        let figures = self.wanted();
        let mut line = csv::Line::begin(&mut self.out);
        line.text("bucket").text("type");
        match &self.group_by {
            Some(names) => {
                for name in names {
                    line.text(name);
                }
                line.text("group");
            }
            None => {
                line.text("labels");
            }
        }
        for figure in figures {
            line.text(figure.as_str());
        }
        line.end();
    }

    /// The figures of a row in a file.
    fn wanted(&self) -> Vec<Aggregate> {
        if self.aggregates.is_empty() {
            USUAL.to_vec()
        } else {
            self.aggregates.clone()
        }
    }

    /// The figures of a row. Percentiles of what is no histogram are there only for those who ask for them.
    fn figures(&self, row: &AnswerRow, group: &Merged) -> Vec<(Aggregate, Option<f64>)> {
        let seconds = self.prepared.seconds_of(row.bucket);
        let has = |one: Aggregate| {
            one.percent().is_none()
                || group.kind == MetricType::Histogram
                || !self.aggregates.is_empty()
        };
        let of = |one: Aggregate| has(one).then(|| one.of_total(&row.total, group.kind, seconds));
        self.wanted()
            .into_iter()
            .map(|one| (one, of(one)))
            .collect()
    }
}

/// The figures of a row of the contract, and `last`.
const USUAL: [Aggregate; 9] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Avg,
    Aggregate::P50,
    Aggregate::P95,
    Aggregate::P99,
    Aggregate::Last,
];

/// Whether a figure is none of the contract's row, or not there for every type.
fn is_unusual(figure: Aggregate) -> bool {
    !USUAL.contains(&figure)
}

/// The contract's figures. Percentiles of what is no histogram are there only for those who ask for them.
fn write_usual(out: &mut text::Object<'_>, row: &AnswerRow, group: &Merged, asked: &[Aggregate]) {
    let rollup = row.total.counted();
    out.count("count", rollup.count)
        .number("sum", rollup.sum)
        .number("min", rollup.min)
        .number("max", rollup.max)
        .number("avg", rollup.mean());
    for one in [Aggregate::P50, Aggregate::P95, Aggregate::P99] {
        let has = group.kind == MetricType::Histogram || asked.contains(&one);
        let value = one.percent().filter(|_| has);
        out.optional(
            one.as_str(),
            value.map(|percent| row.total.percentile(percent)),
        );
    }
    out.number("last", rollup.last.value);
}

/// Writes a figure; counts are whole numbers.
pub(super) fn write_figure(out: &mut text::Object<'_>, figure: Aggregate, value: f64) {
    if figure == Aggregate::Count {
        out.count(figure.as_str(), value as u64);
    } else {
        out.number(figure.as_str(), value);
    }
}

/// What tells merged series apart.
pub(super) fn write_group(row: &mut text::Object<'_>, names: &[String], group: &Merged) {
    row.text("type", group.kind.as_str())
        .object("labels", |labels| {
            for (name, value) in names.iter().zip(&group.values) {
                labels.text(name, value);
            }
        });
    if group.rest {
        row.member("rest", |out| out.push_str("true"));
    }
}
