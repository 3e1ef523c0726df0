//! The rows of an answer, as members of a JSON array, as lines of JSON or as CSV: read and written a stretch of time at a
//! time, so that an answer of any length takes the same memory.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use futures_util::stream::{self, StreamExt as _};
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::ApiError;
use monlight_shared::store::StoreError;
use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::csv;
use super::text;
use crate::domain::aggregate::Aggregate;
use crate::state::AppState;
use crate::store::answer::{self, Answer, AnswerRow, Wanted};
use crate::store::query::{self, Merged, Prepared, Question};
use crate::store::{series, snapshot};

/// Text is handed on when there is so much of it.
const CHUNK_BYTES: usize = 64 * 1024;
/// A JSON answer up to this is sent as one piece with its length, as the original did: clients read that which do not
/// understand pieces.
const WHOLE_BYTES: usize = 512 * 1024;
/// Rows that are written at once, and whose labels are looked up together.
const ROWS_AT_ONCE: usize = 200;
/// Stretches that are read at once: there are two connections to read by.
const READ_AHEAD: usize = 2;
/// With more groups than this even a stretch of one bucket is large, and none is read before it is needed.
const GROUPS_READ_AHEAD: usize = 5000;

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

/// A stretch that is being read. The connection does not wait for it to be polled, as a client may be slow.
type Reading = Pin<Box<dyn Future<Output = Result<Stretch, StoreError>> + Send>>;

/// An answer on its way.
pub(super) struct Rows {
    state: AppState,
    prepared: Arc<Prepared>,
    _room: OwnedSemaphorePermit,
    form: Form,
    group_by: Option<Vec<String>>,
    wanted: Arc<[Wanted]>,
    /// Where the next stretch begins.
    at: i64,
    /// Stretches that are read while those before them are written, in the order of time.
    ahead: VecDeque<Reading>,
    /// A stretch that was read, and how many of its rows are written.
    read: Answer,
    read_written: usize,
    time: TimeText,
    out: String,
    written: usize,
    ended: bool,
}

