//! A report as it arrives: read once, checked once, and from then on a value that is right.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use super::fingerprint::Fingerprint;
use super::group::Source;
use super::grouping::{self, ClientFingerprint, GroupingKey, GroupingMode, client_key};
use super::json;
use super::session::{self, SessionId};
use super::symbolication;
use super::user::UserId;

/// The longest project name, in characters.
pub const MAX_PROJECT_CHARS: usize = 100;
/// The longest exception type, in characters.
pub const MAX_TYPE_CHARS: usize = 200;

/// Why a body is no report. The texts are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidReport {
    /// No strict JSON, no UTF-8, or a key of the report given twice.
    #[error("Invalid JSON")]
    Json,
    /// JSON, but a list, a text, ...
    #[error("Request body must be a JSON object")]
    NotAnObject,
    /// Absent, null or no text.
    #[error("Missing required field: {0}")]
    Missing(&'static str),
    /// Longer than allowed.
    #[error("Field '{field}' exceeds maximum length of {limit} characters")]
    TooLong {
        /// Its name.
        field: &'static str,
        /// In characters.
        limit: usize,
    },
}

/// One thing that went wrong somewhere. Texts hold no lone surrogates; `request_headers`, `extra`
/// and `tags` are compact JSON values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReport {
    /// At most [`MAX_PROJECT_CHARS`]; may be empty.
    pub project: String,
    /// At most [`MAX_TYPE_CHARS`]; may be empty.
    pub exception_type: String,
    /// May be empty.
    pub message: String,
    /// May be empty.
    pub traceback: String,
    /// What the request went to, or the page.
    pub request_url: Option<String>,
    /// `BROWSER` marks a report of a page.
    pub request_method: Option<String>,
    /// Any JSON value but null.
    pub request_headers: Option<String>,
    /// Who saw it.
    pub user_id: Option<String>,
    /// Any JSON value but null.
    pub extra: Option<String>,
    /// As the client says it, e.g. `warning`.
    pub level: Option<String>,
    /// Version of the reporting software; where the report names none, that in `extra`.
    pub release: Option<String>,
    /// Where it runs, e.g. `staging`.
    pub environment: Option<String>,
    /// The host it runs on.
    pub server_name: Option<String>,
    /// A JSON object.
    pub tags: Option<String>,
    /// What its client wants it to be grouped by.
    pub fingerprint: Option<ClientFingerprint>,
}

