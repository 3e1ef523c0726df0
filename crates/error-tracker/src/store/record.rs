//! Takes in reports.
//!
//! A report of a known group costs one look at the identity, one rewrite of the group's row and one of its slot, and a
//! few counters that all reports share. Everything else (texts, facets, sessions, users, finished hours) is written
//! only when it is new.

use md5::{Digest, Md5};
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::comeback::{self, Reported};
use super::facets::{self, GroupFacets};
use super::seen_by::{self, Audience};
use super::{FIRST_SLOT, HOUR_MS, KEPT_HOURS, SLOTS};
use crate::domain::facet::{Facet, facets_of};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, KEPT_OCCURRENCES, Recorded, Source, State};
use crate::domain::grouping::{GroupingKey, GroupingMode, KeyKind};
use crate::domain::report::ErrorReport;
use crate::domain::scrub::Scrubber;
use crate::domain::session::SessionId;
use crate::domain::user::UserId;
use crate::domain::window::new_since;

/// How reports are taken in.
#[derive(Debug, Default)]
pub struct Intake {
    /// Which key a report's group is looked up by.
    pub grouping: GroupingMode,
    /// What must not be kept.
    pub scrubber: Scrubber,
}

/// A report with all that can be worked out before the database is asked.
#[derive(Debug)]
pub struct Incoming {
    report: ErrorReport,
    /// The one its group is looked up by.
    key: GroupingKey,
    /// The contract's one.
    original: GroupingKey,
    source: Source,
    session: Option<SessionId>,
    user: Option<UserId>,
    facets: Vec<Facet>,
    texts: [u8; 16],
    time_ms: i64,
    /// It came elsewhere at that time, and here only now.
    is_late: bool,
}

impl Incoming {
    /// A report that arrived at `time_ms`. Its group is told from what was sent; everything else from what is left of it
    /// when the secrets are out.
    pub fn new(mut report: ErrorReport, time_ms: i64, intake: &Intake) -> Self {
        let original = GroupingKey::original(report.fingerprint());
        let key = report.key(intake.grouping, original);
        intake.scrubber.report(&mut report);
        Self {
            key,
            original,
            source: report.source(),
            session: report.session(),
            user: report.user(),
            facets: facets_of(&report),
            texts: text_hashes(&report.message, &report.traceback),
            report,
            time_ms,
            is_late: false,
        }
    }

    /// A report that somebody kept since `time_ms`.
    pub fn late(report: ErrorReport, time_ms: i64, intake: &Intake) -> Self {
        Self {
            is_late: true,
            ..Self::new(report, time_ms, intake)
        }
    }

    /// See [`ErrorReport::size_bytes`].
    pub fn size_bytes(&self) -> usize {
        self.report.size_bytes()
    }

    /// Shown as that of its group.
    pub fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    fn hour(&self) -> i64 {
        self.time_ms.div_euclid(HOUR_MS)
    }
}

/// 8 bytes each of the MD5 of a message and a traceback: enough to see that a report repeats its group's texts without
/// reading them.
pub(super) fn text_hashes(message: &str, traceback: &str) -> [u8; 16] {
    let mut hashes = [0; 16];
    for (half, text) in hashes.chunks_exact_mut(8).zip([message, traceback]) {
        let hash: [u8; 16] = Md5::digest(text).into();
        half.copy_from_slice(&hash[..8]);
    }
    hashes
}

/// What has to be known of a group when one more report of it arrives.
struct Known {
    id: i64,
    project: i64,
    state: State,
    source: Source,
    count: i64,
    hour: i64,
    hour_count: i64,
    users: i64,
    /// When it was new or came back last. Unix milliseconds.
    fresh_at: i64,
    same_message: bool,
    same_traceback: bool,
    /// What has to be written because of its facets, if anything.
    facets: Option<GroupFacets>,
}

