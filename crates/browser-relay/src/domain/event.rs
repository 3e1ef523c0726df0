//! Reads a browser error, `POST /api/browser/errors`.

use sha2::{Digest as _, Sha256};

use super::debug_id::{DebugId, DebugIds};
use super::json::{Duplicates, Json, Kind, LoneSurrogate};

/// Why a request is refused: the `detail` of the 400. The texts are the contract's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) &'static str);

pub(crate) const EMPTY: Refusal = Refusal("Empty request body");
pub(crate) const INVALID_JSON: Refusal = Refusal("Invalid JSON");
pub(crate) const NO_OBJECT: Refusal = Refusal("Request body must be a JSON object");

/// What a page calls an error or a batch in every attempt to deliver it: a UUID of any version, read as debug ids are. The
/// nil UUID and its opposite (RFC 9562) name nothing: a page that fills them in would have only its first event counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EventId(DebugId);

impl EventId {
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        DebugId::parse(text).and_then(Self::of)
    }

    fn of(id: DebugId) -> Option<Self> {
        let bytes = id.to_be_bytes();
        let names_nothing = bytes == [0; 16] || bytes == [0xFF; 16];
        (!names_nothing).then_some(Self(id))
    }

    /// What the event is called among the events of all sites, for its idempotency key. A relay that is started anew, or
    /// another one, finds the same name for it.
    ///
    /// Ids come from strangers, who may choose them but not their names: those are a part of a SHA-256. Two ids with the same
    /// name (62 bits count, so 2^31 attempts find some) cost only him an event who sends both. To have an event of another
    /// page taken for a repetition he would have to know its id before it comes.
    pub(crate) fn name(self, kind: &str, project: &str, public_key: &str) -> u64 {
        let mut hash = Sha256::new();
        for part in [kind, public_key, project] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash = hash.chain_update(self.0.to_be_bytes()).finalize();
        hash.iter()
            .take(8)
            .fold(0, |name, byte| name << 8 | u64::from(*byte))
    }

    /// The next value if it is an id; anything else is passed over.
    pub(crate) fn read(json: &mut Json<&[u8]>) -> Result<Option<Self>, Refusal> {
        let id = DebugId::read(json).map_err(|_| INVALID_JSON)?;
        Ok(id.and_then(Self::of))
    }
}

/// An error as a page reported it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BrowserError {
    pub(crate) error_type: String,
    pub(crate) message: String,
    pub(crate) stack: String,
    pub(crate) event_id: Option<EventId>,
    pub(crate) url: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) release: Option<String>,
    /// As the page wrote it; the tracker keeps its own time.
    pub(crate) timestamp: Option<String>,
    /// A JSON object, compact, numbers digit for digit.
    pub(crate) context: Option<String>,
    /// `context.user_id`, where the SDK puts the user, when it is a text or a number.
    pub(crate) user_id: Option<String>,
    /// `context.environment`, where the SDK puts it, when it is a text.
    pub(crate) environment: Option<String>,
    /// Of the scripts in the stack.
    pub(crate) debug_ids: DebugIds,
}

/// Longest user id and environment that go to the tracker's own fields, in characters; a longer one stays in the context.
const LONGEST_NAME: usize = 200;

/// Checks that a body is one strict JSON object and returns a reader at its beginning.
///
/// A lone surrogate is not refused but replaced: JavaScript strings may hold one, and an error whose message was cut
/// in the middle of an emoji is still an error somebody wants to see.
pub(crate) fn open(body: &[u8]) -> Result<Json<&[u8]>, Refusal> {
    let json = open_once(body)?;
    check(body)?;
    Ok(json)
}

/// The same for one who reads the object to its end and looks that nothing follows: what is wrong inside is for him to see.
fn open_once(body: &[u8]) -> Result<Json<&[u8]>, Refusal> {
    if body.is_empty() {
        return Err(EMPTY);
    }
    if std::str::from_utf8(body).is_err() {
        return Err(INVALID_JSON);
    }
    let mut json = reader(body);
    match json.kind() {
        Ok(Kind::Object) => Ok(json),
        _ => check(body).and(Err(NO_OBJECT)),
    }
}

fn check(body: &[u8]) -> Result<(), Refusal> {
    let mut json = reader(body);
    let checked = json.skip().and_then(|()| json.end());
    checked.map_err(|_| INVALID_JSON)
}

fn reader(body: &[u8]) -> Json<&[u8]> {
    Json::of(body, Duplicates::Refuse, LoneSurrogate::Replace)
}

