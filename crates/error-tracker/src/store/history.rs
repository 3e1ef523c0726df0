//! What happened to a group, apart from its reports.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use crate::domain::lifecycle::KEPT_HISTORY;

/// Remembers that `action` happened to a group; `detail` is a JSON object. The oldest entries make room.
pub(super) fn add(
    conn: &Connection,
    group: i64,
    time_ms: i64,
    action: &str,
    detail: Option<&str>,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO group_history (group_id, time, action, detail) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((group, time_ms, action, detail))?;
    conn.prepare_cached(
        "DELETE FROM group_history WHERE group_id = ?1 AND id <=
           (SELECT id FROM group_history WHERE group_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute((group, KEPT_HISTORY))?;
    Ok(())
}
