//! Deletes a group with all that is its own.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension};

use super::{SLOTS, facets};
use crate::domain::group::GroupId;

/// Deletes a group, and answers whether there was one. Its number is never used again. The hours of its project keep
/// its reports: they did happen.
pub fn group(conn: &Connection, id: GroupId) -> Result<bool, StoreError> {
    let id = id.get();
    let found: Option<(i64, Option<Vec<u8>>)> = conn
        .prepare_cached("SELECT project, facets FROM error_groups WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((project, list)) = found else {
        return Ok(false);
    };
    for facet in facets::ids(&list.unwrap_or_default()) {
        facets::remove(conn, project, id, facet)?;
    }
    conn.prepare_cached("DELETE FROM occurrences WHERE slot BETWEEN ?1 AND ?2")?
        .execute((id * SLOTS, id * SLOTS + SLOTS - 1))?;
    for sql in [
        "DELETE FROM group_search WHERE rowid = ?1",
        "DELETE FROM group_keys WHERE group_id = ?1",
        "DELETE FROM group_texts WHERE group_id = ?1",
        "DELETE FROM group_hours WHERE group_id = ?1",
        "DELETE FROM group_sessions WHERE group_id = ?1",
        "DELETE FROM group_users WHERE group_id = ?1",
        "DELETE FROM group_user_sketches WHERE group_id = ?1",
        "DELETE FROM group_decisions WHERE group_id = ?1",
        "DELETE FROM group_history WHERE group_id = ?1",
        "DELETE FROM error_groups WHERE id = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([id])?;
    }
    Ok(true)
}
