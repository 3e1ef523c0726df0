//! What somebody wants to do to many groups at once.

use serde_json::{Map, Value};
use thiserror::Error;

use super::decision::{self, InvalidDecision};
use super::filter::{BadParameter, Filter};
use super::group::GroupId;
use super::lifecycle::Ignore;

/// How many groups can be named one by one, and how many can be merged at once.
pub const MAX_IDS: usize = 1_000;

/// Why a body does not say what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidBulk {
    /// Besides the filter.
    #[error(transparent)]
    Decision(#[from] InvalidDecision),
    /// Of the filter.
    #[error(transparent)]
    Filter(#[from] BadParameter),
}

/// What is to be done to each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See [`Decision::Resolved`](super::lifecycle::Decision::Resolved).
    Resolve {
        /// The release with the cure.
        in_release: Option<String>,
    },
    /// Whatever was decided holds no more.
    Reopen,
    /// See [`Ignore`].
    Ignore(Ignore),
    /// With all that is known of them.
    Delete,
    /// They become one.
    Merge {
        /// The one that goes on; else the one with the lowest number.
        into: Option<GroupId>,
    },
}

impl Action {
    /// As asked for.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::Reopen => "reopen",
            Self::Ignore(_) => "ignore",
            Self::Delete => "delete",
            Self::Merge { .. } => "merge",
        }
    }

    /// What its body may hold.
    fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Resolve { .. } => &["action", "ids", "filter", "in_release"],
            Self::Ignore(_) => &["action", "ids", "filter", "until", "for", "count"],
            Self::Merge { .. } => &["action", "ids", "filter", "into"],
            Self::Reopen | Self::Delete => &["action", "ids", "filter"],
        }
    }

    fn read(members: &Map<String, Value>, now_ms: i64) -> Result<Self, InvalidDecision> {
        match members.get("action").and_then(Value::as_str) {
            Some("resolve") => {
                let in_release = decision::release_of(members)?;
                Ok(Self::Resolve { in_release })
            }
            Some("reopen") => Ok(Self::Reopen),
            Some("ignore") => Ok(Self::Ignore(decision::ignore_of(members, now_ms)?)),
            Some("delete") => Ok(Self::Delete),
            Some("merge") => {
                let into = match members.get("into") {
                    None | Some(Value::Null) => None,
                    Some(number) => Some(id(number).ok_or(InvalidDecision::Field {
                        field: "into",
                        expected: "the number of an error",
                    })?),
                };
                Ok(Self::Merge { into })
            }
            _ => Err(InvalidDecision::Field {
                field: "action",
                expected: "resolve, reopen, ignore, delete or merge",
            }),
        }
    }
}

/// The groups an action is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These, each once.
    Ids(Vec<GroupId>),
    /// All that a filter leaves.
    Filter(Filter),
}

/// An action and the groups it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// What.
    pub action: Action,
    /// Whom.
    pub which: Which,
}

impl Bulk {
    /// Reads a request body, at `now_ms`.
    pub fn read(body: &[u8], now_ms: i64) -> Result<Self, InvalidBulk> {
        let members = decision::object(body)?;
        let action = Action::read(&members, now_ms)?;
        decision::only(&members, action.keys())?;
        let which = match (members.get("ids"), members.get("filter")) {
            (None, Some(filter)) => Which::Filter(filter_of(filter, now_ms)?),
            (None, None) => {
                let (field, expected) = ("ids", "given, or else 'filter'");
                return Err(InvalidDecision::Field { field, expected }.into());
            }
            (Some(_), None) => Which::Ids(ids_of(&members)?),
            (Some(_), Some(_)) => {
                let (field, expected) = ("filter", "absent where 'ids' are given");
                return Err(InvalidDecision::Field { field, expected }.into());
            }
        };
        Ok(Self { action, which })
    }
}

/// Reads the parameters of a list, written as an object: texts, numbers where it is one of time or an id, `true` and
/// `false` for `resolved`, and a list of texts for `tag`, which alone can be given several times.
fn filter_of(filter: &Value, now_ms: i64) -> Result<Filter, InvalidBulk> {
    let fault = || InvalidDecision::Field {
        field: "filter",
        expected: "an object of the parameters of a list",
    };
    let mut pairs = Vec::new();
    for (name, value) in filter.as_object().ok_or_else(fault)? {
        let values = match value {
            Value::Array(values) if name == "tag" && !values.is_empty() => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = match (value, name.as_str()) {
                (Value::String(text), _) => text.clone(),
                (Value::Number(_), "since" | "until" | "user" | "session_id")
                | (Value::Bool(_), "resolved") => value.to_string(),
                _ => {
                    let expected = match name.as_str() {
                        "tag" => "a text, or a list of at least one",
                        "resolved" => "true, false or \"all\"",
                        _ => "a text",
                    };
                    return Err(BadParameter::new(name, &value.to_string(), expected).into());
                }
            };
            pairs.push((name.as_str(), text));
        }
    }
    let pairs = pairs.iter().map(|(name, text)| (*name, text.as_str()));
    Ok(Filter::strict(pairs, now_ms)?)
}

/// The groups that a body names as its `ids`, each once.
pub fn ids(body: &[u8]) -> Result<Vec<GroupId>, InvalidDecision> {
    ids_of(&decision::object(body)?)
}

