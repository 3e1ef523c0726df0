//! The table of events that wait for another service.

use monlight_shared::idempotency::Key;
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use crate::telemetry::EventKind;

/// Rows that one step of upkeep looks at.
const EXPIRED_IN_SLICE: i64 = 500;

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: i64,
    pub(crate) key_id: i64,
    pub(crate) key: Key,
    pub(crate) document: Vec<u8>,
}

/// Whether an event is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Waits,
    /// Nobody tries any more; see `0105_dead_events.sql`.
    Dead,
}

impl Fate {
    pub(crate) const ALL: [Self; 2] = [Self::Waits, Self::Dead];
}

/// What is kept of one DSN key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) kind: EventKind,
    pub(crate) fate: Fate,
    pub(crate) key_id: i64,
    pub(crate) events: i64,
    /// Of the documents.
    pub(crate) bytes: i64,
}

fn upstream(kind: EventKind) -> i64 {
    match kind {
        EventKind::Error => 0,
        EventKind::Metrics => 1,
    }
}

/// Keeps an event under a number that no other had.
pub(crate) fn put(
    conn: &Connection,
    id: i64,
    kind: EventKind,
    key_id: i64,
    key: Key,
    document: &[u8],
    now_ms: i64,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO outbox (id, upstream, key_id, idempotency_key, queued_at, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        id,
        upstream(kind),
        key_id,
        key.as_bytes(),
        now_ms,
        document
    ])?;
    Ok(())
}

/// The highest id that an event ever had.
pub(crate) fn last_id(conn: &Connection) -> Result<i64, StoreError> {
    let last = conn
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or_default())
}

/// Of the events between two ids, those that wait longest, but none of the DSN keys that are set aside: at most so many, and
/// at most so many bytes unless the first has more.
pub(crate) fn next(
    conn: &Connection,
    kind: EventKind,
    (after, before): (i64, i64),
    aside: &[i64],
    most: usize,
    most_bytes: usize,
) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, key_id, idempotency_key, document FROM outbox WHERE upstream = ?1 AND dead = 0 AND id > ?2 AND id < ?3 ORDER BY id",
    )?;
    let mut rows = statement.query([upstream(kind), after, before])?;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    while waiting.len() < most
        && let Some(row) = rows.next()?
    {
        let key_id = row.get(1)?;
        if aside.contains(&key_id) {
            continue;
        }
        let event = Waiting {
            id: row.get(0)?,
            key_id,
            key: Key::from_bytes(row.get(2)?),
            document: row.get(3)?,
        };
        bytes += event.document.len();
        if bytes > most_bytes && !waiting.is_empty() {
            break;
        }
        waiting.push(event);
    }
    Ok(waiting)
}

/// Removes events that were delivered, or that nobody wants.
pub(crate) fn remove(conn: &Connection, ids: &[i64]) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// Removes some of the events that were kept before `cutoff_ms`, and answers of which DSN keys and how many bytes.
pub(crate) fn expire(
    conn: &Connection,
    kind: EventKind,
    fate: Fate,
    cutoff_ms: i64,
) -> Result<Vec<(i64, i64)>, StoreError> {
    // The oldest come first, so this looks at few rows even when none has expired.
    let old: Vec<(i64, i64, i64)> = conn
        .prepare_cached(
            "SELECT id, key_id, length(document) FROM
               (SELECT * FROM outbox WHERE upstream = ?1 AND dead = ?4 ORDER BY id LIMIT ?3) WHERE queued_at < ?2",
        )?
        .query_map(params![upstream(kind), cutoff_ms, EXPIRED_IN_SLICE, fate as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let ids: Vec<i64> = old.iter().map(|(id, ..)| *id).collect();
    remove(conn, &ids)?;
    Ok(old
        .into_iter()
        .map(|(_, key_id, bytes)| (key_id, bytes))
        .collect())
}

/// Unix milliseconds since when an event waits for the service.
pub(crate) fn oldest(conn: &Connection, kind: EventKind) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT queued_at FROM outbox WHERE upstream = ?1 AND dead = 0 ORDER BY id LIMIT 1",
        )?
        .query_row([upstream(kind)], |row| row.get(0))
        .optional()?)
}

/// Gives events up for dead, and keeps what the service said.
pub(crate) fn bury(conn: &Connection, ids: &[i64], reason: &str) -> Result<(), StoreError> {
    let mut statement =
        conn.prepare_cached("UPDATE outbox SET dead = 1, reason = ?2 WHERE id = ?1")?;
    for id in ids {
        statement.execute(params![id, reason])?;
    }
    Ok(())
}

/// Has some of the dead events tried again, and answers how long their documents are.
pub(crate) fn revive(conn: &Connection, kind: EventKind) -> Result<Vec<i64>, StoreError> {
    let revived = conn
        .prepare_cached(
            "UPDATE outbox SET dead = 0, reason = NULL WHERE id IN
               (SELECT id FROM outbox WHERE upstream = ?1 AND dead = 1 ORDER BY id LIMIT ?2)
             RETURNING length(document)",
        )?
        .query_map(params![upstream(kind), EXPIRED_IN_SLICE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(revived)
}

/// What the service said about the dead event that came last.
pub(crate) fn last_reason(
    conn: &Connection,
    kind: EventKind,
) -> Result<Option<String>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT reason FROM outbox WHERE upstream = ?1 AND dead = 1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([upstream(kind)], |row| row.get(0))
        .optional()?
        .flatten())
}

