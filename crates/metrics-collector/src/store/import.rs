//! Stores what was imported: points, and what totals have grown by, together with what they are now. All of it is one
//! transaction, so neither a restart nor a crash loses a difference or adds it twice.

use std::sync::Arc;

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::HOUR_MS;
use super::baseline;
use super::dictionary::Dictionary;
use super::ingest::{self, SeriesRef};
use super::series::{self, Bounds, NewSeries, Resolved};
use crate::domain::change::{Change, Known, Totals, change};
use crate::domain::exposed::{Exposed, Value};
use crate::domain::rollup::{Point, Rollup};

/// What has not changed is noted once in so many milliseconds.
const NOTED_EVERY_MS: i64 = HOUR_MS;

/// AllExposed, ready for the writer.
#[derive(Debug)]
pub(crate) struct Import {
    /// When they arrived, milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// What [`SeriesRef::Known`] ids belong to.
    pub(crate) epoch: u64,
    /// Empty for none.
    pub(crate) project: String,
    /// Totals that began so short a time ago are counted whole when they are first read, milliseconds.
    pub(crate) new_ms: i64,
    /// Those of a series by time.
    pub(crate) readings: Vec<(SeriesRef, Exposed)>,
    /// What [`SeriesRef::New`] points into.
    pub(crate) new: Vec<NewSeries>,
}

/// What became of an import.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stored.
    Stored {
        /// The series of [`Import::new`], in their order.
        resolved: Vec<Resolved>,
        done: Done,
    },
    /// Series were deleted since it was read: look its series up again. Nothing was stored.
    Stale,
}

/// What was stored of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Points and histograms.
    pub(crate) points: u64,
    /// Those that were counted in an overflow series.
    pub(crate) overflow: u64,
    /// Those merged into rollups, because points of their time are gone.
    pub(crate) late: u64,
    /// Totals that were read for the first time.
    pub(crate) first: u64,
    /// Totals that have begun anew.
    pub(crate) resets: u64,
    /// Totals that are no later than what was read before, and levels that were read already.
    pub(crate) old: u64,
    /// Totals of overflowing series beyond those whose last values are kept.
    pub(crate) without_room: u64,
}

/// Runs on the writer.
pub(crate) fn store(
    conn: &Connection,
    import: Import,
    dictionary: &Arc<Dictionary>,
    bounds: Bounds,
) -> Result<Outcome, StoreError> {
    if import.epoch != dictionary.epoch() {
        return Ok(Outcome::Stale);
    }
    let resolved = import
        .new
        .iter()
        .map(|new| series::resolve(conn, new, bounds, import.now_ms))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut writer = Writer {
        conn,
        bounds,
        new_ms: import.new_ms,
        shared: None,
        points: Vec::with_capacity(import.readings.len()),
        counted: Vec::new(),
        done: Done::default(),
    };
    for (series, reading) in import.readings {
        let place = match series {
            SeriesRef::Known(id) => Resolved::Known(id),
            SeriesRef::New(place) => resolved[place],
        };
        writer.take(&import.project, place, reading)?;
    }
    let Writer {
        points,
        counted,
        mut done,
        ..
    } = writer;
    done.points = (points.len() + counted.len()) as u64;
    done.late = ingest::store_points(conn, points, import.now_ms)?
        + ingest::store_counted(conn, counted, import.now_ms)?;
    Ok(Outcome::Stored { resolved, done })
}

struct Writer<'c> {
    conn: &'c Connection,
    bounds: Bounds,
    new_ms: i64,
    /// How many baselines share a series, once somebody had to know.
    shared: Option<i64>,
    points: Vec<(i64, Point)>,
    counted: Vec<(i64, Rollup)>,
    done: Done,
}

impl Writer<'_> {
    fn take(&mut self, project: &str, place: Resolved, reading: Exposed) -> Result<(), StoreError> {
        let series = place.id();
        let overflows = matches!(place, Resolved::Overflow(_));
        let totals = match reading.value {
            Value::Level(value) => {
                let point = Point {
                    at_ms: reading.at_ms,
                    value,
                };
                if reading.timed && !overflows && self.is_known(series, point)? {
                    self.done.old += 1;
                    return Ok(());
                }
                self.done.overflow += u64::from(overflows);
                self.points.push((series, point));
                return Ok(());
            }
            Value::Totals(totals) => totals,
        };
        let key = if overflows {
            shared_key(project, &reading.name, &reading.labels)
        } else {
            String::new()
        };
        let now = Known {
            at_ms: reading.at_ms,
            created_ms: reading.created_ms,
            totals,
        };
        let before = baseline::find(self.conn, series, &key)?;
        if before.is_none() && overflows && !self.has_room()? {
            self.done.without_room += 1;
            return Ok(());
        }
        let added = match change(before.as_ref(), &now, reading.timed, self.new_ms) {
            Change::Old => {
                self.done.old += 1;
                return Ok(());
            }
            Change::None => {
                if before.is_some_and(|before| now.at_ms - before.at_ms >= NOTED_EVERY_MS) {
                    baseline::touch(self.conn, series, &key, &now)?;
                }
                return Ok(());
            }
            Change::First => {
                self.done.first += 1;
                None
            }
            Change::Added(added) => Some(added),
            Change::Reset(added) => {
                self.done.resets += 1;
                Some(added)
            }
        };
        baseline::write(self.conn, series, &key, &now)?;
        if let Some(added) = added {
            self.done.overflow += u64::from(overflows);
            self.add(series, now.at_ms, &added);
        }
        Ok(())
    }

    /// Whether a level that carries its own time is the one that was read last; if not, it is noted. Exporters with
    /// times of their own, and files that are pushed again, show the same one until there is another.
    fn is_known(&self, series: i64, point: Point) -> Result<bool, StoreError> {
        let totals = Totals::Number(point.value);
        let before = baseline::find(self.conn, series, "")?;
        if let Some(before) = &before
            && before.at_ms >= point.at_ms
        {
            return Ok(before.at_ms == point.at_ms && before.totals == totals);
        }
        let now = Known {
            at_ms: point.at_ms,
            created_ms: None,
            totals,
        };
        baseline::write(self.conn, series, "", &now)?;
        Ok(false)
    }

    fn add(&mut self, series: i64, at_ms: i64, added: &Totals) {
        match added {
            // A total that has begun anew and counted nothing yet.
            Totals::Number(0.0) => {}
            Totals::Number(value) => {
                let value = *value;
                self.points.push((series, Point { at_ms, value }));
            }
            Totals::Buckets(buckets) => self
                .counted
                .extend(buckets.rollup(at_ms).map(|rollup| (series, rollup))),
        }
    }

    /// Whether one more baseline may share a series with others: there are at most as many as a project has series.
    fn has_room(&mut self) -> rusqlite::Result<bool> {
        let shared = match self.shared {
            Some(shared) => shared,
            None => baseline::count_shared(self.conn)?,
        };
        let room = shared < self.bounds.per_project;
        self.shared = Some(shared + i64::from(room));
        Ok(room)
    }
}

/// Tells the series apart that one stands for. Lengths go first, so that no two have one key.
fn shared_key(project: &str, name: &str, labels: &str) -> String {
    format!("{}:{}:{project}{name}{labels}", project.len(), name.len())
}
