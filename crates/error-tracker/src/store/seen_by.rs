//! In which browser sessions and by which users a group was seen: of each the newest are remembered, in a ring.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension};

use crate::domain::session::SessionId;
use crate::domain::user::UserId;
use crate::domain::user_count::UserSketch;

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

/// A group as one of its reports finds it.
#[derive(Clone, Copy)]
pub(super) struct Audience {
    pub(super) group: i64,
    /// Different users so far.
    pub(super) users: i64,
    /// Reports so far, the one at hand included.
    pub(super) count: i64,
}

/// Remembers and counts a user of a group.
pub(super) fn user(conn: &Connection, seen: Audience, user: UserId) -> Result<(), StoreError> {
    let known: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM group_users WHERE user = ?1 AND group_id = ?2)",
        )?
        .query_row((user.get(), seen.group), |row| row.get(0))?;
    if known {
        return Ok(());
    }
    let (users, slot) = if seen.users < KEPT {
        (seen.users + 1, seen.users)
    } else {
        // No telling who is the oldest: whoever comes back is remembered anew.
        (beyond_the_list(conn, seen, user)?, seen.count % KEPT)
    };
    conn.prepare_cached("UPDATE error_groups SET users = ?1 WHERE id = ?2")?
        .execute((users, seen.group))?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO group_users (group_id, slot, user) VALUES (?1, ?2, ?3)",
    )?
    .execute((seen.group, slot, user.get()))?;
    Ok(())
}

/// About how many users a group has with one that is not listed. The first time, the sketch starts from the list, which
/// then is still whole.
fn beyond_the_list(conn: &Connection, seen: Audience, user: UserId) -> Result<i64, StoreError> {
    let mut sketch = match sketch(conn, seen.group)? {
        Some(sketch) => sketch,
        None => listed(conn, seen.group)?,
    };
    if !sketch.insert(user.get().cast_unsigned()) {
        return Ok(seen.users);
    }
    keep_sketch(conn, seen.group, &sketch)?;
    // An estimate may swing; a number that people watch must not fall.
    Ok(seen.users.max(sketch.estimate().cast_signed()))
}

/// The sketch of a group's users; `None` as long as they are all listed.
pub(super) fn sketch(conn: &Connection, group: i64) -> Result<Option<UserSketch>, StoreError> {
    let stored: Option<Vec<u8>> = conn
        .prepare_cached("SELECT sketch FROM group_user_sketches WHERE group_id = ?1")?
        .query_row([group], |row| row.get(0))
        .optional()?;
    Ok(stored.as_deref().and_then(UserSketch::from_bytes))
}

/// Stores the sketch of a group's users.
pub(super) fn keep_sketch(
    conn: &Connection,
    group: i64,
    sketch: &UserSketch,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO group_user_sketches (group_id, sketch) VALUES (?1, ?2)",
    )?
    .execute((group, sketch.as_bytes()))?;
    Ok(())
}

/// A sketch of the users in a group's ring.
pub(super) fn listed(conn: &Connection, group: i64) -> Result<UserSketch, StoreError> {
    let mut sketch = UserSketch::default();
    let mut statement = conn.prepare_cached("SELECT user FROM group_users WHERE group_id = ?1")?;
    let mut rows = statement.query([group])?;
    while let Some(row) = rows.next()? {
        sketch.insert(row.get::<_, i64>(0)?.cast_unsigned());
    }
    Ok(sketch)
}
