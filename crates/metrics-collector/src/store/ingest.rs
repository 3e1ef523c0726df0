//! Stores a batch: all of it in one transaction, or nothing.

use std::sync::Arc;

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::dictionary::Dictionary;
use super::rows::{self, RowKey};
use super::series::{self, Bounds, NewSeries, Resolved};
use super::watermark::Watermark;
use super::{blocks, failed};
use crate::domain::block::BlockPoint;
use crate::domain::counted_block::Counted;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Point, Rollup};

/// The points of a batch, ready for the writer.
#[derive(Debug)]
pub(crate) struct Batch {
    /// When it arrived, milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// What [`SeriesRef::Known`] ids belong to.
    pub(crate) epoch: u64,
    pub(crate) points: Vec<BatchPoint>,
    /// What [`SeriesRef::New`] points into.
    pub(crate) new: Vec<NewSeries>,
}

/// One point of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPoint {
    pub(crate) series: SeriesRef,
    pub(crate) at_ms: i64,
    pub(crate) value: f64,
}

/// The series of a point, as far as the dictionary knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SeriesRef {
    Known(i64),
    /// A position in [`Batch::new`].
    New(usize),
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stored.
    Stored {
        /// The series of [`Batch::new`], in their order.
        resolved: Vec<Resolved>,
        /// Points older than the raw points that are kept, merged into rollups.
        late: u64,
    },
    /// Series were deleted since the batch was read: look its series up again. Nothing was stored.
    Stale,
}

/// Runs on the writer.
pub(crate) fn store(
    conn: &Connection,
    batch: Batch,
    dictionary: &Arc<Dictionary>,
    bounds: Bounds,
) -> Result<Outcome, StoreError> {
    if batch.epoch != dictionary.epoch() {
        return Ok(Outcome::Stale);
    }
    let resolved = batch
        .new
        .iter()
        .map(|new| series::resolve(conn, new, bounds, batch.now_ms))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut points: Vec<(i64, Point)> = Vec::with_capacity(batch.points.len());
    for BatchPoint {
        series,
        at_ms,
        value,
    } in batch.points
    {
        let id = match series {
            SeriesRef::Known(id) => id,
            SeriesRef::New(place) => resolved.get(place).map_or(0, |resolved| resolved.id()),
        };
        points.push((id, Point { at_ms, value }));
    }
    let late = store_points(conn, points, batch.now_ms)?;
    Ok(Outcome::Stored { resolved, late })
}

/// Stores points of series that are there, each with the id of its series; how many were late.
pub(super) fn store_points(
    conn: &Connection,
    mut points: Vec<(i64, Point)>,
    now_ms: i64,
) -> Result<u64, StoreError> {
    points.sort_by_key(|(_, point)| Resolution::Minute.bucket_of(point.at_ms));
    let floors = Floors::read(conn)?;
    let mut late = 0;
    for points in points.chunk_by_mut(|(_, a), (_, b)| same_minute(a.at_ms, b.at_ms)) {
        let minute = Resolution::Minute.bucket_of(points[0].1.at_ms);
        if minute >= floors.raw {
            store_block(conn, minute, points)?;
            continue;
        }
        late += points.len() as u64;
        points.sort_by_key(|&(series, _)| series);
        for of_series in points.chunk_by(|(a, _), (b, _)| a == b) {
            let mut values: Vec<Point> = of_series.iter().map(|&(_, point)| point).collect();
            if let Some(mut part) = Rollup::of(&mut values) {
                // Whether they are all the points of this bucket cannot be known.
                part.exact = None;
                merge_late(conn, minute, of_series[0].0, &part, &floors, now_ms)?;
            }
        }
        end_late(conn, minute, points.len(), &floors)?;
    }
    Ok(late)
}

/// As [`store_points`], of what senders had counted already. The time of each is that of its last value.
pub(super) fn store_counted(
    conn: &Connection,
    mut counted: Vec<(i64, Rollup)>,
    now_ms: i64,
) -> Result<u64, StoreError> {
    counted.sort_by_key(|(_, rollup)| Resolution::Minute.bucket_of(rollup.last.at_ms));
    let floors = Floors::read(conn)?;
    let mut late = 0;
    for counted in counted.chunk_by(|(_, a), (_, b)| same_minute(a.last.at_ms, b.last.at_ms)) {
        let minute = Resolution::Minute.bucket_of(counted[0].1.last.at_ms);
        if minute >= floors.raw {
            let packed = counted.iter().map(|(series, rollup)| {
                let offset_ms = (rollup.last.at_ms - minute) as u16;
                Counted::new(*series, offset_ms, rollup.clone())
            });
            blocks::insert_counted(conn, minute, &mut packed.collect::<Vec<_>>())?;
            mark_minute(conn, minute)?;
            continue;
        }
        late += counted.len() as u64;
        for (series, part) in counted {
            merge_late(conn, minute, *series, part, &floors, now_ms)?;
        }
        end_late(conn, minute, counted.len(), &floors)?;
    }
    Ok(late)
}

