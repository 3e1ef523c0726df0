//! The tables of the outbox. Each function is one job for the writer or for a read connection.

use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::plan::{self, GIVE_UP, HOUR, Standing, Step};
use super::{Alert, Source};
use crate::store::StoreError;

/// The kind of a digest; a service's own kinds are larger.
pub const DIGEST: i64 = 0;

/// Alerts told one by one in one job.
const MOST_ALONE: u32 = 50;
/// Rows deleted in one job.
const ROWS_IN_SLICE: i64 = 500;
/// How long alerts are kept after they were told.
pub(super) const KEPT: i64 = 7 * 24 * HOUR;
/// How many alerts are kept beside those that are still on their way.
pub(super) const MOST_KEPT: i64 = 10_000;

/// What has become of an alert on one channel. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It will be tried, or tried again.
    Pending = 0,
    /// The other side has taken it.
    Sent = 1,
    /// The other side has refused it for good.
    Failed = 2,
    /// It could not be delivered within a day.
    GaveUp = 3,
    /// There was nothing left to tell.
    Skipped = 4,
}

impl DeliveryState {
    /// Every one of them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Sent,
        Self::Failed,
        Self::GaveUp,
        Self::Skipped,
    ];

    /// As shown and asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::Skipped => "skipped",
        }
    }

    pub(super) fn from_stored(number: i64) -> Self {
        match number {
            1 => Self::Sent,
            2 => Self::Failed,
            3 => Self::GaveUp,
            4 => Self::Skipped,
            _ => Self::Pending,
        }
    }
}

/// Notes an alert, as part of the transaction that is under way.
pub(super) fn note(
    conn: &Connection,
    kind: i64,
    subject: i64,
    time: i64,
) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO alerts (time, kind, subject) VALUES (?1, ?2, ?3)")?
        .execute((time, kind, subject))?;
    Ok(())
}

/// What [`dispatch`] did or found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dispatched {
    /// No alert waits.
    Idle,
    /// Something changed; look again.
    Again {
        /// Whether there is something to deliver.
        told: bool,
    },
    /// A digest is due for the alerts after `after` up to `last`.
    DigestDue { after: i64, last: i64, count: i64 },
    /// So many wait, until this time.
    Waiting { until: i64, count: i64 },
}

/// Takes the next step with the alerts that wait. `keys`: of all channels.
pub(super) fn dispatch(
    conn: &Connection,
    source: &dyn Source,
    per_hour: u32,
    keys: &[String],
    now: i64,
) -> Result<Dispatched, StoreError> {
    let (dispatched, standing) = standing(conn, now)?;
    let step = plan::next(standing, per_hour, now);
    match step {
        Step::Idle => Ok(Dispatched::Idle),
        Step::Alone(room) => {
            let told = tell_alone(conn, source, (dispatched, room.min(MOST_ALONE)), keys, now)?;
            Ok(Dispatched::Again { told })
        }
        Step::Collect => {
            conn.execute("UPDATE alert_state SET collecting_since = ?1", [now])?;
            Ok(Dispatched::Again { told: false })
        }
        Step::Digest | Step::WaitUntil(_) => {
            let (last, count) = waiting(conn, dispatched)?;
            Ok(match step {
                Step::WaitUntil(until) => Dispatched::Waiting { until, count },
                _ => Dispatched::DigestDue {
                    after: dispatched,
                    last,
                    count,
                },
            })
        }
    }
}

pub(super) const TOLD: &str =
    "SELECT count(*) FROM alerts WHERE told_at > ?1 AND told_at <= ?2 AND kind <> ?3";

