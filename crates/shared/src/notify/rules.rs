//! What alert rules of all services have in common: how their settings are read, the words for them, and the digest of
//! what they told.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::outbox::Covered;
use super::{Message, Tone, text};
use crate::clock::iso_seconds;
use crate::http::{ApiError, Query};
use crate::store::StoreError;

/// The longest name, in characters.
pub const NAME_CHARS: usize = 100;
/// The longest window, in seconds.
pub const LONGEST_WINDOW: i64 = 86_400;
/// The longest time for which a rule is quiet after it told something, in seconds.
pub const LONGEST_PAUSE: i64 = 7 * 86_400;
/// Characters of a name in a title.
const TITLE_NAME: usize = 80;
/// Rules that a digest names, those that told most.
const NAMED_RULES: usize = 20;

/// What people call a rule.
///
/// # Errors
/// What was expected.
pub fn name(value: &Value) -> Result<String, String> {
    let name = value.as_str().map(str::trim).unwrap_or_default();
    let is_fine =
        (1..=NAME_CHARS).contains(&name.chars().count()) && !name.contains(char::is_control);
    is_fine
        .then(|| name.to_owned())
        .ok_or_else(|| format!("name: expected a text of 1 to {NAME_CHARS} characters on one line"))
}

/// A whole number in a range.
///
/// # Errors
/// What it was, and what was expected.
pub fn whole_number(name: &str, value: &Value, least: i64, most: i64) -> Result<i64, String> {
    value
        .as_i64()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            format!(
                "{name}: {}; expected a whole number from {least} to {most}",
                shown(value)
            )
        })
}

/// A number of seconds in a range.
///
/// # Errors
/// What it was, and what was expected.
pub fn seconds(name: &str, value: &Value, least: i64, most: i64) -> Result<Duration, String> {
    whole_number(name, value, least, most)
        .map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
}

/// Whether a rule is looked at.
///
/// # Errors
/// What it was, and what was expected.
pub fn enabled(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("enabled: {}; expected true or false", shown(value)))
}

/// The beginning of a value, for a fault's text.
pub fn shown(value: &Value) -> String {
    value.to_string().chars().take(64).collect()
}

/// The parameters of a query string, each with its value, or its values.
pub fn parameters(query: &str) -> Map<String, Value> {
    let mut json: Map<String, Value> = Map::new();
    for (name, value) in Query::parse(query).pairs() {
        match json.get_mut(name) {
            None => {
                json.insert(name.to_owned(), value.into());
            }
            Some(Value::Array(values)) => values.push(value.into()),
            Some(known) => *known = Value::Array(vec![known.take(), value.into()]),
        }
    }
    json
}

/// The parameters of a query string, in their order, as people give it.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    Query::parse(query.trim_start_matches('?'))
        .pairs()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Adds a parameter to a query string.
pub fn add_parameter(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    encode(query, name);
    query.push('=');
    encode(query, value);
}

/// Percent-encodes all but what needs none.
fn encode(out: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*,:!".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(
                    DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'),
                ));
            }
        }
    }
}

/// A query string for people.
pub fn decoded(query: &str) -> String {
    let query = Query::parse(query);
    let parts: Vec<String> = query
        .pairs()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join("  ")
}

/// A page with a query.
pub fn page(base_url: &str, query: &str) -> String {
    if query.is_empty() {
        format!("{base_url}/")
    } else {
        format!("{base_url}/?{query}")
    }
}

/// `1 entry`, `2 entries`.
pub fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `5 min`.
pub fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

/// The number of a rule in a path.
///
/// # Errors
/// 404 when no rule can have it.
pub fn parse_id(text: &str) -> Result<i64, ApiError> {
    text.parse().ok().filter(|id| *id > 0).ok_or_else(unknown)
}

/// There is no such rule.
pub fn unknown() -> ApiError {
    ApiError::not_found("Rule not found")
}

/// There are as many rules as there may be.
pub fn too_many(most: usize) -> ApiError {
    ApiError::Conflict(format!(
        "There are {most} rules, the most there can be; remove one first"
    ))
}

/// How a service speaks of its rules.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// What titles begin with.
    pub service: &'static str,
    /// What is counted beside alerts: in JSON, and one and many of it.
    pub counts: [&'static str; 3],
    /// What it is called as a fact.
    pub fact: &'static str,
}

/// Many alerts in one message, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// All alerts in it.
    pub alerts: i64,
    /// Different rules.
    pub rules: i64,
    /// What the service counts beside them, of all of them.
    #[serde(rename = "entries")]
    pub counts: i64,
    /// The rules that told most: name, alerts, counts.
    pub top: Vec<(String, i64, i64)>,
}

impl Digest {
    /// From what [`Digest::of`] wrote.
    ///
    /// # Errors
    /// It did not.
    pub fn read(stored: Option<&str>) -> Result<Self, StoreError> {
        serde_json::from_str(stored.unwrap_or_default())
            .map_err(|fault| StoreError::Job(format!("cannot read a digest: {fault}")))
    }

