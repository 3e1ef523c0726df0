//! What others expose, from its text to the writer: the one way of pushes and of scrapes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use monlight_shared::http::ApiError;
use monlight_shared::idempotency::{self, Key};
use monlight_shared::metrics::{Counter, Registry};
use monlight_shared::store::Lane;

use crate::domain::exposed::{self, AllExposed, Exposed, Extra};
use crate::domain::exposition::{Faults, Form, Samples};
use crate::domain::labels;
use crate::domain::metric::Item;
use crate::state::AppState;
use crate::store::dictionary::write_key;
use crate::store::import::{self, Done, Import};
use crate::store::ingest::SeriesRef;
use crate::store::series::{NewSeries, Resolved};

/// Series are deleted at most every few minutes, so an import meets that once, if ever.
const TRIES: usize = 3;

/// An exposition and what its sender says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exposition<'b> {
    pub(crate) body: &'b [u8],
    pub(crate) form: Form,
    /// Empty for none.
    pub(crate) project: &'b str,
    /// Labels for every series.
    pub(crate) extra: &'b Extra,
    /// Whether what is good of it is stored when something else is wrong.
    pub(crate) partial: bool,
    pub(crate) key: Option<Key>,
    /// Totals that began so short a time ago are counted whole when they are first read, milliseconds.
    pub(crate) new_ms: i64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Stored(Report),
    /// One with its idempotency key was stored before.
    Before,
    /// Nothing was stored.
    Refused(Faults),
}

/// What was stored.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Lines with a value.
    pub(crate) samples: u64,
    /// Values that cannot be counted.
    pub(crate) skipped: u64,
    pub(crate) done: Done,
    pub(crate) faults: Faults,
}

/// Stores an exposition, all of it or nothing, and beside it `more` levels of the importer's own, such as `up`, under the
/// extra labels.
pub(crate) async fn take(
    state: &AppState,
    exposed: Exposition<'_>,
    more: &[(&str, f64)],
) -> Result<Outcome, ApiError> {
    for _ in 0..TRIES {
        let now_ms = state.clock.now_ms();
        let (mut readings, faults) = match read(state, exposed, now_ms) {
            Ok(read) => read,
            Err(faults) => {
                state.told.imports.refused.inc();
                return Ok(Outcome::Refused(faults));
            }
        };
        let own = exposed::levels(more, exposed.extra, now_ms);
        readings.all.extend(own);
        let (samples, skipped) = (readings.samples, readings.skipped);
        let replaced = readings.replaced;
        match store(state, exposed, readings.all, now_ms).await? {
            Stored::Before => return Ok(Outcome::Before),
            Stored::Stale => {}
            Stored::Done(done) => {
                state.told.timestamps_replaced.add(replaced);
                let report = Report {
                    samples,
                    skipped,
                    done,
                    faults,
                };
                state.told.imports.note(&report);
                return Ok(Outcome::Stored(report));
            }
        }
    }
    Err(ApiError::busy(
        "Old series are being deleted, send the metrics again",
    ))
}

/// What an exposition says, and what is wrong with it.
fn read(
    state: &AppState,
    exposed: Exposition<'_>,
    now_ms: i64,
) -> Result<(AllExposed, Faults), Faults> {
    let samples = Samples::of(exposed.body, exposed.form);
    let most = state.config.max_batch as u64;
    let read = exposed::read(samples, most, exposed.extra, now_ms);
    let (found, faults) = read.map_err(|fault| {
        let mut faults = Faults::default();
        faults.push(fault);
        faults
    })?;
    let nothing_good = found.all.is_empty() && faults.count > 0;
    if nothing_good || faults.count > 0 && !exposed.partial {
        Err(faults)
    } else {
        Ok((found, faults))
    }
}

enum Stored {
    Done(Done),
    Before,
    Stale,
}

