//! Makes the rollup rows of a minute from its blocks.
//!
//! A bucket stays dirty, and is answered from the finer data, until its last row is written and nothing came in
//! between. Writing the same bucket again writes the same rows, so a rollup that was cut off is simply done again.
//! Rows are written in the order of their key, which touches each page once.

use std::cell::Cell;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::ids::IdMap;
use super::rows::{self, RowKey};
use super::watermark::Watermark;
use super::{HOUR_MS, MINUTE_MS, blocks, failed};
use crate::domain::block::{self, BlockPoint, Entry};
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Point, Rollup, merge_into};

/// Points of one pass over the blocks of a minute; a series with more gets its percentiles from a sketch.
const POINTS_A_PASS: usize = 150_000;
/// Series of one pass: their rollups are held until they are written.
const SERIES_A_PASS: usize = 2_500;
/// `last_seen` is written once in so many milliseconds.
const SEEN_EVERY_MS: i64 = HOUR_MS;

/// The dirty minutes that ended before a time, oldest first.
pub(crate) fn dirty_minutes(
    conn: &Connection,
    ended_by: i64,
    most: usize,
) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT minute FROM dirty_minute WHERE minute <= ?1 ORDER BY minute LIMIT ?2",
    )?
    .query_map([ended_by - MINUTE_MS, most as i64], |row| row.get(0))?
    .collect()
}

/// How many buckets wait to be rolled up.
pub(crate) fn backlog(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached(
        "SELECT (SELECT count(*) FROM dirty_minute) + (SELECT count(*) FROM dirty_hour) + (SELECT count(*) FROM dirty_day)",
    )?
    .query_row([], |row| row.get(0))
}

/// What the blocks of a minute hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// The last block that was counted.
    pub(crate) last_block: i64,
    pub(crate) points: u64,
    /// In the order of their rows.
    pub(crate) series: Vec<SeriesCount>,
}

/// A series of a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesCount {
    pub(crate) name_id: i64,
    pub(crate) series: i64,
    pub(crate) points: u64,
    pub(crate) kind: MetricType,
    last_seen: i64,
}

/// Counts what is there; `None` when the minute has no blocks.
pub(crate) fn census(conn: &Connection, minute: i64) -> Result<Option<Census>, StoreError> {
    let (first, last) = blocks::ids_of(minute);
    let last_block: Option<i64> = conn
        .prepare_cached("SELECT max(id) FROM block WHERE id BETWEEN ?1 AND ?2")?
        .query_row([first, last], |row| row.get(0))?;
    let Some(last_block) = last_block else {
        return Ok(None);
    };
    let mut counts: IdMap<u64> = IdMap::default();
    blocks::for_each(conn, minute, Some(last_block), |data| {
        let count = |series, points| {
            *counts.entry(series).or_default() += points;
            false
        };
        Ok(block::visit(data, count, |_| {})?)
    })?;
    let mut series = Vec::with_capacity(counts.len());
    let mut statement = conn.prepare_cached(
        "SELECT name.id, name.type, series.last_seen FROM series JOIN name ON name.id = series.name_id WHERE series.id = ?1",
    )?;
    for (&id, &points) in &counts {
        let known = statement
            .query_row([id], |row| {
                Ok((row.get(0)?, row.get::<_, u8>(1)?, row.get(2)?))
            })
            .optional()?;
        // A series is deleted only long after its last block is; points of one that is not there belong to nobody.
        let Some((name_id, kind, last_seen)) = known else {
            tracing::warn!(
                series = id,
                points,
                "points of an unknown series are left out of the rollup"
            );
            continue;
        };
        let kind = MetricType::from_code(kind).unwrap_or(MetricType::Gauge);
        series.push(SeriesCount {
            name_id,
            series: id,
            points,
            kind,
            last_seen,
        });
    }
    series.sort_unstable_by_key(|count| (count.name_id, count.series));
    let points = counts.values().sum();
    Ok(Some(Census {
        last_block,
        points,
        series,
    }))
}

/// Splits the series of a minute so that the points of each part can be held in memory.
pub(crate) fn passes(series: &[SeriesCount]) -> Vec<&[SeriesCount]> {
    let mut passes = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (place, count) in series.iter().enumerate() {
        let full = held + count.points > POINTS_A_PASS as u64 || place - start >= SERIES_A_PASS;
        if place > start && full {
            passes.push(&series[start..place]);
            (start, held) = (place, 0);
        }
        held += count.points;
    }
    if start < series.len() {
        passes.push(&series[start..]);
    }
    passes
}