/// Up to where alerts were told, and what decides about the others.
pub(super) fn standing(conn: &Connection, now: i64) -> Result<(i64, Standing), StoreError> {
    let (dispatched, collecting_since) = conn
        .prepare_cached("SELECT dispatched, collecting_since FROM alert_state")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let newest = conn
        .prepare_cached(
            "SELECT time FROM alerts WHERE id > ?1 AND told_at IS NULL ORDER BY id DESC LIMIT 1",
        )?
        .query_row([dispatched], |row| row.get(0))
        .optional()?;
    let told = conn
        .prepare_cached(TOLD)?
        .query_row((now - HOUR, now + plan::STALE, DIGEST), |row| row.get(0))?;
    let digest_at = conn
        .prepare_cached(
            "SELECT told_at FROM alerts WHERE covers_to IS NOT NULL ORDER BY covers_to DESC LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let standing = Standing {
        told,
        collecting_since,
        newest,
        digest_at,
    };
    Ok((dispatched, standing))
}

/// The last alert that waits, and how many do.
pub(super) fn waiting(conn: &Connection, dispatched: i64) -> Result<(i64, i64), StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT coalesce(max(id), ?1), count(*) FROM alerts WHERE id > ?1 AND told_at IS NULL",
        )?
        .query_row([dispatched], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found)
}

/// Hands the oldest alerts that wait, at most so many, to their channels. Those that have waited for a day, since there
/// was no channel, are passed over. Whether there was any other.
fn tell_alone(
    conn: &Connection,
    source: &dyn Source,
    (dispatched, most): (i64, u32),
    keys: &[String],
    now: i64,
) -> Result<bool, StoreError> {
    let oldest: Vec<(i64, i64, i64, i64)> = conn
        .prepare_cached(
            "SELECT id, time, kind, subject FROM alerts WHERE id > ?1 AND told_at IS NULL ORDER BY id LIMIT ?2",
        )?
        .query_map((dispatched, most), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut told = false;
    for (id, _, kind, subject) in oldest.iter().filter(|(_, time, ..)| now - time < GIVE_UP) {
        conn.prepare_cached("UPDATE alerts SET told_at = ?1 WHERE id = ?2")?
            .execute((now, id))?;
        let wanted = source.channels(conn, *kind, *subject)?;
        hand_over(conn, *id, &chosen(keys, &wanted), now)?;
        told = true;
    }
    if let Some((last, ..)) = oldest.last() {
        conn.execute("UPDATE alert_state SET dispatched = ?1", [last])?;
    }
    Ok(told)
}

/// The channels that are wanted, by their kind or their key; all when none is wanted or none of those is there: somebody
/// has to hear of it.
fn chosen(keys: &[String], wanted: &[String]) -> Vec<String> {
    let is_wanted = |key: &&String| {
        let mut wanted = wanted.iter();
        wanted.any(|one| one == *key || Some(one.as_str()) == kind_of(key))
    };
    let chosen: Vec<String> = keys.iter().filter(is_wanted).cloned().collect();
    if chosen.is_empty() {
        keys.to_vec()
    } else {
        chosen
    }
}

fn hand_over(conn: &Connection, alert: i64, keys: &[String], now: i64) -> Result<(), StoreError> {
    for key in keys {
        conn.prepare_cached(
            "INSERT INTO alert_deliveries (alert, channel, due) VALUES (?1, ?2, ?3)",
        )?
        .execute((alert, key, now))?;
    }
    Ok(())
}

/// Deliveries looked at in one job of [`adopt`].
const ADOPTED_IN_SLICE: i64 = 100;

/// Hands some of what waits for channels that are not configured any more to those that are: to those of the same kind,
/// or else to all, as far as they do not have it yet. A URL that was mended is another channel. Answers how many
/// deliveries were dealt with; 0: none are left. `keys`: of all channels, each its kind, a colon, and what it is known by.
pub(super) fn adopt(conn: &Connection, keys: &[String], now: i64) -> Result<usize, StoreError> {
    let placeholders = vec!["?"; keys.len()].join(", ");
    let left: Vec<(i64, String)> = conn
        .prepare(&format!(
            "SELECT alert, channel FROM alert_deliveries
             WHERE state = 0 AND channel NOT IN ({placeholders}) ORDER BY alert LIMIT {ADOPTED_IN_SLICE}"
        ))?
        .query_map(params_from_iter(keys), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (alert, gone) in &left {
        let alike: Vec<&String> = keys
            .iter()
            .filter(|key| kind_of(key) == kind_of(gone))
            .collect();
        let heirs = if alike.is_empty() {
            keys.iter().collect()
        } else {
            alike
        };
        for heir in heirs {
            conn.prepare_cached(
                "INSERT OR IGNORE INTO alert_deliveries (alert, channel, due) VALUES (?1, ?2, ?3)",
            )?
            .execute((alert, heir, now))?;
        }
        conn.prepare_cached(
            "UPDATE alert_deliveries SET state = ?1, said = 'not configured any more; others have it'
             WHERE alert = ?2 AND channel = ?3",
        )?
        .execute((DeliveryState::Skipped as i64, alert, gone))?;
    }
    Ok(left.len())
}

fn kind_of(key: &str) -> Option<&str> {
    key.split_once(':').map(|(kind, _)| kind)
}

/// Makes the digest of the alerts after `after` up to `last`; those that came later begin to be collected anew.
pub(super) fn add_digest(
    conn: &Connection,
    (after, last): (i64, i64),
    count: i64,
    detail: &str,
    keys: &[String],
    now: i64,
) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO alerts (time, kind, subject, told_at, detail, covers_from, covers_to)
         VALUES (?1, ?2, ?3, ?1, ?4, ?5, ?6)",
        params![now, DIGEST, count, detail, after + 1, last],
    )?;
    hand_over(conn, conn.last_insert_rowid(), keys, now)?;
    conn.execute(
        "UPDATE alert_state SET dispatched = ?1, collecting_since = NULL",
        [last],
    )?;
    Ok(())
}

