//! What people are told of errors: the words of one alert.

use monlight_shared::clock::iso_seconds;
use monlight_shared::notify::{BLOCK_BYTES, Message, Tone, text};
use serde_json::{Value, json};

use super::group::{GroupId, Source, State};

pub mod digest;

/// Why people are told of a group. The numbers are stored; 0 is a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertKind {
    /// Its first report.
    New = 1,
    /// A report after somebody had dealt with it.
    Reopened = 2,
}

impl AlertKind {
    /// As stored; a number of a later version is told of as new.
    pub fn from_stored(number: i64) -> Self {
        match number {
            2 => Self::Reopened,
            _ => Self::New,
        }
    }

    /// As shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reopened => "reopened",
        }
    }
}

/// Characters of an error's message in a subject; the contract's number.
const TITLE_MESSAGE: usize = 80;
/// Bytes of a message that programs are told.
const MESSAGE_BYTES: usize = 4_096;

/// A group as an alert tells of it. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct GroupNews {
    /// Its number.
    pub id: GroupId,
    /// Its project.
    pub project: String,
    /// As first reported.
    pub exception_type: String,
    /// Of its newest report.
    pub message: String,
    /// Of its newest report.
    pub traceback: String,
    /// Reports so far.
    pub count: i64,
    /// Users so far.
    pub users: i64,
    /// Its first report.
    pub first_seen: i64,
    /// Its newest report.
    pub last_seen: i64,
    /// As it is now.
    pub state: State,
    /// See [`Source`].
    pub source: Source,
    /// Of its newest report.
    pub request_method: Option<String>,
    /// Of its newest report.
    pub request_url: Option<String>,
    /// Of its newest report.
    pub level: Option<String>,
    /// Of its newest report.
    pub release: Option<String>,
    /// Of its newest report.
    pub environment: Option<String>,
    /// Of its newest report.
    pub server_name: Option<String>,
}

/// The page of a group.
pub fn link(base_url: &str, id: GroupId) -> String {
    format!("{base_url}/errors/{}", id.get())
}

/// One line that names a group, as in a subject: `[shop] ValueError: invalid input (#12)`.
fn name_of(project: &str, exception_type: &str, message: &str, behind: &str) -> String {
    let message = text::one_line(message, TITLE_MESSAGE);
    format!("[{project}] {exception_type}: {message} ({behind})")
}

/// The message about one group. `id`: of the message; `time_ms`: when it happened.
pub fn of_group(
    base_url: &str,
    id: &str,
    kind: AlertKind,
    time_ms: i64,
    group: &GroupNews,
) -> Message {
    let number = group.id.get();
    let (headline, behind) = match kind {
        AlertKind::New => (
            format!("New error in {}", group.project),
            format!("#{number}"),
        ),
        AlertKind::Reopened => (
            format!("An error came back in {}", group.project),
            format!("#{number}, came back"),
        ),
    };
    let request = group
        .request_method
        .as_deref()
        .zip(group.request_url.as_deref());
    let request = request.map_or(String::new(), |(method, url)| format!("{method} {url}"));
    let by_now = match group.state {
        State::Open => "",
        State::Resolved => "resolved by now",
        State::Ignored => "ignored by now",
    };
    Message::new(id, kind.name(), Tone::Alarm, time_ms)
        .title(&name_of(
            &group.project,
            &group.exception_type,
            &group.message,
            &behind,
        ))
        .headline(&headline)
        .lead(&format!("{}: {}", group.exception_type, group.message))
        .link(link(base_url, group.id))
        .facts([
            ("Project", group.project.as_str()),
            ("Error", &format!("#{number} /errors/{number}")),
            ("Type", &group.exception_type),
            ("State", by_now),
            ("Request", &request),
            ("Level", group.level.as_deref().unwrap_or_default()),
            ("Release", group.release.as_deref().unwrap_or_default()),
            (
                "Environment",
                group.environment.as_deref().unwrap_or_default(),
            ),
            ("Server", group.server_name.as_deref().unwrap_or_default()),
            ("Reports", &group.count.to_string()),
            ("Users", &some(group.users)),
            ("First seen", &iso_seconds(group.first_seen)),
            ("Last seen", &iso_seconds(group.last_seen)),
        ])
        .block("Traceback", &group.traceback)
        .value("error", for_programs(base_url, group))
}

/// A number worth showing.
fn some(number: i64) -> String {
    if number > 0 {
        number.to_string()
    } else {
        String::new()
    }
}

fn for_programs(base_url: &str, group: &GroupNews) -> Value {
    json!({
        "id": group.id.get(),
        "link": link(base_url, group.id),
        "project": group.project,
        "exception_type": group.exception_type,
        "message": cut(&group.message, MESSAGE_BYTES),
        "traceback": cut(&group.traceback, BLOCK_BYTES),
        "state": group.state.name(),
        "source": group.source.name(),
        "count": group.count,
        "users": group.users,
        "first_seen": iso_seconds(group.first_seen),
        "last_seen": iso_seconds(group.last_seen),
        "request_method": group.request_method,
        "request_url": group.request_url,
        "level": group.level,
        "release": group.release,
        "environment": group.environment,
        "server_name": group.server_name,
    })
}

