//! Entries and times as they go over the wire.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::entry::Entry;

#[derive(Serialize)]
struct EntryJson<'e> {
    id: i64,
    timestamp: String,
    container: &'e str,
    stream: &'static str,
    level: &'static str,
    message: &'e str,
    time: String,
}

/// An entry as JSON on one line: the contract's six keys, then the exact time.
pub fn entry(entry: &Entry) -> String {
    let json = EntryJson {
        id: entry.id,
        timestamp: seconds(entry.time_ns),
        container: &entry.container,
        stream: entry.stream.name(),
        level: entry.level.name(),
        message: &entry.message,
        time: nanos(entry.time_ns),
    };
    // Only maps with odd keys and failing writers cannot be serialized; this is neither.
    serde_json::to_string(&json).unwrap_or_default()
}

/// `2025-01-20T10:00:01Z`: whole seconds, rounded down.
pub fn seconds(time_ns: i64) -> String {
    let second = Timestamp::from_second(time_ns.div_euclid(1_000_000_000));
    second.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// `2025-01-20T10:00:01.123456789Z`: always nine digits.
pub fn nanos(time_ns: i64) -> String {
    let at = Timestamp::from_nanosecond(i128::from(time_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.9}")
}

/// Milliseconds with their thousandths.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::{Level, Stream};

    #[test]
    fn an_entry_has_its_keys_in_order() {
        let sample = Entry {
            id: 7,
            time_ns: 1_737_367_201_120_000_000,
            container: "wéb".to_owned(),
            stream: Stream::Stderr,
            level: Level::Error,
            message: "a\n\"b\"\t\u{1b}".to_owned(),
        };
        assert_eq!(
            entry(&sample),
            "{\"id\":7,\"timestamp\":\"2025-01-20T10:00:01Z\",\"container\":\"wéb\",\"stream\":\"stderr\",\"level\":\"ERROR\",\
             \"message\":\"a\\n\\\"b\\\"\\t\\u001b\",\"time\":\"2025-01-20T10:00:01.120000000Z\"}"
        );
    }

    #[test]
    fn times_round_down() {
        assert_eq!(seconds(-1), "1969-12-31T23:59:59Z");
        assert_eq!(seconds(i64::MAX), "2262-04-11T23:47:16Z");
        assert_eq!(nanos(0), "1970-01-01T00:00:00.000000000Z");
    }
}