/// An alert that waits to be delivered over a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) alert: i64,
    pub(super) channel: String,
    /// Attempts so far.
    pub(super) tries: i64,
    /// When it was handed to the channels.
    pub(super) told_at: i64,
    /// When it may be tried.
    pub(super) at: i64,
}

pub(super) const NEXT_DUE: &str = "SELECT d.alert, d.tries, coalesce(a.told_at, ?2), d.due
                 FROM alert_deliveries d LEFT JOIN alerts a ON a.id = d.alert
                 WHERE d.channel = ?1 AND d.state = 0 ORDER BY d.due, d.alert LIMIT 1";

/// The next delivery over any of some channels, whether it is due already or not.
pub(super) fn next_due(
    conn: &Connection,
    keys: &[String],
    now: i64,
) -> Result<Option<Due>, StoreError> {
    let mut next: Option<Due> = None;
    for key in keys {
        let resume_at: Option<i64> = conn
            .prepare_cached("SELECT resume_at FROM alert_channels WHERE channel = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let found = conn
            .prepare_cached(NEXT_DUE)?
            .query_row((key, now), |row| {
                Ok(Due {
                    alert: row.get(0)?,
                    channel: key.clone(),
                    tries: row.get(1)?,
                    told_at: row.get(2)?,
                    at: row.get(3)?,
                })
            })
            .optional()?;
        let Some(mut found) = found else { continue };
        found.at = plan::plausible(found.at, now);
        if let Some(resume_at) = resume_at {
            found.at = found.at.max(plan::plausible(resume_at, now));
        }
        let sooner =
            |known: &Due| (found.at.max(now), found.alert) < (known.at.max(now), known.alert);
        if next.as_ref().is_none_or(sooner) {
            next = Some(found);
        }
    }
    Ok(next)
}

/// An alert with all that is needed to write its message.
pub(super) fn alert(conn: &Connection, id: i64) -> Result<Option<Alert>, StoreError> {
    let read = |row: &Row<'_>| {
        let time_ms: i64 = row.get(0)?;
        let instance: String = row.get(4)?;
        Ok(Alert {
            id,
            key: format!("{instance}.{id}.{time_ms}"),
            time_ms,
            kind: row.get(1)?,
            subject: row.get(2)?,
            detail: row.get(3)?,
        })
    };
    let found = conn
        .prepare_cached(
            "SELECT a.time, a.kind, a.subject, a.detail, s.instance FROM alerts a, alert_state s WHERE a.id = ?1",
        )?
        .query_row([id], read)
        .optional()?;
    Ok(found)
}

