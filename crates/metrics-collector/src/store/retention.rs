//! Deletes what is older than it is kept for, a few rows at a time.
//!
//! A floor is raised first, in a transaction of its own, and only as far as everything before it has been rolled up: from
//! then on late points go into rows, so that no row is ever built from blocks that are half deleted.

use rusqlite::Connection;

use super::blocks;
use super::watermark::Watermark;
use crate::domain::range::Resolution;

/// Blocks deleted at once.
const BLOCKS_A_SLICE: i64 = 200;
/// Rows deleted at once, or those of one bucket if they are more.
const ROWS_A_SLICE: usize = 1000;
/// Series looked at at once.
const SERIES_A_SLICE: i64 = 500;

/// What is to be deleted, as times in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutoffs {
    /// Raw points before it.
    pub(crate) raw: i64,
    /// Minute rows before it.
    pub(crate) minute: i64,
    /// Hour rows before it.
    pub(crate) hour: i64,
    /// Received counts before it.
    pub(crate) received: i64,
    /// Series that were last seen before it.
    pub(crate) series: i64,
}

/// Raises the floors towards the cut-offs, but never above the newest data: a clock that was set to next year for a
/// moment must not turn all points of this year into late ones.
pub(crate) fn raise_floors(conn: &Connection, cutoffs: Cutoffs) -> rusqlite::Result<()> {
    let ask = |sql: &str| -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
    };
    let newest = ask(
        "SELECT max(minute) FROM (SELECT minute FROM received UNION ALL SELECT minute FROM dirty_minute)",
    )?;
    let Some(newest) = newest else { return Ok(()) };
    let unrolled_minute = ask("SELECT min(minute) FROM dirty_minute")?.unwrap_or(i64::MAX);
    let raw = Resolution::Minute
        .bucket_of(cutoffs.raw)
        .min(unrolled_minute)
        .min(newest);
    Watermark::RawFloor.raise(conn, raw)?;
    let raw = Watermark::RawFloor.read_floor(conn)?;
    let unrolled_hour = ask("SELECT min(hour) FROM dirty_hour")?.unwrap_or(i64::MAX);
    let minute = Resolution::Hour
        .bucket_of(cutoffs.minute.min(raw))
        .min(unrolled_hour);
    Watermark::MinuteFloor.raise(conn, minute)
}

/// Deletes some blocks below the raw floor; how many.
pub(crate) fn delete_blocks(conn: &Connection) -> rusqlite::Result<usize> {
    let Some(floor) = Watermark::RawFloor.read(conn)? else {
        return Ok(0);
    };
    let (first, _) = blocks::ids_of(floor);
    conn.prepare_cached(
        "DELETE FROM block WHERE id IN (SELECT id FROM block WHERE id < ?1 ORDER BY id LIMIT ?2)",
    )?
    .execute([first, BLOCKS_A_SLICE])
}

/// The names whose rows can be old.
pub(crate) fn name_ids(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT id FROM name ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The statements of a tier, and the time before which its rows go: the minute floor, or `hour` for hour rows.
struct OldRows {
    before: i64,
    oldest: &'static str,
    series: &'static str,
    total: &'static str,
}

impl OldRows {
    fn of(conn: &Connection, tier: Resolution, hour: i64) -> rusqlite::Result<Self> {
        Ok(match tier {
            Resolution::Minute => Self {
                before: Watermark::MinuteFloor.read_floor(conn)?,
                oldest: "SELECT min(bucket) FROM total_minute WHERE name_id = ?1 AND bucket < ?2",
                series: "DELETE FROM roll_minute WHERE name_id = ?1 AND bucket = ?2",
                total: "DELETE FROM total_minute WHERE name_id = ?1 AND bucket = ?2",
            },
            Resolution::Hour => Self {
                before: hour,
                oldest: "SELECT min(bucket) FROM total_hour WHERE name_id = ?1 AND bucket < ?2",
                series: "DELETE FROM roll_hour WHERE name_id = ?1 AND bucket = ?2",
                total: "DELETE FROM total_hour WHERE name_id = ?1 AND bucket = ?2",
            },
        })
    }

    fn bucket(&self, conn: &Connection, name_id: i64) -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached(self.oldest)?
            .query_row([name_id, self.before], |row| row.get(0))
    }
}

/// Whether a name has rows that are older than they are kept for.
pub(crate) fn has_old_rows(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    hour: i64,
) -> rusqlite::Result<bool> {
    Ok(OldRows::of(conn, tier, hour)?
        .bucket(conn, name_id)?
        .is_some())
}

/// Deletes some rows of a name that are older than they are kept for; how many.
pub(crate) fn delete_rows(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    hour: i64,
) -> rusqlite::Result<usize> {
    let old = OldRows::of(conn, tier, hour)?;
    let mut deleted = 0;
    while deleted < ROWS_A_SLICE {
        let Some(bucket) = old.bucket(conn, name_id)? else {
            break;
        };
        deleted += conn
            .prepare_cached(old.series)?
            .execute([name_id, bucket])?;
        deleted += conn.prepare_cached(old.total)?.execute([name_id, bucket])?;
    }
    Ok(deleted)
}

/// Deletes the received counts before a time.
pub(crate) fn delete_received(conn: &Connection, before: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached("DELETE FROM received WHERE minute < ?1")?
        .execute([before])
}

/// Whether a series was last seen before a time: only then is it worth stopping the dictionary.
pub(crate) fn has_old_series(conn: &Connection, before: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM series WHERE last_seen < ?1)")?
        .query_row([before], |row| row.get(0))
}

/// Deletes some series that were last seen before a time, and the names and projects that have none left; how many
/// series. The caller has to make the dictionary forget them in the same job.
pub(crate) fn delete_series(conn: &Connection, before: i64) -> rusqlite::Result<usize> {
    let old: Vec<(i64, i64, i64)> = conn
        .prepare_cached(
            "SELECT series.id, name.id, name.project FROM series JOIN name ON name.id = series.name_id
             WHERE series.last_seen < ?1 LIMIT ?2",
        )?
        .query_map([before, SERIES_A_SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for &(series, name, project) in &old {
        conn.prepare_cached("DELETE FROM series WHERE id = ?1")?
            .execute([series])?;
        conn.prepare_cached("UPDATE project SET series = series - 1 WHERE id = ?1")?
            .execute([project])?;
        conn.prepare_cached("DELETE FROM name WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM series WHERE name_id = ?1)")?
            .execute([name])?;
        conn.prepare_cached("DELETE FROM project WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM name WHERE project = ?1)")?
            .execute([project])?;
    }
    Ok(old.len())
}
