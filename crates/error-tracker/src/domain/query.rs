//! What a list of errors is asked for.

use super::cursor::Cursor;
use super::filter::{BadParameter, Filter, FilterReader};
use super::window::{self, Range};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// One page of the groups that a filter leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Which groups.
    pub filter: Filter,
    /// In which order, the greatest first; groups that are equal in that come by their number, the greatest first.
    pub sort: Sort,
    /// Only those behind this one; of the same order.
    pub after: Option<Cursor>,
    /// Whether each group comes with its reports over time.
    pub sparkline: Option<Range>,
    /// 1 to 200.
    pub limit: u32,
    /// How many to leave out.
    pub offset: u32,
}

/// What a list is sorted by. The numbers are part of cursors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The time of the newest report.
    #[default]
    LastSeen = 1,
    /// The time of the first report.
    FirstSeen = 2,
    /// The number of reports.
    Count = 3,
    /// The number of different users.
    Users = 4,
}

impl Sort {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::LastSeen, Self::FirstSeen, Self::Count, Self::Users];

    /// As asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastSeen => "last_seen",
            Self::FirstSeen => "first_seen",
            Self::Count => "count",
            Self::Users => "users",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|sort| sort.name() == name)
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            sort: Sort::default(),
            after: None,
            sparkline: None,
            limit: DEFAULT_LIMIT,
            offset: 0,
        }
    }
}

impl ListQuery {
    /// Reads decoded query parameters. The contract wants unknown names and unreadable values of its own parameters to
    /// change nothing, and the last readable one of a name to count; the parameters it does not know must make sense.
    pub fn from_pairs<'q>(
        pairs: impl IntoIterator<Item = (&'q str, &'q str)>,
        now_ms: i64,
    ) -> Result<Self, BadParameter> {
        let mut query = Self::default();
        let mut filter = FilterReader::new(now_ms);
        let (mut sort, mut cursor) = (None, None);
        for (name, value) in pairs {
            match name {
                "limit" => {
                    query.limit = match number(value) {
                        Some(0) => DEFAULT_LIMIT,
                        Some(limit) => limit.min(MAX_LIMIT),
                        None => query.limit,
                    }
                }
                "offset" => query.offset = number(value).unwrap_or(0),
                "sort" | "cursor" | "sparkline" if value.is_empty() => {}
                "sort" => {
                    let expected = "last_seen, first_seen, count or users";
                    let known = Sort::parse(value);
                    sort = Some(known.ok_or_else(|| BadParameter::new(name, value, expected))?);
                }
                "cursor" => cursor = Some(value),
                "sparkline" => {
                    let range = Range::parse(value);
                    let range =
                        range.ok_or_else(|| BadParameter::new(name, value, window::EXPECTED))?;
                    query.sparkline = Some(range);
                }
                _ => {
                    filter.take(name, value)?;
                }
            }
        }
        query.filter = filter.finish();
        query.sort = sort.unwrap_or_default();
        query.after = cursor.map(|text| after(text, query.sort)).transpose()?;
        Ok(query)
    }
}

fn after(text: &str, sort: Sort) -> Result<Cursor, BadParameter> {
    let expected = format!(
        "the next_cursor of a list with the same filters and sort={}",
        sort.name()
    );
    Cursor::decode(text)
        .filter(|cursor| cursor.sort == sort)
        .ok_or_else(|| BadParameter::new("cursor", text, &expected))
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::group::{Source, State};
    use crate::domain::session::SessionId;

    const NOW: i64 = 1_767_323_045_000;

    #[track_caller]
    fn check(query: &[(&str, &str)], expected: ListQuery) {
        let read = ListQuery::from_pairs(query.iter().copied(), NOW);
        assert_eq!(read, Ok(expected), "{query:?}");
    }

    #[track_caller]
    fn check_refused(query: &[(&str, &str)], says: &str) {
        let read = ListQuery::from_pairs(query.iter().copied(), NOW);
        let fault = read.expect_err(says).to_string();
        assert!(fault.contains(says), "{query:?}: {fault}");
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
    fn the_last_readable_value_of_the_contract_counts() {
        let filter = Filter {
            project: Some("b".to_owned()),
            source: Some(Source::Server),
            session: Some(SessionId::of("s")),
            ..Filter::default()
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
                ("page", "z"),
            ],
            ListQuery {
                filter,
                ..ListQuery::default()
            },
        );
        let resolved = ListQuery {
            filter: Filter {
                state: Some(State::Resolved),
                ..Filter::default()
            },
            ..ListQuery::default()
        };
        check(&[("resolved", "1")], resolved);
        check(&[("resolved", "True")], ListQuery::default());
    }

    #[test]
    fn orders_and_windows_have_names() {
        for sort in Sort::ALL {
            let expected = ListQuery {
                sort: *sort,
                ..ListQuery::default()
            };
            check(&[("sort", sort.name())], expected);
        }
        check(
            &[("sort", ""), ("sparkline", ""), ("cursor", "")],
            ListQuery::default(),
        );
        let sparkline = ListQuery {
            sparkline: Some(Range::Week),
            ..ListQuery::default()
        };
        check(&[("sparkline", "7d")], sparkline);
        check_refused(
            &[("sort", "name")],
            "expected last_seen, first_seen, count or users",
        );
        check_refused(
            &[("sparkline", "1h")],
            "sparkline: \"1h\" is not understood; expected 24h, 7d or 30d",
        );
    }

    #[test]
    fn a_cursor_belongs_to_its_order() {
        let cursor = Cursor {
            sort: Sort::Count,
            key: 5,
            id: 7,
        };
        let text = cursor.encode();
        let expected = ListQuery {
            sort: Sort::Count,
            after: Some(cursor),
            ..ListQuery::default()
        };
        check(&[("cursor", &text), ("sort", "count")], expected.clone());
        check(&[("sort", "count"), ("cursor", &text)], expected);
        check_refused(
            &[("cursor", &text)],
            "the next_cursor of a list with the same filters and sort=last_seen",
        );
        check_refused(&[("cursor", "abc")], "cursor: \"abc\" is not understood");
    }

    #[test]
    fn what_the_original_does_not_know_must_make_sense() {
        check_refused(
            &[("state", "closed")],
            "expected open, resolved, ignored or all",
        );
        check_refused(&[("until", "soon")], "until");
        check_refused(&[("tag", "x")], "key:value");
    }
}
