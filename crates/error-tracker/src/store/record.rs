//! Takes in reports, and what people decide about groups.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{HOUR_MS, SLOTS};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, KEPT_OCCURRENCES, Recorded, Source, State};
use crate::domain::report::ErrorReport;
use crate::domain::session::SessionId;

/// How many different sessions are remembered for each group. An operator looks up sessions of the
/// last days; older ones make room.
const KEPT_SESSIONS: i64 = 1_000;

/// A report with all that can be worked out before the database is asked.
#[derive(Debug)]
pub struct Incoming {
    report: ErrorReport,
    fingerprint: Fingerprint,
    source: Source,
    session: Option<SessionId>,
    time_ms: i64,
}

impl Incoming {
    /// A report that arrived at `time_ms`.
    pub fn new(report: ErrorReport, time_ms: i64) -> Self {
        Self {
            fingerprint: report.fingerprint(),
            source: report.source(),
            session: report.session(),
            report,
            time_ms,
        }
    }

    /// Of its group.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// What has to be known of a group when one more report of it arrives.
struct Known {
    id: i64,
    state: State,
    source: Source,
    count: i64,
    same_message: bool,
    same_traceback: bool,
}

/// Stores a report: in its group, which is made or reopened where needed, among the newest
/// occurrences, and in the counters.
pub fn record(conn: &Connection, incoming: &Incoming) -> Result<Recorded, StoreError> {
    let Some(known) = find(conn, incoming)? else {
        let id = create(conn, incoming)?;
        keep(conn, incoming, id, 1, (true, true))?;
        return Ok(Recorded::Created {
            id: GroupId::from_stored(id),
        });
    };
    let count = known.count + 1;
    increment(conn, incoming, &known)?;
    let same = (known.same_message, known.same_traceback);
    keep(conn, incoming, known.id, count, same)?;
    let id = GroupId::from_stored(known.id);
    Ok(match known.state {
        State::Resolved => Recorded::Reopened { id, count },
        State::Unresolved => Recorded::Incremented { id, count },
    })
}

pub(super) const FIND: &str =
    "SELECT g.id, g.state, g.source, g.count, g.message, t.traceback FROM error_groups g
    JOIN group_tracebacks t ON t.group_id = g.id
    WHERE g.project = (SELECT id FROM projects WHERE name = ?1) AND g.fingerprint = ?2";

fn find(conn: &Connection, incoming: &Incoming) -> Result<Option<Known>, StoreError> {
    let report = &incoming.report;
    let is = |row: &Row<'_>, column, text: &str| -> rusqlite::Result<bool> {
        Ok(row.get_ref(column)?.as_bytes_or_null()? == Some(text.as_bytes()))
    };
    let mut statement = conn.prepare_cached(FIND)?;
    let known = statement.query_row((&report.project, incoming.fingerprint.as_bytes()), |row| {
        Ok(Known {
            id: row.get(0)?,
            state: State::from_stored(row.get(1)?),
            source: Source::from_stored(row.get(2)?),
            count: row.get(3)?,
            same_message: is(row, 4, &report.message)?,
            same_traceback: is(row, 5, &report.traceback)?,
        })
    });
    Ok(known.optional()?)
}

fn create(conn: &Connection, incoming: &Incoming) -> Result<i64, StoreError> {
    let report = &incoming.report;
    conn.prepare_cached("INSERT INTO projects (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([&report.project])?;
    conn.prepare_cached(
        "INSERT INTO error_groups (project, fingerprint, source, first_seen, last_seen, exception_type, message)
         VALUES ((SELECT id FROM projects WHERE name = ?1), ?2, ?3, ?4, ?4, ?5, ?6)",
    )?
    .execute(params![
        report.project,
        incoming.fingerprint.as_bytes(),
        incoming.source as i64,
        incoming.time_ms,
        report.exception_type,
        report.message,
    ])?;
    let id = conn.last_insert_rowid();
    conn.prepare_cached("INSERT INTO group_tracebacks (group_id, traceback) VALUES (?1, ?2)")?
        .execute((id, &report.traceback))?;
    Ok(id)
}

fn increment(conn: &Connection, incoming: &Incoming, known: &Known) -> Result<(), StoreError> {
    // A clock that was set back must not move a group down the list. The state is only named where
    // it changes: that is what the counters' trigger listens to.
    let sql = match known.state {
        State::Unresolved => {
            "UPDATE error_groups SET count = count + 1, last_seen = max(last_seen, ?1) WHERE id = ?2"
        }
        State::Resolved => {
            "UPDATE error_groups SET count = count + 1, last_seen = max(last_seen, ?1), state = 0, resolved_at = NULL
             WHERE id = ?2"
        }
    };
    conn.prepare_cached(sql)?
        .execute((incoming.time_ms, known.id))?;
    if (known.source, incoming.source) == (Source::Server, Source::Browser) {
        conn.prepare_cached("UPDATE error_groups SET source = ?1 WHERE id = ?2")?
            .execute((incoming.source as i64, known.id))?;
    }
    Ok(())
}

/// Puts a report among the newest of its group and counts it. `same`: whether its message and its
/// traceback are the group's.
fn keep(
    conn: &Connection,
    incoming: &Incoming,
    id: i64,
    count: i64,
    same: (bool, bool),
) -> Result<(), StoreError> {
    let (report, time) = (&incoming.report, incoming.time_ms);
    let number: i64 = conn
        .prepare_cached(
            "UPDATE last_occurrence SET number = number + 1 WHERE id = 1 RETURNING number",
        )?
        .query_row([], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO occurrences (slot, number, time, message, traceback, request_url, request_method,
           request_headers, user_id, extra, level, release, environment, server_name, tags)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        id * SLOTS + (count - 1) % KEPT_OCCURRENCES,
        number,
        time,
        (!same.0).then_some(&report.message),
        (!same.1).then_some(&report.traceback),
        report.request_url,
        report.request_method,
        report.request_headers,
        report.user_id,
        report.extra,
        report.level,
        report.release,
        report.environment,
        report.server_name,
        report.tags,
    ])?;
    conn.prepare_cached(
        "INSERT INTO group_hours (hour, group_id, count) VALUES (?1, ?2, 1)
         ON CONFLICT (hour, group_id) DO UPDATE SET count = count + 1",
    )?
    .execute((time.div_euclid(HOUR_MS), id))?;
    match incoming.session {
        Some(session) => remember_session(conn, id, session),
        None => Ok(()),
    }
}

fn remember_session(conn: &Connection, id: i64, session: SessionId) -> Result<(), StoreError> {
    let known: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM group_sessions WHERE session = ?1 AND group_id = ?2)",
        )?
        .query_row((session.as_bytes(), id), |row| row.get(0))?;
    if known {
        return Ok(());
    }
    let so_far: i64 = conn
        .prepare_cached(
            "UPDATE error_groups SET sessions = sessions + 1 WHERE id = ?1 RETURNING sessions",
        )?
        .query_row([id], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO group_sessions (group_id, slot, session) VALUES (?1, ?2, ?3)",
    )?
    .execute((id, (so_far - 1) % KEPT_SESSIONS, session.as_bytes()))?;
    Ok(())
}

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
