//! In which browser sessions and by which users a group was seen: of each the newest are remembered, in a ring.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use crate::domain::session::SessionId;
use crate::domain::user::UserId;

/// How many different sessions, and how many different users, are remembered for each group. An
/// operator looks up those of the last days; older ones make room.
pub(super) const KEPT: i64 = 1_000;

/// Remembers a session of a group.
pub(super) fn session(conn: &Connection, group: i64, session: SessionId) -> Result<(), StoreError> {
    let known: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM group_sessions WHERE session = ?1 AND group_id = ?2)",
        )?
        .query_row((session.as_bytes(), group), |row| row.get(0))?;
    if known {
        return Ok(());
    }
    let so_far: i64 = conn
        .prepare_cached(
            "UPDATE error_groups SET sessions = sessions + 1 WHERE id = ?1 RETURNING sessions",
        )?
        .query_row([group], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO group_sessions (group_id, slot, session) VALUES (?1, ?2, ?3)",
    )?
    .execute((group, (so_far - 1) % KEPT, session.as_bytes()))?;
    Ok(())
}

/// Remembers and counts a user of a group that was seen by `users` different ones so far.
pub(super) fn user(
    conn: &Connection,
    group: i64,
    user: UserId,
    users: i64,
) -> Result<(), StoreError> {
    let known: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM group_users WHERE user = ?1 AND group_id = ?2)",
        )?
        .query_row((user.get(), group), |row| row.get(0))?;
    if known {
        return Ok(());
    }
    conn.prepare_cached("UPDATE error_groups SET users = users + 1 WHERE id = ?1")?
        .execute([group])?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO group_users (group_id, slot, user) VALUES (?1, ?2, ?3)",
    )?
    .execute((group, users % KEPT, user.get()))?;
    Ok(())
}