fn cut(text: &str, most_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(most_bytes))
        .unwrap_or(text)
}

/// The message that shows whether alerts arrive.
pub fn test(base_url: &str, id: &str, time_ms: i64) -> Message {
    Message::new(id, "test", Tone::Calm, time_ms)
        .title("[error-tracker] SMTP test alert")
        .headline("Test alert")
        .lead("This is a test. When an error is new, or comes back, a message like this one will tell of it.")
        .link(format!("{base_url}/"))
        .fact("Sent", &iso_seconds(time_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://m.example";

    fn news() -> GroupNews {
        GroupNews {
            id: GroupId::from_stored(12),
            project: "shop".to_owned(),
            exception_type: "ValueError".to_owned(),
            message: "invalid input".to_owned(),
            traceback: "Traceback:\n  File \"a.py\", line 3\nValueError: invalid input\n"
                .to_owned(),
            count: 3,
            users: 0,
            first_seen: 1_737_367_200_000,
            last_seen: 1_737_367_260_000,
            state: State::Open,
            source: Source::Server,
            request_method: Some("POST".to_owned()),
            request_url: Some("https://shop.example/pay".to_owned()),
            level: None,
            release: Some("2.4.1".to_owned()),
            environment: None,
            server_name: None,
        }
    }

    fn told(group: &GroupNews) -> Message {
        of_group(BASE, "i.1.2", AlertKind::New, 1_737_367_200_000, group)
    }

    fn fact(message: &Message, name: &str) -> Option<String> {
        let found = message.facts.iter().find(|fact| fact.name == name);
        found.map(|fact| fact.value.clone())
    }

    #[test]
    fn an_alert_says_what_the_contract_wants() {
        let message = told(&news());
        assert_eq!(message.title, "[shop] ValueError: invalid input (#12)");
        assert_eq!(message.headline, "New error in shop");
        assert_eq!(message.link.as_deref(), Some("https://m.example/errors/12"));
        assert_eq!(fact(&message, "Error").as_deref(), Some("#12 /errors/12"));
        assert_eq!(
            fact(&message, "Request").as_deref(),
            Some("POST https://shop.example/pay")
        );
        assert_eq!(fact(&message, "Release").as_deref(), Some("2.4.1"));
        assert_eq!(fact(&message, "State"), None);
        assert_eq!(fact(&message, "Users"), None);
        assert_eq!(
            message.block.as_ref().map(|block| block.name),
            Some("Traceback")
        );
        assert_eq!(message.document["error"]["count"], 3);
    }

    #[test]
    fn what_came_back_says_so() {
        let message = of_group(BASE, "i.1.2", AlertKind::Reopened, 0, &news());
        assert_eq!(
            message.title,
            "[shop] ValueError: invalid input (#12, came back)"
        );
        assert_eq!(message.headline, "An error came back in shop");
        assert_eq!(message.kind, "reopened");
    }

    #[test]
    fn a_request_is_shown_whole_or_not_at_all() {
        let mut group = news();
        group.request_method = None;
        assert_eq!(fact(&told(&group), "Request"), None);
    }

    #[test]
    fn a_group_that_was_dealt_with_meanwhile_says_so() {
        let mut group = news();
        group.state = State::Resolved;
        assert_eq!(
            fact(&told(&group), "State").as_deref(),
            Some("resolved by now")
        );
    }

    #[test]
    fn a_subject_is_one_line_of_eighty_characters_of_the_message() {
        let mut group = news();
        group.project = "a\r\nBcc: x@y.example".to_owned();
        group.message = format!("\u{202E}{}\r\nX-Evil: 1", "ü".repeat(90));
        let message = told(&group);
        assert_eq!(
            message.title,
            format!("[a Bcc: x@y.example] ValueError: {} (#12)", "ü".repeat(80))
        );
        assert!(!message.headline.contains(['\r', '\n']));
    }

    #[test]
    fn a_long_traceback_is_cut_at_a_character_with_a_note() {
        let mut group = news();
        group.traceback = "é".repeat(10_000);
        let message = told(&group);
        let block = message.block.expect("a traceback").text;
        assert!(
            block.starts_with(&"é".repeat(6_144)),
            "12,288 bytes are kept"
        );
        assert!(
            block.ends_with("\n[cut: 7712 more bytes]"),
            "{}",
            block.len()
        );
        let for_programs = message.document["error"]["traceback"]
            .as_str()
            .expect("a text");
        assert_eq!(for_programs.len(), 12_288);
    }

    #[test]
    fn the_test_has_the_subject_of_the_original() {
        let message = test(BASE, "t", 0);
        assert_eq!(message.title, "[error-tracker] SMTP test alert");
        assert_eq!(message.link.as_deref(), Some("https://m.example/"));
    }
}