/// The rollups of some series of a minute, in their order.
pub(crate) fn minute_pass(
    conn: &Connection,
    minute: i64,
    last_block: i64,
    series: &[SeriesCount],
) -> Result<Vec<Rollup>, StoreError> {
    if let [only] = series
        && only.points > POINTS_A_PASS as u64
    {
        return crowded_series(conn, minute, last_block, only.series);
    }
    let places: IdMap<usize> = series
        .iter()
        .enumerate()
        .map(|(place, count)| (count.series, place))
        .collect();
    // All points in one piece of memory, those of each series together, behind its start. What came counted is merged at
    // once and leaves its place there empty.
    let mut counted: Vec<Option<Rollup>> = vec![None; series.len()];
    let mut starts = Vec::with_capacity(series.len());
    let mut total = 0;
    for count in series {
        starts.push(total);
        total += count.points as usize;
    }
    let mut ends = starts.clone();
    let mut points = vec![
        Point {
            at_ms: 0,
            value: 0.0
        };
        total
    ];
    blocks::for_each(conn, minute, Some(last_block), |data| {
        // Set by the one closure, read by the other.
        let place = Cell::new(0);
        Ok(block::visit(
            data,
            |series, _| {
                let wanted = places.get(&series);
                place.set(wanted.copied().unwrap_or_default());
                wanted.is_some()
            },
            |entry| match entry {
                Entry::Point(BlockPoint {
                    offset_ms,
                    value,
                    series: _,
                }) => {
                    let end = &mut ends[place.get()];
                    points[*end] = Point {
                        at_ms: minute + i64::from(offset_ms),
                        value,
                    };
                    *end += 1;
                }
                Entry::Counted(part) => {
                    merge_into(&mut counted[place.get()], part.rollup_in(minute));
                }
            },
        )?)
    })?;
    let mut rollups = Vec::with_capacity(series.len());
    for ((start, end), counted) in starts.into_iter().zip(ends).zip(counted) {
        let mut sum = Rollup::of(&mut points[start..end]);
        if let Some(counted) = counted {
            merge_into(&mut sum, counted);
        }
        rollups.extend(sum);
    }
    Ok(rollups)
}

/// The rollup of a series with more points in a minute than can be held; its percentiles come from the sketch.
fn crowded_series(
    conn: &Connection,
    minute: i64,
    last_block: i64,
    wanted: i64,
) -> Result<Vec<Rollup>, StoreError> {
    let mut sum: Option<Rollup> = None;
    blocks::for_each(conn, minute, Some(last_block), |data| {
        Ok(block::visit(
            data,
            |series, _| series == wanted,
            |entry| match entry {
                Entry::Point(BlockPoint {
                    offset_ms,
                    value,
                    series: _,
                }) => {
                    let point = Point {
                        at_ms: minute + i64::from(offset_ms),
                        value,
                    };
                    match &mut sum {
                        Some(sum) => sum.add(point),
                        None => sum = Some(Rollup::of_one(point)),
                    }
                }
                Entry::Counted(part) => merge_into(&mut sum, part.rollup_in(minute)),
            },
        )?)
    })?;
    Ok(sum.into_iter().collect())
}

/// A row to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewRow {
    pub(crate) key: RowKey,
    pub(crate) kind: MetricType,
    pub(crate) rollup: Rollup,
}

/// Writes rows of one tier; those of a name's series before the one over all of them.
pub(crate) fn write_rows(
    conn: &Connection,
    tier: Resolution,
    new: &[NewRow],
) -> rusqlite::Result<()> {
    for NewRow { key, kind, rollup } in new {
        rows::write(conn, tier, *key, *kind, rollup)?;
        if key.series.is_none() {
            failed::sum_up(conn, tier, key.name_id, key.bucket)?;
        }
    }
    Ok(())
}

/// The series whose last note is long before a minute.
pub(crate) fn unseen(series: &[SeriesCount], minute: i64) -> Vec<i64> {
    let long_ago = |count: &&SeriesCount| count.last_seen < minute - SEEN_EVERY_MS;
    series
        .iter()
        .filter(long_ago)
        .map(|count| count.series)
        .collect()
}

/// Notes that series had points in a minute.
pub(crate) fn see(conn: &Connection, series: &[i64], minute: i64) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("UPDATE series SET last_seen = ?2 WHERE id = ?1")?;
    for id in series {
        statement.execute((id, minute))?;
    }
    Ok(())
}

