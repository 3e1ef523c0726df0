//! Rules that watch for entries: what counts, and when people are told.
//!
//! A rule fires when `threshold` entries that match its filter have arrived within its window, and not again before its
//! cooldown is over. Counting is by arrival, in sixtieths of the window: what has arrived within the window is always
//! counted, what arrived up to a sixtieth before it may be. A rule that fires begins to count anew; what arrives while it
//! cools down is counted, so one that is still going on fires with the next match afterwards.

use std::time::Duration;

use monlight_shared::http::Query;
use monlight_shared::notify::rules::{self, LONGEST_PAUSE, LONGEST_WINDOW};
use serde::Deserialize;
use serde_json::Value;

use super::filter::{Filter, Levels};
use super::matching::Matching;
use super::query_filter::{self, NAMES};

/// The most rules.
pub const MOST_RULES: usize = 50;
/// The longest filter as a query string, in bytes.
pub const QUERY_BYTES: usize = 4096;
/// The largest threshold.
pub const MOST_THRESHOLD: i64 = 1_000_000;
/// Parts of a window.
const PARTS: i64 = 60;
/// A remembered time that is further ahead of the clock than this was remembered before the clock was set back.
const STALE_MS: i64 = 60_000;

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What people call it.
    pub name: String,
    /// Its filter, as a query string of `GET /api/logs`.
    pub query: String,
    /// So many entries.
    pub threshold: i64,
    /// Within this time.
    pub window: Duration,
    /// How long it is quiet after it fired.
    pub cooldown: Duration,
    /// Whether it is looked at.
    pub enabled: bool,
}

/// A body, as far as JSON knows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: Option<Value>,
    filter: Option<Value>,
    threshold: Option<Value>,
    window_seconds: Option<Value>,
    cooldown_seconds: Option<Value>,
    enabled: Option<Value>,
}

impl Rule {
    /// Reads a new rule. `name` and `filter` are required; the usual rule fires at the first match and is then quiet for
    /// a quarter of an hour.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let usual = Self {
            name: String::new(),
            query: String::new(),
            threshold: 1,
            window: Duration::from_mins(5),
            cooldown: Duration::from_mins(15),
            enabled: true,
        };
        let given = parse(body)?;
        for (name, value) in [("name", &given.name), ("filter", &given.filter)] {
            if value.is_none() {
                return Err(format!("{name} is missing"));
            }
        }
        usual.with(given)
    }

    /// The rule with what a body gives.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn changed(self, body: &[u8]) -> Result<Self, String> {
        self.with(parse(body)?)
    }

    fn with(mut self, body: Body) -> Result<Self, String> {
        if let Some(name) = body.name {
            self.name = rules::name(&name)?;
        }
        if let Some(filter) = body.filter {
            self.query = query_of(&filter)?;
        }
        if let Some(threshold) = body.threshold {
            self.threshold = rules::whole_number("threshold", &threshold, 1, MOST_THRESHOLD)?;
        }
        if let Some(window) = body.window_seconds {
            self.window = rules::seconds("window_seconds", &window, 1, LONGEST_WINDOW)?;
        }
        if let Some(cooldown) = body.cooldown_seconds {
            self.cooldown = rules::seconds("cooldown_seconds", &cooldown, 0, LONGEST_PAUSE)?;
        }
        if let Some(enabled) = body.enabled {
            self.enabled = rules::enabled(&enabled)?;
        }
        Ok(self)
    }

    /// Whether both count the same entries in the same way, so that what was counted for one holds for the other.
    pub fn counts_like(&self, other: &Self) -> bool {
        self.query == other.query
            && self.threshold == other.threshold
            && self.window == other.window
            && self.enabled == other.enabled
    }

    /// Its filter.
    ///
    /// # Errors
    /// What is wrong with the query; one that was stored has been checked.
    pub fn filter(&self) -> Result<Filter, String> {
        filter_of(&self.query)
    }
}

fn parse(body: &[u8]) -> Result<Body, String> {
    serde_json::from_slice(body).map_err(|fault| {
        format!(
            "The body is no rule ({fault}); expected a JSON object with name, filter, threshold, window_seconds, cooldown_seconds and enabled"
        )
    })
}

/// The query string of a filter that is given as one, or as an object of parameters.
fn query_of(value: &Value) -> Result<String, String> {
    let pairs: Vec<(String, String)> = match value {
        Value::String(text) => rules::pairs(text),
        Value::Object(parameters) => parameters
            .iter()
            .map(|(name, value)| values_of(name, value))
            .collect::<Result<Vec<_>, String>>()?
            .concat(),
        _ => {
            return Err(
                "filter: expected an object such as {\"level\": \">=error\", \"search\": \"timeout\"}, or a query string"
                    .to_owned(),
            );
        }
    };
    let mut query = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        if !NAMES.contains(&name.as_str()) && !name.starts_with("field.") {
            return Err(unknown(name));
        }
        rules::add_parameter(&mut query, name, value);
    }
    if query.len() > QUERY_BYTES {
        return Err(format!(
            "filter: {} bytes as a query string; expected at most {QUERY_BYTES}",
            query.len()
        ));
    }
    filter_of(&query).map(|_| query)
}

