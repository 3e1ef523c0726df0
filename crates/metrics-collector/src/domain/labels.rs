//! Label sets in one canonical form, so that the same set is the same series however it was written.
//!
//! Canonical text is `{"a":"1","b":"2"}`: names sorted bytewise, values as text, no blanks; no labels at all is the empty
//! string. A label whose value is null is absent. What is too long is cut and ends in a hash of the whole, never refused.
//! `session_id` is dropped: it would make a series of every visit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::strict_json::{self, NotStrict};

/// Labels of one series.
pub(crate) const MAX_LABELS: usize = 32;
/// Bytes of a label's name.
pub(crate) const MAX_NAME_BYTES: usize = 100;
/// Bytes of a label's value.
pub(crate) const MAX_VALUE_BYTES: usize = 500;
/// Bytes of a project's name.
pub(crate) const MAX_PROJECT_BYTES: usize = 100;

/// The label that never becomes part of a series.
pub(crate) const DROPPED: &str = "session_id";
/// Stands for the labels above [`MAX_LABELS`].
const MORE: &str = "__more__";
/// Holds labels that are no object.
const NOT_AN_OBJECT: &str = "labels";

/// A label set in canonical form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Canonical {
    /// Empty when there are no labels.
    pub(crate) text: String,
    /// The project named by labels that only the browser relay sets together: `project`, `source` = `browser` and
    /// `session_id`. It counts when the metric has no project field.
    pub(crate) relay_project: Option<String>,
}

/// Brings labels into canonical form. `raw` is well-formed JSON.
pub(crate) fn canonical(raw: &str) -> Result<Canonical, NotStrict> {
    strict_json::check(raw)?;
    let Ok(Pairs(pairs)) = serde_json::from_str::<Pairs<'_>>(raw) else {
        let text = value_text(raw).unwrap_or_default();
        return Ok(Canonical {
            text: canonical_text([(NOT_AN_OBJECT.into(), text)]),
            relay_project: None,
        });
    };
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value_text(value.get())?)))
        .collect();
    let relay_project = relay_project(&pairs);
    Ok(Canonical {
        text: canonical_text(pairs),
        relay_project,
    })
}

/// A filter `name:value,name:value` in canonical form. Parts without a colon are skipped.
pub(crate) fn from_filter(filter: &str) -> String {
    canonical_text(
        filter
            .split(',')
            .filter_map(|part| part.split_once(':'))
            .map(|(name, value)| (name.into(), value.into())),
    )
}

/// Names of labels from a list separated by commas, each once. No series has more than [`MAX_LABELS`], and every name
/// costs memory for every series.
///
/// # Errors
/// What was expected.
pub(crate) fn names(list: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if name.is_empty() || names.iter().any(|known| known == name) {
            continue;
        }
        if names.len() == MAX_LABELS {
            return Err(format!(
                "group_by: too many labels; expected at most {MAX_LABELS}"
            ));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Labels in canonical form; of a name that comes twice the last counts.
pub(crate) fn from_pairs<'a>(
    pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
) -> String {
    canonical_text(pairs)
}

/// The labels of a canonical text, sorted by name.
pub(crate) fn pairs(canonical: &str) -> Vec<(String, String)> {
    let Ok(Pairs(pairs)) = serde_json::from_str::<Pairs<'_>>(canonical) else {
        return Vec::new();
    };
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            Some((name.into_owned(), value_text(value.get())?.into_owned()))
        })
        .collect()
}

/// A label's name, cut when it is too long.
pub(crate) fn bounded_name(name: String) -> Cow<'static, str> {
    bounded(name.into(), MAX_NAME_BYTES)
}

/// A label's value, cut when it is too long.
pub(crate) fn bounded_value(value: String) -> Cow<'static, str> {
    bounded(value.into(), MAX_VALUE_BYTES)
}

/// A project's name, cut when it is too long.
pub(crate) fn project(name: &str) -> Cow<'_, str> {
    bounded(name.into(), MAX_PROJECT_BYTES)
}

fn relay_project(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<String> {
    let find = |wanted: &str| {
        pairs
            .iter()
            .find_map(|(name, value)| (name == wanted).then_some(&**value))
    };
    find(DROPPED)?;
    let project = find("project").filter(|project| !project.is_empty())?;
    (find("source") == Some("browser")).then(|| project.to_owned())
}

/// A label's value as text; `None` for null.
fn value_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'"') => strict_json::string(raw),
        Some(b'n') => None,
        Some(b'{' | b'[') => Some(Cow::Owned(strict_json::compact(raw))),
        _ => Some(Cow::Borrowed(raw)),
    }
}

fn canonical_text<'a>(pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> String {
    let mut sorted: BTreeMap<Cow<'a, str>, Cow<'a, str>> = pairs
        .into_iter()
        .filter(|(name, _)| name != DROPPED)
        .map(|(name, value)| {
            (
                bounded(name, MAX_NAME_BYTES),
                bounded(value, MAX_VALUE_BYTES),
            )
        })
        .collect();
    if sorted.len() > MAX_LABELS
        && let Some(first_cut) = sorted.keys().nth(MAX_LABELS - 1).cloned()
    {
        let cut = sorted.split_off(&first_cut);
        sorted.insert(
            MORE.into(),
            format!(
                "{} labels~{:016x}",
                cut.len(),
                fnv1a(written(&cut).as_bytes())
            )
            .into(),
        );
    }
    if sorted.is_empty() {
        String::new()
    } else {
        written(&sorted)
    }
}

