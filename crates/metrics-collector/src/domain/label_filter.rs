//! Conditions on labels: which series a question is about.
//!
//! ```text
//! status:500          the value is this text          status!:500   it is anything else, or the label is absent
//! status:5*           `*` stands for any text          status!:5*    it is not of this form
//! status:*            the label is there               status!:*     it is absent
//! ```
//!
//! Conditions are separated by commas and must all hold. A label that is absent is the same as an empty one. A backslash
//! takes the meaning from the character behind it: `path:/a\,b\*`.

use super::labels::{self, bounded_name, bounded_value};

/// Conditions of one filter; each costs time for every series.
const MOST_CONDITIONS: usize = 32;

/// All conditions of a filter. Without any it takes every series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelFilter(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    label: String,
    negated: bool,
    pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This text.
    Exactly(String),
    /// Any text but the empty one.
    Something,
    /// Pieces with anything between them; at least two.
    Pieces(Vec<String>),
}

/// Why a filter cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFilter {
    /// A part without a colon.
    #[error("{0:?} is not understood; expected label:value, label!:value, label:* or label!:*")]
    NoColon(String),
    /// More than any question needs.
    #[error("too many conditions; expected at most {MOST_CONDITIONS}")]
    TooMany,
}

impl LabelFilter {
    /// Reads conditions separated by commas; empty ones are skipped.
    pub(crate) fn parse(text: &str) -> Result<Self, BadFilter> {
        let mut conditions = Vec::new();
        for part in split(text, ',') {
            if part.is_empty() {
                continue;
            }
            let condition = Condition::parse(part)?;
            // It is never a label, see the labels of a series.
            if condition.label == labels::DROPPED {
                continue;
            }
            conditions.push(condition);
            if conditions.len() > MOST_CONDITIONS {
                return Err(BadFilter::TooMany);
            }
        }
        Ok(Self(conditions))
    }

    /// Whether it takes every series.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels, as pairs of name and value, fulfil all conditions.
    pub(crate) fn takes(&self, labels: &[(String, String)]) -> bool {
        self.0.iter().all(|condition| {
            let value = labels
                .iter()
                .find(|(name, _)| *name == condition.label)
                .map_or("", |(_, value)| value.as_str());
            condition.pattern.matches(value) != condition.negated
        })
    }
}

impl Condition {
    fn parse(part: &str) -> Result<Self, BadFilter> {
        let mut halves = split_once(part, ':');
        let (Some(label), Some(pattern)) = (halves.next(), halves.next()) else {
            return Err(BadFilter::NoColon(part.chars().take(64).collect()));
        };
        let (label, negated) = match label.strip_suffix('!') {
            // An exclamation mark behind a backslash belongs to the name.
            Some(rest) if !ends_in_backslash(rest) => (rest, true),
            _ => (label, false),
        };
        Ok(Self {
            label: bounded_name(unescaped(label)).into_owned(),
            negated,
            pattern: Pattern::parse(pattern),
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::Something;
        }
        let mut pieces: Vec<String> = split(text, '*').map(unescaped).collect();
        match pieces.pop() {
            Some(whole) if pieces.is_empty() => Self::Exactly(bounded_value(whole).into_owned()),
            last => {
                pieces.extend(last);
                Self::Pieces(pieces)
            }
        }
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exactly(text) => value == text,
            Self::Something => !value.is_empty(),
            Self::Pieces(pieces) => matches_pieces(value, pieces),
        }
    }
}

/// Whether the pieces follow each other in the text, the first at its start and the last at its end. Taking each piece
/// where it comes first is enough, and linear in text times pieces.
fn matches_pieces(text: &str, pieces: &[String]) -> bool {
    let [first, between @ .., last] = pieces else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for piece in between {
        let Some((_, behind)) = rest.split_once(piece.as_str()) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last.as_str())
}

/// Parts between separators that have no backslash in front of them.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let separates = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
}

