//! What people decide about groups.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use crate::domain::group::GroupId;

/// What became of the wish to resolve a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// There is no such group.
    Unknown,
    /// It was resolved before, and stays so with its time.
    Already,
    /// It is resolved now.
    Now,
}

/// Marks a group as resolved.
pub fn resolve(conn: &Connection, id: GroupId, time_ms: i64) -> Result<Resolved, StoreError> {
    let changed = conn
        .prepare_cached(
            "UPDATE error_groups SET state = 1, resolved_at = ?1 WHERE id = ?2 AND state <> 1",
        )?
        .execute((time_ms, id.get()))?;
    if changed > 0 {
        return Ok(Resolved::Now);
    }
    let known: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM error_groups WHERE id = ?1)")?
        .query_row([id.get()], |row| row.get(0))?;
    Ok(if known {
        Resolved::Already
    } else {
        Resolved::Unknown
    })
}
