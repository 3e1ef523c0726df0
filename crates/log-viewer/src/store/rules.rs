//! Rules, what they have counted, and that they fired. Each function is one job for the writer or for a read connection.

use std::time::Duration;

use monlight_shared::notify::Outbox;
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::rule::{Counted, MOST_RULES, Rule};
use crate::domain::rule_alert::FIRED;

/// How many firings are kept. The outbox keeps no more alerts.
const MOST_FIRINGS: i64 = 10_000;

/// A rule as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRule {
    /// Its number, never used twice.
    pub id: i64,
    /// What it says.
    pub rule: Rule,
    /// Counts up when it begins to count anew.
    pub revision: i64,
    /// When it was made, unix milliseconds.
    pub created_ms: i64,
    /// When it was changed, unix milliseconds.
    pub updated_ms: i64,
    /// What it has counted.
    pub counted: Counted,
    /// How often it fired.
    pub fired: i64,
    /// When it last did, whatever was changed since. Unix milliseconds.
    pub told_ms: Option<i64>,
    /// The ids of the last few entries it counted, oldest first.
    pub newest: Vec<i64>,
}

/// How many entries an alert names.
const NAMED: usize = 5;

const COLUMNS: &str = "id, name, query, threshold, window_ms, cooldown_ms, enabled, created_ms, updated_ms, revision, parts,
    fired_ms, fired, unsaid, newest, told_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredRule> {
    let time = |ms: i64| Duration::from_millis(ms.unsigned_abs());
    let (parts, newest): (String, String) = (row.get(10)?, row.get(14)?);
    Ok(StoredRule {
        id: row.get(0)?,
        rule: Rule {
            name: row.get(1)?,
            query: row.get(2)?,
            threshold: row.get(3)?,
            window: time(row.get(4)?),
            cooldown: time(row.get(5)?),
            enabled: row.get(6)?,
        },
        created_ms: row.get(7)?,
        updated_ms: row.get(8)?,
        revision: row.get(9)?,
        counted: Counted {
            // Written by us; what is not readable counts as nothing.
            parts: serde_json::from_str(&parts).unwrap_or_default(),
            fired_ms: row.get(11)?,
            unsaid: row.get(13)?,
        },
        fired: row.get(12)?,
        told_ms: row.get(15)?,
        newest: serde_json::from_str(&newest).unwrap_or_default(),
    })
}

/// All rules by their numbers.
pub fn all(conn: &Connection) -> Result<Vec<StoredRule>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM alert_rules ORDER BY id"))?;
    let rows = statement.query_map([], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One rule.
pub fn one(conn: &Connection, id: i64) -> Result<Option<StoredRule>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM alert_rules WHERE id = ?1"))?;
    Ok(statement.query_row([id], from_row).optional()?)
}

/// Adds a rule; `None` when there are as many as there may be.
pub fn add(conn: &Connection, rule: &Rule, now_ms: i64) -> Result<Option<StoredRule>, StoreError> {
    let count: i64 = conn.query_row("SELECT count(*) FROM alert_rules", [], |row| row.get(0))?;
    if count >= MOST_RULES as i64 {
        return Ok(None);
    }
    conn.prepare_cached(
        "INSERT INTO alert_rules(name, query, threshold, window_ms, cooldown_ms, enabled, created_ms, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
    )?
    .execute(params![
        rule.name,
        rule.query,
        rule.threshold,
        rule.window.as_millis() as i64,
        rule.cooldown.as_millis() as i64,
        rule.enabled,
        now_ms
    ])?;
    one(conn, conn.last_insert_rowid())
}

/// Puts another rule in the place of one that was read as `known`; `None` when that is not there any more. What was
/// counted stays when both count the same.
pub fn replace(
    conn: &Connection,
    known: &StoredRule,
    rule: &Rule,
    now_ms: i64,
) -> Result<Option<StoredRule>, StoreError> {
    let anew = !rule.counts_like(&known.rule);
    conn.prepare_cached(
        "UPDATE alert_rules SET name = ?2, query = ?3, threshold = ?4, window_ms = ?5, cooldown_ms = ?6, enabled = ?7,
           updated_ms = ?8, revision = revision + ?9,
           parts = CASE ?9 WHEN 1 THEN '[]' ELSE parts END, newest = CASE ?9 WHEN 1 THEN '[]' ELSE newest END, unsaid = CASE ?9 WHEN 1 THEN 0 ELSE unsaid END,
           fired_ms = CASE ?9 WHEN 1 THEN NULL ELSE fired_ms END
         WHERE id = ?1",
    )?
    .execute(params![
        known.id,
        rule.name,
        rule.query,
        rule.threshold,
        rule.window.as_millis() as i64,
        rule.cooldown.as_millis() as i64,
        rule.enabled,
        now_ms,
        i64::from(anew)
    ])?;
    one(conn, known.id)
}

