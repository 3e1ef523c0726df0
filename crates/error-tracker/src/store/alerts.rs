//! What alerts tell is read here when they are sent, so that it is as fresh as the database.

use std::collections::HashMap;

use monlight_shared::notify::outbox::{Alert, Covered, DIGEST};
use monlight_shared::notify::{Message, Outbox, Source as AlertSource};
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SLOTS;
use crate::domain::alert::digest::{self, Counted, Counter, Digest, NamedGroup};
use crate::domain::alert::{self, AlertKind, GroupNews};
use crate::domain::group::{GroupId, KEPT_OCCURRENCES, Recorded, Source, State};

/// Notes what a report made of its group, if people are to be told of it. Part of the report's transaction.
pub fn note(
    outbox: &Outbox,
    conn: &Connection,
    recorded: Recorded,
    time_ms: i64,
) -> Result<(), StoreError> {
    match recorded {
        Recorded::Created { id } => outbox.note(conn, AlertKind::New as i64, id.get(), time_ms),
        Recorded::Reopened { id, .. } => note_back(outbox, conn, id, time_ms),
        Recorded::Incremented { .. } => Ok(()),
    }
}

/// Notes that a group came back, by a report or because its time was over.
pub fn note_back(
    outbox: &Outbox,
    conn: &Connection,
    id: GroupId,
    time_ms: i64,
) -> Result<(), StoreError> {
    outbox.note(conn, AlertKind::Reopened as i64, id.get(), time_ms)
}

/// What the outbox asks about errors.
#[derive(Debug)]
pub struct ErrorAlerts {
    /// Where people reach this service, without a slash at the end.
    pub base_url: String,
}

impl AlertSource for ErrorAlerts {
    fn message(&self, conn: &Connection, alert: &Alert) -> Result<Option<Message>, StoreError> {
        if alert.kind == DIGEST {
            return self.digest(conn, alert).map(Some);
        }
        let kind = AlertKind::from_stored(alert.kind);
        let news = news(conn, GroupId::from_stored(alert.subject))?;
        Ok(
            news.map(|news| {
                alert::of_group(&self.base_url, &alert.key, kind, alert.time_ms, &news)
            }),
        )
    }

    fn summary(&self, conn: &Connection, covered: Covered) -> Result<String, StoreError> {
        let digest = count(conn, covered)?;
        serde_json::to_string(&digest)
            .map_err(|fault| StoreError::Job(format!("cannot write a digest: {fault}")))
    }
}

impl ErrorAlerts {
    fn digest(&self, conn: &Connection, alert: &Alert) -> Result<Message, StoreError> {
        let detail = alert.detail.as_deref().unwrap_or_default();
        let digest: Digest = serde_json::from_str(detail)
            .map_err(|fault| StoreError::Job(format!("cannot read a digest: {fault}")))?;
        let mut named = Vec::with_capacity(digest.top.len());
        for id in &digest.top {
            named.extend(named_group(conn, GroupId::from_stored(*id))?);
        }
        Ok(digest::message(
            &self.base_url,
            &alert.key,
            alert.time_ms,
            &digest,
            &named,
        ))
    }
}

/// A group with its newest report; `None` when it is gone.
fn news(conn: &Connection, id: GroupId) -> Result<Option<GroupNews>, StoreError> {
    // All statements see the same state of the database.
    let _snapshot = conn.unchecked_transaction()?;
    let found = conn
        .prepare_cached(
            "SELECT p.name, t.exception_type, t.message, t.traceback, g.count, g.users, g.first_seen, g.last_seen,
               g.state, g.source
             FROM error_groups g JOIN projects p ON p.id = g.project JOIN group_texts t ON t.group_id = g.id
             WHERE g.id = ?1",
        )?
        .query_row([id.get()], |row| {
            Ok(GroupNews {
                id,
                project: row.get(0)?,
                exception_type: row.get(1)?,
                message: row.get(2)?,
                traceback: row.get(3)?,
                count: row.get(4)?,
                users: row.get(5)?,
                first_seen: row.get(6)?,
                last_seen: row.get(7)?,
                state: State::from_stored(row.get(8)?),
                source: Source::from_stored(row.get(9)?),
                request_method: None,
                request_url: None,
                level: None,
                release: None,
                environment: None,
                server_name: None,
            })
        })
        .optional()?;
    let Some(mut news) = found else {
        return Ok(None);
    };
    add_newest_report(conn, &mut news)?;
    Ok(Some(news))
}

