//! Rules, their groups and their history. Each function is one job for the writer or for a read connection.

use std::collections::HashMap;

use monlight_shared::notify::Outbox;
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use super::rule_ends::{Ending, end_groups};
use crate::domain::reading::Outage;
use crate::domain::rule::{MOST_RULES, Rule};
use crate::domain::rule_alert::{Event, Happened};
use crate::domain::rule_state::{Act, Group, Phase, Reason, Step};

/// How many events are kept. The outbox keeps no more alerts.
pub(crate) const MOST_EVENTS: i64 = 10_000;
/// How long events are kept.
const EVENTS_KEPT_MS: i64 = 90 * 24 * 3_600_000;
/// Events deleted in one job.
const EVENTS_A_SLICE: i64 = 500;

/// A rule as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct StoredRule {
    /// Never used twice.
    pub(crate) id: i64,
    pub(crate) rule: Rule,
    /// Counts up when it looks for something else.
    pub(crate) revision: i64,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    /// How often groups of it began to fire.
    pub(crate) fired: i64,
    /// When one last did.
    pub(crate) fired_ms: Option<i64>,
}

/// A group as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredGroup {
    /// The values of the labels that its rule tells groups apart by.
    pub(crate) labels: Vec<String>,
    pub(crate) group: Group,
    /// What was read last.
    pub(crate) value: Option<f64>,
    fired_event: Option<i64>,
    /// An end that somebody has still to hear of.
    pub(super) ended_event: Option<i64>,
}

/// What becomes of a group.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) labels: Vec<String>,
    /// How it was.
    pub(crate) known: Option<StoredGroup>,
    pub(crate) step: Step,
    pub(crate) value: Option<f64>,
}

/// How many groups began to fire, and how many ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happenings {
    pub(crate) fired: u64,
    pub(crate) ended: u64,
}

const COLUMNS: &str = "id, spec, revision, created_ms, updated_ms, fired, fired_ms";

pub(super) fn rule_of(spec: &str) -> Result<Rule, StoreError> {
    Rule::read(spec.as_bytes())
        .map_err(|fault| StoreError::Job(format!("a stored rule cannot be understood: {fault}")))
}

pub(super) fn spec_of(rule: &Rule) -> String {
    Value::from(rule.to_json()).to_string()
}

fn read_rule(row: &Row<'_>) -> Result<StoredRule, StoreError> {
    let spec: String = row.get(1)?;
    Ok(StoredRule {
        id: row.get(0)?,
        rule: rule_of(&spec)?,
        revision: row.get(2)?,
        created_ms: row.get(3)?,
        updated_ms: row.get(4)?,
        fired: row.get(5)?,
        fired_ms: row.get(6)?,
    })
}

