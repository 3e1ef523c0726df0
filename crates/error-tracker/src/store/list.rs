//! What lists show of groups, and the names they can be asked for.

use std::ops::ControlFlow;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, Row, params};

use super::page;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, Source, State};
use crate::domain::query::ListQuery;
use crate::domain::window::Window;

pub use super::page::{COUNTED, Page};

/// What a list shows of a group. Times are unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct GroupSummary<'r> {
    /// Its number.
    pub id: GroupId,
    /// Of the key that made the group.
    pub fingerprint: Fingerprint,
    /// Its name.
    pub project: &'r str,
    /// As first reported.
    pub exception_type: &'r str,
    /// As first reported, whole.
    pub message: &'r str,
    /// As first reported, when it was asked for.
    pub traceback: Option<&'r str>,
    /// Reports so far.
    pub count: i64,
    /// Different users so far.
    pub users: i64,
    /// When the first report came.
    pub first_seen: i64,
    /// When the newest report came.
    pub last_seen: i64,
    /// When it was new or came back, whichever was later.
    pub fresh_at: i64,
    /// See [`State`].
    pub state: State,
    /// See [`Source`].
    pub source: Source,
    /// Of the newest report.
    pub level: Option<&'r str>,
    /// Of the newest report.
    pub release: Option<&'r str>,
    /// Of the newest report.
    pub environment: Option<&'r str>,
    /// The reports in each part of the window that was asked for.
    pub sparkline: Option<&'r [i64]>,
}

/// What a list shows beside the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// Reports over time.
    pub sparkline: Option<Window>,
    /// Texts that may be long.
    pub traceback: bool,
}

/// Finds the groups of a page and shows them to `visit` as [`summaries`] does, all as of one moment.
/// Answers the page and how many of its groups are done with.
pub fn read(
    conn: &Connection,
    query: &ListQuery,
    extras: Extras,
    visit: impl FnMut(GroupSummary<'_>) -> ControlFlow<()>,
) -> Result<(Page, usize), StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let page = page::find(conn, query)?;
    let done = summaries(conn, &page.ids, extras, visit)?;
    Ok((page, done))
}

/// Only the numbers of the groups of a page.
pub fn ids(conn: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    page::find(conn, query)
}

pub(super) const SUMMARY: &str =
    "SELECT g.fingerprint, p.name, t.exception_type, t.message, g.count, g.users, g.first_seen, g.last_seen, g.fresh_at,
       g.state, g.source, o.level, o.release, o.environment, g.hour, g.hour_count, iif(?2, t.traceback, NULL)
     FROM error_groups g
     JOIN projects p ON p.id = g.project
     JOIN group_texts t ON t.group_id = g.id
     LEFT JOIN occurrences o ON o.slot =
       (SELECT slot FROM occurrences WHERE slot BETWEEN g.id * 8 AND g.id * 8 + 4 ORDER BY number DESC LIMIT 1)
     WHERE g.id = ?1";

/// Shows `ids` in order until `visit` has seen enough, and answers how many of them are done with.
/// A group that was deleted meanwhile is left out.
pub fn summaries(
    conn: &Connection,
    ids: &[GroupId],
    extras: Extras,
    mut visit: impl FnMut(GroupSummary<'_>) -> ControlFlow<()>,
) -> Result<usize, StoreError> {
    let mut statement = conn.prepare_cached(SUMMARY)?;
    for (position, id) in ids.iter().enumerate() {
        let mut rows = statement.query((id.get(), extras.traceback))?;
        let Some(row) = rows.next()? else { continue };
        let sparkline = match extras.sparkline {
            None => None,
            Some(window) => Some(over_time(conn, *id, (row.get(14)?, row.get(15)?), window)?),
        };
        if visit(summary(*id, row, sparkline.as_deref())?).is_break() {
            return Ok(position + 1);
        }
    }
    Ok(ids.len())
}

fn summary<'r>(
    id: GroupId,
    row: &'r Row<'_>,
    sparkline: Option<&'r [i64]>,
) -> rusqlite::Result<GroupSummary<'r>> {
    let text = |column| row.get_ref(column).and_then(|value| Ok(value.as_str()?));
    let maybe = |column| {
        row.get_ref(column)
            .and_then(|value| Ok(value.as_str_or_null()?))
    };
    Ok(GroupSummary {
        id,
        fingerprint: Fingerprint::from_bytes(row.get(0)?),
        project: text(1)?,
        exception_type: text(2)?,
        message: text(3)?,
        count: row.get(4)?,
        users: row.get(5)?,
        first_seen: row.get(6)?,
        last_seen: row.get(7)?,
        fresh_at: row.get(8)?,
        state: State::from_stored(row.get(9)?),
        source: Source::from_stored(row.get(10)?),
        level: maybe(11)?,
        release: maybe(12)?,
        environment: maybe(13)?,
        traceback: maybe(16)?,
        sparkline,
    })
}

/// The reports of a group in each part of a window. `running`: its running hour and the reports in that.
pub(super) fn over_time(
    conn: &Connection,
    id: GroupId,
    running: (i64, i64),
    window: Window,
) -> Result<Vec<i64>, StoreError> {
    let mut parts = window.zeros();
    let mut add = |hour, count: i64| {
        if let Some(part) = window.part(hour).and_then(|part| parts.get_mut(part)) {
            *part += count;
        }
    };
    add(running.0, running.1);
    let mut statement = conn.prepare_cached(
        "SELECT hour, count FROM group_hours WHERE group_id = ?1 AND hour >= ?2 AND hour < ?3",
    )?;
    let mut rows = statement.query((id.get(), window.first_hour, window.end_hour()))?;
    while let Some(row) = rows.next()? {
        add(row.get(0)?, row.get(1)?);
    }
    Ok(parts)
}

/// The names of all projects that have groups, in the order of their bytes.
pub fn projects(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT name FROM projects p
         WHERE EXISTS (SELECT 1 FROM group_counts c WHERE c.project = p.id AND c.groups > 0) ORDER BY name",
    )?;
    let names = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// Whether there are any groups: the cheapest question that needs the file.
pub fn any(conn: &Connection) -> Result<bool, StoreError> {
    let any = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM error_groups)")?
        .query_row([], |row| row.get(0))?;
    Ok(any)
}

/// How many groups are in `state`.
pub fn count(conn: &Connection, state: State) -> Result<i64, StoreError> {
    let count = conn.query_row(
        "SELECT coalesce(sum(groups), 0) FROM group_counts WHERE state = ?1",
        params![state as i64],
        |row| row.get(0),
    )?;
    Ok(count)
}
