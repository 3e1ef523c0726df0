//! What people are told of rules: the words of one alert, and of many.

use std::fmt::Write as _;
use std::time::Duration;

use monlight_shared::clock::iso_seconds;
use monlight_shared::notify::rules::{Voice, counted, decoded, page, spoken};
use monlight_shared::notify::{Message, Tone};
use serde_json::{Value, json};

use super::ansi;
use super::entry::Entry;

/// The kind of alerts of rules, as stored; 0 is a digest.
pub const FIRED: i64 = 1;
/// How the log viewer speaks of its rules.
pub const VOICE: Voice = Voice {
    service: "logs",
    counts: ["entries", "entry", "entries"],
    fact: "Entries",
};
/// Bytes of an entry's message that are told.
const MESSAGE_BYTES: usize = 2048;

/// A rule fired. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Firing {
    /// The number of the rule.
    pub rule: i64,
    /// Its name.
    pub name: String,
    /// Its filter, as a query string.
    pub query: String,
    /// How many entries it takes.
    pub threshold: i64,
    /// Within which time.
    pub window: Duration,
    /// When it fired.
    pub time_ms: i64,
    /// Matches since it last did.
    pub entries: i64,
    /// The newest of them that are still there, oldest first.
    pub newest: Vec<Entry>,
}

/// How an alert is called.
pub fn kind_name(_kind: i64) -> &'static str {
    "rule"
}

/// The message about one firing. `id`: of the message.
pub fn of_firing(base_url: &str, id: &str, firing: &Firing) -> Message {
    let entries = counted(firing.entries, "entry", "entries");
    let newest = firing.newest.last();
    let lead = newest.map_or_else(
        || "The entries are not kept any more.".to_owned(),
        |entry| plain(&entry.message),
    );
    let mut containers: Vec<&str> = firing
        .newest
        .iter()
        .map(|entry| entry.container.as_str())
        .collect();
    containers.sort_unstable();
    containers.dedup();
    let watched = if firing.threshold > 1 {
        format!("{} within {}", firing.threshold, spoken(firing.window))
    } else {
        "each".to_owned()
    };
    Message::new(id, "rule", Tone::Alarm, firing.time_ms)
        .title(&VOICE.title(&firing.name, &entries))
        .headline(&format!("{} found {entries}", firing.name))
        .lead(&lead)
        .link(page(base_url, &firing.query))
        .fact("Rule", &firing.name)
        .fact("Filter", &decoded(&firing.query))
        .fact("Tells of", &watched)
        .fact("Entries", &firing.entries.to_string())
        .fact("Containers", &containers.join(", "))
        .fact("Level", newest.map_or("", |entry| entry.level.name()))
        .fact("Time", &iso_seconds(firing.time_ms))
        .block("Newest entries", &listed(&firing.newest))
        .value("rule", for_programs(base_url, firing))
}

/// The beginning of a message, without colours.
fn plain(message: &str) -> String {
    let text = ansi::strip(message);
    let end = text.floor_char_boundary(MESSAGE_BYTES);
    text.get(..end).unwrap_or(&text).to_owned()
}

fn listed(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let time = iso_seconds(entry.time_ns.div_euclid(1_000_000));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{time} {} {} {}",
            entry.container,
            entry.level.name(),
            plain(&entry.message)
        );
    }
    text
}

fn for_programs(base_url: &str, firing: &Firing) -> Value {
    let newest: Vec<Value> = firing
        .newest
        .iter()
        .map(|entry| {
            json!({
                "id": entry.id,
                "timestamp": iso_seconds(entry.time_ns.div_euclid(1_000_000)),
                "container": entry.container,
                "stream": entry.stream.name(),
                "level": entry.level.name(),
                "message": plain(&entry.message),
            })
        })
        .collect();
    json!({
        "id": firing.rule,
        "name": firing.name,
        "query": firing.query,
        "link": page(base_url, &firing.query),
        "threshold": firing.threshold,
        "window_seconds": firing.window.as_secs(),
        "entries": firing.entries,
        "newest": newest,
    })
}

/// The message that shows whether alerts arrive; `rule`: name and query of which rule.
pub fn test(base_url: &str, id: &str, time_ms: i64, rule: Option<(&str, &str)>) -> Message {
    let query = rule.map_or("", |(_, query)| query);
    VOICE
        .test(id, time_ms, rule.map(|(name, _)| name))
        .link(page(base_url, query))
        .fact("Filter", &decoded(query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::{Level, Stream};

    const BASE: &str = "https://m.example";

    fn firing() -> Firing {
        Firing {
            rule: 3,
            name: "Timeouts\r\nBcc: x".to_owned(),
            query: "level=%3E%3Derror&search=timed%20out".to_owned(),
            threshold: 5,
            window: Duration::from_mins(5),
            time_ms: 1_737_367_200_000,
            entries: 7,
            newest: vec![Entry {
                id: 9,
                time_ns: 1_737_367_199_000_000_000,
                container: "web".to_owned(),
                stream: Stream::Stderr,
                level: Level::Error,
                message: "\u{1b}[31mtimed out\u{1b}[0m\n  at x".to_owned(),
            }],
        }
    }

    fn fact(message: &Message, name: &str) -> String {
        let found = message.facts.iter().find(|fact| fact.name == name);
        found.map(|fact| fact.value.clone()).unwrap_or_default()
    }

    #[test]
    fn an_alert_says_what_was_found_and_where() {
        let message = of_firing(BASE, "i.1", &firing());
        assert_eq!(message.title, "[logs] Timeouts Bcc: x: 7 entries");
        assert_eq!(message.lead, "timed out\n  at x");
        let link = "https://m.example/?level=%3E%3Derror&search=timed%20out";
        assert_eq!(message.link.as_deref(), Some(link));
        assert_eq!(fact(&message, "Filter"), "level=>=error search=timed out");
        assert_eq!(fact(&message, "Tells of"), "5 within 5 min");
        assert_eq!(fact(&message, "Containers"), "web");
        let block = message.block.as_ref().expect("a block");
        assert_eq!(
            block.text,
            "2025-01-20T09:59:59Z web ERROR timed out\n  at x\n"
        );
        assert_eq!(
            message.document["rule"]["newest"][0]["message"],
            "timed out\n  at x"
        );
    }

    #[test]
    fn an_alert_is_told_though_its_entries_are_gone() {
        let message = of_firing(
            BASE,
            "i.1",
            &Firing {
                newest: Vec::new(),
                threshold: 1,
                ..firing()
            },
        );
        assert!(message.lead.contains("not kept any more"));
        assert_eq!(fact(&message, "Tells of"), "each");
    }
}