/// All rules by their numbers. One that cannot be understood, as after a step back to an older version, is left out.
pub(crate) fn all(conn: &Connection) -> Result<Vec<StoredRule>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM alert_rules ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut rules = Vec::new();
    while let Some(row) = rows.next()? {
        match read_rule(row) {
            Ok(rule) => rules.push(rule),
            Err(fault @ StoreError::Job(_)) => {
                let id: i64 = row.get(0)?;
                tracing::error!(rule = id, %fault, "an alert rule is left out");
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(rules)
}

/// One rule.
pub(crate) fn one(conn: &Connection, id: i64) -> Result<Option<StoredRule>, StoreError> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM alert_rules WHERE id = ?1"))?
        .query_row([id], |row| Ok(read_rule(row)))
        .optional()?
        .transpose()
}

/// Adds a rule; `None` when there are as many as there may be.
pub(crate) fn add(
    conn: &Connection,
    rule: &Rule,
    now_ms: i64,
) -> Result<Option<StoredRule>, StoreError> {
    let count: i64 = conn.query_row("SELECT count(*) FROM alert_rules", [], |row| row.get(0))?;
    if count >= MOST_RULES as i64 {
        return Ok(None);
    }
    conn.prepare_cached(
        "INSERT INTO alert_rules (spec, enabled, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?3)",
    )?
    .execute(params![spec_of(rule), rule.enabled, now_ms])?;
    one(conn, conn.last_insert_rowid())
}

/// Puts another rule in the place of one that was read as `known`. When it finds something else, its groups begin anew, and
/// what fired ends. Answers the rule, and how many groups fired.
pub(crate) fn replace(
    conn: &Connection,
    outbox: &Outbox,
    known: &StoredRule,
    rule: &Rule,
    now_ms: i64,
) -> Result<Option<(StoredRule, u64)>, StoreError> {
    let anew = !rule.finds_like(&known.rule);
    let mut ended = 0;
    if anew {
        let ending = Ending {
            id: known.id,
            rule: &known.rule,
            reason: if rule.enabled {
                Reason::Changed
            } else {
                Reason::Disabled
            },
            quiet: rule.quiet,
        };
        ended = end_groups(conn, outbox, &ending, now_ms)?;
    }
    conn.prepare_cached(
        "UPDATE alert_rules SET spec = ?2, enabled = ?3, updated_ms = ?4, revision = revision + ?5 WHERE id = ?1",
    )?
    .execute(params![
        known.id,
        spec_of(rule),
        rule.enabled,
        now_ms,
        i64::from(anew)
    ])?;
    Ok(one(conn, known.id)?.map(|changed| (changed, ended)))
}

fn labels_of(text: &str) -> Vec<String> {
    // Written by us; what is not readable is the group of all series.
    serde_json::from_str(text).unwrap_or_default()
}

/// The groups of a rule that are not simply fine.
pub(crate) fn groups(conn: &Connection, rule: i64) -> Result<Vec<StoredGroup>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT labels, phase, since_ms, told_ms, value, fired_event, ended_event FROM alert_groups
         WHERE rule = ?1 ORDER BY labels",
    )?;
    let rows = statement.query_map([rule], |row| {
        let labels: String = row.get(0)?;
        let ended_event: Option<i64> = row.get(6)?;
        Ok(StoredGroup {
            labels: labels_of(&labels),
            group: Group {
                phase: Phase::from_code(row.get(1)?),
                since_ms: row.get(2)?,
                told_ms: row.get(3)?,
                owes_end: ended_event.is_some(),
            },
            value: row.get(4)?,
            fired_event: row.get(5)?,
            ended_event,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many groups of each rule are pending, and how many fire.
pub(crate) fn group_counts(conn: &Connection) -> Result<HashMap<i64, [i64; 2]>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT rule, phase, count(*) FROM alert_groups GROUP BY rule, phase")?;
    let mut rows = statement.query([])?;
    let mut counts: HashMap<i64, [i64; 2]> = HashMap::new();
    while let Some(row) = rows.next()? {
        let [pending, firing] = counts.entry(row.get(0)?).or_default();
        match Phase::from_code(row.get(1)?) {
            Phase::Calm => {}
            Phase::Pending => *pending = row.get(2)?,
            Phase::Firing => *firing = row.get(2)?,
        }
    }
    Ok(counts)
}

/// Stores what becomes of groups of a rule, with its history and its alerts, in one transaction. `None` when the rule was
/// changed or removed since it was looked at: then nothing is stored. `end_ms`: of the window.
pub(crate) fn apply(
    conn: &Connection,
    outbox: &Outbox,
    looked_at: &StoredRule,
    changes: &[Change],
    (end_ms, now_ms): (i64, i64),
) -> Result<Option<Happenings>, StoreError> {
    let revision: Option<i64> = conn
        .prepare_cached("SELECT revision FROM alert_rules WHERE id = ?1 AND enabled")?
        .query_row([looked_at.id], |row| row.get(0))
        .optional()?;
    if revision != Some(looked_at.revision) {
        return Ok(None);
    }
    let spec = spec_of(&looked_at.rule);
    let mut happened = Happenings::default();
    for change in changes {
        let events = act(
            conn,
            outbox,
            (looked_at.id, &spec),
            change,
            (end_ms, now_ms),
        )?;
        for act in &change.step.acts {
            match act {
                Act::Fired => happened.fired += 1,
                Act::Ended(_) => happened.ended += 1,
                Act::TellFired | Act::Remind | Act::TellEnded => {}
            }
        }
        save(conn, looked_at.id, change, events)?;
    }
    if happened.fired > 0 {
        conn.prepare_cached(
            "UPDATE alert_rules SET fired = fired + ?2, fired_ms = ?3 WHERE id = ?1",
        )?
        .execute((looked_at.id, happened.fired.cast_signed(), end_ms))?;
    }
    Ok(Some(happened))
}

/// The events that a group refers to: its firing, and the end that somebody has to hear of.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    fired: Option<i64>,
    ended: Option<i64>,
}

/// Does what a step says.
fn act(
    conn: &Connection,
    outbox: &Outbox,
    (rule, spec): (i64, &str),
    change: &Change,
    (end_ms, now_ms): (i64, i64),
) -> Result<Events, StoreError> {
    let known = change.known.as_ref();
    let mut events = Events {
        fired: known.and_then(|known| known.fired_event),
        ended: known.and_then(|known| known.ended_event),
    };
    let mut since_ms = known.map_or(end_ms, |known| known.group.since_ms);
    let add = |happened, since_ms, reason| {
        let event = NewEvent {
            rule,
            happened,
            labels: &change.labels,
            value: change.value,
            time_ms: end_ms,
            since_ms,
            reason,
        };
        event.add(conn, spec)
    };
    let tell = |happened, event| tell(conn, outbox, happened, event, now_ms);
    for act in &change.step.acts {
        match act {
            Act::Fired => {
                since_ms = end_ms;
                events.fired = Some(add(Happened::Fired, since_ms, Reason::Fine)?);
            }
            Act::TellFired => {
                tell(Happened::Fired, events.fired)?;
                events.ended = None;
            }
            Act::Remind => {
                let event = add(Happened::StillFiring, since_ms, Reason::Fine)?;
                tell(Happened::StillFiring, Some(event))?;
            }
            Act::Ended(reason) => {
                let event = add(Happened::Resolved, since_ms, *reason)?;
                let was_told = known.is_some_and(|known| known.group.told_ms.is_some());
                if was_told {
                    events.ended = Some(event);
                }
                events.fired = None;
            }
            Act::TellEnded => tell(Happened::Resolved, events.ended.take())?,
        }
    }
    Ok(events)
}

/// Notes for the outbox what is to be told, unless there is nobody to be told.
pub(super) fn tell(
    conn: &Connection,
    outbox: &Outbox,
    happened: Happened,
    event: Option<i64>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let Some(event) = event.filter(|_| !outbox.channels().is_empty()) else {
        return Ok(());
    };
    outbox.note(conn, happened as i64, event, now_ms)?;
    conn.prepare_cached("UPDATE alert_events SET told_ms = ?2 WHERE id = ?1")?
        .execute((event, now_ms))?;
    Ok(())
}

fn save(conn: &Connection, rule: i64, change: &Change, events: Events) -> Result<(), StoreError> {
    let labels = text_of(&change.labels);
    let Some(group) = change.step.group else {
        conn.prepare_cached("DELETE FROM alert_groups WHERE rule = ?1 AND labels = ?2")?
            .execute((rule, labels))?;
        return Ok(());
    };
    conn.prepare_cached(
        "INSERT OR REPLACE INTO alert_groups (rule, labels, phase, since_ms, told_ms, value, fired_event, ended_event)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        rule,
        labels,
        group.phase as i64,
        group.since_ms,
        group.told_ms,
        change.value,
        events.fired,
        events.ended
    ])?;
    Ok(())
}

fn text_of(labels: &[String]) -> String {
    Value::from(labels.to_vec()).to_string()
}

/// An event that goes into the history.
pub(super) struct NewEvent<'e> {
    pub(super) rule: i64,
    pub(super) happened: Happened,
    pub(super) labels: &'e [String],
    pub(super) value: Option<f64>,
    pub(super) time_ms: i64,
    pub(super) since_ms: i64,
    pub(super) reason: Reason,
}

