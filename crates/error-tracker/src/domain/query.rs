//! What a list of errors is asked for.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::group::{Source, State};
use super::session::SessionId;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;
/// A number below this is a time in seconds, from it on in milliseconds (as seconds it would be
/// the year 5138).
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// Filters combine with "and"; `None` does not filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Exact name.
    pub project: Option<String>,
    /// `None`: in any state.
    pub state: Option<State>,
    /// See [`Source`].
    pub source: Option<Source>,
    /// With a report of this session.
    pub session: Option<SessionId>,
    /// Last seen at or after this unix time in milliseconds.
    pub since_ms: Option<i64>,
    /// 1 to 200.
    pub limit: u32,
    /// How many to leave out.
    pub offset: u32,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            project: None,
            state: Some(State::Open),
            source: None,
            session: None,
            since_ms: None,
            limit: DEFAULT_LIMIT,
            offset: 0,
        }
    }
}

impl ListQuery {
    /// Reads decoded query parameters. The contract wants unknown names and unreadable values to
    /// change nothing, and the last readable one of a name to count.
    pub fn from_pairs<'q>(pairs: impl IntoIterator<Item = (&'q str, &'q str)>) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name {
                "resolved" => {
                    query.state = match value {
                        "true" | "1" => Some(State::Resolved),
                        "all" => None,
                        _ => Some(State::Open),
                    }
                }
                "project" if !value.is_empty() => query.project = Some(value.to_owned()),
                "source" => {
                    let known = Source::ALL.iter().find(|source| source.name() == value);
                    query.source = known.copied().or(query.source);
                }
                "session_id" if !value.is_empty() => query.session = Some(SessionId::of(value)),
                "since" => query.since_ms = unix_ms(value).or(query.since_ms),
                "limit" => {
                    query.limit = match number(value) {
                        Some(0) => DEFAULT_LIMIT,
                        Some(limit) => limit.min(MAX_LIMIT),
                        None => query.limit,
                    }
                }
                "offset" => query.offset = number(value).unwrap_or(0),
                _ => {}
            }
        }
        query
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Reads a time: ISO 8601 with a zone, without one (then UTC), a date alone (its midnight), or unix
/// seconds or milliseconds.
fn unix_ms(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return match number {
            0..FIRST_MILLISECONDS => Some(number * 1_000),
            FIRST_MILLISECONDS.. => Some(number),
            _ => None,
        };
    }
    let time = timestamp(text).or_else(|| {
        // An unencoded plus sign of a zone arrives as a blank.
        let (time, zone) = text.rsplit_once(' ')?;
        timestamp(&format!("{time}+{zone}"))
    })?;
    Some(time.as_millisecond())
}

fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let time: DateTime = text.parse().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &[(&str, &str)], expected: ListQuery) {
        assert_eq!(
            ListQuery::from_pairs(query.iter().copied()),
            expected,
            "{query:?}"
        );
    }

    #[test]
    fn numbers_fall_back_and_are_capped() {
        let with = |limit, offset| ListQuery {
            limit,
            offset,
            ..ListQuery::default()
        };
        check(&[], with(50, 0));
        check(&[("limit", "0")], with(50, 0));
        check(&[("limit", "7")], with(7, 0));
        check(&[("limit", "201")], with(200, 0));
        check(&[("limit", "4294967295")], with(200, 0));
        for text in ["-1", "+3", "1_0", "1.0", "x", "", "4294967296", " 3"] {
            check(&[("limit", text)], with(50, 0));
            check(&[("limit", "9"), ("limit", text)], with(9, 0));
            check(&[("offset", "9"), ("offset", text)], with(50, 0));
        }
        check(&[("offset", "12"), ("Limit", "3")], with(50, 12));
    }

    #[test]
    fn the_last_readable_value_counts() {
        let query = ListQuery {
            project: Some("b".to_owned()),
            source: Some(Source::Server),
            session: Some(SessionId::of("s")),
            ..ListQuery::default()
        };
        check(
            &[
                ("project", "a"),
                ("project", "b"),
                ("project", ""),
                ("source", "server"),
                ("source", "Browser"),
                ("session_id", "s"),
                ("session_id", ""),
                ("since", "never"),
                ("resolved", "true"),
                ("resolved", "x"),
                ("search", "z"),
            ],
            query,
        );
        let state = |state| ListQuery {
            state,
            ..ListQuery::default()
        };
        check(&[("resolved", "1")], state(Some(State::Resolved)));
        check(&[("resolved", "True")], state(Some(State::Open)));
        check(&[("resolved", "all")], state(None));
    }

    #[test]
    fn times_are_read_in_every_usual_form() {
        #[track_caller]
        fn check(text: &str, expected: Option<i64>) {
            assert_eq!(unix_ms(text), expected, "{text:?}");
        }
        check("2026-01-02T03:04:05Z", Some(1_767_323_045_000));
        check("2026-01-02T03:04:05.678Z", Some(1_767_323_045_678));
        check("2026-01-02T05:04:05.123456+02:00", Some(1_767_323_045_123));
        check("2026-01-02T05:04:05 02:00", Some(1_767_323_045_000));
        check("2026-01-02T03:04:05", Some(1_767_323_045_000));
        check("2026-01-02 03:04:05", Some(1_767_323_045_000));
        check("2026-01-02", Some(1_767_312_000_000));
        check("1767323045", Some(1_767_323_045_000));
        check("1767323045678", Some(1_767_323_045_678));
        check("0", Some(0));
        for text in [
            "",
            "soon",
            "-5",
            "2026-13-01",
            "99999999999999999999",
            "1h",
            " ",
        ] {
            check(text, None);
        }
    }
}
