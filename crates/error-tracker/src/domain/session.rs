//! The browser session a report belongs to, so that an operator can list what else went wrong in
//! it. Clients put it into `extra` as `session_id`, and the release of a page as `release`.

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;

/// A session id as it is stored and looked up: the MD5 of its text, because ids have any length
/// and only equality matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Of a session id's text.
    pub fn of(text: &str) -> Self {
        Self(Md5::digest(text).into())
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

#[derive(Deserialize)]
struct WithSession<'j> {
    #[serde(borrow)]
    session_id: Option<&'j RawValue>,
}

#[derive(Deserialize)]
struct WithRelease<'j> {
    #[serde(borrow)]
    release: Option<&'j RawValue>,
}

/// The release named in `extra` (compact JSON): a text `release` of the object itself, where the relay puts that of a
/// page.
pub fn release_in(extra: &str) -> Option<String> {
    // serde would read a list as the object, too.
    if !extra.starts_with('{') || !extra.contains("\"release\"") {
        return None;
    }
    let release = serde_json::from_str::<WithRelease<'_>>(extra)
        .ok()?
        .release?
        .get();
    let text = json::unescape(release)?.text;
    (!text.is_empty()).then(|| text.into_owned())
}

/// The session named in `extra` (compact JSON): a string or number `session_id` of the object
/// itself, of an object in a list, or of an object written as JSON into a string.
pub fn session_in(extra: &str) -> Option<SessionId> {
    // Most reports have none: one search tells.
    if !extra.contains("session_id") {
        return None;
    }
    match extra.bytes().next()? {
        b'{' => in_object(extra),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(extra).ok()?;
            items.into_iter().find_map(|item| in_object(item.get()))
        }
        _ => in_object(&json::unescape(extra)?.text),
    }
}

fn in_object(object: &str) -> Option<SessionId> {
    let id = serde_json::from_str::<WithSession<'_>>(object)
        .ok()?
        .session_id?
        .get();
    if let Some(text) = json::unescape(id) {
        return (!text.text.is_empty()).then(|| SessionId::of(&text.text));
    }
    let number = id
        .bytes()
        .all(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
    number.then(|| SessionId::of(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(extra: &str, expected: Option<&str>) {
        assert_eq!(session_in(extra), expected.map(SessionId::of), "in {extra}");
    }

    #[test]
    fn a_session_is_found_wherever_clients_put_it() {
        check(r#"{"session_id":"s-1"}"#, Some("s-1"));
        check(r#"{"a":[],"session_id":"\"é"}"#, Some("\"é"));
        check(
            r#"{"session_id":12345678901234567890123}"#,
            Some("12345678901234567890123"),
        );
        check(r#"[1,{"session_id":"s"}]"#, Some("s"));
        check(r#""{\"session_id\":\"s\"}""#, Some("s"));
    }

    #[test]
    fn a_release_is_a_text_of_the_object_itself() {
        #[track_caller]
        fn check(extra: &str, expected: Option<&str>) {
            assert_eq!(release_in(extra).as_deref(), expected, "in {extra}");
        }
        check(
            r#"{"user_agent":"x","release":"2026.11.4"}"#,
            Some("2026.11.4"),
        );
        check(r#"{"release":"\u00e9"}"#, Some("é"));
        for none in [
            r#"{"release":""}"#,
            r#"{"release":5}"#,
            r#"{"release":null}"#,
            r#"{"context":{"release":"1"}}"#,
            r#"["release"]"#,
            r#""release""#,
        ] {
            check(none, None);
        }
    }

    #[test]
    fn anything_else_is_no_session() {
        check(r#"{"session_id":""}"#, None);
        check(r#"{"session_id":null}"#, None);
        check(r#"{"session_id":true}"#, None);
        check(r#"{"session_id":{"session_id":"s"}}"#, None);
        check(r#"{"context":{"session_id":"s"}}"#, None);
        check(r#"{"other":"session_id"}"#, None);
        check("\"session_id\"", None);
        check("5", None);
    }
}
