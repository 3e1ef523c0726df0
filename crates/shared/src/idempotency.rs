//! Requests that are sent again are carried out once.
//!
//! A sender that does not hear an answer cannot know whether its request was carried out. It sends it again with the same
//! `Idempotency-Key`, and the receiver, which notes the key in the transaction that carries the request out, does nothing
//! the second time. Keys are UUIDs of version 7 (RFC 9562): they begin with the time, so noting one appends to a table, and
//! forgetting the old ones cuts its beginning off.
//!
//! A sender that may forget which key it gave to a request, because it is killed, can make the key again from what it knows
//! of the request, all but the time: of a key with a *name* the receiver compares only that, see [`Key::named`].

use std::fmt;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::ApiError;
use crate::service::Context;
use crate::store::{Lane, StoreError};

/// The header that carries a key.
pub const HEADER: &str = "idempotency-key";
/// The table of a service that notes keys.
pub const SCHEMA: &str =
    "-- Keys of requests that were carried out, by their times: see monlight_shared::idempotency.
CREATE TABLE idempotency_keys (key BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;";
/// What a service adds to [`SCHEMA`] to find [named](Key::named) keys. The same conditions stand in [`is_known`].
pub const NAMES: &str =
    "-- Keys with a name, which may come again with another time: see monlight_shared::idempotency.
CREATE INDEX idempotency_names ON idempotency_keys (substr(key, 9)) WHERE substr(key, 7, 2) = x'7E1D';";
/// For how long a key is known. A sender must have given up before.
pub const KNOWN_FOR: Duration = Duration::from_hours(72);
/// Requests in one batch.
pub const MOST_IN_BATCH: usize = 100;
/// `live=1` in the query says that the requests of a batch come as they arise, and asks for the answers they would have got.
/// Without it they were kept for a while.
pub const LIVE: &str = "live";
/// Bytes of a batch.
pub const LARGEST_BATCH: usize = 1024 * 1024;

/// Keys that are known at most, beside those of the last minutes: some 30 MB, and as much again for names. The oldest go
/// first, and a sender that asks again after so many others is carried out twice.
pub const MOST_KEYS: i64 = 1_000_000;

/// The seventh and eighth byte of a key with a name: version 7, and 12 bits that other keys draw.
const NAMED: [u8; 2] = [0x7E, 0x1D];

const FORGET_EVERY: Duration = Duration::from_mins(10);
/// Few, because the names of keys that follow each other stand on as many pages of their index.
const KEYS_IN_SLICE: i64 = 500;

const KNOWN_KEY: &str = "SELECT 1 FROM idempotency_keys WHERE key = ?1";
const KNOWN_NAME: &str =
    "SELECT 1 FROM idempotency_keys WHERE substr(key, 7, 2) = x'7E1D' AND substr(key, 9) = ?1";

/// A key, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Key {
    /// The key number `counter` of a sender that has drawn `random` for itself, made at `unix_ms`.
    pub fn new(unix_ms: i64, random: u64, counter: u32) -> Self {
        let tail = (random & 0x3FFF_FFFF) << 32 | u64::from(counter);
        let head = 7 << 12 | (random >> 52) as u16;
        // One that looks as if it had a name gets a neighbour's head.
        let head = head ^ u16::from(head == u16::from_be_bytes(NAMED));
        Self::of(unix_ms, head, tail)
    }

    /// The key of a request that has a name of its own, made at `unix_ms`: two such keys are of the same request if 62 bits of
    /// their names are the same, whenever they were made. So `name` must be a hash of all that tells requests apart.
    ///
    /// It is still a UUID of version 7. Of the keys of other senders, who draw theirs, one in 4,096 looks like it, and then the
    /// 62 bits that they have drawn are the name.
    pub fn named(unix_ms: i64, name: u64) -> Self {
        Self::of(unix_ms, u16::from_be_bytes(NAMED), name)
    }

    fn of(unix_ms: i64, head: u16, tail: u64) -> Self {
        let time = (unix_ms.max(0) as u128) << 80;
        let variant = 1 << 63 | tail & (u64::MAX >> 2);
        Self((time | u128::from(head) << 64 | u128::from(variant)).to_be_bytes())
    }

    /// The name, with the variant of UUIDs, if it has one.
    fn name(&self) -> Option<&[u8]> {
        (self.0[6..8] == NAMED).then_some(&self.0[8..])
    }

    /// Reads 32 hexadecimal digits, with or without dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().filter(|byte| *byte != b'-');
        let mut value = 0_u128;
        let mut count = 0;
        for digit in digits {
            value = value << 4 | u128::from(char::from(digit).to_digit(16)?);
            count += 1;
            if count > 32 {
                return None;
            }
        }
        let is_version_7 = count == 32 && value >> 76 & 0xF == 7;
        is_version_7.then(|| Self(value.to_be_bytes()))
    }

    /// When it was made: Unix milliseconds, as its maker says.
    pub fn made_at(&self) -> i64 {
        // 48 bits, which always fit.
        (u128::from_be_bytes(self.0) >> 80) as i64
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From a stored one.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The key of a request, if it has one; one that is no key is refused.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey(pub Option<Key>);

impl<S: Sync> FromRequestParts<S> for RequestKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(HEADER) else {
            return Ok(Self(None));
        };
        let key = value.to_str().ok().and_then(Key::parse);
        key.map(|key| Self(Some(key))).ok_or_else(wrong_key)
    }
}