async fn store(
    state: &AppState,
    exposed: Exposition<'_>,
    readings: Vec<Exposed>,
    now_ms: i64,
) -> Result<Stored, ApiError> {
    let epoch = state.dictionary.epoch();
    let empty = Import {
        now_ms,
        epoch,
        project: labels::project(exposed.project).into_owned(),
        new_ms: exposed.new_ms,
        readings: Vec::with_capacity(readings.len()),
        new: Vec::new(),
    };
    let (import, keys) = look_up(state, empty, readings);
    let bytes = import
        .readings
        .iter()
        .map(|(_, reading)| size_of::<Exposed>() + reading.name.len() + reading.labels.len())
        .sum();
    let (dictionary, bounds) = (Arc::clone(&state.dictionary), state.config.series);
    let key = exposed.key;
    let job = move |conn: &_| {
        if idempotency::is_known(conn, key)? {
            return Ok(None);
        }
        let outcome = import::store(conn, import, &dictionary, bounds)?;
        if matches!(outcome, import::Outcome::Stored { .. }) {
            idempotency::note(conn, key)?;
        }
        Ok(Some(outcome))
    };
    let (resolved, done) = match state.store.write(Lane::Ingest, bytes, job).await? {
        Some(import::Outcome::Stored { resolved, done }) => (resolved, done),
        Some(import::Outcome::Stale) => return Ok(Stored::Stale),
        None => return Ok(Stored::Before),
    };
    for (key, series) in keys.into_iter().zip(resolved) {
        match series {
            // What overflows today may have a place tomorrow.
            Resolved::Overflow(_) => {}
            Resolved::Made(id) => {
                state.told.series.add(1);
                state.dictionary.insert(epoch, key, id);
            }
            Resolved::Known(id) => state.dictionary.insert(epoch, key, id),
        }
    }
    let told = &state.told;
    told.points.add(done.points);
    told.late_points.add(done.late);
    told.overflow_points.add(done.overflow);
    Ok(Stored::Done(done))
}

/// Adds readings to an import; also the keys of series that are new.
fn look_up(
    state: &AppState,
    mut import: Import,
    readings: Vec<Exposed>,
) -> (Import, Vec<Box<[u8]>>) {
    let mut places: HashMap<Box<[u8]>, usize> = HashMap::new();
    let mut keys: Vec<Box<[u8]>> = Vec::new();
    let mut key = Vec::new();
    for reading in readings {
        // The key of a batch's metric whose labels are written in canonical form: it names the same series.
        let item = Item {
            name: Cow::Borrowed(&reading.name),
            kind: reading.kind(),
            value: 0.0,
            labels: Some(reading.labels.as_str()).filter(|labels| !labels.is_empty()),
            timestamp: None,
            project: Some(import.project.as_str().into())
                .filter(|name: &Cow<'_, str>| !name.is_empty()),
        };
        write_key(&item, &mut key);
        let series = if let Some(id) = state.dictionary.find(import.epoch, &key) {
            SeriesRef::Known(id)
        } else if let Some(&place) = places.get(key.as_slice()) {
            SeriesRef::New(place)
        } else {
            let place = keys.len();
            import.new.push(NewSeries {
                project: import.project.clone(),
                name: reading.name.clone(),
                kind: reading.kind(),
                labels: reading.labels.clone(),
            });
            keys.push(key.as_slice().into());
            places.insert(key.as_slice().into(), place);
            SeriesRef::New(place)
        };
        import.readings.push((series, reading));
    }
    (import, keys)
}

/// What the collector says about imports at `GET /metrics`.
pub(crate) struct Told {
    stored: Counter,
    refused: Counter,
    samples: Counter,
    skipped: Counter,
    first: Counter,
    resets: Counter,
    old: Counter,
    without_room: Counter,
    faults: Counter,
}

impl Told {
    pub(crate) fn new(metrics: &Registry) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]);
        let left_out = |reason| {
            metrics.counter(
                "monlight_metrics_import_left_out_total",
                "Exposition values that were not counted: no_number, or a counter below zero; old, no later than what was \
                 read before; no_room, of an overflowing series beyond those whose last values are kept; fault, a line \
                 of a partly stored exposition.",
                &[("reason", reason)],
            )
        };
        Self {
            stored: counter(
                "monlight_metrics_imports_total",
                "Expositions stored, pushed and scraped ones.",
            ),
            refused: counter(
                "monlight_metrics_imports_refused_total",
                "Expositions refused as invalid.",
            ),
            samples: counter(
                "monlight_metrics_import_samples_total",
                "Exposition values that were read.",
            ),
            first: counter(
                "monlight_metrics_import_baselines_total",
                "Exposition totals that became what later ones are compared with.",
            ),
            resets: counter(
                "monlight_metrics_import_resets_total",
                "Exposition totals that had begun anew.",
            ),
            skipped: left_out("no_number"),
            old: left_out("old"),
            without_room: left_out("no_room"),
            faults: left_out("fault"),
        }
    }

    fn note(&self, report: &Report) {
        let done = &report.done;
        self.stored.inc();
        self.samples.add(report.samples);
        self.skipped.add(report.skipped);
        self.first.add(done.first);
        self.resets.add(done.resets);
        self.old.add(done.old);
        self.without_room.add(done.without_room);
        self.faults.add(report.faults.count as u64);
    }
}
