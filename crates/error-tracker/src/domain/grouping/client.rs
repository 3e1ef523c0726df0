//! The fingerprint a client sends with a report.

use serde_json::value::RawValue;

use super::super::json;
use super::{Encoder, GroupingKey, KeyKind};

/// How many parts count.
pub(super) const MOST_PARTS: usize = 20;

/// How many characters of a part count.
pub(super) const MOST_PART_CHARS: usize = 500;

/// The member `fingerprint` of a report: texts that name its group. `{{ default }}` stands for the
/// key the report has without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFingerprint {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Default,
}

impl ClientFingerprint {
    /// Reads a valid JSON value without blanks around it: a string, or a list of strings. `None`
    /// for anything else, and for one that says nothing: an empty string, an empty list, or the
    /// default alone. Parts beyond [`MOST_PARTS`] and what a part has beyond [`MOST_PART_CHARS`]
    /// are left out.
    pub fn from_json(json: &str) -> Option<Self> {
        let texts = match json.bytes().next()? {
            b'[' => serde_json::from_str::<Vec<&RawValue>>(json)
                .ok()?
                .into_iter()
                .map(RawValue::get)
                .collect(),
            _ => vec![json],
        };
        let mut parts = Vec::with_capacity(texts.len().min(MOST_PARTS));
        for (index, text) in texts.into_iter().enumerate() {
            let text = json::unescape(text)?.text;
            if index < MOST_PARTS {
                parts.push(Part::read(&text));
            }
        }
        let says_something = |part: &Part| match part {
            Part::Text(text) => !text.is_empty(),
            Part::Default => false,
        };
        parts.iter().any(says_something).then_some(Self { parts })
    }
}

impl Part {
    fn read(text: &str) -> Self {
        let inside = text
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        if inside.is_some_and(|name| name.trim() == "default") {
            return Self::Default;
        }
        let end = text.char_indices().nth(MOST_PART_CHARS);
        let kept = end.and_then(|(end, _)| text.get(..end)).unwrap_or(text);
        Self::Text(kept.to_owned())
    }
}

/// The key of a report with a fingerprint of its own; `default` is the key it would have without.
pub fn client_key(
    project: &str,
    fingerprint: &ClientFingerprint,
    default: &GroupingKey,
) -> GroupingKey {
    let mut key = Encoder::new("monlight client 1");
    key.part(b'p', project.as_bytes());
    for part in &fingerprint.parts {
        match part {
            Part::Text(text) => key.part(b'c', text.as_bytes()),
            Part::Default => key.part(b'd', default.as_bytes()),
        }
    }
    GroupingKey::new(KeyKind::Client, key.digest())
}

#[cfg(test)]
mod tests {
    use super::super::super::fingerprint::Fingerprint;
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &[&str]) {
        let parts = expected.iter().map(|part| Part::read(part)).collect();
        let fingerprint = (!expected.is_empty()).then_some(ClientFingerprint { parts });
        assert_eq!(ClientFingerprint::from_json(json), fingerprint, "of {json}");
    }

    #[test]
    fn texts_and_lists_of_texts_are_read() {
        check(r#""payment""#, &["payment"]);
        check(r#"["payment", "de\u00e9"]"#, &["payment", "deé"]);
        check(r#"["{{ default }}","a"]"#, &["{{default}}", "a"]);
        check(r#"["","a"]"#, &["", "a"]);
        check("\"\\ud800\"", &["\u{fffd}"]);
    }

    #[test]
    fn anything_else_is_no_fingerprint() {
        for json in [
            "null",
            "5",
            "true",
            "{}",
            "[]",
            "\"\"",
            "[5]",
            "[\"a\", null]",
            "[[\"a\"]]",
            "[\"\"]",
            "[\"{{ default }}\"]",
            "\"{{ default }}\"",
            "",
        ] {
            check(json, &[]);
        }
    }

    #[test]
    fn long_ones_are_cut() {
        let many = serde_json::to_string(&vec!["a"; 1_000]).unwrap();
        check(&many, &["a"; MOST_PARTS]);
        let long = format!("\"{}\"", "é".repeat(600));
        check(&long, &[&"é".repeat(MOST_PART_CHARS)]);
    }

    #[test]
    fn keys_are_apart_by_project_parts_and_default() {
        let original = |text| GroupingKey::original(Fingerprint::of(text, "E", ""));
        let (one, other) = (original("one"), original("other"));
        let key = |project: &str, json: &str, default| {
            let fingerprint = ClientFingerprint::from_json(json).unwrap();
            client_key(project, &fingerprint, default)
        };
        let keys = [
            key("shop", r#""ab""#, &one),
            key("blog", r#""ab""#, &one),
            key("shop", r#"["a", "b"]"#, &one),
            key("shop", r#"["b", "a"]"#, &one),
            key("shop", r#"["{{ default }}", "a"]"#, &one),
            key("shop", r#"["{{ default }}", "a"]"#, &other),
        ];
        for (index, left) in keys.iter().enumerate() {
            assert_eq!(left.kind(), KeyKind::Client);
            assert!(!keys[..index].contains(left), "key {index}");
        }
        assert_eq!(keys[0], key("shop", r#"["ab"]"#, &other));
        assert_eq!(keys[4], key("shop", r#"["{{default}}", "a"]"#, &one));
    }
}