impl BrowserError {
    /// Reads a body. `type`, `message` and `stack` must be strings; other fields count when they have the right type
    /// and are passed over when they do not.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let mut json = open_once(body)?;
        let mut event = Self::default();
        let (mut error_type, mut message, mut stack) = (None, None, None);
        let mut members = json.open_object().map_err(|_| INVALID_JSON)?;
        while let Some(key) = json.next_member(&mut members).map_err(|_| INVALID_JSON)? {
            match key.as_str() {
                "type" => error_type = text(&mut json)?,
                "message" => message = text(&mut json)?,
                "stack" => stack = text(&mut json)?,
                "event_id" => event.event_id = EventId::read(&mut json)?,
                "url" => event.url = text(&mut json)?,
                "user_agent" => event.user_agent = text(&mut json)?,
                "session_id" => event.session_id = text(&mut json)?,
                "release" => event.release = text(&mut json)?,
                "timestamp" => event.timestamp = text(&mut json)?,
                "context" => event.context = object(&mut json)?,
                "debug_ids" => {
                    event.debug_ids = DebugIds::read(&mut json).map_err(|_| INVALID_JSON)?;
                }
                _ => json.skip().map_err(|_| INVALID_JSON)?,
            }
        }
        json.end().map_err(|_| INVALID_JSON)?;
        event.error_type = error_type.ok_or(Refusal("Missing required field: type"))?;
        event.message = message.ok_or(Refusal("Missing required field: message"))?;
        event.stack = stack.ok_or(Refusal("Missing required field: stack"))?;
        if let Some((user_id, environment)) = event.context.as_deref().and_then(names) {
            (event.user_id, event.environment) = (user_id, environment);
        }
        Ok(event)
    }
}

/// The next value if it is a string.
pub(crate) fn text(json: &mut Json<&[u8]>) -> Result<Option<String>, Refusal> {
    let value = match json.kind() {
        Ok(Kind::String) => json.string().map(Some),
        _ => json.skip().map(|()| None),
    };
    value.map_err(|_| INVALID_JSON)
}

fn object(json: &mut Json<&[u8]>) -> Result<Option<String>, Refusal> {
    let value = match json.kind() {
        Ok(Kind::Object) => {
            let mut compact = String::new();
            json.copy(&mut compact).map(|()| Some(compact))
        }
        _ => json.skip().map(|()| None),
    };
    value.map_err(|_| INVALID_JSON)
}

