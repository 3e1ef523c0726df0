//! What people are told of rules: the words of one alert, and of many.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use monlight_shared::clock::iso_seconds;
use monlight_shared::notify::{Message, Tone, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ansi;
use super::entry::Entry;

/// The kind of alerts of rules, as stored; 0 is a digest.
pub const FIRED: i64 = 1;
/// Characters of a name in a title.
const TITLE_NAME: usize = 80;
/// Bytes of an entry's message that are told.
const MESSAGE_BYTES: usize = 2048;
/// Rules that a digest names, those that fired most.
const NAMED_RULES: usize = 20;

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
    let name = text::one_line(&firing.name, TITLE_NAME);
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
        .title(&format!("[logs] {name}: {entries}"))
        .headline(&format!("{} found {entries}", firing.name))
        .lead(&lead)
        .link(link(base_url, &firing.query))
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

/// The page of logs with a filter.
fn link(base_url: &str, query: &str) -> String {
    if query.is_empty() {
        format!("{base_url}/")
    } else {
        format!("{base_url}/?{query}")
    }
}

fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `5 min`.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

/// A filter for people.
fn decoded(query: &str) -> String {
    let query = monlight_shared::http::Query::parse(query);
    let parts: Vec<String> = query
        .pairs()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join("  ")
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
        "link": link(base_url, &firing.query),
        "threshold": firing.threshold,
        "window_seconds": firing.window.as_secs(),
        "entries": firing.entries,
        "newest": newest,
    })
}

/// Many firings in one message, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// All alerts in it.
    pub alerts: i64,
    /// Different rules.
    pub rules: i64,
    /// Entries of all of them.
    pub entries: i64,
    /// The rules that fired most: name, alerts, entries.
    pub top: Vec<(String, i64, i64)>,
}

/// Counts firings; there are few rules, so this holds little.
#[derive(Debug, Default)]
pub struct Counter(HashMap<i64, (String, i64, i64)>, i64);

impl Counter {
    /// One more alert of a rule.
    pub fn add(&mut self, rule: i64, name: &str, entries: i64) {
        let known = self.0.entry(rule).or_default();
        if known.0 != name {
            name.clone_into(&mut known.0);
        }
        known.1 += 1;
        known.2 += entries;
        self.1 += 1;
    }

    /// The digest.
    pub fn finish(self) -> Digest {
        let mut top: Vec<(String, i64, i64)> = self.0.into_values().collect();
        top.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let (rules, entries) = (top.len() as i64, top.iter().map(|rule| rule.2).sum());
        top.truncate(NAMED_RULES);
        Digest {
            alerts: self.1,
            rules,
            entries,
            top,
        }
    }
}

/// The message of a digest.
pub fn of_digest(base_url: &str, id: &str, time_ms: i64, digest: &Digest) -> Message {
    let alerts = counted(digest.alerts, "alert", "alerts");
    let rules = counted(digest.rules, "rule", "rules");
    let mut message = Message::new(id, "digest", Tone::Alarm, time_ms)
        .title(&format!("[logs] {alerts} of {rules}"))
        .headline(&format!("{alerts} of {rules} within a short time"))
        .lead("There were more alerts than are sent one by one.")
        .link(format!("{base_url}/"))
        .fact("Entries", &digest.entries.to_string())
        .fact("Time", &iso_seconds(time_ms));
    for (name, alerts, entries) in &digest.top {
        let alerts = counted(*alerts, "alert", "alerts");
        let entries = counted(*entries, "entry", "entries");
        message = message.item(&format!("{name}: {alerts}, {entries}"), None);
    }
    let named: Vec<Value> = digest
        .top
        .iter()
        .map(|(name, alerts, entries)| json!({"name": name, "alerts": alerts, "entries": entries}))
        .collect();
    message.value(
        "digest",
        json!({"alerts": digest.alerts, "rules": digest.rules, "entries": digest.entries, "top": named}),
    )
}

/// The message that shows whether alerts arrive; `rule`: of which rule.
pub fn test(base_url: &str, id: &str, time_ms: i64, rule: Option<(&str, &str)>) -> Message {
    let lead = match rule {
        None => "This is a test. When a rule finds what it looks for, a message like this one will tell of it.".to_owned(),
        Some((name, _)) => format!("This is a test. When the rule {name} finds what it looks for, a message like this one will tell of it."),
    };
    let (name, query) = rule.unwrap_or_default();
    Message::new(id, "test", Tone::Calm, time_ms)
        .title(&match rule {
            None => "[logs] test alert".to_owned(),
            Some((name, _)) => format!("[logs] {}: test alert", text::one_line(name, TITLE_NAME)),
        })
        .headline("Test alert")
        .lead(&lead)
        .link(link(base_url, query))
        .fact("Rule", name)
        .fact("Filter", &decoded(query))
        .fact("Sent", &iso_seconds(time_ms))
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

    #[test]
    fn times_are_short() {
        let spoken: Vec<String> = [1, 90, 120, 7200, 86_400]
            .map(|s| spoken(Duration::from_secs(s)))
            .into();
        assert_eq!(spoken, ["1 s", "90 s", "2 min", "2 h", "1 d"]);
    }

    #[test]
    fn a_digest_names_those_that_fired_most() {
        let mut counter = Counter::default();
        for alert in 0..100 {
            counter.add(
                alert % 3 + alert / 50,
                &format!("rule {}", alert % 3 + alert / 50),
                2,
            );
        }
        let digest = counter.finish();
        assert_eq!((digest.alerts, digest.rules, digest.entries), (100, 4, 200));
        let message = of_digest(BASE, "i.2", 0, &digest);
        assert_eq!(message.title, "[logs] 100 alerts of 4 rules");
        assert_eq!(message.items.len(), 4);
        assert_eq!(message.document["digest"]["rules"], 4);
    }
}