/// A parameter of an object with its values. Those of lists that are separated by commas become one value; of others only
/// fields can have several.
fn values_of(name: &str, value: &Value) -> Result<Vec<(String, String)>, String> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    let texts: Vec<String> = values
        .iter()
        .map(|value| text_of(name, value))
        .collect::<Result<_, _>>()?;
    // Forms send empty parameters along.
    let is_blank = |text: &String| text.trim().is_empty();
    if texts.is_empty() || texts.len() > 1 && texts.iter().any(is_blank) {
        return Err(format!("filter: {name}: expected texts that are not empty"));
    }
    let pair = |text: String| (name.to_owned(), text);
    if matches!(name, "container" | "project" | "service" | "level") {
        return Ok(vec![pair(texts.join(","))]);
    }
    if texts.len() > 1 && !name.starts_with("field.") {
        return Err(format!("filter: {name}: expected one text"));
    }
    Ok(texts.into_iter().map(pair).collect())
}

fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    if matches!(name, "since" | "until") {
        return format!("filter: {shown} has no place in a rule, which looks at what arrives");
    }
    format!(
        "filter: {shown:?} is unknown; expected {} or field.NAME",
        NAMES.join(", ")
    )
}

fn text_of(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is) => Ok(is.to_string()),
        _ => Err(format!(
            "filter: {name}: expected a text or a list of texts"
        )),
    }
}

fn filter_of(query: &str) -> Result<Filter, String> {
    let query = Query::parse(query);
    let pairs: Vec<(&str, &str)> = query.pairs().collect();
    let filter = query_filter::parse(&pairs).map_err(|fault| format!("filter: {fault}"))?;
    let levels = pairs.iter().filter(|(name, _)| *name == "level");
    for part in levels.flat_map(|(_, text)| text.split(',')) {
        if !part.trim().is_empty() && Levels::parse(part).is_empty() {
            let expected = "levels such as error, >=warning";
            return Err(format!(
                "filter: {}",
                query_filter::unexpected("level", part, expected)
            ));
        }
    }
    if Matching::new(&filter).is_none() {
        return Err("filter: mode: \"fts\" cannot be watched for; expected words".to_owned());
    }
    if filter.is_empty() {
        return Err("filter: nothing can match it".to_owned());
    }
    Ok(filter)
}

/// What a rule has counted. Times are unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Numbers of parts of windows since 1970, ascending, each with what arrived in it, and how much of that while the
    /// rule was quiet.
    pub parts: Vec<(i64, i64, i64)>,
    /// When it last fired.
    pub fired_ms: Option<i64>,
    /// Matches since it last fired.
    pub unsaid: i64,
}

impl Counted {
    /// Counts entries that arrive now. Answers how many matched since the rule last fired, when it fires.
    pub fn add(&mut self, rule: &Rule, entries: i64, now_ms: i64) -> Option<i64> {
        if entries == 0 {
            return None;
        }
        let window_ms = rule.window.as_millis() as i64;
        let (oldest, part) = parts_of(window_ms, now_ms);
        let is_quiet = self.quiet_until(rule, now_ms).is_some();
        let while_quiet = if is_quiet { entries } else { 0 };
        self.parts
            .retain(|(known, ..)| (oldest..=part).contains(known));
        match self.parts.last_mut() {
            Some((known, count, quiet)) if *known == part => {
                *count += entries;
                *quiet += while_quiet;
            }
            _ => self.parts.push((part, entries, while_quiet)),
        }
        self.unsaid += while_quiet;
        let counted: i64 = self.parts.iter().map(|(_, count, _)| count).sum();
        if counted < rule.threshold || is_quiet {
            return None;
        }
        let heard: i64 = self
            .parts
            .iter()
            .map(|(_, count, quiet)| count - quiet)
            .sum();
        self.parts.clear();
        self.fired_ms = Some(now_ms);
        Some(std::mem::take(&mut self.unsaid) + heard)
    }

    /// How many matches count at this time.
    pub fn within(&self, rule: &Rule, now_ms: i64) -> i64 {
        let window_ms = rule.window.as_millis() as i64;
        let (oldest, part) = parts_of(window_ms, now_ms);
        let counts = self
            .parts
            .iter()
            .filter(|(known, ..)| (oldest..=part).contains(known));
        counts.map(|(_, count, _)| count).sum()
    }

    /// Until when the rule is quiet, `None` when it is not.
    pub fn quiet_until(&self, rule: &Rule, now_ms: i64) -> Option<i64> {
        let fired_ms = self.fired_ms.filter(|fired| *fired <= now_ms + STALE_MS)?;
        let until = fired_ms + rule.cooldown.as_millis() as i64;
        (until > now_ms).then_some(until)
    }
}

/// The numbers of the first and the last part of the window that ends at this time. The first may be partly before it.
fn parts_of(window_ms: i64, now_ms: i64) -> (i64, i64) {
    let length = (window_ms / PARTS).max(1);
    let number = |time: i64| time.div_euclid(length);
    (number(now_ms.saturating_sub(window_ms)), number(now_ms))
}

/// When a rule would have fired, had entries arrived at these times, in ascending order.
pub fn firings(rule: &Rule, times_ms: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut counted = Counted::default();
    times_ms
        .filter(|time_ms| counted.add(rule, 1, *time_ms).is_some())
        .collect()
}

#[cfg(test)]
mod tests;
