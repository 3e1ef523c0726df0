//! One group with its newest reports.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{HOUR_MS, KEPT_HOURS, SLOTS};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, KEPT_OCCURRENCES, Source, State};

/// Everything that is known of a group. Times are unix milliseconds.
#[derive(Debug)]
pub struct GroupDetail {
    /// Its number.
    pub id: GroupId,
    /// Unique in its project.
    pub fingerprint: Fingerprint,
    /// Its name.
    pub project: String,
    /// As first reported.
    pub exception_type: String,
    /// As first reported.
    pub message: String,
    /// As first reported.
    pub traceback: String,
    /// Reports so far.
    pub count: i64,
    /// When the first report came.
    pub first_seen: i64,
    /// When the newest report came.
    pub last_seen: i64,
    /// See [`State`].
    pub state: State,
    /// When it was resolved, if it is.
    pub resolved_at: Option<i64>,
    /// See [`Source`].
    pub source: Source,
    /// The newest first, at most five.
    pub occurrences: Vec<Occurrence>,
    /// Start of an hour and the reports in it, the oldest first, for the last 30 days; hours without
    /// reports are left out.
    pub hours: Vec<(i64, i64)>,
}

/// One report.
#[derive(Debug)]
pub struct Occurrence {
    /// Unique in the service.
    pub number: i64,
    /// When it came.
    pub time: i64,
    /// Its own.
    pub message: String,
    /// Its own.
    pub traceback: String,
    /// As reported.
    pub request_url: Option<String>,
    /// As reported.
    pub request_method: Option<String>,
    /// JSON.
    pub request_headers: Option<String>,
    /// As reported.
    pub user_id: Option<String>,
    /// JSON.
    pub extra: Option<String>,
    /// As reported.
    pub level: Option<String>,
    /// As reported.
    pub release: Option<String>,
    /// As reported.
    pub environment: Option<String>,
    /// As reported.
    pub server_name: Option<String>,
    /// JSON.
    pub tags: Option<String>,
}

/// Reads a group; `None` when there is none with this number.
pub fn detail(
    conn: &Connection,
    id: GroupId,
    now_ms: i64,
) -> Result<Option<GroupDetail>, StoreError> {
    // All statements see the same state of the database.
    let _snapshot = conn.unchecked_transaction()?;
    let mut statement = conn.prepare_cached(
        "SELECT g.fingerprint, p.name, t.exception_type, t.message, t.traceback, g.count, g.first_seen, g.last_seen,
           g.state, g.resolved_at, g.source
         FROM error_groups g JOIN projects p ON p.id = g.project JOIN group_texts t ON t.group_id = g.id
         WHERE g.id = ?1",
    )?;
    let group = statement.query_row([id.get()], |row| {
        Ok(GroupDetail {
            id,
            fingerprint: Fingerprint::from_bytes(row.get(0)?),
            project: row.get(1)?,
            exception_type: row.get(2)?,
            message: row.get(3)?,
            traceback: row.get(4)?,
            count: row.get(5)?,
            first_seen: row.get(6)?,
            last_seen: row.get(7)?,
            state: State::from_stored(row.get(8)?),
            resolved_at: row.get(9)?,
            source: Source::from_stored(row.get(10)?),
            occurrences: Vec::new(),
            hours: Vec::new(),
        })
    });
    let Some(mut group) = group.optional()? else {
        return Ok(None);
    };
    group.occurrences = occurrences(conn, &group)?;
    group.hours = hours(conn, id, now_ms)?;
    Ok(Some(group))
}

fn occurrences(conn: &Connection, group: &GroupDetail) -> Result<Vec<Occurrence>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, time, message, traceback, request_url, request_method, request_headers, user_id, extra, level,
           release, environment, server_name, tags
         FROM occurrences WHERE slot BETWEEN ?1 AND ?2 ORDER BY number DESC",
    )?;
    let first_slot = group.id.get() * SLOTS;
    let read = |row: &Row<'_>| {
        let message: Option<String> = row.get(2)?;
        let traceback: Option<String> = row.get(3)?;
        Ok(Occurrence {
            number: row.get(0)?,
            time: row.get(1)?,
            message: message.unwrap_or_else(|| group.message.clone()),
            traceback: traceback.unwrap_or_else(|| group.traceback.clone()),
            request_url: row.get(4)?,
            request_method: row.get(5)?,
            request_headers: row.get(6)?,
            user_id: row.get(7)?,
            extra: row.get(8)?,
            level: row.get(9)?,
            release: row.get(10)?,
            environment: row.get(11)?,
            server_name: row.get(12)?,
            tags: row.get(13)?,
        })
    };
    let occurrences = statement
        .query_map((first_slot, first_slot + KEPT_OCCURRENCES - 1), read)?
        .collect::<Result<_, _>>()?;
    Ok(occurrences)
}

/// The finished hours and the running one.
fn hours(conn: &Connection, id: GroupId, now_ms: i64) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT hour, sum(count) FROM (
           SELECT hour, count FROM group_hours WHERE group_id = ?1 AND hour > ?2
           UNION ALL SELECT hour, hour_count FROM error_groups WHERE id = ?1 AND hour > ?2 AND hour_count > 0
         ) GROUP BY hour ORDER BY hour",
    )?;
    let before = now_ms.div_euclid(HOUR_MS) - KEPT_HOURS;
    let hours = statement
        .query_map((id.get(), before), |row| {
            let hour: i64 = row.get(0)?;
            Ok((hour * HOUR_MS, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(hours)
}