impl ErrorReport {
    /// Reads a request body. Checks come in the contract's order, the first failure wins.
    ///
    /// A lone surrogate (half of a character, easily made by cutting a text in JavaScript) becomes
    /// U+FFFD, except in the project and the type, which name the group. Keys given twice are
    /// refused in the report itself; in `extra` and the headers the last one counts.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidReport> {
        let text = str::from_utf8(body).map_err(|_| InvalidReport::Json)?;
        let members = Members::read(text)?;
        let name = |field| match members.value(field).map(json::unescape) {
            Some(Some(text)) if text.lone_surrogate => Err(InvalidReport::Json),
            text => Ok(text.flatten().map(|text| text.text.into_owned())),
        };
        let (project, exception_type) = (name(Field::Project)?, name(Field::ExceptionType)?);
        let extra = members.json(Field::Extra);
        let release = members
            .name(Field::Release)
            .or_else(|| session::release_in(extra.as_deref()?))
            .filter(|release| !release.trim().is_empty());
        let report = Self {
            project: project.ok_or(InvalidReport::Missing("project"))?,
            exception_type: exception_type.ok_or(InvalidReport::Missing("exception_type"))?,
            message: members
                .text(Field::Message)
                .ok_or(InvalidReport::Missing("message"))?,
            traceback: members
                .text(Field::Traceback)
                .ok_or(InvalidReport::Missing("traceback"))?,
            request_url: members.text(Field::RequestUrl),
            request_method: members.text(Field::RequestMethod),
            request_headers: members.json(Field::RequestHeaders),
            user_id: members.text(Field::UserId),
            extra,
            level: members.name(Field::Level),
            release,
            environment: members.name(Field::Environment),
            server_name: members.name(Field::ServerName),
            tags: members
                .json(Field::Tags)
                .filter(|tags| tags.starts_with('{')),
            fingerprint: members
                .value(Field::Fingerprint)
                .and_then(ClientFingerprint::from_json),
        };
        check_length("project", &report.project, MAX_PROJECT_CHARS)?;
        check_length("exception_type", &report.exception_type, MAX_TYPE_CHARS)?;
        Ok(report)
    }

    /// The contract's fingerprint of the group it belongs to, within its project.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.project, &self.exception_type, &self.traceback)
    }

    /// The stable key of the group it belongs to; see [`grouping`].
    pub fn stable_key(&self) -> GroupingKey {
        let libraries = self.extra.as_deref().map(symbolication::library_files);
        grouping::stable_key_without(
            &self.project,
            &self.exception_type,
            &self.message,
            &self.traceback,
            &libraries.unwrap_or_default(),
        )
    }

    /// The key of the group it belongs to, within its project. `original` is its original one.
    pub fn key(&self, mode: GroupingMode, original: GroupingKey) -> GroupingKey {
        let default = match mode {
            GroupingMode::Original => original,
            GroupingMode::Stable => self.stable_key(),
        };
        match &self.fingerprint {
            Some(own) => client_key(&self.project, own, &default),
            None => default,
        }
    }

    /// Where it came from.
    pub fn source(&self) -> Source {
        match self.request_method.as_deref() {
            Some("BROWSER") => Source::Browser,
            _ => Source::Server,
        }
    }

    /// The browser session it happened in.
    pub fn session(&self) -> Option<SessionId> {
        self.extra.as_deref().and_then(session::session_in)
    }

    /// Who saw it; a report without a user, or with an empty one, counts for nobody.
    pub fn user(&self) -> Option<UserId> {
        self.user_id
            .as_deref()
            .filter(|id| !id.is_empty())
            .map(UserId::of)
    }

    /// Roughly how many bytes it keeps in memory.
    pub fn size_bytes(&self) -> usize {
        let optional = [
            &self.request_url,
            &self.request_method,
            &self.request_headers,
            &self.user_id,
            &self.extra,
            &self.level,
            &self.release,
            &self.environment,
            &self.server_name,
            &self.tags,
        ];
        size_of::<Self>()
            + self.project.len()
            + self.exception_type.len()
            + self.message.len()
            + self.traceback.len()
            + optional
                .into_iter()
                .flatten()
                .map(String::len)
                .sum::<usize>()
    }
}

fn check_length(field: &'static str, text: &str, limit: usize) -> Result<(), InvalidReport> {
    // Counting characters is only needed where there are more bytes than that.
    if text.len() > limit && text.chars().count() > limit {
        return Err(InvalidReport::TooLong { field, limit });
    }
    Ok(())
}

/// The keys of a report. Every other one is ignored.
#[derive(Clone, Copy)]
enum Field {
    Project,
    ExceptionType,
    Message,
    Traceback,
    RequestUrl,
    RequestMethod,
    RequestHeaders,
    UserId,
    Extra,
    Level,
    Release,
    Environment,
    ServerName,
    Tags,
    Fingerprint,
}

const FIELDS: usize = Field::Fingerprint as usize + 1;

impl Field {
    fn named(key: &str) -> Option<Self> {
        Some(match key {
            "project" => Self::Project,
            "exception_type" => Self::ExceptionType,
            "message" => Self::Message,
            "traceback" => Self::Traceback,
            "request_url" => Self::RequestUrl,
            "request_method" => Self::RequestMethod,
            "request_headers" => Self::RequestHeaders,
            "user_id" => Self::UserId,
            "extra" => Self::Extra,
            "level" => Self::Level,
            "release" => Self::Release,
            "environment" => Self::Environment,
            "server_name" => Self::ServerName,
            "tags" => Self::Tags,
            "fingerprint" => Self::Fingerprint,
            _ => return None,
        })
    }
}

/// The values of a report's own keys, checked to be JSON but not read yet.
struct Members<'j>([Option<&'j RawValue>; FIELDS]);

impl<'j> Members<'j> {
    fn read(text: &'j str) -> Result<Self, InvalidReport> {
        let object = text
            .trim_start_matches([' ', '\t', '\r', '\n'])
            .starts_with('{');
        if object {
            return serde_json::from_str(text).map_err(|_| InvalidReport::Json);
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => Err(InvalidReport::NotAnObject),
            Err(_) => Err(InvalidReport::Json),
        }
    }