impl NewEvent<'_> {
    /// Its number.
    pub(super) fn add(&self, conn: &Connection, spec: &str) -> Result<i64, StoreError> {
        conn.prepare_cached(
            "INSERT INTO alert_events (rule, happened, labels, value, time_ms, since_ms, reason, spec)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.rule,
            self.happened as i64,
            text_of(self.labels),
            self.value,
            self.time_ms,
            self.since_ms,
            self.reason as i64,
            spec
        ])?;
        Ok(conn.last_insert_rowid())
    }
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) id: i64,
    /// When it went to the outbox, milliseconds since 1970.
    pub(crate) told_ms: Option<i64>,
    pub(crate) event: Event,
}

const EVENT_COLUMNS: &str =
    "id, rule, happened, labels, value, time_ms, since_ms, reason, told_ms, spec";

fn read_event(row: &Row<'_>) -> Result<StoredEvent, StoreError> {
    let (labels, spec): (String, String) = (row.get(3)?, row.get(9)?);
    Ok(StoredEvent {
        id: row.get(0)?,
        told_ms: row.get(8)?,
        event: Event {
            rule_id: row.get(1)?,
            rule: rule_of(&spec)?,
            happened: Happened::from_code(row.get(2)?),
            group: labels_of(&labels),
            value: row.get(4)?,
            time_ms: row.get(5)?,
            since_ms: row.get(6)?,
            reason: Reason::from_code(row.get(7)?),
        },
    })
}

