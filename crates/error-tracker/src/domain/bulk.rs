//! What somebody wants to do to many groups at once.

use serde_json::{Map, Value};

use super::decision::{self, InvalidDecision};
use super::group::GroupId;
use super::lifecycle::Ignore;

/// How many groups can be named one by one.
pub const MAX_IDS: usize = 1_000;

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

/// An action and the groups it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// What.
    pub action: Action,
    /// Each once.
    pub ids: Vec<GroupId>,
}

impl Bulk {
    /// Reads a request body, at `now_ms`.
    pub fn read(body: &[u8], now_ms: i64) -> Result<Self, InvalidDecision> {
        let members = decision::object(body)?;
        let action = Action::read(&members, now_ms)?;
        let ids = ids_of(&members)?;
        Ok(Self { action, ids })
    }
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
        let ids = vec![group(1), group(2)];
        assert_eq!(bulk, Ok(Bulk { action, ids }), "{body}");
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
        check(&body(r#""reopen","x":5"#), Action::Reopen);
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
        let many = format!(r#"{{"action":"delete","ids":[1{}]}}"#, ",1".repeat(MAX_IDS));
        check(&many, "'ids'");
        assert_eq!(ids(br#"{"ids":[3]}"#), Ok(vec![group(3)]));
    }
}