    /// The digest of alerts, as it is stored. `sql` finds them by their first and last number: rule, its name, and what the
    /// service counts of each.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of(conn: &Connection, sql: &str, covered: Covered) -> Result<String, StoreError> {
        let mut counter = Counter::default();
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query((covered.first, covered.last))?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            counter.add(row.get(0)?, &name, row.get(2)?);
        }
        counter.finish().write()
    }

    fn write(&self) -> Result<String, StoreError> {
        serde_json::to_string(self)
            .map_err(|fault| StoreError::Job(format!("cannot write a digest: {fault}")))
    }
}

/// Counts alerts; there are few rules, so this holds little.
#[derive(Debug, Default)]
struct Counter(HashMap<i64, (String, i64, i64)>, i64);

impl Counter {
    /// One more alert of a rule.
    fn add(&mut self, rule: i64, name: &str, counts: i64) {
        let known = self.0.entry(rule).or_default();
        if known.0 != name {
            name.clone_into(&mut known.0);
        }
        known.1 += 1;
        known.2 += counts;
        self.1 += 1;
    }

    /// The digest.
    fn finish(self) -> Digest {
        let mut top: Vec<(String, i64, i64)> = self.0.into_values().collect();
        top.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let (rules, counts) = (top.len() as i64, top.iter().map(|rule| rule.2).sum());
        top.truncate(NAMED_RULES);
        Digest {
            alerts: self.1,
            rules,
            counts,
            top,
        }
    }
}

impl Voice {
    /// A title: the service and the rule, then `rest`.
    pub fn title(&self, name: &str, rest: &str) -> String {
        format!(
            "[{}] {}: {rest}",
            self.service,
            text::one_line(name, TITLE_NAME)
        )
    }

    /// The message of a digest. `id`: of the message; `time_ms`: unix milliseconds.
    pub fn digest(&self, base_url: &str, id: &str, time_ms: i64, digest: &Digest) -> Message {
        let [key, one, many] = self.counts;
        let alerts = counted(digest.alerts, "alert", "alerts");
        let rules = counted(digest.rules, "rule", "rules");
        let mut message = Message::new(id, "digest", Tone::Alarm, time_ms)
            .title(&format!("[{}] {alerts} of {rules}", self.service))
            .headline(&format!("{alerts} of {rules} within a short time"))
            .lead("There were more alerts than are sent one by one.")
            .link(format!("{base_url}/"))
            .fact(self.fact, &digest.counts.to_string())
            .fact("Time", &iso_seconds(time_ms));
        for (name, alerts, counts) in &digest.top {
            let alerts = counted(*alerts, "alert", "alerts");
            let counts = counted(*counts, one, many);
            message = message.item(&format!("{name}: {alerts}, {counts}"), None);
        }
        let named: Vec<Value> = digest
            .top
            .iter()
            .map(|(name, alerts, counts)| json!({"name": name, "alerts": alerts, key: counts}))
            .collect();
        message.value(
            "digest",
            json!({"alerts": digest.alerts, "rules": digest.rules, key: digest.counts, "top": named}),
        )
    }

    /// The message that shows whether alerts arrive; `name`: of which rule. What is more to say of it is added to it.
    pub fn test(&self, id: &str, time_ms: i64, name: Option<&str>) -> Message {
        let rule = name.map_or_else(|| "a rule".to_owned(), |name| format!("the rule {name}"));
        let title = match name {
            None => format!("[{}] test alert", self.service),
            Some(name) => self.title(name, "test alert"),
        };
        Message::new(id, "test", Tone::Calm, time_ms)
            .title(&title)
            .headline("Test alert")
            .lead(&format!(
                "This is a test. When {rule} finds what it looks for, a message like this one will tell of it."
            ))
            .fact("Rule", name.unwrap_or_default())
            .fact("Sent", &iso_seconds(time_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_short() {
        let spoken: Vec<String> = [1, 90, 120, 7200, 86_400]
            .map(|s| spoken(Duration::from_secs(s)))
            .into();
        assert_eq!(spoken, ["1 s", "90 s", "2 min", "2 h", "1 d"]);
    }

    #[test]
    fn a_digest_names_those_that_told_most() {
        let mut counter = Counter::default();
        for alert in 0..100 {
            let rule = alert % 3 + alert / 50;
            counter.add(rule, &format!("rule {rule}"), 2);
        }
        let digest = counter.finish();
        assert_eq!((digest.alerts, digest.rules, digest.counts), (100, 4, 200));
        let voice = Voice {
            service: "logs",
            counts: ["entries", "entry", "entries"],
            fact: "Entries",
        };
        let message = voice.digest("https://m.example", "i.2", 0, &digest);
        assert_eq!(message.title, "[logs] 100 alerts of 4 rules");
        assert_eq!(message.items.len(), 4);
        assert_eq!(message.document["digest"]["rules"], 4);
        assert_eq!(message.document["digest"]["top"][3]["entries"], 2 * 17);
        // As it was stored before.
        let stored = digest.write().expect("JSON");
        assert!(
            stored.starts_with("{\"alerts\":100,\"rules\":4,\"entries\":200,"),
            "{stored}"
        );
        assert_eq!(Digest::read(Some(&stored)).expect("a digest"), digest);
        assert!(Digest::read(None).is_err());
    }

    proptest! {
        #[test]
        fn queries_come_back(text in "\\PC{1,40}") {
            let mut query = String::new();
            add_parameter(&mut query, "search", &text);
            let parsed = Query::parse(&query);
            prop_assert_eq!(parsed.first("search"), Some(text.as_str()));
        }
    }
}
