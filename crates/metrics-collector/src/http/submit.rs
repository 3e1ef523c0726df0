//! `POST /api/metrics`: a batch, all of it or nothing; with `?partial=1` what is good of it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use monlight_shared::http::{ApiBytes, ApiError, RawParams, json, json_text};
use monlight_shared::idempotency::{self, BatchAnswer, ItemAnswer, Key, RequestKey, read_batch};
use monlight_shared::store::Lane;
use serde::Serialize;

use crate::domain::metric::{Item, Rejected, parse_batch, parse_each};
use crate::domain::{labels, timestamp};
use crate::state::AppState;
use crate::store::dictionary::write_key;
use crate::store::ingest::{self, Batch, BatchPoint, SeriesRef};
use crate::store::series::{NewSeries, Resolved};

/// Faults that a partly stored batch is told; the rest is counted.
const MOST_FAULTS: usize = 100;
/// Series are deleted at most every few minutes, so a batch meets that once, if ever.
const TRIES: usize = 3;

pub(super) async fn post(
    State(state): State<AppState>,
    RawParams(params): RawParams,
    RequestKey(key): RequestKey,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let partial = matches!(params.last("partial"), Some("1" | "true"));
    for _ in 0..TRIES {
        let (read, faults) = match read_body(&state, &body, partial) {
            Ok(read) => read,
            Err(rejected) => {
                state.told.batches_refused.inc();
                return Ok(refusal(&rejected));
            }
        };
        if partial && read.batch.points.is_empty() {
            state.told.batches_refused.inc();
            return Ok(partial_answer(0, &faults));
        }
        match store(&state, read, key).await? {
            Stored::Points(count) if partial => {
                state.told.points_refused.add(faults.len() as u64);
                return Ok(partial_answer(count, &faults));
            }
            Stored::Points(count) => {
                return Ok(json_text(
                    StatusCode::ACCEPTED,
                    format!("{{\"status\": \"accepted\", \"count\": {count}}}"),
                ));
            }
            Stored::Before => {
                let duplicate = serde_json::json!({"status": "duplicate"});
                return Ok(json(StatusCode::OK, &duplicate));
            }
            Stored::Stale => {}
        }
    }
    Err(stale())
}

fn stale() -> ApiError {
    ApiError::busy("Old series are being deleted, send the batch again")
}

/// `POST /api/metrics/batch`: batches that somebody kept while this service could not be reached, in their order, each by
/// itself. 200 with what became of each.
pub(super) async fn post_batch(
    State(state): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    // All are handed to the writer before one is waited for, so they share commits.
    let results = read_batch(&body)?;
    let results = results.into_iter().map(|item| take(&state, item));
    let results = join_all(results).await;
    let results = results.into_iter().map(ItemAnswer::of).collect();
    Ok(json(StatusCode::OK, &BatchAnswer { results }))
}

/// Takes one of several batches; answers the status it would have got by itself.
async fn take(state: &AppState, item: idempotency::Item<'_>) -> Result<u16, ApiError> {
    for _ in 0..TRIES {
        let read = read_body(state, item.document, false).map_err(|rejected| {
            state.told.batches_refused.inc();
            ApiError::invalid(rejected.detail)
        });
        match store(state, read?.0, Some(item.key)).await? {
            Stored::Points(_) => return Ok(StatusCode::ACCEPTED.as_u16()),
            Stored::Before => return Ok(StatusCode::OK.as_u16()),
            Stored::Stale => {}
        }
    }
    Err(stale())
}

/// Reads a body. The first fault refuses it, unless `partial` sets the items at fault aside.
fn read_body(
    state: &AppState,
    body: &[u8],
    partial: bool,
) -> Result<(Read, Vec<Rejected>), Rejected> {
    let most = state.config.max_batch;
    if partial {
        read(state, parse_each(body, most)?.into_iter(), true)
    } else {
        read(state, parse_batch(body, most)?.into_iter().map(Ok), false)
    }
}

/// A batch that can be stored.
struct Read {
    batch: Batch,
    /// Of each new series: its key and how many points name it.
    keys: Vec<(Box<[u8]>, u64)>,
    replaced: u64,
}