fn wrong_key() -> ApiError {
    ApiError::invalid("An idempotency key must be a UUID of version 7")
}

/// Whether a request with this key, or with its name, was carried out before. For the job that carries it out, at its
/// beginning.
pub fn is_known(conn: &Connection, key: Option<Key>) -> Result<bool, StoreError> {
    let Some(key) = key else { return Ok(false) };
    let (sql, sought) = match key.name() {
        Some(name) => (KNOWN_NAME, name),
        None => (KNOWN_KEY, &key.as_bytes()[..]),
    };
    Ok(conn.prepare_cached(sql)?.exists([sought])?)
}

/// Notes that a request with this key is carried out. For the same job, at its end.
pub fn note(conn: &Connection, key: Option<Key>) -> Result<(), StoreError> {
    if let Some(key) = key {
        conn.prepare_cached("INSERT INTO idempotency_keys (key) VALUES (?1)")?
            .execute([key.as_bytes()])?;
    }
    Ok(())
}

/// Forgets some keys made before `unix_ms`; `false` when there are none left.
pub fn forget(conn: &Connection, unix_ms: i64) -> Result<bool, StoreError> {
    let first = (unix_ms.max(0) as u128) << 80;
    let forgotten = conn
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE key IN
               (SELECT key FROM idempotency_keys WHERE key < ?1 ORDER BY key LIMIT ?2)",
        )?
        .execute((first.to_be_bytes(), KEYS_IN_SLICE))?;
    Ok(forgotten > 0)
}

/// Forgets so many of the oldest keys.
pub fn forget_oldest(conn: &Connection, keys: i64) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys ORDER BY key LIMIT ?1)",
    )?
    .execute([keys])?;
    Ok(())
}

fn count(conn: &Connection) -> Result<i64, StoreError> {
    let count = conn
        .prepare_cached("SELECT count(*) FROM idempotency_keys")?
        .query_row([], |row| row.get(0))?;
    Ok(count)
}

