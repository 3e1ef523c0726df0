//! Deletes what is older than it is kept for, a few rows at a time.
//!
//! A floor is raised first, in a transaction of its own, and only as far as everything before it has been rolled up: from
//! then on late points go into rows, so that no row is ever built from blocks that are half deleted.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::rows::of_tier;
use super::watermark::Watermark;
use super::{blocks, failed};
use crate::domain::range::Resolution;

/// Blocks deleted at once.
const BLOCKS_A_SLICE: i64 = 200;
/// Rows deleted at once.
const ROWS_A_SLICE: usize = 500;
/// Pages given back to the file system in one job.
const PAGES_A_SLICE: i64 = 256;
/// Free pages that are always left for what comes next (4 MiB).
const PAGES_TO_SPARE: i64 = 1024;
/// Series looked at at once.
pub(super) const SERIES_A_SLICE: i64 = 500;

macro_rules! delete_series_sql {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE name_id = ?1 AND bucket = ?2 AND series IN (SELECT series FROM ",
            $table,
            " WHERE name_id = ?1 AND bucket = ?2 ORDER BY series LIMIT ?3)"
        )
    };
}

/// What is to be deleted, as times in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutoffs {
    /// Raw points before it.
    pub(crate) raw: i64,
    /// Minute rows before it.
    pub(crate) minute: i64,
    /// Hour rows before it.
    pub(crate) hour: i64,
    /// Day rows before it.
    pub(crate) day: i64,
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
    Watermark::MinuteFloor.raise(conn, minute)?;
    let minute = Watermark::MinuteFloor.read_floor(conn)?;
    let unrolled_day = ask("SELECT min(day) FROM dirty_day")?.unwrap_or(i64::MAX);
    let hour = Resolution::Day
        .bucket_of(cutoffs.hour.min(minute))
        .min(unrolled_day);
    Watermark::HourFloor.raise(conn, hour)
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

/// The oldest bucket of a name whose rows are older than they are kept for.
pub(crate) fn old_bucket(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    cutoffs: Cutoffs,
) -> rusqlite::Result<Option<i64>> {
    let before = match tier {
        Resolution::Minute => Watermark::MinuteFloor.read_floor(conn)?,
        Resolution::Hour => Watermark::HourFloor.read_floor(conn)?,
        Resolution::Day => Resolution::Day.bucket_of(cutoffs.day),
    };
    conn.prepare_cached(of_tier!(
        tier,
        "SELECT min(bucket) FROM ",
        "total",
        " WHERE name_id = ?1 AND bucket < ?2"
    ))?
    .query_row([name_id, before], |row| row.get(0))
}

/// Deletes some rows of a name that are older than they are kept for; how many. Of a bucket with many series some are
/// deleted at a time, and the row over all of them at last.
pub(crate) fn delete_rows(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    cutoffs: Cutoffs,
) -> rusqlite::Result<usize> {
    let mut deleted = 0;
    while deleted < ROWS_A_SLICE {
        let Some(bucket) = old_bucket(conn, tier, name_id, cutoffs)? else {
            break;
        };
        let most = ROWS_A_SLICE - deleted;
        let of_series = conn
            .prepare_cached(match tier {
                Resolution::Minute => delete_series_sql!("roll_minute"),
                Resolution::Hour => delete_series_sql!("roll_hour"),
                Resolution::Day => delete_series_sql!("roll_day"),
            })?
            .execute([name_id, bucket, most as i64])?;
        deleted += of_series;
        if of_series < most {
            failed::delete(conn, tier, name_id, bucket)?;
            deleted += conn
                .prepare_cached(of_tier!(
                    tier,
                    "DELETE FROM ",
                    "total",
                    " WHERE name_id = ?1 AND bucket = ?2"
                ))?
                .execute([name_id, bucket])?;
        }
    }
    Ok(deleted)
}

/// Gives some free pages back to the file system, and answers whether there may be more. What is deleted at one time is
/// needed again until the next, so half as much as is used may be free.
pub(crate) fn shrink(conn: &Connection) -> Result<bool, StoreError> {
    let pragma = |name: &str| conn.query_row(name, [], |row| row.get::<_, i64>(0));
    let free = pragma("PRAGMA freelist_count")?;
    let used = pragma("PRAGMA page_count")? - free;
    if free <= PAGES_TO_SPARE.max(used / 2) {
        return Ok(false);
    }
    // The pragma frees a page with each step.
    let mut statement =
        conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_A_SLICE})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(pragma("PRAGMA freelist_count")? < free)
}

/// Deletes the received counts before a time.
pub(crate) fn delete_received(conn: &Connection, before: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached("DELETE FROM received WHERE minute < ?1")?
        .execute([before])
}

/// Whether a series was last seen before a time: only then is it worth stopping the dictionary.
pub(crate) fn has_old_series(conn: &Connection, before: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM series JOIN name ON name.id = series.name_id
                        WHERE series.last_seen < ?1 AND name.removed IS NULL)",
    )?
    .query_row([before], |row| row.get(0))
}

/// Deletes some series that were last seen before a time, other than those of [removed](super::removal) names, and the names and projects that have none left; how many
/// series. The caller has to make the dictionary forget them in the same job.
pub(crate) fn delete_series(conn: &Connection, before: i64) -> rusqlite::Result<usize> {
    let old: Vec<(i64, i64, i64)> = conn
        .prepare_cached(
            "SELECT series.id, name.id, name.project FROM series JOIN name ON name.id = series.name_id
             WHERE series.last_seen < ?1 AND name.removed IS NULL LIMIT ?2",
        )?
        .query_map([before, SERIES_A_SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for &(series, name, project) in &old {
        conn.prepare_cached("DELETE FROM series WHERE id = ?1")?
            .execute([series])?;
        conn.prepare_cached("DELETE FROM baseline WHERE series = ?1")?
            .execute([series])?;
        conn.prepare_cached("UPDATE project SET series = series - 1 WHERE id = ?1")?
            .execute([project])?;
        conn.prepare_cached("UPDATE name SET series = series - 1 WHERE id = ?1")?
            .execute([name])?;
        conn.prepare_cached("DELETE FROM name WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM series WHERE name_id = ?1)")?
            .execute([name])?;
        conn.prepare_cached("DELETE FROM project WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM name WHERE project = ?1)")?
            .execute([project])?;
    }
    Ok(old.len())
}