/// User id and environment of a context.
fn names(context: &str) -> Option<(Option<String>, Option<String>)> {
    let mut json = Json::of(
        context.as_bytes(),
        Duplicates::Ignore,
        LoneSurrogate::Replace,
    );
    let (mut user_id, mut environment) = (None, None);
    let mut members = json.open_object().ok()?;
    while let Some(key) = json.next_member(&mut members).ok()? {
        match (key.as_str(), json.kind().ok()?) {
            ("user_id", Kind::String) => user_id = json.string().ok(),
            ("user_id", Kind::Number) => user_id = json.number().ok(),
            ("environment", Kind::String) => environment = json.string().ok(),
            _ => json.skip().ok()?,
        }
    }
    let fits = |name: &String| !name.is_empty() && name.chars().count() <= LONGEST_NAME;
    Some((user_id.filter(fits), environment.filter(fits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(body: &str, detail: &str) {
        assert_eq!(
            BrowserError::from_json(body.as_bytes()),
            Err(Refusal(match detail {
                "empty" => EMPTY.0,
                "json" => INVALID_JSON.0,
                "object" => NO_OBJECT.0,
                "type" => "Missing required field: type",
                "message" => "Missing required field: message",
                "stack" => "Missing required field: stack",
                other => panic!("{other}"),
            })),
            "{body}"
        );
    }

    #[test]
    fn refusals_in_order() {
        check_refused("", "empty");
        check_refused("{", "json");
        check_refused("{} x", "json");
        check_refused(
            "{\"type\":\"a\",\"type\":\"b\",\"message\":\"\",\"stack\":\"\"}",
            "json",
        );
        check_refused("{\"x\":{\"a\":1,\"a\":1}}", "json");
        check_refused("\u{feff}{}", "json");
        check_refused("[]", "object");
        check_refused("\"x\"", "object");
        check_refused("{}", "type");
        check_refused("{\"type\":1,\"message\":\"m\",\"stack\":\"s\"}", "type");
        check_refused(
            "{\"type\":\"t\",\"message\":null,\"stack\":\"s\"}",
            "message",
        );
        check_refused("{\"type\":\"t\",\"message\":\"m\"}", "stack");
        check_refused(
            "{\"type\":\"t\",\"message\":\"m\",\"stack\":[\"s\"]}",
            "stack",
        );
        assert_eq!(
            BrowserError::from_json(b"{\"type\":\"\xff\"}"),
            Err(INVALID_JSON)
        );
    }

    #[test]
    fn names_tell_events_apart_and_never_change() {
        let id = |text| EventId::parse(text).unwrap();
        let some = id("6f9619ff-8b86-4d01-b42d-00cf4fc964ff");
        // Relays of two versions have to find the same.
        assert_eq!(
            some.name("error-tracker", "web", "k"),
            0xD840_EC96_4CBB_DA32
        );
        let same = id("6F9619FF8B864D01B42D00CF4FC964FF");
        let mut names: Vec<u64> = [
            (some, "error-tracker", "web", "k"),
            (same, "error-tracker", "web", "k"),
            (some, "metrics-collector", "web", "k"),
            (some, "error-tracker", "we", "k"),
            (some, "error-tracker", "web", "kk"),
            (some, "error-tracker", "we", "kb"),
            (some, "error-tracker", "k", "web"),
            (some, "error-tracker", "", "webk"),
            (
                id("6f9619ff-8b86-4d01-b42d-00cf4fc964fe"),
                "error-tracker",
                "web",
                "k",
            ),
        ]
        .map(|(id, kind, project, key)| id.name(kind, project, key))
        .into();
        assert_eq!(names[0], names[1]);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 8);
    }

    /// All events of such a page but the first once went as repetitions.
    #[test]
    fn ids_that_name_nothing_count_as_missing() {
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        ] {
            assert_eq!(EventId::parse(text), None, "{text}");
            let body = format!(r#"{{"type":"E","message":"m","stack":"","event_id":"{text}"}}"#);
            let event = BrowserError::from_json(body.as_bytes()).unwrap();
            assert_eq!(event.event_id, None, "{text}");
        }
        assert!(EventId::parse("00000000000000000000000000000001").is_some());
    }

    #[test]
    fn optional_fields_of_the_wrong_type_are_left_out() {
        let body = r#"{"type":"","message":"","stack":"","url":5,"user_agent":["x"],"session_id":{},"release":1,
            "timestamp":2,"event_id":"x","context":[1],"project":"spoofed","debug_ids":["x"]}"#;
        assert_eq!(
            BrowserError::from_json(body.as_bytes()),
            Ok(BrowserError::default())
        );
    }

    #[test]
    fn everything_there_is() {
        let body = r#"{"context": {"user_id": "u-42", "n": 1.0, "big": 123456789012345678901234567890},
            "type": "T", "message": "cut \ud83d", "stack": "s", "url": "u", "user_agent": "a", "session_id": "i",
            "event_id": "6F9619FF8B864D01B42D00CF4FC964FF", "release": "r", "timestamp": "t", "debug_ids": {"s.js": "85314830023f4cf1a267535f4e37bb17", "t.js": 1}}"#;
        let ids = r#"{"s.js": "85314830023f4cf1a267535f4e37bb17"}"#;
        let mut ids = Json::new(ids.as_bytes(), Duplicates::Refuse, LoneSurrogate::Replace);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            BrowserError::from_json(body.as_bytes()),
            Ok(BrowserError {
                error_type: "T".to_owned(),
                message: "cut \u{FFFD}".to_owned(),
                stack: "s".to_owned(),
                event_id: EventId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"),
                url: some("u"),
                user_agent: some("a"),
                session_id: some("i"),
                release: some("r"),
                timestamp: some("t"),
                context: some(r#"{"user_id":"u-42","n":1.0,"big":123456789012345678901234567890}"#),
                user_id: some("u-42"),
                environment: None,
                debug_ids: DebugIds::read(&mut ids).unwrap(),
            })
        );
    }

    #[test]
    fn what_the_context_names() {
        let long = "x".repeat(201);
        for (context, user_id, environment) in [
            (r#"{"user_id":"u"}"#.to_owned(), Some("u"), None),
            (
                r#"{"a":{"user_id":"x"},"user_id":42,"environment":"prod"}"#.to_owned(),
                Some("42"),
                Some("prod"),
            ),
            (r#"{"user_id":"","environment":""}"#.to_owned(), None, None),
            (
                r#"{"environment":["prod"],"user_id":null}"#.to_owned(),
                None,
                None,
            ),
            (
                format!("{{\"user_id\":\"{long}\",\"environment\":\"{long}\"}}"),
                None,
                None,
            ),
            ("{}".to_owned(), None, None),
        ] {
            let (found_id, found_environment) = names(&context).unwrap();
            assert_eq!(found_id.as_deref(), user_id, "{context}");
            assert_eq!(found_environment.as_deref(), environment, "{context}");
        }
    }
}
