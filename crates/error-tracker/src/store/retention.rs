//! Takes away what is old, or too much, in slices that stall nobody.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Params};

use super::{HOUR_MS, KEPT_HOURS, remove};
use crate::domain::group::{GroupId, State};

/// Groups deleted in one job: a few milliseconds, also with long tracebacks.
const GROUPS_IN_SLICE: i64 = 50;
/// Groups whose hours are looked through in one job.
const GROUPS_OF_HOURS_IN_SLICE: i64 = 100;
const HOURS_IN_SLICE: i64 = 2_000;
/// Pages given back to the file system in one job.
const PAGES_IN_SLICE: i64 = 256;
/// Free pages that are left for what comes next (4 MiB).
const PAGES_TO_SPARE: i64 = 1_024;
/// Pages of the search index that are put in order in one job.
const SEARCH_PAGES_IN_SLICE: i64 = 200;

/// Deletes some groups that were resolved before `before_ms` with all that belongs to them, and
/// answers how many. 0: there are none left.
pub fn delete_resolved(conn: &Connection, before_ms: i64) -> Result<usize, StoreError> {
    delete(
        conn,
        "SELECT id FROM error_groups WHERE resolved_at < ?1 ORDER BY resolved_at LIMIT ?2",
        (before_ms, GROUPS_IN_SLICE),
    )
}

/// Deletes some groups that nobody resolved and that were not seen since `before_ms`, and answers how many.
pub fn delete_unseen(conn: &Connection, before_ms: i64) -> Result<usize, StoreError> {
    let mut deleted = 0;
    for state in [State::Open, State::Ignored] {
        for source in 0..=1 {
            deleted += delete(
                conn,
                "SELECT id FROM error_groups WHERE state = ?1 AND source = ?2 AND last_seen < ?3
                 ORDER BY last_seen LIMIT ?4",
                (state as i64, source, before_ms, GROUPS_IN_SLICE / 4),
            )?;
        }
    }
    Ok(deleted)
}

/// Deletes some groups of the least use until the database holds at most `goal` bytes: those resolved longest ago, then
/// the ignored and at last the open ones that were not seen for longest. Answers how many; 0: the goal is reached, or
/// there are none left.
pub fn delete_least_useful(conn: &Connection, goal: u64) -> Result<usize, StoreError> {
    let mut deleted = 0;
    while deleted < GROUPS_IN_SLICE as usize && used_bytes(conn)? > goal {
        let Some(id) = least_useful(conn)? else { break };
        remove::group(conn, id)?;
        deleted += 1;
    }
    Ok(deleted)
}

fn least_useful(conn: &Connection) -> Result<Option<GroupId>, StoreError> {
    let resolved: Option<i64> = conn
        .prepare_cached("SELECT id FROM error_groups WHERE resolved_at IS NOT NULL ORDER BY resolved_at LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if resolved.is_some() {
        return Ok(resolved.map(GroupId::from_stored));
    }
    for state in [State::Ignored, State::Open] {
        let unseen: Option<i64> = conn
            .prepare_cached(
                "SELECT id FROM (
                   SELECT id, last_seen FROM error_groups WHERE state = ?1 AND source = 0
                   UNION ALL SELECT id, last_seen FROM error_groups WHERE state = ?1 AND source = 1
                   ORDER BY last_seen LIMIT 1)",
            )?
            .query_row([state as i64], |row| row.get(0))
            .optional()?;
        if unseen.is_some() {
            return Ok(unseen.map(GroupId::from_stored));
        }
    }
    Ok(None)
}

fn delete(conn: &Connection, which: &str, params: impl Params) -> Result<usize, StoreError> {
    let ids: Vec<i64> = conn
        .prepare_cached(which)?
        .query_map(params, |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        remove::group(conn, GroupId::from_stored(*id))?;
    }
    Ok(ids.len())
}

/// Deletes the hours whose time is over of some groups behind the number `after`, and answers the last of these groups.
/// `None`: there are no more. A group that still occurs looks after its own hours.
pub fn delete_group_hours(
    conn: &Connection,
    after: i64,
    now_ms: i64,
) -> Result<Option<i64>, StoreError> {
    let last: Option<i64> = conn
        .prepare_cached(
            "SELECT max(id) FROM (SELECT id FROM error_groups WHERE id > ?1 ORDER BY id LIMIT ?2)",
        )?
        .query_row((after, GROUPS_OF_HOURS_IN_SLICE), |row| row.get(0))?;
    if let Some(last) = last {
        conn.prepare_cached(
            "DELETE FROM group_hours WHERE group_id > ?1 AND group_id <= ?2 AND hour <= ?3",
        )?
        .execute((after, last, now_ms.div_euclid(HOUR_MS) - KEPT_HOURS))?;
    }
    Ok(last)
}

/// Deletes some of the projects' hours whose time is over, and answers whether there may be more.
pub fn delete_project_hours(conn: &Connection, now_ms: i64) -> Result<bool, StoreError> {
    // The period before the last 30 days is what they are compared with.
    let before = now_ms.div_euclid(HOUR_MS) - 2 * KEPT_HOURS;
    let mut deleted = 0;
    for sql in [
        "DELETE FROM project_hours WHERE (hour, project, source, new_since) IN
           (SELECT hour, project, source, new_since FROM project_hours WHERE hour <= ?1 LIMIT ?2)",
        "DELETE FROM fresh_groups WHERE (hour, project, source) IN
           (SELECT hour, project, source FROM fresh_groups WHERE hour <= ?1 LIMIT ?2)",
    ] {
        deleted += conn
            .prepare_cached(sql)?
            .execute((before, HOURS_IN_SLICE))?;
    }
    Ok(deleted > 0)
}

/// Forgets the projects and facets that have no groups any more.
pub fn delete_empty(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("DELETE FROM group_counts WHERE groups <= 0", [])?;
    conn.execute("DELETE FROM facets WHERE groups <= 0", [])?;
    conn.execute("DELETE FROM fresh_groups WHERE groups <= 0", [])?;
    conn.execute(
        "DELETE FROM project_hours WHERE project IN
           (SELECT id FROM projects p WHERE NOT EXISTS (SELECT 1 FROM group_counts c WHERE c.project = p.id))",
        [],
    )?;
    conn.execute(
        "DELETE FROM projects WHERE NOT EXISTS (SELECT 1 FROM group_counts c WHERE c.project = projects.id)",
        [],
    )?;
    Ok(())
}

/// Lets the search index drop some of what was deleted from it, and answers whether there may be more.
pub fn tidy_search(conn: &Connection) -> Result<bool, StoreError> {
    let before = conn.total_changes();
    conn.prepare_cached("INSERT INTO group_search (group_search, rank) VALUES ('merge', ?1)")?
        .execute([SEARCH_PAGES_IN_SLICE])?;
    // A merge that found nothing to do counts as one change, see the FTS5 documentation.
    Ok(conn.total_changes() - before >= 2)
}

/// The bytes of the database that hold something.
pub fn used_bytes(conn: &Connection) -> Result<u64, StoreError> {
    let number = |pragma| conn.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    Ok((pages * number("PRAGMA page_size")?).unsigned_abs())
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