fn add_newest_report(conn: &Connection, news: &mut GroupNews) -> Result<(), StoreError> {
    let first_slot = news.id.get() * SLOTS;
    let mut add = |row: &Row<'_>| -> rusqlite::Result<()> {
        // NULL where they equal the group's.
        if let Some(message) = row.get(0)? {
            news.message = message;
        }
        if let Some(traceback) = row.get(1)? {
            news.traceback = traceback;
        }
        news.request_method = row.get(2)?;
        news.request_url = row.get(3)?;
        news.level = row.get(4)?;
        news.release = row.get(5)?;
        news.environment = row.get(6)?;
        news.server_name = row.get(7)?;
        Ok(())
    };
    conn.prepare_cached(
        "SELECT message, traceback, request_method, request_url, level, release, environment, server_name
         FROM occurrences WHERE slot BETWEEN ?1 AND ?2 ORDER BY number DESC LIMIT 1",
    )?
    .query_row((first_slot, first_slot + KEPT_OCCURRENCES - 1), |row| add(row))
    .optional()?;
    Ok(())
}

fn named_group(conn: &Connection, id: GroupId) -> Result<Option<NamedGroup>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT p.name, t.exception_type, t.message, g.count
             FROM error_groups g JOIN projects p ON p.id = g.project JOIN group_texts t ON t.group_id = g.id
             WHERE g.id = ?1",
        )?
        .query_row([id.get()], |row| {
            Ok(NamedGroup {
                id,
                project: row.get(0)?,
                exception_type: row.get(1)?,
                message: row.get(2)?,
                count: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// One pass over the alerts, in the order of their numbers; no temporary table.
fn count(conn: &Connection, covered: Covered) -> Result<Digest, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let mut counter = Counter::default();
    let mut statement = conn.prepare_cached(COVERED)?;
    let mut rows = statement.query((covered.first, covered.last))?;
    while let Some(row) = rows.next()? {
        let project: Option<i64> = row.get(2)?;
        let reports: Option<i64> = row.get(3)?;
        let counted = project.zip(reports);
        counter.add(
            AlertKind::from_stored(row.get(0)?),
            row.get(1)?,
            counted.map(|(project, reports)| Counted { project, reports }),
        );
    }
    let mut names = HashMap::new();
    for project in counter.named_projects() {
        let name: Option<String> = conn
            .prepare_cached("SELECT name FROM projects WHERE id = ?1")?
            .query_row([project], |row| row.get(0))
            .optional()?;
        names.extend(name.map(|name| (project, name)));
    }
    Ok(counter.finish(&names))
}

const COVERED: &str = "SELECT a.kind, a.subject, g.project, g.count
    FROM alerts a LEFT JOIN error_groups g ON g.id = a.subject
    WHERE a.id BETWEEN ?1 AND ?2 AND a.told_at IS NULL ORDER BY a.id";

#[cfg(test)]
mod tests {
    use monlight_shared::notify::outbox::SCHEMA;

    use super::super::MIGRATIONS;
    use super::*;

    #[test]
    fn a_digest_is_counted_in_one_pass_over_numbers() {
        let conn = Connection::open_in_memory().expect("opens");
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).expect("migrates");
        }
        assert!(MIGRATIONS.iter().any(|migration| migration.sql == SCHEMA));
        let explain = format!("EXPLAIN QUERY PLAN {COVERED}");
        let mut statement = conn.prepare(&explain).expect("prepares");
        let rows = statement.query_map((1, 2), |row| row.get::<_, String>(3));
        let plan: Vec<String> = rows
            .expect("a plan")
            .map(|row| row.expect("a row"))
            .collect();
        assert_eq!(
            plan,
            [
                "SEARCH a USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
                "SEARCH g USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            ]
        );
    }
}