/// How an attempt ended, in numbers to store.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) state: DeliveryState,
    /// The answer or the fault.
    pub(super) said: String,
    /// Attempts, this one included.
    pub(super) tries: i64,
    /// When it may be tried again, while it is pending.
    pub(super) due: i64,
    /// What it says about the channel.
    pub(super) channel: About,
}

/// What an attempt says about its channel.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// Nothing was tried.
    Nothing,
    /// It works. With the channels of the same server.
    Works(Vec<String>),
    /// It fails and rests until then; so do its neighbours, if it is the server that fails.
    Fails {
        resume_at: i64,
        neighbours: Vec<String>,
    },
}

/// Stores how an attempt ended.
pub(super) fn record(
    conn: &Connection,
    due: &Due,
    outcome: &Outcome,
    now: i64,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE alert_deliveries SET state = ?1, tries = ?2, due = ?3, tried_at = ?4, said = ?5
         WHERE alert = ?6 AND channel = ?7",
    )?
    .execute(params![
        outcome.state as i64,
        outcome.tries,
        outcome.due,
        now,
        outcome.said,
        due.alert,
        due.channel,
    ])?;
    match &outcome.channel {
        About::Nothing => Ok(()),
        About::Works(lane) => works(conn, &due.channel, lane, now),
        About::Fails {
            resume_at,
            neighbours,
        } => fails(
            conn,
            &due.channel,
            &outcome.said,
            (*resume_at, neighbours),
            now,
        ),
    }
}

/// A channel has taken something, or has an opinion of it. What waits for it after a failure is due at once, and so it
/// is for its neighbours whose last failure was that of the server.
pub(super) fn works(
    conn: &Connection,
    key: &str,
    lane: &[String],
    now: i64,
) -> Result<(), StoreError> {
    let failures = failures(conn, key)?;
    conn.prepare_cached(
        "INSERT INTO alert_channels (channel, ok_at) VALUES (?1, ?2)
         ON CONFLICT (channel) DO UPDATE SET failures = 0, server = 0, resume_at = 0, ok_at = excluded.ok_at",
    )?
    .execute((key, now))?;
    if failures > 0 {
        all_due(conn, key, now)?;
    }
    for neighbour in lane {
        let rested_with_server = conn
            .prepare_cached(
                "UPDATE alert_channels SET failures = 0, server = 0, resume_at = 0
                 WHERE channel = ?1 AND (server = 1 OR failures = 0 AND resume_at > 0)",
            )?
            .execute([neighbour])?;
        if rested_with_server > 0 {
            all_due(conn, neighbour, now)?;
        }
    }
    Ok(())
}

fn all_due(conn: &Connection, key: &str, now: i64) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE alert_deliveries SET due = ?2 WHERE channel = ?1 AND state = 0 AND due > ?2",
    )?
    .execute((key, now))?;
    Ok(())
}

/// A channel has failed once more; nothing is tried over it and its neighbours before `resume_at`.
fn fails(
    conn: &Connection,
    key: &str,
    fault: &str,
    (resume_at, neighbours): (i64, &[String]),
    now: i64,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO alert_channels (channel, failures, server, failed_at, fault) VALUES (?1, 1, ?2, ?3, ?4)
         ON CONFLICT (channel) DO UPDATE SET failures = failures + 1, server = excluded.server,
           failed_at = excluded.failed_at, fault = excluded.fault",
    )?
    .execute((key, !neighbours.is_empty(), now, fault))?;
    for resting in neighbours.iter().map(String::as_str).chain([key]) {
        conn.prepare_cached(
            "INSERT INTO alert_channels (channel, resume_at) VALUES (?1, ?2)
             ON CONFLICT (channel) DO UPDATE SET resume_at = excluded.resume_at",
        )?
        .execute((resting, resume_at))?;
    }
    Ok(())
}

