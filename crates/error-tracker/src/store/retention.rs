//! Takes away what is old, in slices that stall nobody.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::{HOUR_MS, SLOTS};

/// Groups deleted in one job: a few milliseconds, also with long tracebacks.
const GROUPS_IN_SLICE: i64 = 50;
const HOURS_IN_SLICE: i64 = 2_000;
/// Pages given back to the file system in one job.
const PAGES_IN_SLICE: i64 = 256;
/// Free pages that are left for what comes next (4 MiB).
const PAGES_TO_SPARE: i64 = 1_024;

/// Deletes some groups that were resolved before `before_ms` with all that belongs to them, and
/// answers how many. 0: there are none left.
///
/// The hourly counters of a deleted group stay until their time is over; its number is never used
/// again, so nobody sees them.
pub fn delete_resolved(conn: &Connection, before_ms: i64) -> Result<usize, StoreError> {
    let ids: Vec<i64> = conn
        .prepare_cached(
            "SELECT id FROM error_groups WHERE resolved_at < ?1 ORDER BY resolved_at LIMIT ?2",
        )?
        .query_map((before_ms, GROUPS_IN_SLICE), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        conn.prepare_cached("DELETE FROM occurrences WHERE slot BETWEEN ?1 AND ?2")?
            .execute((id * SLOTS, id * SLOTS + SLOTS - 1))?;
        for sql in [
            "DELETE FROM group_tracebacks WHERE group_id = ?1",
            "DELETE FROM group_sessions WHERE group_id = ?1",
            "DELETE FROM error_groups WHERE id = ?1",
        ] {
            conn.prepare_cached(sql)?.execute([id])?;
        }
    }
    Ok(ids.len())
}

/// Deletes some hourly counters from before `before_ms`, and answers whether there may be more.
pub fn delete_hours(conn: &Connection, before_ms: i64) -> Result<bool, StoreError> {
    let deleted = conn
        .prepare_cached(
            "DELETE FROM group_hours WHERE (hour, group_id) IN
               (SELECT hour, group_id FROM group_hours WHERE hour < ?1 LIMIT ?2)",
        )?
        .execute((before_ms.div_euclid(HOUR_MS), HOURS_IN_SLICE))?;
    Ok(deleted > 0)
}

/// Forgets the projects that have no groups any more.
pub fn delete_empty_projects(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("DELETE FROM group_counts WHERE groups <= 0", [])?;
    conn.execute(
        "DELETE FROM projects WHERE NOT EXISTS (SELECT 1 FROM error_groups g WHERE g.project = projects.id)",
        [],
    )?;
    Ok(())
}

/// Gives some free pages back to the file system, and answers whether there may be more.
pub fn shrink(conn: &Connection) -> Result<bool, StoreError> {
    let free: i64 = conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free <= PAGES_TO_SPARE {
        return Ok(false);
    }
    // The pragma frees a page with each step.
    let mut statement =
        conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_IN_SLICE})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let left: i64 = conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    Ok(left < free)
}
