//! What people may say when they decide about a group: the bodies of these requests.

use jiff::SignedDuration;
use monlight_shared::time_span::Span;
use serde_json::{Map, Value};
use thiserror::Error;

use super::facet::MAX_FACET_CHARS;
use super::lifecycle::Ignore;

/// The longest note, in characters.
pub const MAX_NOTE_CHARS: usize = 10_000;
const MOST_REPORTS: i64 = 1_000_000_000;
/// Longer is for ever, which is said without a time.
const LONGEST_MS: i64 = 36_525 * 86_400_000;

/// Why a body does not say what is to be decided.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidDecision {
    /// Another kind of JSON.
    #[error("Request body must be a JSON object")]
    NotAnObject,
    /// Not JSON at all.
    #[error("Request body is not valid JSON ({0}); expected an object")]
    NotJson(String),
    /// A key that means nothing here.
    #[error("Key {key:?} is not understood; expected {expected}")]
    Unknown {
        /// As given, cut.
        key: String,
        /// Those that are.
        expected: String,
    },
    /// A member that is not what it should be.
    #[error("Field '{field}' must be {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// In words.
        expected: &'static str,
    },
}

/// The release named in the body of a resolve. A body that is no JSON object says nothing.
pub fn release(body: &[u8]) -> Result<Option<String>, InvalidDecision> {
    match object(body) {
        Ok(members) => release_of(&members),
        Err(_) => Ok(None),
    }
}

/// The member `in_release` of an object.
pub fn release_of(members: &Map<String, Value>) -> Result<Option<String>, InvalidDecision> {
    let expected = "the name of a release, at most 200 characters";
    let field = "in_release";
    match members.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if fits(name, MAX_FACET_CHARS) && !name.is_empty() => {
            Ok(Some(name.clone()))
        }
        Some(_) => Err(InvalidDecision::Field { field, expected }),
    }
}

/// For how long a group is to be ignored, as of `now_ms`: `until` a time, `for` a time like `24h` or `7d`, for `count`
/// more reports; without any of them for ever.
pub fn ignore(body: &[u8], now_ms: i64) -> Result<Ignore, InvalidDecision> {
    let members = object(body)?;
    only(&members, &["until", "for", "count"])?;
    ignore_of(&members, now_ms)
}

/// As [`ignore`], from an object.
pub fn ignore_of(members: &Map<String, Value>, now_ms: i64) -> Result<Ignore, InvalidDecision> {
    let until = member(
        members,
        "until",
        "a time within the next hundred years, as in 2026-12-24T18:00:00Z",
        |value| {
            let ms = match value {
                Value::String(text) => Span::parse(text)?.first_ns / 1_000_000,
                _ => return None,
            };
            (1..=LONGEST_MS).contains(&(ms - now_ms)).then_some(ms)
        },
    )?;
    let lasting = member(
        members,
        "for",
        "a time like 90m, 24h or 7d, at most a hundred years",
        |value| {
            let ms = duration_ms(value.as_str()?).filter(|ms| *ms <= LONGEST_MS)?;
            now_ms.checked_add(ms)
        },
    )?;
    let reports = member(
        members,
        "count",
        "a whole number from 1 to 1000000000",
        |value| {
            value
                .as_i64()
                .filter(|count| (1..=MOST_REPORTS).contains(count))
        },
    )?;
    // Of two times the earlier one ends it.
    let until_ms = until.into_iter().chain(lasting).min();
    Ok(Ignore { until_ms, reports })
}

/// The note in a body; an empty one removes it.
pub fn note(body: &[u8]) -> Result<Option<String>, InvalidDecision> {
    let expected = "a text of at most 10000 characters";
    let field = "note";
    match object(body)?.get(field) {
        Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if fits(text, MAX_NOTE_CHARS) => {
            Ok((!text.trim().is_empty()).then(|| text.clone()))
        }
        _ => Err(InvalidDecision::Field { field, expected }),
    }
}

/// The members of a body; an empty one has none.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, InvalidDecision> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(InvalidDecision::NotAnObject),
        Err(fault) => Err(InvalidDecision::NotJson(fault.to_string())),
    }
}

/// Refuses keys other than these: a mistyped one would decide something else than was meant.
pub fn only(members: &Map<String, Value>, known: &[&str]) -> Result<(), InvalidDecision> {
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(InvalidDecision::Unknown {
            key: key.chars().take(64).collect(),
            expected: known.join(", "),
        }),
    }
}