fn ids_of(members: &Map<String, Value>) -> Result<Vec<GroupId>, InvalidDecision> {
    let fault = InvalidDecision::Field {
        field: "ids",
        expected: "a list of 1 to 1000 numbers of errors",
    };
    let list = members.get("ids").and_then(Value::as_array);
    let list = list.filter(|list| (1..=MAX_IDS).contains(&list.len()));
    let ids: Option<Vec<GroupId>> = list.and_then(|list| list.iter().map(id).collect());
    let mut ids = ids.ok_or(fault)?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn id(value: &Value) -> Option<GroupId> {
    let number = value.as_i64().filter(|number| *number > 0);
    number.map(GroupId::from_stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_737_367_200_000;

    fn group(id: i64) -> GroupId {
        GroupId::from_stored(id)
    }

    #[track_caller]
    fn check(body: &str, action: Action) {
        let bulk = Bulk::read(body.as_bytes(), NOW);
        let which = Which::Ids(vec![group(1), group(2)]);
        assert_eq!(bulk, Ok(Bulk { action, which }), "{body}");
    }

    #[test]
    fn actions_have_names_and_keys_of_their_own() {
        let body = |rest: &str| format!(r#"{{"ids":[2,1,2],"action":{rest}}}"#);
        let resolve = |release: Option<&str>| Action::Resolve {
            in_release: release.map(str::to_owned),
        };
        check(&body(r#""resolve""#), resolve(None));
        check(
            &body(r#""resolve","in_release":"1.2""#),
            resolve(Some("1.2")),
        );
        check(&body(r#""reopen""#), Action::Reopen);
        check(&body(r#""ignore""#), Action::Ignore(Ignore::default()));
        let ignore = Ignore {
            until_ms: Some(NOW + 3_600_000),
            reports: Some(5),
        };
        check(
            &body(r#""ignore","for":"1h","count":5"#),
            Action::Ignore(ignore),
        );
        check(&body(r#""delete""#), Action::Delete);
        check(&body(r#""merge""#), Action::Merge { into: None });
        let into = Some(group(7));
        check(&body(r#""merge","into":7"#), Action::Merge { into });
    }

    #[test]
    fn a_filter_is_that_of_a_list() {
        #[track_caller]
        fn check(filter: &str, pairs: &[(&str, &str)]) {
            let body = format!(r#"{{"action":"delete","filter":{filter}}}"#);
            let bulk = Bulk::read(body.as_bytes(), NOW).map(|bulk| bulk.which);
            let expected = Filter::strict(pairs.iter().copied(), NOW).expect("a filter");
            assert_eq!(bulk, Ok(Which::Filter(expected)), "{filter}");
        }
        check("{}", &[]);
        check(
            r#"{"project":"shop","state":"all","tag":["a:1","b:2"],"since":1700000000}"#,
            &[
                ("project", "shop"),
                ("state", "all"),
                ("tag", "a:1"),
                ("tag", "b:2"),
                ("since", "1700000000"),
            ],
        );
        check(r#"{"resolved":true}"#, &[("resolved", "true")]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        #[track_caller]
        fn check(body: &str, expected: &str) {
            let fault = Bulk::read(body.as_bytes(), NOW)
                .expect_err(body)
                .to_string();
            assert!(fault.contains(expected), "{body}: {fault}");
        }
        check("", "'action'");
        check("[]", "a JSON object");
        check(r#"{"action":"close","ids":[1]}"#, "'action'");
        check(r#"{"action":"ignore","ids":[1],"for":"soon"}"#, "'for'");
        check(
            r#"{"action":"resolve","ids":[1],"in_release":5}"#,
            "'in_release'",
        );
        check(r#"{"action":"merge","ids":[1],"into":"x"}"#, "'into'");
        for ids in [
            "null", "5", "[]", "[0]", "[-1]", "[1.5]", "[\"1\"]", "[1,null]", "{}",
        ] {
            check(&format!(r#"{{"action":"delete","ids":{ids}}}"#), "'ids'");
        }
        check(
            r#"{"action":"delete"}"#,
            "'ids' must be given, or else 'filter'",
        );
        check(
            r#"{"action":"delete","ids":[1],"filter":{}}"#,
            "'filter' must be absent",
        );
        for filter in ["null", "5", "[]"] {
            check(
                &format!(r#"{{"action":"delete","filter":{filter}}}"#),
                "'filter'",
            );
        }
        for body in [
            r#"{"action":"ignore","ids":[1],"fro":"1h"}"#,
            r#"{"action":"delete","ids":[1],"count":5}"#,
        ] {
            check(body, "is not understood; expected action, ids, filter");
        }
        for filter in [
            r#"{"projct":"x"}"#,
            r#"{"limit":5}"#,
            r#"{"project":""}"#,
            r#"{"since":"x"}"#,
            r#"{"project":null}"#,
            r#"{"project":[]}"#,
            r#"{"project":["p0","p1"]}"#,
            r#"{"project":true}"#,
            r#"{"project":5}"#,
            r#"{"release":""}"#,
            r#"{"release":[""]}"#,
            r#"{"tag":[]}"#,
            r#"{"tag":[["a:1"]]}"#,
            r#"{"tag":["a:1",""]}"#,
            r#"{"resolved":1}"#,
        ] {
            check(
                &format!(r#"{{"action":"delete","filter":{filter}}}"#),
                "expected",
            );
        }
        let many = format!(r#"{{"action":"delete","ids":[1{}]}}"#, ",1".repeat(MAX_IDS));
        check(&many, "'ids'");
        assert_eq!(ids(br#"{"ids":[3]}"#), Ok(vec![group(3)]));
    }
}