    fn value(&self, field: Field) -> Option<&'j str> {
        self.0[field as usize].map(RawValue::get)
    }

    fn text(&self, field: Field) -> Option<String> {
        Some(json::unescape(self.value(field)?)?.text.into_owned())
    }

    /// A text that is not blank: clients send unset variables as nothing at all.
    fn name(&self, field: Field) -> Option<String> {
        self.text(field).filter(|text| !text.trim().is_empty())
    }

    fn json(&self, field: Field) -> Option<String> {
        let value = self.value(field).filter(|value| *value != "null")?;
        Some(json::compact(value))
    }
}

impl<'j> Deserialize<'j> for Members<'j> {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'j> Visitor<'j> for MembersVisitor {
    type Value = Members<'j>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a report")
    }

    /// Keys are taken raw like the values: the text form that serde_json offers would refuse the
    /// whole report for a lone surrogate in a key nobody looks at.
    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let twice = || serde::de::Error::custom("a key is given twice");
        let mut members = Members([None; FIELDS]);
        let mut ignored = HashSet::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let key = json::unescape(key.get())
                .ok_or_else(|| serde::de::Error::custom("a key is no text"))?;
            match Field::named(&key.text) {
                Some(field) => {
                    let member = &mut members.0[field as usize];
                    if member.replace(value).is_some() {
                        return Err(twice());
                    }
                }
                None if !ignored.insert(key.text) => return Err(twice()),
                None => {}
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = r#""exception_type":"E","message":"m","traceback":"t""#;

    #[track_caller]
    fn accepted(body: &str) -> ErrorReport {
        ErrorReport::from_json(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {body}"))
    }

    #[track_caller]
    fn check_refused(body: impl AsRef<[u8]>, expected: &str) {
        let body = body.as_ref();
        match ErrorReport::from_json(body) {
            Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(body)),
            Err(fault) => {
                assert_eq!(
                    fault.to_string(),
                    expected,
                    "{}",
                    String::from_utf8_lossy(body)
                );
            }
        }
    }

    #[test]
    fn strict_json_only() {
        let invalid: &[&[u8]] = &[
            b"",
            b" ",
            b"{",
            b"{}x",
            b"{} {}",
            b"{,}",
            b"{\"a\":1,}",
            b"{'a':1}",
            b"// x\n{}",
            b"{\"a\":NaN}",
            b"{\"a\":01}",
            b"{\"a\":+1}",
            b"{\"a\":1.}",
            b"{\"a\":.5}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\xc0\xaf\"}",
            b"{\"a\":\"\n\"}",
            b"{\"a\n\":1}",
            b"{\"a\":\"\\x\"}",
            b"{\"a\":\"\\u12\"}",
            b"{\"a\"}",
            b"nul",
            b"\xfe\xff\x00{\x00}",
        ];
        for body in invalid {
            check_refused(body, "Invalid JSON");
        }
        for body in ["[]", "5", "\"{}\"", "null", " true ", "[{}]"] {
            check_refused(body, "Request body must be a JSON object");
        }
    }

    #[test]
    fn required_fields_are_checked_in_order() {
        let fields = ["project", "exception_type", "message", "traceback"];
        for (missing, name) in fields.iter().enumerate() {
            for value in ["null", "5", "true", "[]", "{}", "absent"] {
                let body: Vec<String> = fields
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| *at != missing || value != "absent")
                    .map(|(at, name)| {
                        if at == missing {
                            format!("\"{name}\":{value}")
                        } else {
                            format!("\"{name}\":\"\"")
                        }
                    })
                    .collect();
                let expected = format!("Missing required field: {name}");
                check_refused(format!("{{{}}}", body.join(",")), &expected);
            }
        }
        check_refused("{}", "Missing required field: project");
        accepted(r#"{"project":"","exception_type":"","message":"","traceback":""}"#);
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let project = |text: &str| format!("{{\"project\":\"{text}\",{REST}}}");
        accepted(&project(&"é".repeat(100)));
        check_refused(
            project(&"é".repeat(101)),
            "Field 'project' exceeds maximum length of 100 characters",
        );
        let kind = |text: &str| {
            format!(
                "{{\"project\":\"p\",\"exception_type\":\"{text}\",\"message\":\"\",\"traceback\":\"\"}}"
            )
        };
        accepted(&kind(&"a".repeat(200)));
        check_refused(
            kind(&"a".repeat(201)),
            "Field 'exception_type' exceeds maximum length of 200 characters",
        );
        check_refused(
            format!("{{\"project\":\"{}\"}}", "a".repeat(101)),
            "Missing required field: exception_type",
        );
    }

    #[test]
    fn keys_of_the_report_may_not_be_given_twice() {
        check_refused(
            format!(r#"{{"project":"a","project":"b",{REST}}}"#),
            "Invalid JSON",
        );
        check_refused(
            format!(r#"{{"project":"a","\u0070roject":"b",{REST}}}"#),
            "Invalid JSON",
        );
        check_refused(
            format!(r#"{{"project":"a","zz":1,"zz":2,{REST}}}"#),
            "Invalid JSON",
        );
        let report = accepted(&format!(
            r#"{{"project":"a","extra":{{"a":1,"a":2}},"zz":{{"a":1,"a":2}},{REST}}}"#
        ));
        assert_eq!(report.extra.as_deref(), Some(r#"{"a":2}"#));
    }

    #[test]
    fn a_lone_surrogate_is_refused_only_in_names() {
        check_refused(format!(r#"{{"project":"a\ud800",{REST}}}"#), "Invalid JSON");
        check_refused(
            r#"{"project":"a","exception_type":"\udfff","message":"","traceback":""}"#,
            "Invalid JSON",
        );
        let report = accepted(
            r#"{"project":"a","exception_type":"E","message":"a\ud800b","traceback":"\udc00","user_id":"\ud83d","extra":{"\ud800":"\ud800"},"\ud800":"\ud800"}"#,
        );
        assert_eq!(report.message, "a\u{fffd}b");
        assert_eq!(report.traceback, "\u{fffd}");
        assert_eq!(report.user_id.as_deref(), Some("\u{fffd}"));
        assert_eq!(report.extra.as_deref(), Some("{\"\u{fffd}\":\"\u{fffd}\"}"));
    }

    #[test]
    fn optional_texts_of_another_type_are_dropped() {
        let report = accepted(&format!(
            r#"{{"project":"p",{REST},"request_url":5,"request_method":["GET"],"user_id":42,"request_headers":null,"extra":null,"level":{{}},"tags":[1]}}"#
        ));
        let all = [
            report.request_url,
            report.request_method,
            report.user_id,
            report.request_headers,
            report.extra,
            report.level,
            report.tags,
        ];
        assert_eq!(all, [const { None }; 7]);
    }

    #[test]
    fn extra_and_headers_are_any_json_value() {
        for value in [
            "{}",
            "[]",
            "\"x\"",
            "5",
            "false",
            "123456789012345678901234567890",
        ] {
            let report = accepted(&format!(
                r#"{{"project":"p",{REST},"extra": {value} ,"request_headers":{value}}}"#
            ));
            assert_eq!(report.extra.as_deref(), Some(value));
            assert_eq!(report.request_headers.as_deref(), Some(value));
        }
    }

    #[test]
    fn deep_nesting_is_harmless_everywhere() {
        let deep = "[".repeat(60_000) + &"]".repeat(60_000);
        let report = accepted(&format!(
            r#"{{"project":"p",{REST},"extra":{deep},"zz":{deep},"level":{deep}}}"#
        ));
        assert!(report.extra.is_some_and(|extra| extra.len() < 1_000));
        check_refused(deep, "Request body must be a JSON object");
        check_refused("[".repeat(250_000), "Invalid JSON");
    }

    #[test]
    fn the_source_is_the_exact_method() {
        let source = |method: &str| {
            accepted(&format!(
                r#"{{"project":"p",{REST},"request_method":"{method}"}}"#
            ))
            .source()
        };
        assert_eq!(source("BROWSER"), Source::Browser);
        assert_eq!(source("browser"), Source::Server);
        assert_eq!(source("GET"), Source::Server);
    }

    /// Clients whose variable is not set send nothing in its place; that was a release unlike any other.
    #[test]
    fn a_blank_name_is_none() {
        for blank in ["", " ", "\\t"] {
            let report = accepted(&format!(
                r#"{{"project":"p",{REST},"level":"{blank}","release":"{blank}","environment":"{blank}","server_name":"{blank}"}}"#
            ));
            let names = [
                report.level,
                report.release,
                report.environment,
                report.server_name,
            ];
            assert_eq!(names, [const { None }; 4], "{blank:?}");
        }
    }
}