/// What is kept.
pub(crate) fn shares(conn: &Connection) -> Result<Vec<Share>, StoreError> {
    let mut shares = Vec::new();
    for kind in EventKind::ALL {
        for fate in Fate::ALL {
            let mut statement = conn.prepare_cached(
                "SELECT key_id, COUNT(*), SUM(length(document)) FROM outbox WHERE upstream = ?1 AND dead = ?2
                 GROUP BY key_id",
            )?;
            let mut rows = statement.query([upstream(kind), fate as i64])?;
            while let Some(row) = rows.next()? {
                shares.push(Share {
                    kind,
                    fate,
                    key_id: row.get(0)?,
                    events: row.get(1)?,
                    bytes: row.get(2)?,
                });
            }
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::database;

    fn fill(conn: &Connection) {
        // Whatever comes to the disk first.
        for n in (0..6_u8).rev() {
            let kind = EventKind::ALL[usize::from(n % 2)];
            let key = Key::new(1, 2, u32::from(n));
            let (n, document) = (i64::from(n), [b'x'; 10]);
            put(conn, n + 1, kind, n / 4, key, &document, n).unwrap();
        }
    }

    fn ids(waiting: &[Waiting]) -> Vec<i64> {
        waiting.iter().map(|event| event.id).collect()
    }

    #[test]
    fn events_come_out_in_the_order_in_which_they_came() {
        let conn = database();
        fill(&conn);
        let between =
            |ids, most, bytes| next(&conn, EventKind::Error, ids, &[], most, bytes).unwrap();
        let after = |id, most, bytes| between((id, i64::MAX), most, bytes);
        let next = |most, bytes| after(0, most, bytes);
        assert_eq!(ids(&next(10, 1000)), [1, 3, 5]);
        assert_eq!(ids(&next(2, 1000)), [1, 3]);
        assert_eq!(ids(&next(10, 25)), [1, 3]);
        assert_eq!(ids(&next(10, 1)), [1]);
        assert_eq!(ids(&after(1, 10, 1000)), [3, 5]);
        assert_eq!(ids(&after(5, 10, 1000)), [0; 0]);
        assert_eq!(ids(&between((0, 5), 10, 1000)), [1, 3]);
        let aside = super::next(&conn, EventKind::Error, (0, i64::MAX), &[0, 7], 1, 1000);
        assert_eq!(ids(&aside.unwrap()), [5], "of another DSN key");
        assert_eq!(next(10, 1)[0].key, Key::new(1, 2, 0));
        remove(&conn, &[1, 6, 77]).unwrap();
        assert_eq!(last_id(&conn).unwrap(), 6, "no id comes again");
        assert_eq!(ids(&next(10, 1000)), [3, 5]);
        assert_eq!(oldest(&conn, EventKind::Error).unwrap(), Some(2));
        assert_eq!(oldest(&conn, EventKind::Metrics).unwrap(), Some(1));
    }

    #[test]
    fn shares_and_expiry() {
        let conn = database();
        fill(&conn);
        let share = |kind, key_id, events| Share {
            kind,
            fate: Fate::Waits,
            key_id,
            events,
            bytes: events * 10,
        };
        assert_eq!(
            shares(&conn).unwrap(),
            [
                share(EventKind::Error, 0, 2),
                share(EventKind::Error, 1, 1),
                share(EventKind::Metrics, 0, 2),
                share(EventKind::Metrics, 1, 1)
            ]
        );
        assert_eq!(
            expire(&conn, EventKind::Error, Fate::Waits, 3).unwrap(),
            [(0, 10), (0, 10)]
        );
        assert_eq!(expire(&conn, EventKind::Error, Fate::Waits, 3).unwrap(), []);
        assert_eq!(shares(&conn).unwrap().len(), 3);
    }

    #[test]
    fn the_dead_hold_up_nobody_and_can_be_revived() {
        let conn = database();
        fill(&conn);
        bury(&conn, &[1, 5, 77], "404: gone").unwrap();
        let waiting = || ids(&next(&conn, EventKind::Error, (0, i64::MAX), &[], 10, 1000).unwrap());
        assert_eq!(waiting(), [3]);
        assert_eq!(oldest(&conn, EventKind::Error).unwrap(), Some(2));
        let reason = last_reason(&conn, EventKind::Error).unwrap();
        assert_eq!(reason.as_deref(), Some("404: gone"));
        assert_eq!(last_reason(&conn, EventKind::Metrics).unwrap(), None);
        let dead = |share: &&Share| share.fate == Fate::Dead;
        assert_eq!(shares(&conn).unwrap().iter().filter(dead).count(), 2);
        // The dead of key 0, and nothing that waits.
        let expired = expire(&conn, EventKind::Error, Fate::Dead, 3).unwrap();
        assert_eq!(expired, [(0, 10)]);
        assert_eq!(revive(&conn, EventKind::Error).unwrap(), [10]);
        assert_eq!(revive(&conn, EventKind::Error).unwrap(), [0; 0]);
        assert_eq!(waiting(), [3, 5]);
        assert_eq!(last_reason(&conn, EventKind::Error).unwrap(), None);
    }
}
