//! Makes the rollup rows of an hour from those of its minutes, and those of a day from its hours.
//!
//! As with [minutes](super::rebuild), a bucket stays dirty until its last row is written and none of its parts has
//! changed in between. Percentiles come from merged sketches, never from those of the parts.

use std::collections::hash_map::Entry;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::ids::IdMap;
use super::rebuild::NewRow;
use super::rows::{Reader, RowKey, Sketches, columns};
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Rollup, add_to};

/// Series of one pass over the parts of a bucket.
const SERIES_A_PASS: usize = 2000;

/// A tier whose rows are merged from those of a finer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coarse {
    Hour,
    Day,
}

impl Coarse {
    /// The same as one of all tiers.
    pub(crate) const fn resolution(self) -> Resolution {
        match self {
            Self::Hour => Resolution::Hour,
            Self::Day => Resolution::Day,
        }
    }

    const fn step_ms(self) -> i64 {
        self.resolution().step_ms()
    }

    /// The tier that its rows are merged from.
    const fn parts(self) -> Resolution {
        match self {
            Self::Hour => Resolution::Minute,
            Self::Day => Resolution::Hour,
        }
    }

    const fn part_ms(self) -> i64 {
        self.parts().step_ms()
    }
}

/// The dirty hours or days that ended before a time and have no dirty parts left, with their versions, oldest first.
pub(crate) fn dirty(
    conn: &Connection,
    tier: Coarse,
    ended_by: i64,
    most: usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let sql = match tier {
        Coarse::Hour => {
            "SELECT hour, version FROM dirty_hour WHERE hour <= ?1 AND NOT EXISTS
                (SELECT 1 FROM dirty_minute WHERE minute >= dirty_hour.hour AND minute < dirty_hour.hour + 3600000)
             ORDER BY hour LIMIT ?2"
        }
        Coarse::Day => {
            "SELECT day, version FROM dirty_day WHERE day <= ?1 AND NOT EXISTS
                (SELECT 1 FROM dirty_hour WHERE hour >= dirty_day.day AND hour < dirty_day.day + 86400000)
             ORDER BY day LIMIT ?2"
        }
    };
    conn.prepare_cached(sql)?
        .query_map([ended_by - tier.step_ms(), most as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// The names that have rows in the parts of a bucket.
pub(crate) fn names_of(
    conn: &Connection,
    tier: Coarse,
    bucket: i64,
) -> rusqlite::Result<Vec<(i64, MetricType)>> {
    let sql = match tier {
        Coarse::Hour => {
            "SELECT id, type FROM name WHERE EXISTS
                (SELECT 1 FROM total_minute WHERE name_id = name.id AND bucket >= ?1 AND bucket < ?2) ORDER BY id"
        }
        Coarse::Day => {
            "SELECT id, type FROM name WHERE EXISTS
                (SELECT 1 FROM total_hour WHERE name_id = name.id AND bucket >= ?1 AND bucket < ?2) ORDER BY id"
        }
    };
    conn.prepare_cached(sql)?
        .query_map([bucket, bucket + tier.step_ms()], |row| {
            let code: u8 = row.get(1)?;
            Ok((
                row.get(0)?,
                MetricType::from_code(code).unwrap_or(MetricType::Gauge),
            ))
        })?
        .collect()
}

/// The series of a name that one pass is about: the next ones by id.
#[derive(Clone, Copy, Debug)]
struct Pass {
    after: i64,
    /// `None` when no series follow.
    last: Option<i64>,
}

impl Pass {
    fn find(conn: &Connection, name_id: i64, after: i64) -> rusqlite::Result<Self> {
        let last = conn
            .prepare_cached(
                "SELECT id FROM series WHERE name_id = ?1 AND id > ?2 ORDER BY id LIMIT 1 OFFSET ?3",
            )?
            .query_row((name_id, after, SERIES_A_PASS as i64 - 1), |row| row.get(0))
            .optional()?;
        Ok(Self { after, last })
    }

    /// The stretches of a bucket that are read one by one. Where a pass leaves series out, it goes to its own in each
    /// part instead of over all rows of the name.
    fn stretches(self, tier: Coarse, bucket: i64) -> impl Iterator<Item = (i64, i64)> {
        let whole = self.after == 0 && self.last.is_none();
        let length = if whole {
            tier.step_ms()
        } else {
            tier.part_ms()
        };
        (0..tier.step_ms() / length).map(move |part| {
            let from = bucket + part * length;
            (from, from + length)
        })
    }
}

/// Rows of a name's bucket, and the last series that they are about; `None` when no series follow.
pub(crate) fn pass(
    conn: &Connection,
    tier: Coarse,
    bucket: i64,
    (name_id, kind): (i64, MetricType),
    after: i64,
) -> Result<(Vec<NewRow>, Option<i64>), StoreError> {
    let pass = Pass::find(conn, name_id, after)?;
    let mut statement = conn.prepare_cached(match tier {
        Coarse::Hour => concat!(
            "SELECT series, ",
            columns!(),
            " FROM roll_minute WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3 AND series > ?4 AND series <= ?5"
        ),
        Coarse::Day => concat!(
            "SELECT series, ",
            columns!(),
            " FROM roll_hour WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3 AND series > ?4 AND series <= ?5"
        ),
    })?;
    let mut reader = Reader::new(tier.parts(), Sketches::Always);
    let mut merged: IdMap<Rollup> = IdMap::default();
    for (from, to) in pass.stretches(tier, bucket) {
        let last = pass.last.unwrap_or(i64::MAX);
        let mut found = statement.query((name_id, from, to, pass.after, last))?;
        while let Some(row) = found.next()? {
            let part = reader.read(row, 1)?;
            match merged.entry(row.get(0)?) {
                Entry::Occupied(mut known) => known.get_mut().merge(part),
                Entry::Vacant(place) => {
                    place.insert(inexact(part.clone()));
                }
            }
        }
    }
    let mut new: Vec<NewRow> = merged
        .into_iter()
        .map(|(series, rollup)| NewRow {
            key: RowKey {
                name_id,
                bucket,
                series: Some(series),
            },
            kind,
            rollup,
        })
        .collect();
    new.sort_unstable_by_key(|row| row.key.series);
    Ok((new, pass.last))
}

/// The row of a name's bucket over all its series.
pub(crate) fn total(
    conn: &Connection,
    tier: Coarse,
    bucket: i64,
    (name_id, kind): (i64, MetricType),
) -> Result<Option<NewRow>, StoreError> {
    let mut sum: Option<Rollup> = None;
    let mut statement = conn.prepare_cached(match tier {
        Coarse::Hour => concat!(
            "SELECT ",
            columns!(),
            " FROM total_minute WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3"
        ),
        Coarse::Day => concat!(
            "SELECT ",
            columns!(),
            " FROM total_hour WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3"
        ),
    })?;
    let mut reader = Reader::new(tier.parts(), Sketches::Always);
    let mut found = statement.query((name_id, bucket, bucket + tier.step_ms()))?;
    while let Some(row) = found.next()? {
        add_to(&mut sum, reader.read(row, 0)?);
    }
    let key = RowKey {
        name_id,
        bucket,
        series: None,
    };
    Ok(sum.map(|rollup| NewRow {
        key,
        kind,
        rollup: inexact(rollup),
    }))
}

/// The percentiles of a bucket never come from one of its parts alone.
fn inexact(part: Rollup) -> Rollup {
    Rollup {
        exact: None,
        ..part
    }
}

/// Declares the rows of a bucket complete, unless one of its parts has changed since they were read.
pub(crate) fn finish(
    conn: &Connection,
    tier: Coarse,
    bucket: i64,
    version: i64,
) -> rusqlite::Result<bool> {
    let sql = match tier {
        Coarse::Hour => {
            "DELETE FROM dirty_hour WHERE hour = ?1 AND version = ?2 AND NOT EXISTS
                (SELECT 1 FROM dirty_minute WHERE minute >= ?1 AND minute < ?1 + 3600000)"
        }
        Coarse::Day => {
            "DELETE FROM dirty_day WHERE day = ?1 AND version = ?2 AND NOT EXISTS
                (SELECT 1 FROM dirty_hour WHERE hour >= ?1 AND hour < ?1 + 86400000)"
        }
    };
    let deleted = conn.prepare_cached(sql)?.execute((bucket, version))?;
    Ok(deleted > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rebuild::finish_minute;
    use crate::store::rebuild::tests::{MINUTE, database, post};
    use crate::store::watermark::Watermark;
    use crate::store::{HOUR_MS, MINUTE_MS, blocks};

    #[track_caller]
    fn end_minute(conn: &Connection, minute: i64) {
        let block = Some(blocks::ids_of(minute).0);
        assert!(finish_minute(conn, minute, block, 1).expect("asks"));
    }

    #[track_caller]
    fn check_dirty(conn: &Connection, tier: Coarse, expected: &[(i64, i64)]) {
        assert_eq!(dirty(conn, tier, i64::MAX, 9).expect("reads"), expected);
    }

    #[test]
    fn an_hour_that_changed_meanwhile_stays_dirty() {
        let conn = database();
        let hour = Resolution::Hour.bucket_of(MINUTE);
        post(&conn, MINUTE);
        check_dirty(&conn, Coarse::Hour, &[]);
        end_minute(&conn, MINUTE);
        check_dirty(&conn, Coarse::Hour, &[(hour, 0)]);
        // A point for a minute with blocks, then one for a minute without.
        post(&conn, MINUTE + MINUTE_MS);
        assert!(!finish(&conn, Coarse::Hour, hour, 0).expect("asks"));
        end_minute(&conn, MINUTE + MINUTE_MS);
        let floor = MINUTE + 2 * MINUTE_MS;
        Watermark::RawFloor.raise(&conn, floor).expect("raises");
        post(&conn, MINUTE);
        assert!(!finish(&conn, Coarse::Hour, hour, 0).expect("asks"));
        assert!(finish(&conn, Coarse::Hour, hour, 1).expect("asks"));
        check_dirty(&conn, Coarse::Hour, &[]);
    }

    #[test]
    fn days_of_hours_that_were_there_before_are_built() {
        let conn = Connection::open_in_memory().expect("opens");
        let [first, days, ..] = crate::store::MIGRATIONS else {
            panic!("two migrations")
        };
        conn.execute_batch(first.sql).expect("migrates");
        conn.execute_batch(
            "INSERT INTO total_hour VALUES (1, -3600000, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL, x'');
             INSERT INTO total_hour VALUES (1, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL, x'');
             INSERT INTO total_hour VALUES (1, 3600000, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL, x'');
             INSERT INTO dirty_hour VALUES (86400000, 0);",
        )
        .expect("inserts");
        conn.execute_batch(days.sql).expect("migrates");
        check_dirty(&conn, Coarse::Day, &[(-86_400_000, 0), (0, 0)]);
        let all: i64 = conn
            .query_row("SELECT count(*) FROM dirty_day", [], |row| row.get(0))
            .expect("reads");
        assert_eq!(all, 3);
    }

    #[test]
    fn a_day_waits_for_its_hours_and_for_late_points() {
        let conn = database();
        let day = Resolution::Day.bucket_of(MINUTE);
        let hour = Resolution::Hour.bucket_of(MINUTE);
        post(&conn, MINUTE);
        end_minute(&conn, MINUTE);
        check_dirty(&conn, Coarse::Day, &[]);
        assert!(finish(&conn, Coarse::Hour, hour, 0).expect("asks"));
        check_dirty(&conn, Coarse::Day, &[(day, 0)]);
        // The next points are merged into a row of the hour.
        let next = hour + HOUR_MS;
        Watermark::RawFloor.raise(&conn, next).expect("raises");
        Watermark::MinuteFloor.raise(&conn, next).expect("raises");
        post(&conn, MINUTE);
        check_dirty(&conn, Coarse::Hour, &[]);
        assert!(!finish(&conn, Coarse::Day, day, 0).expect("asks"));
        assert!(finish(&conn, Coarse::Day, day, 1).expect("asks"));
        // And these into the row of the day, which is not made of hours any more.
        let tomorrow = day + Resolution::Day.step_ms();
        Watermark::HourFloor.raise(&conn, tomorrow).expect("raises");
        post(&conn, MINUTE);
        check_dirty(&conn, Coarse::Day, &[]);
        let days: i64 = conn
            .query_row("SELECT sum(cnt) FROM roll_day", [], |row| row.get(0))
            .expect("reads");
        assert_eq!(days, 1);
    }
}