/// How often a channel has failed in a row.
pub(super) fn failures(conn: &Connection, key: &str) -> Result<i64, StoreError> {
    let failures = conn
        .prepare_cached("SELECT failures FROM alert_channels WHERE channel = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(failures.unwrap_or(0))
}

pub(super) const PENDING: &str =
    "SELECT channel, count(*) FROM alert_deliveries WHERE state = 0 GROUP BY channel";

/// The channel of each delivery that waits, with their number.
pub(super) fn pending(conn: &Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = conn.prepare_cached(PENDING)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives up what was handed over more than a day ago, over channels that are not configured any more, too. Answers the
/// channel of each; when there are none left, nothing.
pub(super) fn expire(conn: &Connection, now: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached(
        "UPDATE alert_deliveries SET state = 3, said = coalesce(said, 'was never tried: the channel is not configured')
         WHERE (alert, channel) IN (
           SELECT d.alert, d.channel FROM alert_deliveries d JOIN alerts a ON a.id = d.alert
           WHERE d.state = 0 AND a.told_at <= ?1 LIMIT ?2)
         RETURNING channel",
    )?;
    let rows = statement.query_map((now - GIVE_UP, ROWS_IN_SLICE), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many alerts there are beyond those that may be kept.
pub(super) fn excess(conn: &Connection) -> Result<i64, StoreError> {
    let total: i64 = conn.query_row("SELECT count(*) FROM alerts", [], |row| row.get(0))?;
    Ok(total - MOST_KEPT)
}

/// Deletes some of the oldest alerts, those that are still on their way left out: at most `most`, or those that have
/// served their time. Answers how many.
pub(super) fn trim(conn: &Connection, most: Option<i64>, now: i64) -> Result<i64, StoreError> {
    let before = most.map_or(now - KEPT, |_| i64::MAX);
    let ids: Vec<i64> = conn
        .prepare_cached(
            "SELECT id FROM alerts WHERE id <= (SELECT dispatched FROM alert_state) AND time < ?1 AND NOT EXISTS
               (SELECT 1 FROM alert_deliveries d WHERE d.alert = alerts.id AND d.state = 0)
             ORDER BY id LIMIT ?2",
        )?
        .query_map(
            (before, most.unwrap_or(ROWS_IN_SLICE).min(ROWS_IN_SLICE)),
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        conn.prepare_cached("DELETE FROM alert_deliveries WHERE alert = ?1")?
            .execute([id])?;
        conn.prepare_cached("DELETE FROM alerts WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(ids.len() as i64)
}

/// Forgets channels that are not configured any more and for which nothing waits.
pub(super) fn forget_channels(conn: &Connection, keys: &[String]) -> Result<(), StoreError> {
    let known: Vec<String> = conn
        .prepare_cached(
            "SELECT channel FROM alert_channels c WHERE NOT EXISTS
               (SELECT 1 FROM alert_deliveries d WHERE d.channel = c.channel AND d.state = 0)",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for key in known.iter().filter(|key| !keys.contains(key)) {
        conn.prepare_cached("DELETE FROM alert_channels WHERE channel = ?1")?
            .execute([key])?;
    }
    Ok(())
}

/// A channel has failed in a test, which says nothing about what waits for it.
pub(super) fn failed_test(
    conn: &Connection,
    key: &str,
    fault: &str,
    now: i64,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO alert_channels (channel, failed_at, fault) VALUES (?1, ?2, ?3)
         ON CONFLICT (channel) DO UPDATE SET failed_at = excluded.failed_at, fault = excluded.fault",
    )?
    .execute((key, now, fault))?;
    Ok(())
}