fn split_once(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.splitn(2, move |c| {
        let separates = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
}

/// Whether a backslash at the end takes the meaning from what follows.
fn ends_in_backslash(text: &str) -> bool {
    text.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().unwrap_or('\\')),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[track_caller]
    fn check(filter: &str, labels: &[(&str, &str)], expected: bool) {
        let parsed = LabelFilter::parse(filter).expect("is a filter");
        assert_eq!(
            parsed.takes(&pairs(labels)),
            expected,
            "{filter} {labels:?}"
        );
    }

    #[test]
    fn conditions_on_one_label() {
        let ok = [("status", "200"), ("path", "/a,b*c:d")];
        for (filter, expected) in [
            ("", true),
            (",", true),
            ("status:200", true),
            ("status:20", false),
            ("status!:200", false),
            ("status!:500", true),
            ("status:2*", true),
            ("status:*0", true),
            ("status:2*0", true),
            ("status:*2*0*0*", true),
            ("status:*2*0*0*0*", false),
            ("status:20*00", false),
            ("status:5*", false),
            ("status!:5*", true),
            ("status:*", true),
            ("status!:*", false),
            ("status:", false),
            ("none:", true),
            ("none:*", false),
            ("none!:*", true),
            ("none!:x", true),
            ("none:**", true),
            ("status:200,none!:x", true),
            ("status:200,status!:2*", false),
            (r"path:/a\,b\*c:d", true),
            (r"path:/a\,b\*c\:d", true),
            (r"path:/a\,*", true),
            (r"path:/a\,\*", false),
            ("session_id:x", true),
        ] {
            check(filter, &ok, expected);
        }
        check(r"odd\!:1", &[("odd!", "1")], true);
        check(r"a\:b:1", &[("a:b", "1")], true);
        check(r"b:\\", &[("b", "\\")], true);
        check(r"b:x\", &[("b", "x\\")], true);
    }

    #[test]
    fn what_is_too_long_is_cut_as_it_was_on_arrival() {
        let long = "x".repeat(600);
        let stored = labels::canonical(&format!("{{\"k\":\"{long}\"}}")).expect("is strict");
        let filter = LabelFilter::parse(&format!("k:{long}")).expect("is a filter");
        assert!(filter.takes(&labels::pairs(&stored.text)));
    }

    #[test]
    fn faults_are_said() {
        assert_eq!(
            LabelFilter::parse("a:b,status")
                .expect_err("is refused")
                .to_string(),
            r#""status" is not understood; expected label:value, label!:value, label:* or label!:*"#
        );
        assert_eq!(
            LabelFilter::parse(&"a:b,".repeat(33)),
            Err(BadFilter::TooMany)
        );
        assert!(LabelFilter::parse(&"a:b,".repeat(32)).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(filter in ".{0,40}", value in ".{0,20}") {
            if let Ok(filter) = LabelFilter::parse(&filter) {
                filter.takes(&pairs(&[("k", &value)]));
            }
        }

        #[test]
        fn an_escaped_value_is_itself(value in "\\PC{0,20}") {
            let escaped: String = value.chars().flat_map(|c| ['\\', c]).collect();
            let filter = LabelFilter::parse(&format!("k:{escaped}")).expect("is a filter");
            prop_assert!(filter.takes(&pairs(&[("k", &value)])));
        }

        #[test]
        fn stars_match_as_a_regular_expression_would(pieces in prop::collection::vec("[ab]{0,3}", 2..5), value in "[ab]{0,8}") {
            // Every way to put the pieces into the text, tried one after the other.
            fn slow(text: &str, pieces: &[String]) -> bool {
                match pieces {
                    [] => text.is_empty(),
                    [last] => text.ends_with(last.as_str()),
                    [first, rest @ ..] => (0..=text.len()).any(|at| text.get(at..).and_then(|text| text.strip_prefix(first.as_str())).is_some_and(|text| slow(text, rest))),
                }
            }
            let expected = value.strip_prefix(pieces[0].as_str()).is_some_and(|text| slow(text, &pieces[1..]));
            prop_assert_eq!(matches_pieces(&value, &pieces), expected);
        }
    }
}