fn written(labels: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> String {
    // A map of strings to strings always has a JSON form.
    serde_json::to_string(labels).unwrap_or_default()
}

/// Text of at most `limit` bytes: longer text is cut and ends in `~` and a hash of all of it.
fn bounded(text: Cow<'_, str>, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text;
    }
    let hash = format!("~{:016x}", fnv1a(text.as_bytes()));
    let end = text.floor_char_boundary(limit - hash.len());
    Cow::Owned(text.get(..end).unwrap_or_default().to_owned() + &hash)
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo). It is stored, so it must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// An object's members in the order they came.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        assert_eq!(canonical(raw).expect("is strict").text, expected, "{raw}");
    }

    #[test]
    fn the_same_set_has_one_form() {
        check("{}", "");
        check(r#"{"b":"1","a":"2"}"#, r#"{"a":"2","b":"1"}"#);
        check(r#"{ "a" : "2" , "b":"1"}"#, r#"{"a":"2","b":"1"}"#);
        check(
            r#"{"n":1,"t":true,"f":-1.50,"z":null}"#,
            r#"{"f":"-1.50","n":"1","t":"true"}"#,
        );
        check(
            r#"{"o":{ "x" : [1, "a b"] }}"#,
            r#"{"o":"{\"x\":[1,\"a b\"]}"}"#,
        );
        check(r#"{"\u0061":"\"\\\n"}"#, r#"{"a":"\"\\\n"}"#);
        check("\"text\"", r#"{"labels":"text"}"#);
        check("[1, 2]", r#"{"labels":"[1,2]"}"#);
        check("true", r#"{"labels":"true"}"#);
        check(r#"{"session_id":"x"}"#, "");
        check(r#"{"page":"/","session_id":"x"}"#, r#"{"page":"/"}"#);
    }

    #[test]
    fn duplicate_keys_and_depth_are_refused() {
        assert_eq!(
            canonical(r#"{"k":"1","k":"2"}"#),
            Err(NotStrict::DuplicateKey)
        );
        assert_eq!(
            canonical(r#"{"k":{"x":1,"x":2}}"#),
            Err(NotStrict::DuplicateKey)
        );
        assert_eq!(
            canonical(&("[".repeat(300) + &"]".repeat(300))),
            Err(NotStrict::TooDeep)
        );
        assert_eq!(
            canonical(r#"{"k":"\ud800"}"#),
            Err(NotStrict::LoneSurrogate)
        );
    }

    #[test]
    fn long_parts_are_cut_and_stay_different() {
        let of = |value: &str| {
            canonical(&format!("{{\"v\":\"{value}\"}}"))
                .expect("is strict")
                .text
        };
        let (a, b) = (of(&("x".repeat(600) + "a")), of(&("x".repeat(600) + "b")));
        assert_ne!(a, b);
        assert_eq!(a.len(), r#"{"v":""}"#.len() + MAX_VALUE_BYTES);
        assert_eq!(
            of(&"x".repeat(500)),
            format!("{{\"v\":\"{}\"}}", "x".repeat(500))
        );
        // A cut inside a character moves to its start.
        assert!(of(&"é".repeat(400)).len() <= r#"{"v":""}"#.len() + MAX_VALUE_BYTES);
        let name = canonical(&format!("{{\"{}\":\"v\"}}", "n".repeat(5000)))
            .expect("is strict")
            .text;
        assert_eq!(name.len(), r#"{"":"v"}"#.len() + MAX_NAME_BYTES);
        assert_eq!(project(&"p".repeat(300)).len(), MAX_PROJECT_BYTES);
        assert_eq!(project("shop"), "shop");
    }

    #[test]
    fn a_cut_is_the_same_in_every_version() {
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(
            project(&"p".repeat(101)),
            format!(
                "{}~{:016x}",
                "p".repeat(83),
                fnv1a("p".repeat(101).as_bytes())
            )
        );
    }

    #[test]
    fn many_labels_are_folded_into_one() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"k{n:03}\":\"v\"")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(
            pairs(&canonical(&object(32)).expect("is strict").text).len(),
            32
        );
        let folded = canonical(&object(40)).expect("is strict").text;
        assert_eq!(pairs(&folded).len(), 32);
        let more = pairs(&folded).into_iter().find(|(name, _)| name == MORE);
        assert!(more.expect("is there").1.starts_with("9 labels~"));
        assert_ne!(folded, canonical(&object(41)).expect("is strict").text);
    }

    #[test]
    fn a_filter_names_the_same_set() {
        assert_eq!(
            from_filter("b:1,a:2"),
            canonical(r#"{"a":"2","b":1}"#).expect("is strict").text
        );
        assert_eq!(
            from_filter("url:http://x,skipped,:e"),
            r#"{"":"e","url":"http://x"}"#
        );
        assert_eq!(from_filter("zzz"), "");
        assert_eq!(from_filter("session_id:s,a:b"), r#"{"a":"b"}"#);
        let long = "x".repeat(2000);
        assert_eq!(
            from_filter(&format!("a:{long}")),
            canonical(&format!("{{\"a\":\"{long}\"}}"))
                .expect("is strict")
                .text
        );
    }

    #[test]
    fn only_the_relays_labels_name_a_project() {
        let of = |raw: &str| canonical(raw).expect("is strict").relay_project;
        assert_eq!(
            of(r#"{"project":"web","source":"browser","session_id":"s"}"#).as_deref(),
            Some("web")
        );
        assert_eq!(of(r#"{"project":"web","source":"browser"}"#), None);
        assert_eq!(of(r#"{"project":"web","session_id":"s"}"#), None);
        assert_eq!(
            of(r#"{"project":"","source":"browser","session_id":"s"}"#),
            None
        );
    }
}
