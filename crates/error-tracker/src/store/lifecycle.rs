//! What people decide about groups. Each decision that changes something is written into the group's history.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension};
use serde_json::json;

use super::history;
use crate::domain::group::{GroupId, State};
use crate::domain::lifecycle::Ignore;

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// There is no such group.
    Unknown,
    /// It holds already; nothing was changed.
    Already,
    /// It holds now.
    Now,
}

/// Marks a group as resolved, by any release or in a certain one. A group that is resolved stays so with its time; only
/// the release can be changed.
pub fn resolve(
    conn: &Connection,
    id: GroupId,
    in_release: Option<&str>,
    now_ms: i64,
) -> Result<Decided, StoreError> {
    let Some(known) = find(conn, id)? else {
        return Ok(Decided::Unknown);
    };
    let resolved = known.state == State::Resolved;
    if resolved && (in_release.is_none() || known.resolved_release.as_deref() == in_release) {
        return Ok(Decided::Already);
    }
    if !resolved {
        conn.prepare_cached("UPDATE error_groups SET state = 1, resolved_at = ?1 WHERE id = ?2")?
            .execute((now_ms, id.get()))?;
    }
    decide(conn, id, (None, None), in_release)?;
    let detail = in_release.map(|release| json!({"in_release": release}).to_string());
    history::add(conn, id.get(), now_ms, "resolved", detail.as_deref())?;
    Ok(Decided::Now)
}

/// Opens a group that was resolved or ignored.
pub fn reopen(conn: &Connection, id: GroupId, now_ms: i64) -> Result<Decided, StoreError> {
    let Some(known) = find(conn, id)? else {
        return Ok(Decided::Unknown);
    };
    if known.state == State::Open {
        return Ok(Decided::Already);
    }
    set_open(conn, id)?;
    history::add(
        conn,
        id.get(),
        now_ms,
        "reopened",
        Some(r#"{"by":"person"}"#),
    )?;
    Ok(Decided::Now)
}

/// Ignores a group, whatever its state was.
pub fn ignore(
    conn: &Connection,
    id: GroupId,
    until: Ignore,
    now_ms: i64,
) -> Result<Decided, StoreError> {
    let Some(known) = find(conn, id)? else {
        return Ok(Decided::Unknown);
    };
    let until_count = until
        .reports
        .map(|reports| known.count.saturating_add(reports));
    let wanted = (until.until_ms, until_count);
    if known.state == State::Ignored && known.ignored == wanted {
        return Ok(Decided::Already);
    }
    conn.prepare_cached("UPDATE error_groups SET state = 2, resolved_at = NULL WHERE id = ?1")?
        .execute([id.get()])?;
    decide(conn, id, wanted, None)?;
    let detail = json!({"until_ms": until.until_ms, "reports": until.reports});
    history::add(conn, id.get(), now_ms, "ignored", Some(&detail.to_string()))?;
    Ok(Decided::Now)
}

/// Writes a note on a group, in place of the one before; `None` removes it.
pub fn note(
    conn: &Connection,
    id: GroupId,
    note: Option<&str>,
    now_ms: i64,
) -> Result<Decided, StoreError> {
    let Some(known) = find(conn, id)? else {
        return Ok(Decided::Unknown);
    };
    if known.note.as_deref() == note {
        return Ok(Decided::Already);
    }
    conn.prepare_cached(
        "INSERT INTO group_decisions (group_id, note) VALUES (?1, ?2)
         ON CONFLICT (group_id) DO UPDATE SET note = excluded.note",
    )?
    .execute((id.get(), note))?;
    let action = if note.is_some() {
        "noted"
    } else {
        "note removed"
    };
    history::add(conn, id.get(), now_ms, action, None)?;
    Ok(Decided::Now)
}

/// Groups that are opened again in one job.
const DUE_IN_SLICE: i64 = 50;

/// Opens some groups that were to be ignored until a time that has come, and answers which. None: there are none left.
pub fn open_due(conn: &Connection, now_ms: i64) -> Result<Vec<GroupId>, StoreError> {
    let due: Vec<i64> = conn
        .prepare_cached("SELECT group_id FROM group_decisions WHERE ignored_until <= ?1 LIMIT ?2")?
        .query_map((now_ms, DUE_IN_SLICE), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &due {
        set_open(conn, GroupId::from_stored(*id))?;
        history::add(conn, *id, now_ms, "reopened", Some(r#"{"by":"time"}"#))?;
    }
    Ok(due.into_iter().map(GroupId::from_stored).collect())
}

/// Opens a group again; nothing that was decided about it holds any more, but for its note.
pub(super) fn set_open(conn: &Connection, id: GroupId) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE error_groups SET state = 0, resolved_at = NULL WHERE id = ?1")?
        .execute([id.get()])?;
    conn.prepare_cached(
        "UPDATE group_decisions SET ignored_until = NULL, ignored_count = NULL, resolved_release = NULL
         WHERE group_id = ?1",
    )?
    .execute([id.get()])?;
    Ok(())
}

fn decide(
    conn: &Connection,
    id: GroupId,
    ignored: (Option<i64>, Option<i64>),
    resolved_release: Option<&str>,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO group_decisions (group_id, ignored_until, ignored_count, resolved_release) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (group_id) DO UPDATE SET ignored_until = excluded.ignored_until,
           ignored_count = excluded.ignored_count, resolved_release = excluded.resolved_release",
    )?
    .execute((id.get(), ignored.0, ignored.1, resolved_release))?;
    Ok(())
}

/// A group with what holds for it.
struct Known {
    state: State,
    count: i64,
    ignored: (Option<i64>, Option<i64>),
    resolved_release: Option<String>,
    note: Option<String>,
}

fn find(conn: &Connection, id: GroupId) -> Result<Option<Known>, StoreError> {
    let known = conn
        .prepare_cached(
            "SELECT g.state, g.count, d.ignored_until, d.ignored_count, d.resolved_release, d.note
             FROM error_groups g LEFT JOIN group_decisions d ON d.group_id = g.id WHERE g.id = ?1",
        )?
        .query_row([id.get()], |row| {
            Ok(Known {
                state: State::from_stored(row.get(0)?),
                count: row.get(1)?,
                ignored: (row.get(2)?, row.get(3)?),
                resolved_release: row.get(4)?,
                note: row.get(5)?,
            })
        })
        .optional()?;
    Ok(known)
}