fn member<T>(
    members: &Map<String, Value>,
    field: &'static str,
    expected: &'static str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, InvalidDecision> {
    match members.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(InvalidDecision::Field { field, expected }),
        },
    }
}

fn fits(text: &str, chars: usize) -> bool {
    text.len() <= chars || text.chars().count() <= chars
}

/// A whole number of seconds, minutes, hours, days or weeks.
fn duration_ms(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let number: i64 = text
        .strip_suffix(unit)?
        .parse()
        .ok()
        .filter(|number| *number > 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let lasting = SignedDuration::from_secs(number.checked_mul(seconds)?);
    i64::try_from(lasting.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_737_367_200_000;

    #[test]
    fn a_group_is_ignored_until_a_time_for_a_time_or_for_some_reports() {
        #[track_caller]
        fn check(body: &str, until_ms: Option<i64>, reports: Option<i64>) {
            let expected = Ignore { until_ms, reports };
            assert_eq!(ignore(body.as_bytes(), NOW), Ok(expected), "{body}");
        }
        check("", None, None);
        check(" {} ", None, None);
        check(r#"{"for":"24h"}"#, Some(NOW + 86_400_000), None);
        check(
            r#"{"for":"1w","until":null}"#,
            Some(NOW + 7 * 86_400_000),
            None,
        );
        check(
            r#"{"until":"2025-01-20T11:00:00+00:00"}"#,
            Some(NOW + 3_600_000),
            None,
        );
        check(
            r#"{"until":"2025-01-20T11:00:00Z","for":"30m"}"#,
            Some(NOW + 1_800_000),
            None,
        );
        check(r#"{"count":100}"#, None, Some(100));
        check(r#"{"count":1,"for":"1s"}"#, Some(NOW + 1_000), Some(1));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        #[track_caller]
        fn check(body: &str, expected: &str) {
            let fault = ignore(body.as_bytes(), NOW).expect_err(body).to_string();
            assert!(fault.contains(expected), "{body}: {fault}");
        }
        check("[]", "a JSON object");
        check("{", "not valid JSON");
        check("{\"for\":\"\\ud83d\"}", "not valid JSON");
        check(
            r#"{"cuont":5}"#,
            "\"cuont\" is not understood; expected until, for, count",
        );
        check(r#"{"for":"9999999w"}"#, "'for'");
        check(r#"{"until":"9999-12-31"}"#, "'until'");
        check(r#"{"until":"2025-01-20T09:59:59Z"}"#, "'until'");
        check(r#"{"until":5}"#, "'until'");
        for text in [
            "",
            "h",
            "24",
            "-1h",
            "0h",
            "1y",
            "9223372036854775807w",
            "1é",
        ] {
            check(&format!(r#"{{"for":"{text}"}}"#), "'for'");
        }
        for number in ["0", "-1", "1.5", "\"5\"", "1000000001"] {
            check(&format!(r#"{{"count":{number}}}"#), "'count'");
        }
    }

    #[test]
    fn a_body_without_a_release_resolves_for_all() {
        for body in ["", "x", "[]", "{}", r#"{"in_release":null}"#, "\u{0}"] {
            assert_eq!(release(body.as_bytes()), Ok(None), "{body:?}");
        }
        assert_eq!(
            release(br#"{"in_release":"2.4.1"}"#),
            Ok(Some("2.4.1".to_owned()))
        );
        for body in [r#"{"in_release":""}"#, r#"{"in_release":5}"#] {
            release(body.as_bytes()).expect_err(body);
        }
    }

    #[test]
    fn a_note_is_a_text() {
        assert_eq!(note(br#"{"note":"a\nb"}"#), Ok(Some("a\nb".to_owned())));
        assert_eq!(note(br#"{"note":" \n"}"#), Ok(None));
        assert_eq!(note(br#"{"note":null}"#), Ok(None));
        let long = |chars| format!(r#"{{"note":"{}"}}"#, "é".repeat(chars));
        assert!(note(long(MAX_NOTE_CHARS).as_bytes()).is_ok());
        for body in ["{}", "", "[]", r#"{"note":5}"#, &long(MAX_NOTE_CHARS + 1)] {
            note(body.as_bytes()).expect_err("no note");
        }
    }
}