/// Looks up the series of the items.
fn read<'b>(
    state: &AppState,
    items: impl ExactSizeIterator<Item = Result<Item<'b>, Rejected>>,
    partial: bool,
) -> Result<(Read, Vec<Rejected>), Rejected> {
    let (now_ms, epoch) = (state.clock.now_ms(), state.dictionary.epoch());
    let batch = Batch {
        now_ms,
        epoch,
        points: Vec::with_capacity(items.len()),
        new: Vec::new(),
    };
    let mut read = Read {
        batch,
        keys: Vec::new(),
        replaced: 0,
    };
    let mut faults = Vec::new();
    let mut key = Vec::new();
    // Of each new series, by its key: its place, and how many points name it.
    let mut new: HashMap<Box<[u8]>, (usize, u64)> = HashMap::new();
    for (index, item) in items.enumerate() {
        let item = match item {
            Ok(item) => item,
            Err(rejected) => {
                faults.push(rejected);
                continue;
            }
        };
        write_key(&item, &mut key);
        let series = if let Some(id) = state.dictionary.find(epoch, &key) {
            SeriesRef::Known(id)
        } else if let Some((place, points)) = new.get_mut(key.as_slice()) {
            *points += 1;
            SeriesRef::New(*place)
        } else {
            let place = new.len();
            match new_series(&item).map_err(|fault| at_labels(index, fault)) {
                Ok(new) => read.batch.new.push(new),
                Err(rejected) if partial => {
                    faults.push(rejected);
                    continue;
                }
                Err(rejected) => return Err(rejected),
            }
            new.insert(key.as_slice().into(), (place, 1));
            SeriesRef::New(place)
        };
        let time = timestamp::resolve(item.timestamp, now_ms);
        read.replaced += u64::from(time.replaced);
        read.batch.points.push(BatchPoint {
            series,
            at_ms: time.at_ms,
            value: item.value,
        });
    }
    let mut new: Vec<_> = new.into_iter().collect();
    new.sort_unstable_by_key(|(_, (place, _))| *place);
    read.keys = new
        .into_iter()
        .map(|(key, (_, points))| (key, points))
        .collect();
    Ok((read, faults))
}

/// The series of an item whose bytes are not known yet.
fn new_series(item: &Item<'_>) -> Result<NewSeries, Rejected> {
    let canonical = item
        .labels
        .map(labels::canonical)
        .transpose()
        .map_err(Rejected::not_json)?
        .unwrap_or_default();
    let project = item
        .project
        .as_deref()
        .or(canonical.relay_project.as_deref())
        .unwrap_or_default();
    Ok(NewSeries {
        project: labels::project(project).into_owned(),
        name: item.name.clone().into_owned(),
        kind: item.kind,
        labels: canonical.text,
    })
}

fn at_labels(index: usize, rejected: Rejected) -> Rejected {
    Rejected {
        index: Some(index),
        field: Some("labels"),
        ..rejected
    }
}

/// What became of a batch.
enum Stored {
    Points(usize),
    /// One with its idempotency key was stored before.
    Before,
    /// Its series have to be looked up again.
    Stale,
}

/// Stores a batch, once.
async fn store(state: &AppState, read: Read, key: Option<Key>) -> Result<Stored, ApiError> {
    let Read {
        batch,
        keys,
        replaced,
    } = read;
    let (epoch, count) = (batch.epoch, batch.points.len());
    let dictionary = Arc::clone(&state.dictionary);
    let bounds = state.config.series;
    let bytes =
        count * size_of::<BatchPoint>() + keys.iter().map(|(key, _)| key.len()).sum::<usize>();
    let job = move |conn: &_| {
        if idempotency::is_known(conn, key)? {
            return Ok(None);
        }
        let outcome = ingest::store(conn, batch, &dictionary, bounds)?;
        if matches!(outcome, ingest::Outcome::Stored { .. }) {
            idempotency::note(conn, key)?;
        }
        Ok(Some(outcome))
    };
    let (resolved, late) = match state.store.write(Lane::Ingest, bytes, job).await? {
        Some(ingest::Outcome::Stored { resolved, late }) => (resolved, late),
        Some(ingest::Outcome::Stale) => return Ok(Stored::Stale),
        None => return Ok(Stored::Before),
    };
    let told = &state.told;
    for ((key, points), series) in keys.into_iter().zip(resolved) {
        match series {
            // What overflows today may have a place tomorrow.
            Resolved::Overflow(_) => told.overflow_points.add(points),
            Resolved::Made(id) => {
                told.series.add(1);
                state.dictionary.insert(epoch, key, id);
            }
            Resolved::Known(id) => state.dictionary.insert(epoch, key, id),
        }
    }
    told.batches.inc();
    told.points.add(count as u64);
    told.late_points.add(late);
    told.timestamps_replaced.add(replaced);
    Ok(Stored::Points(count))
}

/// A fault: the contract's text, and beside it where it is.
#[derive(Serialize)]
struct Fault<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> Fault<'a> {
    fn of(rejected: &'a Rejected) -> Self {
        Self {
            detail: &rejected.detail,
            index: rejected.index,
            field: rejected.field,
            reason: rejected.reason.as_deref(),
        }
    }
}

fn refusal(rejected: &Rejected) -> Response {
    json(StatusCode::BAD_REQUEST, &Fault::of(rejected)).into_response()
}

/// What was stored, and the first faults; a refusal when nothing was.
fn partial_answer(count: usize, faults: &[Rejected]) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(flatten)]
        outcome: Outcome<'a>,
        count: usize,
        rejected: usize,
        errors: Vec<Fault<'a>>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Outcome<'a> {
        Status(&'static str),
        Detail(&'a str),
    }
    let (status, outcome) = match faults.first() {
        Some(first) if count == 0 => (StatusCode::BAD_REQUEST, Outcome::Detail(&first.detail)),
        _ => (StatusCode::ACCEPTED, Outcome::Status("accepted")),
    };
    let answer = Answer {
        outcome,
        count,
        rejected: faults.len(),
        errors: faults.iter().take(MOST_FAULTS).map(Fault::of).collect(),
    };
    json(status, &answer).into_response()
}
