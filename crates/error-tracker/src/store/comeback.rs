//! Groups that somebody had dealt with, and that are reported again.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension};

use super::{history, lifecycle};
use crate::domain::facet::{FacetId, FacetKind};
use crate::domain::group::{GroupId, State};
use crate::domain::lifecycle::{Decision, Outcome, on_report};

/// A group as one more report finds it.
pub(super) struct Reported<'r> {
    pub(super) id: i64,
    pub(super) project: i64,
    pub(super) state: State,
    /// Its reports, this one included.
    pub(super) count: i64,
    /// That of the report.
    pub(super) release: Option<&'r str>,
    pub(super) time_ms: i64,
    /// It was kept elsewhere since then.
    pub(super) is_late: bool,
}

/// Opens the group again if what was decided about it says so, and answers whether it did.
pub(super) fn reopen_if_due(conn: &Connection, group: &Reported<'_>) -> Result<bool, StoreError> {
    if group.state == State::Open || is_outdated(conn, group)? || !is_due(conn, group)? {
        return Ok(false);
    }
    lifecycle::set_open(conn, GroupId::from_stored(group.id))?;
    conn.prepare_cached("UPDATE error_groups SET fresh_at = ?1 WHERE id = ?2")?
        .execute((group.time_ms, group.id))?;
    let detail = serde_json::json!({"by": "report", "release": group.release});
    history::add(
        conn,
        group.id,
        group.time_ms,
        "reopened",
        Some(&detail.to_string()),
    )?;
    Ok(true)
}

/// Whether the report came before the group was resolved: then it says nothing about the cure.
fn is_outdated(conn: &Connection, group: &Reported<'_>) -> Result<bool, StoreError> {
    let may_be = group.is_late && group.state == State::Resolved;
    Ok(may_be && resolved_at(conn, group.id)? > Some(group.time_ms))
}

fn is_due(conn: &Connection, group: &Reported<'_>) -> Result<bool, StoreError> {
    type Row = (Option<i64>, Option<i64>, Option<String>);
    let found: Option<Row> = conn
        .prepare_cached(
            "SELECT ignored_until, ignored_count, resolved_release FROM group_decisions WHERE group_id = ?1",
        )?
        .query_row([group.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (until_ms, until_count, cured_in) = found.unwrap_or_default();
    let decision = match group.state {
        State::Open => Decision::Open,
        State::Resolved => Decision::Resolved {
            in_release: cured_in.as_deref(),
        },
        State::Ignored => Decision::Ignored {
            until_ms,
            until_count,
        },
    };
    match on_report(decision, group.count, group.release, group.time_ms) {
        Outcome::Stays => Ok(false),
        Outcome::ComesBack => Ok(true),
        Outcome::AskWhichIsNewer => came_later(conn, group, cured_in.as_deref()),
    }
}

/// Whether the report's release was first seen in its project after the one with the cure; if that one was never seen,
/// after the group was resolved.
fn came_later(
    conn: &Connection,
    group: &Reported<'_>,
    cured_in: Option<&str>,
) -> Result<bool, StoreError> {
    let first_seen = |release: Option<&str>| -> Result<Option<i64>, StoreError> {
        let Some(release) = release else {
            return Ok(None);
        };
        let time = conn
            .prepare_cached("SELECT first_seen FROM facets WHERE id = ?1 AND project = ?2")?
            .query_row(
                (
                    FacetId::of(FacetKind::Release, release).get(),
                    group.project,
                ),
                |row| row.get(0),
            )
            .optional()?;
        Ok(time)
    };
    // A release that was never seen before is the newest.
    let Some(reporting) = first_seen(group.release)? else {
        return Ok(group.release != cured_in);
    };
    let cured = match first_seen(cured_in)? {
        Some(time) => Some(time),
        None => resolved_at(conn, group.id)?,
    };
    Ok(cured.is_none_or(|cured| reporting > cured))
}

fn resolved_at(conn: &Connection, id: i64) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT resolved_at FROM error_groups WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?)
}