/// Declares the rows of a minute complete, unless a block came after those that they show.
pub(crate) fn finish_minute(
    conn: &Connection,
    minute: i64,
    last_block: Option<i64>,
    points: u64,
) -> rusqlite::Result<bool> {
    let (first, last) = blocks::ids_of(minute);
    let newest: Option<i64> = conn
        .prepare_cached("SELECT max(id) FROM block WHERE id BETWEEN ?1 AND ?2")?
        .query_row([first, last], |row| row.get(0))?;
    if newest != last_block {
        return Ok(false);
    }
    conn.prepare_cached("DELETE FROM dirty_minute WHERE minute = ?1")?
        .execute([minute])?;
    conn.prepare_cached("INSERT OR REPLACE INTO received (minute, n) VALUES (?1, ?2)")?
        .execute((minute, points.cast_signed()))?;
    Watermark::LastRolled.raise(conn, minute)?;
    Ok(true)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::dictionary::Dictionary;
    use crate::store::ingest::{self, Batch, BatchPoint, SeriesRef};
    use crate::store::series::{Bounds, NewSeries};

    const BOUNDS: Bounds = Bounds {
        per_project: 10,
        per_name: 10,
    };
    pub(in crate::store) const MINUTE: i64 = 30_000_000 * MINUTE_MS;

    pub(in crate::store) fn database() -> Connection {
        let conn = Connection::open_in_memory().expect("opens");
        for migration in crate::store::MIGRATIONS {
            conn.execute_batch(migration.sql).expect("migrates");
        }
        conn
    }

    pub(in crate::store) fn post(conn: &Connection, at_ms: i64) {
        let new = NewSeries {
            project: String::new(),
            name: "n".to_owned(),
            kind: MetricType::Counter,
            labels: String::new(),
        };
        let point = BatchPoint {
            series: SeriesRef::New(0),
            at_ms,
            value: 1.0,
        };
        let batch = Batch {
            now_ms: at_ms,
            epoch: 0,
            points: vec![point],
            new: vec![new],
        };
        ingest::store(conn, batch, &Arc::new(Dictionary::default()), BOUNDS).expect("stores");
    }

    #[test]
    fn a_minute_that_got_a_block_meanwhile_stays_dirty() {
        let conn = database();
        post(&conn, MINUTE);
        let census = census(&conn, MINUTE).expect("reads").expect("has blocks");
        post(&conn, MINUTE + 1);
        let rollups = minute_pass(&conn, MINUTE, census.last_block, &census.series).expect("reads");
        assert_eq!(rollups[0].count, 1, "only what was counted");
        assert!(
            !finish_minute(&conn, MINUTE, Some(census.last_block), census.points).expect("asks")
        );
        assert_eq!(dirty_minutes(&conn, i64::MAX, 9).expect("reads"), [MINUTE]);
        assert!(finish_minute(&conn, MINUTE, Some(census.last_block + 1), 2).expect("asks"));
        assert_eq!(
            dirty_minutes(&conn, i64::MAX, 9).expect("reads"),
            [0_i64; 0]
        );
    }

    #[track_caller]
    fn check_passes(points: &[u64], expected: &[usize]) {
        let series: Vec<SeriesCount> = points
            .iter()
            .zip(0..)
            .map(|(&points, series)| SeriesCount {
                name_id: 1,
                series,
                points,
                kind: MetricType::Counter,
                last_seen: 0,
            })
            .collect();
        let passes = passes(&series);
        let lengths: Vec<usize> = passes.iter().map(|pass| pass.len()).collect();
        assert_eq!(lengths, expected);
        let all: Vec<i64> = passes.concat().iter().map(|count| count.series).collect();
        assert!(all.into_iter().eq(0..points.len() as i64));
    }

    #[test]
    fn a_pass_is_bounded_by_points_and_by_series() {
        let most = POINTS_A_PASS as u64;
        check_passes(&[], &[]);
        check_passes(&[1, most - 1, 1, most + 1, 2], &[2, 1, 1, 1]);
        check_passes(
            &vec![1; SERIES_A_PASS * 2 + 1],
            &[SERIES_A_PASS, SERIES_A_PASS, 1],
        );
    }

    #[test]
    fn ids_of_an_old_epoch_are_not_used() {
        let conn = database();
        let dictionary = Arc::new(Dictionary::default());
        dictionary.forget_all();
        let point = BatchPoint {
            series: SeriesRef::Known(1),
            at_ms: MINUTE,
            value: 1.0,
        };
        let batch = Batch {
            now_ms: MINUTE,
            epoch: 0,
            points: vec![point],
            new: Vec::new(),
        };
        let outcome = ingest::store(&conn, batch, &dictionary, BOUNDS).expect("answers");
        assert!(matches!(outcome, ingest::Outcome::Stale));
        assert_eq!(blocks::count(&conn, MINUTE).expect("reads"), 0);
    }
}