/// Starts the task that forgets old keys.
pub fn start_forgetting(ctx: &Context) {
    let (store, clock) = (ctx.store.clone(), ctx.clock.clone());
    let known = ctx.metrics.gauge(
        "monlight_idempotency_keys",
        "Requests that would be noticed if they were sent again, at most ten minutes ago.",
        &[],
    );
    let limit = ctx.metrics.gauge(
        "monlight_idempotency_keys_limit",
        "As many are known at most, beside those of the last ten minutes.",
        &[],
    );
    limit.set(MOST_KEYS);
    ctx.lifecycle
        .every("idempotency keys", FORGET_EVERY, move || {
            let (store, clock, known) = (store.clone(), clock.clone(), known.clone());
            async move {
                let before = clock.now_ms() - KNOWN_FOR.as_millis() as i64;
                store.in_slices(move |conn| forget(conn, before)).await?;
                let mut excess = store.read(count).await? - MOST_KEYS;
                while excess > 0 {
                    let slice = excess.min(KEYS_IN_SLICE);
                    let forget = move |conn: &Connection| forget_oldest(conn, slice);
                    store.write(Lane::Upkeep, 0, forget).await?;
                    excess -= slice;
                }
                known.set(store.read(count).await?);
                Ok(())
            }
        });
}

/// One request of a batch, as it is sent.
#[derive(Debug, Deserialize)]
struct SentItem<'b> {
    key: &'b str,
    #[serde(borrow)]
    document: &'b RawValue,
}

/// One request of a batch: its key and its body.
#[derive(Clone, Copy, Debug)]
pub struct Item<'b> {
    /// Its key.
    pub key: Key,
    /// What would have been its body.
    pub document: &'b [u8],
}

/// Reads a batch: `[{"key": "…", "document": …}, …]`, at most [`MOST_IN_BATCH`] of them.
pub fn read_batch(body: &[u8]) -> Result<Vec<Item<'_>>, ApiError> {
    let items: Vec<SentItem<'_>> = serde_json::from_slice(body).map_err(|_| {
        ApiError::invalid("A batch must be an array of objects with 'key' and 'document'")
    })?;
    if items.len() > MOST_IN_BATCH {
        return Err(ApiError::invalid("A batch holds at most 100 requests"));
    }
    items
        .into_iter()
        .map(|item| {
            Ok(Item {
                key: Key::parse(item.key).ok_or_else(wrong_key)?,
                document: item.document.get().as_bytes(),
            })
        })
        .collect()
}

/// What became of each request of a batch, in its order.
#[derive(Debug, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// One for each request.
    pub results: Vec<ItemAnswer>,
}

/// What became of a request in a batch.
#[derive(Debug, Serialize, Deserialize)]
pub struct ItemAnswer {
    /// The HTTP status it would have got by itself.
    pub status: u16,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it would have been answered by itself; of a [`LIVE`] batch, if the service has more to say than the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<RawValue>>,
}