struct Floors {
    raw: i64,
    minute: i64,
    hour: i64,
}

impl Floors {
    /// The finest tier that still has rows of a minute before `raw`.
    fn tier_of(&self, minute: i64) -> Resolution {
        if Resolution::Hour.bucket_of(minute) >= self.minute {
            Resolution::Minute
        } else if Resolution::Day.bucket_of(minute) >= self.hour {
            Resolution::Hour
        } else {
            Resolution::Day
        }
    }
}

impl Floors {
    fn read(conn: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            raw: Watermark::RawFloor.read_floor(conn)?,
            minute: Watermark::MinuteFloor.read_floor(conn)?,
            hour: Watermark::HourFloor.read_floor(conn)?,
        })
    }
}

fn same_minute(a_ms: i64, b_ms: i64) -> bool {
    Resolution::Minute.bucket_of(a_ms) == Resolution::Minute.bucket_of(b_ms)
}

/// Stores points whose minute still has its blocks, and marks what they change.
pub(super) fn store_block(
    conn: &Connection,
    minute: i64,
    points: &[(i64, Point)],
) -> Result<(), StoreError> {
    let mut packed: Vec<BlockPoint> = points
        .iter()
        // The offset is below 60,000, as the point lies in this minute.
        .map(|&(series, Point { at_ms, value })| BlockPoint {
            series,
            offset_ms: (at_ms - minute) as u16,
            value,
        })
        .collect();
    blocks::insert(conn, minute, &mut packed)?;
    mark_minute(conn, minute)?;
    Ok(())
}

/// Marks a minute, and with it its hour and day, as one whose rows do not show all of its blocks.
fn mark_minute(conn: &Connection, minute: i64) -> rusqlite::Result<()> {
    let marked = conn
        .prepare_cached("INSERT OR IGNORE INTO dirty_minute (minute) VALUES (?1)")?
        .execute([minute])?;
    // The hour of a dirty minute is dirty already.
    if marked > 0 {
        mark_hour(conn, minute, 0)?;
    }
    Ok(())
}

/// Marks the hour of a minute, and with it its day, as one whose rows do not show everything.
fn mark_hour(conn: &Connection, minute: i64, raise: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO dirty_hour (hour, version) VALUES (?1, ?2)
         ON CONFLICT (hour) DO UPDATE SET version = version + excluded.version",
    )?
    .execute([Resolution::Hour.bucket_of(minute), raise])?;
    mark_day(conn, minute, 0)
}

/// Marks the day of a minute.
fn mark_day(conn: &Connection, minute: i64, raise: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO dirty_day (day, version) VALUES (?1, ?2)
         ON CONFLICT (day) DO UPDATE SET version = version + excluded.version",
    )?
    .execute([Resolution::Day.bucket_of(minute), raise])?;
    Ok(())
}

/// Merges what came late, when its minute has no blocks any more, into the series' row of the minute, hour or day.
fn merge_late(
    conn: &Connection,
    minute: i64,
    series: i64,
    part: &Rollup,
    floors: &Floors,
    now_ms: i64,
) -> Result<(), StoreError> {
    let tier = floors.tier_of(minute);
    let (name_id, kind) = name_of_series(conn, series)?;
    for series in [Some(series), None] {
        let key = RowKey {
            name_id,
            bucket: tier.bucket_of(minute),
            series,
        };
        rows::merge(conn, tier, key, kind, part)?;
    }
    let bucket = tier.bucket_of(minute);
    failed::add(
        conn,
        tier,
        (name_id, series),
        bucket,
        (part.count, part.sum),
    )?;
    // The rollup task, which does this for other series, never sees this one.
    conn.prepare_cached(
        "UPDATE series SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2 - 3600000",
    )?
    .execute([series, now_ms])?;
    Ok(())
}

/// Marks what late points of a minute have changed, and counts them.
fn end_late(
    conn: &Connection,
    minute: i64,
    points: usize,
    floors: &Floors,
) -> Result<(), StoreError> {
    match floors.tier_of(minute) {
        Resolution::Minute => mark_hour(conn, minute, 1)?,
        Resolution::Hour => mark_day(conn, minute, 1)?,
        Resolution::Day => {}
    }
    conn.prepare_cached(
        "INSERT INTO received (minute, n) VALUES (?1, ?2) ON CONFLICT (minute) DO UPDATE SET n = n + excluded.n",
    )?
    .execute((minute, points as i64))?;
    Ok(())
}

/// The name that a series belongs to.
pub(super) fn name_of_series(
    conn: &Connection,
    series: i64,
) -> rusqlite::Result<(i64, MetricType)> {
    conn.prepare_cached("SELECT name.id, name.type FROM series JOIN name ON name.id = series.name_id WHERE series.id = ?1")?
        .query_row([series], |row| {
            let code: u8 = row.get(1)?;
            Ok((row.get(0)?, MetricType::from_code(code).unwrap_or(MetricType::Gauge)))
        })
}