/// Stores a report: in its group, which is made or reopened where needed, among the newest
/// occurrences, and in the counters.
pub fn record(conn: &Connection, incoming: &Incoming) -> Result<Recorded, StoreError> {
    let known = match find(conn, incoming, &incoming.key)? {
        None if incoming.key.kind() == KeyKind::Stable => adopt(conn, incoming)?,
        known => known,
    };
    let Some(known) = known else {
        return create(conn, incoming);
    };
    let count = known.count + 1;
    increment(conn, incoming, &known)?;
    let back = comeback::reopen_if_due(
        conn,
        &Reported {
            id: known.id,
            project: known.project,
            state: known.state,
            count,
            release: incoming.report.release.as_deref(),
            time_ms: incoming.time_ms,
            is_late: incoming.is_late,
        },
    )?;
    if count == KEPT_OCCURRENCES + 1 {
        set_first_aside(conn, known.id)?;
    }
    let same = (known.same_message, known.same_traceback);
    keep(conn, incoming, known.id, count, same)?;
    let fresh_at = if back {
        incoming.time_ms
    } else {
        known.fresh_at
    };
    let hour = (incoming.hour(), fresh_at.div_euclid(HOUR_MS));
    count_report(conn, known.project, incoming.source, hour)?;
    if let Some(facets) = &known.facets {
        facets.write(conn, known.project, known.id, incoming.time_ms)?;
    }
    let audience = Audience {
        group: known.id,
        users: known.users,
        count,
    };
    seen(conn, incoming, audience)?;
    let id = GroupId::from_stored(known.id);
    Ok(if back {
        Recorded::Reopened { id, count }
    } else {
        Recorded::Incremented { id, count }
    })
}

pub(super) const FIND: &str =
    "SELECT g.id, g.project, g.state, g.source, g.count, g.hour, g.hour_count, g.users, g.texts, g.facets, g.fresh_at
    FROM group_keys k JOIN error_groups g ON g.id = k.group_id
    WHERE k.project = (SELECT id FROM projects WHERE name = ?1) AND k.key = ?2";

fn find(
    conn: &Connection,
    incoming: &Incoming,
    key: &GroupingKey,
) -> Result<Option<Known>, StoreError> {
    let read = |row: &Row<'_>| {
        let texts = row.get_ref(8)?.as_bytes_or_null()?.unwrap_or_default();
        let (message, traceback) = incoming.texts.split_at(8);
        let facets = row.get_ref(9)?.as_bytes_or_null()?.unwrap_or_default();
        Ok(Known {
            id: row.get(0)?,
            project: row.get(1)?,
            state: State::from_stored(row.get(2)?),
            source: Source::from_stored(row.get(3)?),
            count: row.get(4)?,
            hour: row.get(5)?,
            hour_count: row.get(6)?,
            users: row.get(7)?,
            fresh_at: row.get(10)?,
            same_message: texts.starts_with(message),
            same_traceback: texts.ends_with(traceback),
            facets: facets::changed(facets, &incoming.facets),
        })
    };
    let mut statement = conn.prepare_cached(FIND)?;
    let known = statement.query_row((&incoming.report.project, key.as_bytes()), read);
    Ok(known.optional()?)
}

/// A group that has no stable key yet, because it came with the database of the original, and that the original would
/// put the report into: from now on it has this one.
fn adopt(conn: &Connection, incoming: &Incoming) -> Result<Option<Known>, StoreError> {
    let Some(known) = find(conn, incoming, &incoming.original)? else {
        return Ok(None);
    };
    let adopted = conn
        .prepare_cached(
            "INSERT INTO group_keys (project, key, group_id) SELECT ?1, ?2, ?3
             WHERE NOT EXISTS (SELECT 1 FROM group_keys WHERE group_id = ?3 AND substr(key, 1, 1) = substr(?2, 1, 1))",
        )?
        .execute((known.project, incoming.key.as_bytes(), known.id))?;
    Ok((adopted > 0).then_some(known))
}

/// The keys of a new group. One that its clients named answers to that name alone. Any other answers to both of ours, so
/// that the setting can be changed without starting all groups anew; where a key belongs to another group, it stays there.
fn identify(
    conn: &Connection,
    incoming: &Incoming,
    project: i64,
    id: i64,
) -> Result<(), StoreError> {
    let mut keys = vec![incoming.key];
    match incoming.key.kind() {
        KeyKind::Client => {}
        KeyKind::Stable => keys.push(incoming.original),
        KeyKind::Original => keys.push(incoming.report.stable_key()),
    }
    let mut statement = conn.prepare_cached(
        "INSERT OR IGNORE INTO group_keys (project, key, group_id) VALUES (?1, ?2, ?3)",
    )?;
    for key in keys {
        statement.execute((project, key.as_bytes(), id))?;
    }
    Ok(())
}

