//! What alerts tell is read here when they are sent.

use monlight_shared::notify::outbox::{Alert, Covered, DIGEST};
use monlight_shared::notify::rules::{Counter, Digest};
use monlight_shared::notify::{Message, Source};
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

use super::rules;
use crate::domain::rule_alert::{self, Happened, VOICE};

/// What the outbox asks about rules.
#[derive(Debug)]
pub(crate) struct RuleAlerts {
    /// Where people reach this service, without a slash at the end.
    pub(crate) base_url: String,
}

impl Source for RuleAlerts {
    fn message(&self, conn: &Connection, alert: &Alert) -> Result<Option<Message>, StoreError> {
        let (base_url, key) = (&self.base_url, &alert.key);
        if alert.kind == DIGEST {
            let digest = Digest::read(alert.detail.as_deref())?;
            return Ok(Some(VOICE.digest(base_url, key, alert.time_ms, &digest)));
        }
        let event = rules::event(conn, alert.subject)?;
        Ok(event.map(|event| rule_alert::message(base_url, key, &event)))
    }

    fn summary(&self, conn: &Connection, covered: Covered) -> Result<String, StoreError> {
        let mut counter = Counter::default();
        let mut statement = conn.prepare_cached(COVERED)?;
        let mut rows = statement.query((covered.first, covered.last))?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            let resolved = row.get::<_, i64>(2)? == Happened::Resolved as i64;
            counter.add(row.get(0)?, &name, i64::from(resolved));
        }
        counter.finish().write()
    }

    fn channels(
        &self,
        conn: &Connection,
        _kind: i64,
        subject: i64,
    ) -> Result<Vec<String>, StoreError> {
        let channels: Option<Option<String>> = conn
            .prepare_cached("SELECT spec ->> '$.channels' FROM alert_events WHERE id = ?1")?
            .query_row([subject], |row| row.get(0))
            .optional()?;
        let list = channels.flatten().unwrap_or_default();
        let list: Vec<Value> = serde_json::from_str(&list).unwrap_or_default();
        let names = list.iter().filter_map(Value::as_str);
        Ok(names.map(str::to_owned).collect())
    }
}

const COVERED: &str = "SELECT e.rule, e.spec ->> '$.name', e.happened
    FROM alerts a JOIN alert_events e ON e.id = a.subject
    WHERE a.id BETWEEN ?1 AND ?2 AND a.told_at IS NULL ORDER BY a.id";