/// Removes a rule; `false` when there is none. What it has told stays.
pub fn remove(conn: &Connection, id: i64) -> Result<bool, StoreError> {
    let removed = conn.execute("DELETE FROM alert_rules WHERE id = ?1", [id])?;
    Ok(removed > 0)
}

/// What a rule found in a batch that is being stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The number of the rule.
    pub rule: i64,
    /// Which version of it looked.
    pub revision: i64,
    /// How many entries.
    pub entries: i64,
    /// The ids of the last few.
    pub newest: Vec<i64>,
}

/// Counts what rules found and notes those that fire, as part of the transaction that stores the entries; answers how many
/// fired. A rule that was changed or removed since it looked counts nothing.
pub fn count(
    conn: &Connection,
    outbox: &Outbox,
    found: &[Match],
    now_ms: i64,
) -> Result<u64, StoreError> {
    let mut fired = 0;
    for hit in found {
        let Some(mut stored) = one(conn, hit.rule)? else {
            continue;
        };
        if stored.revision != hit.revision || !stored.rule.enabled {
            continue;
        }
        // A burst is stored in several batches, its last line nearly always alone.
        stored.newest.extend_from_slice(&hit.newest);
        let older = stored.newest.len().saturating_sub(NAMED);
        stored.newest.drain(..older);
        let told = stored.counted.add(&stored.rule, hit.entries, now_ms);
        if let Some(entries) = told {
            stored.told_ms = Some(now_ms);
            let mut newest = std::mem::take(&mut stored.newest);
            let others = newest
                .len()
                .saturating_sub(usize::try_from(entries).unwrap_or(0));
            newest.drain(..others);
            let firing = fire(conn, &stored, entries, &newest, now_ms)?;
            outbox.note(conn, FIRED, firing, now_ms)?;
            fired += 1;
        }
        save(conn, &stored, told.is_some())?;
    }
    Ok(fired)
}

/// Number and name of the rule of a firing, and its entries; `None` when it is forgotten.
pub fn fired(conn: &Connection, firing: i64) -> Result<Option<(i64, String, i64)>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT rule, name, entries FROM alert_firings WHERE id = ?1")?;
    let found = statement.query_row([firing], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    Ok(found.optional()?)
}

fn save(conn: &Connection, stored: &StoredRule, fired: bool) -> Result<(), StoreError> {
    let Counted {
        parts,
        fired_ms,
        unsaid,
    } = &stored.counted;
    conn.prepare_cached(
        "UPDATE alert_rules SET parts = ?2, fired_ms = ?3, unsaid = ?4, fired = fired + ?5, newest = ?6, told_ms = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        stored.id,
        json(parts)?,
        fired_ms,
        unsaid,
        i64::from(fired),
        json(&stored.newest)?,
        stored.told_ms
    ])?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|fault| StoreError::Job(format!("cannot write what a rule counted: {fault}")))
}

/// The number of the firing.
fn fire(
    conn: &Connection,
    stored: &StoredRule,
    entries: i64,
    newest: &[i64],
    now_ms: i64,
) -> Result<i64, StoreError> {
    let rule = &stored.rule;
    conn.prepare_cached(
        "INSERT INTO alert_firings(rule, time_ms, entries, newest, name, query, threshold, window_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        stored.id,
        now_ms,
        entries,
        json(&newest)?,
        rule.name,
        rule.query,
        rule.threshold,
        rule.window.as_millis() as i64
    ])?;
    let id = conn.last_insert_rowid();
    conn.prepare_cached("DELETE FROM alert_firings WHERE id <= ?1")?
        .execute([id - MOST_FIRINGS])?;
    Ok(id)
}