/// The rows of a stretch of time, and where the next one with data can begin.
struct Stretch {
    answer: Answer,
    next: i64,
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
            wanted: wanted(form, &question).into(),
            group_by: question.group_by,
            ahead: VecDeque::new(),
            read: Answer::default(),
            read_written: 0,
            time: TimeText::default(),
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
        let whole = stream::iter([Ok(first)]).chain(rest);
        Ok(Body::from_stream(whole))
    }

    /// Text up to the end or until there is enough of it.
    async fn next_chunk(&mut self, enough: usize) -> Result<String, StoreError> {
        while !self.ended && self.out.len() < enough {
            if self.read_written < self.read.rows.len() {
                self.write_some().await?;
            } else {
                self.next_stretch().await?;
            }
        }
        Ok(std::mem::take(&mut self.out))
    }

    async fn next_stretch(&mut self) -> Result<(), StoreError> {
        self.read_ahead();
        let stretch = if let Some(reading) = self.ahead.pop_front() {
            reading.await?
        } else if self.at < self.prepared.to {
            let job = self.next_read();
            self.state.store.read(job).await?
        } else {
            if self.form == Form::Json {
                self.out.push_str("]}");
            }
            self.ended = true;
            return Ok(());
        };
        self.at = self.at.max(stretch.next);
        (self.read, self.read_written) = (stretch.answer, 0);
        self.read_ahead();
        Ok(())
    }

    /// Begins to read the next stretches by the connections that are idle.
    fn read_ahead(&mut self) {
        let groups = self.prepared.groups.len();
        let most = if groups > GROUPS_READ_AHEAD {
            0
        } else {
            READ_AHEAD
        };
        while self.ahead.len() < most && self.at < self.prepared.to {
            let at = self.at;
            let job = self.next_read();
            let Some(reading) = self.state.store.read_if_idle(job) else {
                self.at = at;
                break;
            };
            self.ahead.push_back(Box::pin(reading));
        }
    }

    /// How the next stretch is read.
    fn next_read(
        &mut self,
    ) -> impl FnOnce(&Connection) -> Result<Stretch, StoreError> + Send + use<> {
        let Prepared { to, stretch, .. } = *self.prepared;
        let (from, to) = (self.at, self.at.saturating_add(stretch).min(to));
        self.at = to;
        let (prepared, wanted) = (Arc::clone(&self.prepared), Arc::clone(&self.wanted));
        let read = move |conn: &Connection| {
            let answer = answer::read(conn, &prepared, &wanted, from, to)?;
            let next = if answer.rows.is_empty() {
                query::skip(conn, &prepared, to)?
            } else {
                to
            };
            Ok(Stretch { answer, next })
        };
        move |conn| snapshot(conn, read)
    }

    async fn write_some(&mut self) -> Result<(), StoreError> {
        let first = self.read_written;
        let read = std::mem::take(&mut self.read);
        let some = read.rows.get(first..).unwrap_or_default();
        let some = some.get(..ROWS_AT_ONCE).unwrap_or(some);
        let label_sets = if self.group_by.is_none() && self.form != Form::Json {
            label_sets(&self.state, &self.prepared, some).await?
        } else {
            HashMap::new()
        };
        let prepared = Arc::clone(&self.prepared);
        let figures = read.figures.chunks(self.wanted.len().max(1)).skip(first);
        for (&row, figures) in some.iter().zip(figures) {
            let Some(group) = prepared.groups.get(row.group as usize) else {
                continue;
            };
            let labels = label_sets
                .get(&group.series)
                .map(String::as_str)
                .unwrap_or_default();
            match self.form {
                Form::Json => self.write_member(row, figures, group),
                Form::Ndjson => self.write_line(row, figures, group, labels),
                Form::Csv => self.write_csv(row, figures, group, labels),
            }
            self.written += 1;
        }
        self.read_written = first + some.len();
        self.read = read;
        Ok(())
    }

    fn write_member(&mut self, row: AnswerRow, figures: &[Option<f64>], group: &Merged) {
        if self.written > 0 {
            self.out.push(',');
        }
        let bucket = self.time.text(row.bucket);
        text::object(&mut self.out, |out| {
            out.text("bucket", bucket);
            if let Some(names) = &self.group_by {
                write_group(out, names, group);
            }
            write_figures(out, &self.wanted, row, figures);
        });
    }

    fn write_line(
        &mut self,
        row: AnswerRow,
        figures: &[Option<f64>],
        group: &Merged,
        labels: &str,
    ) {
        let bucket = self.time.text(row.bucket);
        text::object(&mut self.out, |out| {
            out.text("bucket", bucket);
            if let Some(names) = &self.group_by {
                write_group(out, names, group);
            } else {
                out.text("type", group.kind.as_str());
                let labels = if labels.is_empty() { "{}" } else { labels };
                out.member("labels", |out| out.push_str(labels));
            }
            write_figures(out, &self.wanted, row, figures);
        });
        self.out.push('\n');
    }

    fn write_csv(&mut self, row: AnswerRow, figures: &[Option<f64>], group: &Merged, labels: &str) {
        let mut line = csv::Line::begin(&mut self.out);
        line.text(self.time.text(row.bucket))
            .text(group.kind.as_str());
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
        for (wanted, value) in self.wanted.iter().zip(figures) {
            match wanted.figure {
                Aggregate::Count => line.count(row.count),
                _ => line.number(*value),
            };
        }
        line.end();
    }

    /// The first line of a CSV file.
    fn write_names(&mut self) {
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
        for wanted in &*self.wanted {
            line.text(wanted.figure.as_str());
        }
        line.end();
    }
}

/// The labels of the series of some rows, in canonical form.
async fn label_sets(
    state: &AppState,
    prepared: &Prepared,
    rows: &[AnswerRow],
) -> Result<HashMap<i64, String>, StoreError> {
    let mut ids: Vec<i64> = rows
        .iter()
        .filter_map(|row| Some(prepared.groups.get(row.group as usize)?.series))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let read = move |conn: &Connection| Ok(series::label_sets(conn, &ids)?);
    state.store.read(read).await
}

/// A time as text, made once for all rows of a bucket.
#[derive(Default)]
struct TimeText {
    at_ms: i64,
    text: String,
}

impl TimeText {
    fn text(&mut self, at_ms: i64) -> &str {
        if self.text.is_empty() || self.at_ms != at_ms {
            *self = Self {
                at_ms,
                text: iso_seconds(at_ms),
            };
        }
        &self.text
    }
}

/// The figures of the contract's row, and `last`.
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

/// The figures of a row, in their order. Members of an array that are not grouped have the usual ones, whatever is asked for.
fn wanted(form: Form, question: &Question) -> Vec<Wanted> {
    let asked = &question.aggregates;
    let usual = asked.is_empty() || form == Form::Json && question.group_by.is_none();
    let usual: &[Aggregate] = if usual { &USUAL } else { &[] };
    let others = asked.iter().filter(|one| !usual.contains(one));
    let all = usual.iter().chain(others);
    all.map(|&figure| Wanted {
        figure,
        asked: asked.contains(&figure),
    })
    .collect()
}

fn write_figures(
    out: &mut text::Object<'_>,
    wanted: &[Wanted],
    row: AnswerRow,
    figures: &[Option<f64>],
) {
    for (wanted, value) in wanted.iter().zip(figures) {
        let key = wanted.figure.as_str();
        match wanted.figure {
            Aggregate::Count => out.count(key, row.count),
            _ => out.optional(key, *value),
        };
    }
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
