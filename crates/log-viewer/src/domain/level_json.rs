//! The level field of a line that is a JSON object.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::entry::Level;
use super::level::{syslog_severity, word};

/// Keys that name a level, the most telling first.
const KEYS: [&str; 14] = [
    "level",
    "severity",
    "log.level",
    "levelname",
    "level_name",
    "loglevel",
    "log_level",
    "lvl",
    "severity_text",
    "severityText",
    "@l",
    "log",
    "severityNumber",
    "severity_number",
];

/// The level that a JSON object at the start of `text` states.
pub(super) fn level(text: &str) -> Option<Level> {
    if !text.starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Fields>();
    values.next()?.ok()?.level()
}

/// What a level's value can be.
enum Value {
    Word(String),
    Number(f64),
    Other,
}

/// The fields of an object that say something about its level.
#[derive(Default)]
struct Fields {
    /// Rank of the key in [`KEYS`] and its value.
    found: Vec<(usize, Value)>,
    /// MongoDB: `s` holds a letter, `t` an object.
    mongo_letter: Option<char>,
    mongo_time: bool,
    /// GELF numbers its levels as syslog does.
    gelf: bool,
}

impl Fields {
    fn level(mut self) -> Option<Level> {
        self.found.sort_by_key(|(rank, _)| *rank);
        let (gelf, found) = (self.gelf, &self.found);
        found
            .iter()
            .find_map(|(rank, value)| match value {
                Value::Word(text) => named(text.trim()),
                Value::Number(number)
                    if KEYS.get(*rank).is_some_and(|key| key.ends_with("umber")) =>
                {
                    open_telemetry(*number)
                }
                Value::Number(number) => numbered(*number, gelf),
                Value::Other => None,
            })
            .or_else(|| {
                let name = self.mongo_letter.filter(|_| self.mongo_time)?;
                letter(name.encode_utf8(&mut [0; 4]))
            })
    }
}

/// A word or a letter; Go's slog counts from the nearest one: `WARN+1`, `DEBUG-2`.
fn named(text: &str) -> Option<Level> {
    let bare = text.split_once(['+', '-']).map_or(text, |(bare, _)| bare);
    word(bare).or_else(|| letter(text))
}

fn letter(text: &str) -> Option<Level> {
    Some(match text {
        "D" | "D1" | "D2" | "D3" | "D4" | "D5" | "T" => Level::Debug,
        "I" => Level::Info,
        "W" => Level::Warning,
        "E" => Level::Error,
        "F" | "C" => Level::Critical,
        _ => return None,
    })
}

/// pino and bunyan count 10, 20, … 60; Monolog 100, 200, … 600; GELF 0 to 7 downwards.
fn numbered(number: f64, gelf: bool) -> Option<Level> {
    if !(0.0..=1000.0).contains(&number) {
        return None;
    }
    let number = number as u64;
    if number < 8 {
        return gelf.then(|| syslog_severity(number));
    }
    Some(match number {
        8..=29 | 100..=199 => Level::Debug,
        30..=39 | 200..=299 => Level::Info,
        40..=49 | 300..=399 => Level::Warning,
        50..=59 | 400..=499 => Level::Error,
        _ => Level::Critical,
    })
}

/// OpenTelemetry's severity numbers, 1 to 24 in groups of four.
fn open_telemetry(number: f64) -> Option<Level> {
    Some(match number as u64 {
        1..=8 => Level::Debug,
        9..=12 => Level::Info,
        13..=16 => Level::Warning,
        17..=20 => Level::Error,
        21..=24 => Level::Critical,
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "s" => {
                    if let Value::Word(text) = map.next_value()? {
                        fields.mongo_letter = text.chars().next();
                    }
                }
                "t" => {
                    map.next_value::<IgnoredAny>()?;
                    fields.mongo_time = true;
                }
                "short_message" => {
                    map.next_value::<IgnoredAny>()?;
                    fields.gelf = true;
                }
                key => match KEYS.iter().position(|known| *known == key) {
                    Some(rank) => fields.found.push((rank, map.next_value()?)),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        Ok(fields)
    }
}

/// A key, borrowed when it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Word(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    /// `{"level":{"name":"ERROR"}}` and `{"log":{"level":"warn"}}`.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Value::Other;
        while let Some(Key(key)) = map.next_key()? {
            if matches!(key.as_ref(), "name" | "level") {
                found = match map.next_value::<Scalar>()?.0 {
                    Some(text) => Value::Word(text),
                    None => found,
                };
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A text, or nothing of interest. Does not descend, so nesting cannot exhaust the stack here.
struct Scalar(Option<String>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).ok()))
    }
}
