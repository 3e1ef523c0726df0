//! One group with its newest reports.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{FIRST_SLOT, HOUR_MS, KEPT_HOURS, SLOTS, seen_by, stats};
use crate::domain::facet::FacetKind;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, Source, State};
use crate::domain::grouping::GroupingKey;

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
    /// When it was new or came back, whichever was later.
    pub fresh_at: i64,
    /// Different users so far.
    pub users: i64,
    /// Whether that is their number and not an estimate.
    pub users_exact: bool,
    /// What was decided about it, as long as it holds.
    pub decided: Decided,
    /// The newest first, at most five.
    pub occurrences: Vec<Occurrence>,
    /// The first one of all; `None` when it was not kept, as in groups of the original.
    pub first: Option<Occurrence>,
    /// What its newest reports named: kind, value, when its project named that first. By kind, the newest value first.
    pub facets: Vec<(FacetKind, String, i64)>,
    /// What it answers to, at most [`SHOWN_KEYS`].
    pub keys: Vec<GroupingKey>,
    /// What happened to it, the newest first.
    pub history: Vec<Change>,
    /// Start of an hour and the reports in it, the oldest first, for the last 30 days; hours without
    /// reports are left out.
    pub hours: Vec<(i64, i64)>,
}

/// See [`GroupDetail::decided`]. Times are unix milliseconds.
#[derive(Debug, Default)]
pub struct Decided {
    /// It is ignored until then.
    pub ignored_until: Option<i64>,
    /// It is ignored until it has so many reports.
    pub ignored_count: Option<i64>,
    /// The release with the cure.
    pub resolved_release: Option<String>,
    /// What people noted.
    pub note: Option<String>,
}

/// One thing that happened to a group.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub time: i64,
    /// As in `resolved`.
    pub action: String,
    /// JSON object.
    pub detail: Option<String>,
}

/// The most keys that are shown; a group that many were merged into has them all.
pub const SHOWN_KEYS: i64 = 100;

/// One report.
#[derive(Clone, Debug)]
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
           g.state, g.resolved_at, g.source, g.fresh_at, g.users, d.ignored_until, d.ignored_count, d.resolved_release,
           d.note, g.project, coalesce(g.facets, x'')
         FROM error_groups g JOIN projects p ON p.id = g.project JOIN group_texts t ON t.group_id = g.id
           LEFT JOIN group_decisions d ON d.group_id = g.id
         WHERE g.id = ?1",
    )?;
    let group = statement.query_row([id.get()], |row| {
        let group = GroupDetail {
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
            fresh_at: row.get(11)?,
            users: row.get(12)?,
            users_exact: true,
            decided: Decided {
                ignored_until: row.get(13)?,
                ignored_count: row.get(14)?,
                resolved_release: row.get(15)?,
                note: row.get(16)?,
            },
            occurrences: Vec::new(),
            first: None,
            facets: Vec::new(),
            keys: Vec::new(),
            history: Vec::new(),
            hours: Vec::new(),
        };
        Ok((group, row.get::<_, i64>(17)?, row.get::<_, Vec<u8>>(18)?))
    });
    let Some((mut group, project, facets)) = group.optional()? else {
        return Ok(None);
    };
    (group.occurrences, group.first) = occurrences(conn, &group)?;
    group.users_exact = !seen_by::is_estimated(conn, id.get())?;
    group.facets = stats::facets_in(conn, project, &facets)?;
    group.keys = keys(conn, id)?;
    group.history = history(conn, id)?;
    group.hours = hours(conn, id, now_ms)?;
    Ok(Some(group))
}

fn keys(conn: &Connection, id: GroupId) -> Result<Vec<GroupingKey>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT key FROM group_keys WHERE group_id = ?1 ORDER BY project, key LIMIT ?2",
    )?;
    let mut rows = statement.query((id.get(), SHOWN_KEYS))?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        keys.extend(GroupingKey::from_bytes(key));
    }
    Ok(keys)
}

fn history(conn: &Connection, id: GroupId) -> Result<Vec<Change>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT time, action, detail FROM group_history WHERE group_id = ?1 ORDER BY id DESC",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Change {
            time: row.get(0)?,
            action: row.get(1)?,
            detail: row.get(2)?,
        })
    };
    let history = statement
        .query_map([id.get()], read)?
        .collect::<Result<_, _>>()?;
    Ok(history)
}

/// The newest reports of a group, the newest first, and its very first one.
fn occurrences(
    conn: &Connection,
    group: &GroupDetail,
) -> Result<(Vec<Occurrence>, Option<Occurrence>), StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, time, message, traceback, request_url, request_method, request_headers, user_id, extra, level,
           release, environment, server_name, tags, slot
         FROM occurrences WHERE slot BETWEEN ?1 AND ?2 ORDER BY number DESC",
    )?;
    let first_slot = group.id.get() * SLOTS;
    let read = |row: &Row<'_>| {
        let message: Option<String> = row.get(2)?;
        let traceback: Option<String> = row.get(3)?;
        let one = Occurrence {
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
        };
        Ok((row.get::<_, i64>(14)?, one))
    };
    let kept: Vec<(i64, Occurrence)> = statement
        .query_map((first_slot, first_slot + SLOTS - 1), read)?
        .collect::<Result<_, _>>()?;
    let (apart, newest): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|(slot, _)| *slot == first_slot + FIRST_SLOT);
    let newest: Vec<Occurrence> = newest.into_iter().map(|(_, one)| one).collect();
    // As long as all of them are among the newest, so is the first.
    let among = newest.last().filter(|_| group.count == newest.len() as i64);
    let first = apart.into_iter().map(|(_, one)| one).next();
    let first = first.or_else(|| among.cloned());
    Ok((newest, first))
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