impl ItemAnswer {
    /// Of a request's result, whose value is its status.
    pub fn of(result: Result<u16, ApiError>) -> Self {
        match result {
            Ok(status) => Self {
                status,
                detail: None,
                answer: None,
            },
            Err(fault) => Self {
                status: fault.status().as_u16(),
                detail: Some(fault.to_string()),
                answer: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_uuids_in_the_order_of_time() {
        let key = Key::new(0x0123_4567_89ab, u64::MAX, 5);
        assert_eq!(key.to_string(), "0123456789ab7fffbfffffff00000005");
        assert_eq!(key.made_at(), 0x0123_4567_89ab);
        assert_eq!(Key::parse(&key.to_string()), Some(key));
        assert_eq!(
            Key::parse("01234567-89ab-7fff-BFFF-ffff00000005"),
            Key::parse("0123456789ab7fffbfffffff00000005")
        );
        let mut keys = [(2, 0, 0), (1, 9, 1), (1, 9, 0), (1, 8, 5)]
            .map(|(time, random, counter)| Key::new(time, random, counter));
        keys.sort();
        assert_eq!(keys[0], Key::new(1, 8, 5));
        assert_eq!(keys[3], Key::new(2, 0, 0));
        for text in [
            "",
            "x",
            "0123456789ab7fffbfffffff0000000",
            "0123456789ab7fffbfffffff000000055",
            "0123456789ab4fffbfffffff00000005",
            "0123456789ab7fffbfffffff0000000é",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_carried_out_is_known_until_it_is_forgotten() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(SCHEMA).expect("the schema");
        let keys = [1_000, 2_000, 3_000].map(|time| Some(Key::new(time, 7, 0)));
        let known = || keys.map(|key| is_known(&conn, key).expect("read"));
        for key in &keys[..2] {
            assert!(!is_known(&conn, *key).expect("read"));
            note(&conn, *key).expect("noted");
        }
        assert_eq!(known(), [true, true, false]);
        assert!(forget(&conn, 2_000).expect("deleted"));
        assert!(!forget(&conn, 2_000).expect("deleted"));
        assert_eq!(known(), [false, true, false]);
        note(&conn, keys[2]).expect("noted");
        forget_oldest(&conn, 1).expect("deleted");
        assert_eq!(
            (known(), count(&conn).expect("read")),
            ([false, false, true], 1)
        );
        note(&conn, None).expect("nothing");
        assert!(!is_known(&conn, None).expect("nothing"));
    }

    #[test]
    fn of_a_key_with_a_name_the_time_does_not_count() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(SCHEMA).expect("the schema");
        // There may be keys before there are names.
        let by_chance = Key::parse("00000000000a7e1d8000000000000001").expect("a key");
        note(&conn, Some(by_chance)).expect("noted");
        conn.execute_batch(NAMES).expect("the index");
        let known = |key| is_known(&conn, Some(key)).expect("read");
        assert!(known(by_chance) && known(Key::named(20, 1)));
        let key = Key::named(0x0123_4567_89ab, u64::MAX);
        assert_eq!(key.to_string(), "0123456789ab7e1dbfffffffffffffff");
        assert_eq!(Key::parse(&key.to_string()), Some(key));
        assert_eq!(key.made_at(), 0x0123_4567_89ab);
        note(&conn, Some(key)).expect("noted");
        let other = u64::MAX - 1;
        for (key, expected) in [
            (key, true),
            (Key::named(1, u64::MAX), true),
            (Key::named(i64::MAX, u64::MAX >> 2), true),
            (Key::named(0x0123_4567_89ab, other), false),
            // None has a name by its head alone.
            (Key::new(1, u64::MAX, u32::MAX), false),
            (Key::new(1, 0xE1D << 52, 1), false),
        ] {
            assert_eq!(known(key), expected, "{key}");
        }
        assert!(forget(&conn, i64::MAX).expect("deleted"));
        assert!(!known(key));
    }

    #[test]
    fn names_are_found_by_their_index() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(SCHEMA).expect("the schema");
        conn.execute_batch(NAMES).expect("the index");
        let explain = format!("EXPLAIN QUERY PLAN {KNOWN_NAME}");
        let plan: String = conn
            .query_row(&explain, [[0_u8; 8]], |row| row.get(3))
            .expect("a plan");
        assert!(plan.contains("COVERING INDEX idempotency_names"), "{plan}");
    }

    #[test]
    fn batches() {
        let key = Key::new(1, 2, 3).to_string();
        let body = format!("[{{\"key\":\"{key}\",\"document\": {{\"a\": [1] }}}}]");
        let items = read_batch(body.as_bytes()).expect("a batch");
        assert_eq!((items.len(), items[0].document), (1, &b"{\"a\": [1] }"[..]));
        let many = format!("[{}]", vec![body.trim_matches(['[', ']']); 101].join(","));
        for (body, why) in [
            ("{}", "must be an array"),
            ("[{\"key\":\"x\",\"document\":1}]", "UUID"),
            (&many, "at most 100"),
        ] {
            let fault = read_batch(body.as_bytes()).expect_err("refused");
            assert!(fault.to_string().contains(why), "{fault}");
        }
    }
}