fn create(conn: &Connection, incoming: &Incoming) -> Result<Recorded, StoreError> {
    let (report, time) = (&incoming.report, incoming.time_ms);
    conn.prepare_cached("INSERT INTO projects (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([&report.project])?;
    let project: i64 = conn
        .prepare_cached("SELECT id FROM projects WHERE name = ?1")?
        .query_row([&report.project], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT INTO error_groups (project, fingerprint, source, first_seen, last_seen, fresh_at, hour, hour_count, texts,
           count_rank, users_rank)
         VALUES (?1, ?2, ?3, ?4, ?4, ?4, ?5, 1, ?6, 1, ?7)",
    )?
    .execute(params![
        project,
        incoming.fingerprint().as_bytes(),
        incoming.source as i64,
        time,
        incoming.hour(),
        incoming.texts,
        i64::from(incoming.user.is_some()),
    ])?;
    let id = conn.last_insert_rowid();
    identify(conn, incoming, project, id)?;
    conn.prepare_cached(
        "INSERT INTO group_texts (group_id, exception_type, message, traceback) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((id, &report.exception_type, &report.message, &report.traceback))?;
    if let Some(facets) = facets::changed(&[], &incoming.facets) {
        facets.write(conn, project, id, time)?;
    }
    keep(conn, incoming, id, 1, (true, true))?;
    count_report(
        conn,
        project,
        incoming.source,
        (incoming.hour(), incoming.hour()),
    )?;
    let audience = Audience {
        group: id,
        users: 0,
        count: 1,
    };
    seen(conn, incoming, audience)?;
    let id = GroupId::from_stored(id);
    Ok(Recorded::Created { id })
}

fn increment(conn: &Connection, incoming: &Incoming, known: &Known) -> Result<(), StoreError> {
    let (hour, hour_count) = count_hour(conn, incoming, known)?;
    // A clock that was set back must not move a group down the list. The source is only named where it changes: that is
    // what the counters' trigger listens to.
    conn.prepare_cached(
        "UPDATE error_groups SET count = count + 1, last_seen = max(last_seen, ?1), hour = ?2, hour_count = ?3
         WHERE id = ?4",
    )?
    .execute((incoming.time_ms, hour, hour_count, known.id))?;
    if (known.source, incoming.source) == (Source::Server, Source::Browser) {
        conn.prepare_cached("UPDATE error_groups SET source = ?1 WHERE id = ?2")?
            .execute((incoming.source as i64, known.id))?;
    }
    Ok(())
}

/// The running hour of a group and its count with this report. An hour that is over is written out, and with it goes
/// what is older than [`KEPT_HOURS`].
fn count_hour(
    conn: &Connection,
    incoming: &Incoming,
    known: &Known,
) -> Result<(i64, i64), StoreError> {
    let hour = incoming.hour();
    if hour == known.hour {
        return Ok((hour, known.hour_count + 1));
    }
    // After a clock was set back, the report belongs to an hour that is written already.
    let (over, count, running) = if hour < known.hour {
        (hour, 1, (known.hour, known.hour_count))
    } else {
        (known.hour, known.hour_count, (hour, 1))
    };
    if count > 0 {
        conn.prepare_cached(
            "INSERT INTO group_hours (group_id, hour, count) VALUES (?1, ?2, ?3)
             ON CONFLICT (group_id, hour) DO UPDATE SET count = count + excluded.count",
        )?
        .execute((known.id, over, count))?;
    }
    conn.prepare_cached("DELETE FROM group_hours WHERE group_id = ?1 AND hour <= ?2")?
        .execute((known.id, running.0 - KEPT_HOURS))?;
    Ok(running)
}

/// The first report of a group leaves the ring before it is overwritten.
fn set_first_aside(conn: &Connection, id: i64) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE OR IGNORE occurrences SET slot = ?1 WHERE slot = ?2")?
        .execute((id * SLOTS + FIRST_SLOT, id * SLOTS))?;
    Ok(())
}

/// Puts a report among the newest of its group. `same`: whether its message and its traceback are the group's.
fn keep(
    conn: &Connection,
    incoming: &Incoming,
    id: i64,
    count: i64,
    same: (bool, bool),
) -> Result<(), StoreError> {
    let report = &incoming.report;
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
        incoming.time_ms,
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
    Ok(())
}

/// Counts a report for its project: the hour it arrived in, and the hour in which its group was new or came back.
pub(super) fn count_report(
    conn: &Connection,
    project: i64,
    source: Source,
    (hour, fresh): (i64, i64),
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO project_hours (hour, project, source, new_since, count) VALUES (?1, ?2, ?3, ?4, 1)
         ON CONFLICT (hour, project, source, new_since) DO UPDATE SET count = count + 1",
    )?
    .execute((hour, project, source as i64, new_since(fresh, hour)))?;
    Ok(())
}

fn seen(conn: &Connection, incoming: &Incoming, audience: Audience) -> Result<(), StoreError> {
    if let Some(session) = incoming.session {
        seen_by::session(conn, audience.group, session)?;
    }
    if let Some(user) = incoming.user {
        seen_by::user(conn, audience, user)?;
    }
    Ok(())
}
