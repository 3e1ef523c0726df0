//! `POST /api/metrics`: a batch, all of it or nothing.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use monlight_shared::http::{ApiBytes, ApiError, json, json_text};
use monlight_shared::store::Lane;
use serde::Serialize;

use crate::domain::metric::{Item, Rejected, parse_batch};
use crate::domain::{labels, timestamp};
use crate::state::AppState;
use crate::store::dictionary::write_key;
use crate::store::ingest::{self, Batch, BatchPoint, Outcome, SeriesRef};
use crate::store::series::{NewSeries, Resolved};

/// Series are deleted at most every few minutes, so a batch meets that once, if ever.
const TRIES: usize = 3;

pub(super) async fn post(
    State(state): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    for _ in 0..TRIES {
        let read = match read(&state, &body) {
            Ok(read) => read,
            Err(rejected) => {
                state.told.batches_refused.inc();
                return Ok(refusal(&rejected));
            }
        };
        if let Some(count) = store(&state, read).await? {
            return Ok(json_text(
                StatusCode::ACCEPTED,
                format!("{{\"status\": \"accepted\", \"count\": {count}}}"),
            ));
        }
    }
    Err(ApiError::busy(
        "Old series are being deleted, send the batch again",
    ))
}

/// A batch that can be stored.
struct Read {
    batch: Batch,
    /// Of each new series: its key and how many points name it.
    keys: Vec<(Box<[u8]>, u64)>,
    replaced: u64,
}

/// Reads a body and looks up the series of its points.
fn read(state: &AppState, body: &[u8]) -> Result<Read, Rejected> {
    let items = parse_batch(body, state.config.max_batch)?;
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
    let mut key = Vec::new();
    let mut new_places: HashMap<Box<[u8]>, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        write_key(item, &mut key);
        let series = if let Some(id) = state.dictionary.find(epoch, &key) {
            SeriesRef::Known(id)
        } else if let Some(&place) = new_places.get(key.as_slice()) {
            SeriesRef::New(place)
        } else {
            let place = read.keys.len();
            read.batch
                .new
                .push(new_series(item).map_err(|fault| at_labels(index, fault))?);
            read.keys.push((key.as_slice().into(), 0));
            new_places.insert(key.as_slice().into(), place);
            SeriesRef::New(place)
        };
        if let SeriesRef::New(place) = series {
            read.keys[place].1 += 1;
        }
        let time = timestamp::resolve(item.timestamp, now_ms);
        read.replaced += u64::from(time.replaced);
        read.batch.points.push(BatchPoint {
            series,
            at_ms: time.at_ms,
            value: item.value,
        });
    }
    Ok(read)
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

/// Stores a batch; the number of its points, or `None` when its series have to be looked up again.
async fn store(state: &AppState, read: Read) -> Result<Option<usize>, ApiError> {
    let Read {
        batch,
        keys,
        replaced,
    } = read;
    let (epoch, count) = (batch.epoch, batch.points.len());
    let dictionary = Arc::clone(&state.dictionary);
    let max_series = state.config.max_series_per_project;
    let bytes =
        count * size_of::<BatchPoint>() + keys.iter().map(|(key, _)| key.len()).sum::<usize>();
    let job = move |conn: &_| ingest::store(conn, batch, &dictionary, max_series);
    let Outcome::Stored { resolved, late } = state.store.write(Lane::Ingest, bytes, job).await?
    else {
        return Ok(None);
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
    Ok(Some(count))
}

/// The contract's text, and beside it where the fault is.
fn refusal(rejected: &Rejected) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        detail: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        index: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let Rejected {
        detail,
        index,
        field,
        reason,
    } = rejected;
    let body = Refusal {
        detail,
        index: *index,
        field: *field,
        reason: reason.as_deref(),
    };
    json(StatusCode::BAD_REQUEST, &body).into_response()
}
