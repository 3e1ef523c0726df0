//! How groups end with their rule: it was changed, switched off or deleted while they fired.
//!
//! People who know of a firing hear of its end, in the transaction of the change. In quiet hours the end waits in a table
//! of its own, because neither the rule nor its groups need to be there when they are over.

use monlight_shared::notify::Outbox;
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::rules::{NewEvent, groups, rule_of, spec_of, tell};
use crate::domain::quiet_hours::QuietHours;
use crate::domain::rule::Rule;
use crate::domain::rule_alert::Happened;
use crate::domain::rule_state::{Phase, Reason};

/// A rule that ends what it found.
pub(crate) struct Ending<'r> {
    pub(crate) id: i64,
    /// As it was.
    pub(crate) rule: &'r Rule,
    pub(crate) reason: Reason,
    /// The quiet hours that hold from now on.
    pub(crate) quiet: Option<QuietHours>,
}

/// An end that people have still to hear of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    event: i64,
    /// Of the rule as it is now, or as it was when it was deleted.
    quiet: Option<QuietHours>,
}

impl Waiting {
    /// Whether people can be told at a time, in milliseconds since 1970.
    pub(crate) fn is_due(&self, at_ms: i64) -> bool {
        !self.quiet.is_some_and(|quiet| quiet.hold(at_ms))
    }
}

/// Ends all groups of a rule, and forgets them. Answers how many fired.
pub(crate) fn end_groups(
    conn: &Connection,
    outbox: &Outbox,
    ending: &Ending<'_>,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let spec = spec_of(ending.rule);
    let is_quiet = ending.quiet.is_some_and(|quiet| quiet.hold(now_ms));
    let mut ended = 0;
    for stored in groups(conn, ending.id)? {
        // An end that nobody was told of yet.
        let mut event = stored.ended_event;
        let mut is_known = event.is_some();
        if stored.group.phase == Phase::Firing {
            ended += 1;
            is_known |= stored.group.told_ms.is_some();
            let end = NewEvent {
                rule: ending.id,
                happened: Happened::Resolved,
                labels: &stored.labels,
                value: stored.value,
                time_ms: now_ms,
                since_ms: stored.group.since_ms,
                reason: ending.reason,
            };
            event = Some(end.add(conn, &spec)?);
        }
        match event.filter(|_| is_known) {
            Some(event) if is_quiet => {
                conn.prepare_cached("INSERT INTO alert_ends (event, rule) VALUES (?1, ?2)")?
                    .execute((event, ending.id))?;
            }
            event => tell(conn, outbox, Happened::Resolved, event, now_ms)?,
        }
    }
    conn.execute("DELETE FROM alert_groups WHERE rule = ?1", [ending.id])?;
    Ok(ended)
}

/// Removes a rule: how many of its groups fired; `None` when there is no such rule.
pub(crate) fn remove(
    conn: &Connection,
    outbox: &Outbox,
    id: i64,
    now_ms: i64,
) -> Result<Option<u64>, StoreError> {
    let spec: Option<String> = conn
        .prepare_cached("SELECT spec FROM alert_rules WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(spec) = spec else {
        return Ok(None);
    };
    // Nobody can be told of a rule that cannot be understood, but it can go.
    let mut ended = 0;
    if let Ok(rule) = rule_of(&spec) {
        let ending = Ending {
            id,
            rule: &rule,
            reason: Reason::Deleted,
            quiet: rule.quiet,
        };
        ended = end_groups(conn, outbox, &ending, now_ms)?;
    }
    conn.execute("DELETE FROM alert_groups WHERE rule = ?1", [id])?;
    conn.execute("DELETE FROM alert_rules WHERE id = ?1", [id])?;
    Ok(Some(ended))
}

/// All ends that wait, oldest first. Those of events that are forgotten are not among them.
pub(crate) fn waiting(conn: &Connection) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT w.event, coalesce(r.spec, e.spec) FROM alert_ends w
         JOIN alert_events e ON e.id = w.event LEFT JOIN alert_rules r ON r.id = w.rule ORDER BY w.event",
    )?;
    let rows = statement.query_map([], |row| {
        let spec: String = row.get(1)?;
        Ok(Waiting {
            event: row.get(0)?,
            // Of a rule that cannot be understood people hear at once.
            quiet: rule_of(&spec).ok().and_then(|rule| rule.quiet),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes for the outbox what waited, in one transaction.
pub(crate) fn tell_waiting(
    conn: &Connection,
    outbox: &Outbox,
    due: &[Waiting],
    now_ms: i64,
) -> Result<(), StoreError> {
    for waiting in due {
        let mut forget = conn.prepare_cached("DELETE FROM alert_ends WHERE event = ?1")?;
        if forget.execute([waiting.event])? > 0 {
            tell(
                conn,
                outbox,
                Happened::Resolved,
                Some(waiting.event),
                now_ms,
            )?;
        }
    }
    Ok(())
}
