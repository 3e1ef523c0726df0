//! What alerts tell is read here when they are sent.

use std::time::Duration;

use monlight_shared::notify::outbox::{Alert, Covered, DIGEST};
use monlight_shared::notify::rules::Digest;
use monlight_shared::notify::{Message, Source};
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::list;
use crate::domain::rule_alert::{self, Firing, VOICE};

/// Text of entries that is read for one alert, about.
const MOST_BYTES: usize = 64 * 1024;

/// What the outbox asks about rules.
#[derive(Debug)]
pub struct RuleAlerts {
    /// Where people reach this service, without a slash at the end.
    pub base_url: String,
}

impl Source for RuleAlerts {
    fn message(&self, conn: &Connection, alert: &Alert) -> Result<Option<Message>, StoreError> {
        let (base_url, key) = (&self.base_url, &alert.key);
        if alert.kind == DIGEST {
            let digest = Digest::read(alert.detail.as_deref())?;
            let message = VOICE.digest(base_url, key, alert.time_ms, &digest);
            return Ok(Some(message));
        }
        let firing = firing(conn, alert.subject)?;
        Ok(firing.map(|firing| rule_alert::of_firing(base_url, key, &firing)))
    }

    fn summary(&self, conn: &Connection, covered: Covered) -> Result<String, StoreError> {
        Digest::of(conn, COVERED, covered)
    }
}

const COVERED: &str = "SELECT f.rule, f.name, f.entries
    FROM alerts a JOIN alert_firings f ON f.id = a.subject
    WHERE a.id BETWEEN ?1 AND ?2 AND a.told_at IS NULL ORDER BY a.id";

fn firing(conn: &Connection, id: i64) -> Result<Option<Firing>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT rule, name, query, threshold, window_ms, time_ms, entries, newest FROM alert_firings WHERE id = ?1",
        )?
        .query_row([id], |row| {
            let window_ms: i64 = row.get(4)?;
            let firing = Firing {
                rule: row.get(0)?,
                name: row.get(1)?,
                query: row.get(2)?,
                threshold: row.get(3)?,
                window: Duration::from_millis(window_ms.unsigned_abs()),
                time_ms: row.get(5)?,
                entries: row.get(6)?,
                newest: Vec::new(),
            };
            Ok((firing, row.get::<_, String>(7)?))
        })
        .optional()?;
    let Some((mut firing, newest)) = found else {
        return Ok(None);
    };
    let ids: Vec<i64> = serde_json::from_str(&newest).unwrap_or_default();
    (firing.newest, _) = list::entries(conn, &ids, MOST_BYTES)?;
    Ok(Some(firing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MIGRATIONS;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().expect("opens");
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).expect("migrates");
        }
        conn
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
    fn a_digest_tells_of_the_rules_that_fired() {
        let conn = database();
        conn.execute_batch(
            "INSERT INTO alert_firings(rule, time_ms, entries, newest, name, query, threshold, window_ms) VALUES
               (1, 0, 5, '[]', 'one', '', 1, 1000), (2, 0, 7, '[]', 'two', '', 1, 1000), (2, 0, 1, '[]', 'two', '', 1, 1000);
             INSERT INTO alerts(time, kind, subject, told_at) VALUES (0, 1, 1, NULL), (0, 1, 2, NULL), (0, 1, 3, NULL), (0, 1, 1, 5);",
        )
        .expect("stored");
        let source = RuleAlerts {
            base_url: "https://m.example".to_owned(),
        };
        let covered = Covered { first: 1, last: 4 };
        let summary = source.summary(&conn, covered).expect("is read");
        let message = source.message(&conn, &alert(DIGEST, 3, Some(summary)));
        let message = message.expect("is read").expect("a message");
        assert_eq!(message.title, "[logs] 3 alerts of 2 rules");
        assert_eq!(message.items[0].text, "two: 2 alerts, 8 entries");
        assert_eq!(message.items[1].text, "one: 1 alert, 5 entries");
    }

    #[test]
    fn what_is_forgotten_is_not_told() {
        let source = RuleAlerts {
            base_url: String::new(),
        };
        let told = source.message(&database(), &alert(rule_alert::FIRED, 7, None));
        assert_eq!(told.expect("is read"), None);
    }
}
