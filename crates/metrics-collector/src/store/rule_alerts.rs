//! What alerts tell is read here when they are sent.

use monlight_shared::notify::outbox::{Alert, Covered, DIGEST};
use monlight_shared::notify::rules::Digest;
use monlight_shared::notify::{Message, Source};
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

use super::rules;
use crate::domain::rule_alert::{self, VOICE};

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
        Digest::of(conn, COVERED, covered)
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

const COVERED: &str = "SELECT e.rule, e.spec ->> '$.name', e.happened = 2
    FROM alerts a JOIN alert_events e ON e.id = a.subject
    WHERE a.id BETWEEN ?1 AND ?2 AND a.told_at IS NULL ORDER BY a.id";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rule::Rule;
    use crate::domain::rule_alert::Happened;
    use crate::store::MIGRATIONS;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().expect("opens");
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).expect("migrates");
        }
        conn
    }

    /// An event of a rule, noted for the outbox.
    fn add(conn: &Connection, rule: i64, happened: Happened, channels: &str) {
        let spec = format!(
            r#"{{"name": "rule {rule}", "query": "name=r", "value": 1, "channels": {channels}}}"#
        );
        let spec = Rule::read(spec.as_bytes()).expect("a rule").to_json();
        conn.execute(
            "INSERT INTO alert_events (rule, happened, labels, time_ms, since_ms, reason, spec) VALUES (?1, ?2, '[]', 0, 0, 0, ?3)",
            (rule, happened as i64, Value::from(spec).to_string()),
        )
        .expect("stored");
        conn.execute(
            "INSERT INTO alerts (time, kind, subject) VALUES (0, ?1, ?2)",
            (happened as i64, conn.last_insert_rowid()),
        )
        .expect("stored");
    }

    fn source() -> RuleAlerts {
        RuleAlerts {
            base_url: "https://m.example".to_owned(),
        }
    }

    fn alert(kind: i64, subject: i64, detail: Option<String>) -> Alert {
        Alert {
            id: 1,
            key: "i.1".to_owned(),
            time_ms: 0,
            kind,
            subject,
            detail,
        }
    }

    #[test]
    fn a_digest_tells_of_the_rules_that_told_most() {
        let conn = database();
        add(&conn, 1, Happened::Fired, "null");
        add(&conn, 2, Happened::Fired, "null");
        add(&conn, 2, Happened::Resolved, "null");
        let covered = Covered { first: 1, last: 3 };
        let summary = source().summary(&conn, covered).expect("is read");
        let message = source().message(&conn, &alert(DIGEST, 3, Some(summary)));
        let message = message.expect("is read").expect("a message");
        assert_eq!(message.title, "[metrics] 3 alerts of 2 rules");
        assert_eq!(
            message.items[0].text,
            "rule 2: 2 alerts, 1 of them resolved"
        );
        assert_eq!(message.document["digest"]["resolved"], 1);
    }

    #[test]
    fn an_alert_is_for_the_channels_of_its_rule() {
        let conn = database();
        add(
            &conn,
            1,
            Happened::Fired,
            r#"["slack", "smtp:ops@example.com"]"#,
        );
        add(&conn, 2, Happened::Fired, "null");
        let channels = |subject| source().channels(&conn, 1, subject).expect("is read");
        assert_eq!(channels(1), ["slack", "smtp:ops@example.com"]);
        assert_eq!(channels(2), [""; 0]);
        // It is forgotten, and so is what it would say.
        assert_eq!(channels(3), [""; 0]);
        let message = source().message(&conn, &alert(1, 3, None));
        assert_eq!(message.expect("is read"), None);
    }
}