/// The newest events of a rule before one, newest first.
pub(crate) fn history(
    conn: &Connection,
    rule: i64,
    before: i64,
    most: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {EVENT_COLUMNS} FROM alert_events WHERE rule = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
    ))?;
    let mut rows = statement.query((rule, before, most))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read_event(row)?);
    }
    Ok(events)
}

/// One event; `None` when it is forgotten.
pub(crate) fn event(conn: &Connection, id: i64) -> Result<Option<Event>, StoreError> {
    let found = conn
        .prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM alert_events WHERE id = ?1"
        ))?
        .query_row([id], |row| Ok(read_event(row)))
        .optional()?;
    Ok(found.transpose()?.map(|stored| stored.event))
}

/// What is known of the time that rules looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looked {
    /// The end of the window that was last looked at, milliseconds since 1970.
    pub(crate) at_ms: Option<i64>,
    pub(crate) outage: Outage,
}

/// What is known of the time that rules looked at.
pub(crate) fn looked(conn: &Connection) -> Result<Looked, StoreError> {
    let looked = conn
        .prepare_cached("SELECT looked_ms, outage_from_ms, outage_until_ms FROM alert_clock")?
        .query_row([], |row| {
            Ok(Looked {
                at_ms: row.get(0)?,
                outage: Outage {
                    from_ms: row.get(1)?,
                    until_ms: row.get(2)?,
                },
            })
        })?;
    Ok(looked)
}

/// Notes up to when rules looked.
pub(crate) fn finish(conn: &Connection, looked: Looked) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE alert_clock SET looked_ms = ?1, outage_from_ms = ?2, outage_until_ms = ?3",
    )?
    .execute((looked.at_ms, looked.outage.from_ms, looked.outage.until_ms))?;
    Ok(())
}

/// Forgets some of the events that are too old or too many: how many, and how many are left.
pub(crate) fn forget(conn: &Connection, now_ms: i64) -> Result<[i64; 2], StoreError> {
    let forgotten = conn
        .prepare_cached(
            "DELETE FROM alert_events WHERE id IN (SELECT id FROM alert_events ORDER BY id LIMIT ?1)
             AND (time_ms < ?2 OR id <= (SELECT max(id) FROM alert_events) - ?3)",
        )?
        .execute((EVENTS_A_SLICE, now_ms - EVENTS_KEPT_MS, MOST_EVENTS))?;
    // What is not in the history cannot be told.
    conn.prepare_cached(
        "DELETE FROM alert_ends WHERE event < coalesce((SELECT min(id) FROM alert_events), event + 1)",
    )?
    .execute([])?;
    // They have no gaps: only the oldest are ever deleted.
    let left: i64 = conn
        .prepare_cached("SELECT coalesce(max(id) - min(id) + 1, 0) FROM alert_events")?
        .query_row([], |row| row.get(0))?;
    Ok([forgotten as i64, left])
}
