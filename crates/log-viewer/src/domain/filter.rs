//! What people ask for: which entries, in which order, which page.

use super::entry::{Level, Stream};
use super::field_test::FieldTest;
use super::names::NameFilter;
use super::pattern::Pattern;
use super::search::Search;

/// Entries on a page unless the caller says otherwise.
pub const DEFAULT_LIMIT: u32 = 100;
/// The most entries on a page.
pub const MAX_LIMIT: u32 = 500;

/// Which entries are wanted. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Names of containers.
    pub container: Option<NameFilter>,
    /// Names of compose projects.
    pub project: Option<NameFilter>,
    /// Names of compose services.
    pub service: Option<NameFilter>,
    /// Which output.
    pub stream: Option<Stream>,
    /// The levels.
    pub levels: Option<Levels>,
    /// Words in the message.
    pub search: Option<Search>,
    /// Conditions on fields.
    pub fields: Vec<FieldTest>,
    /// A pattern in the message.
    pub regex: Option<Pattern>,
    /// The earliest time, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// The latest time, in nanoseconds since 1970.
    pub until_ns: Option<i64>,
}

impl Filter {
    /// Whether nothing can match, whatever is stored.
    pub fn is_empty(&self) -> bool {
        let (since, until) = self.span();
        self.search == Some(Search::Nothing)
            || self.levels.is_some_and(Levels::is_empty)
            || since > until
    }

    /// The earliest and the latest time.
    pub fn span(&self) -> (i64, i64) {
        (
            self.since_ns.unwrap_or(i64::MIN),
            self.until_ns.unwrap_or(i64::MAX),
        )
    }

    /// Whether it asks for more than levels, streams, containers and times, of which the counters know nothing.
    pub fn asks_for_text(&self) -> bool {
        self.search.is_some() || self.regex.is_some() || !self.fields.is_empty()
    }

    /// Whether it tells containers apart.
    pub fn picks_containers(&self) -> bool {
        self.container.is_some() || self.project.is_some() || self.service.is_some()
    }

    /// Whether a container with these names is wanted.
    pub fn wants(&self, container: &str, project: &str, service: &str) -> bool {
        [
            (&self.container, container),
            (&self.project, project),
            (&self.service, service),
        ]
        .into_iter()
        .all(|(wanted, name)| wanted.as_ref().is_none_or(|wanted| wanted.wants(name)))
    }
}

/// A set of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels(u8);

impl Levels {
    /// `ERROR` is that level, `>=ERROR` that and all above, `DEBUG,INFO` both; names in any case, with the contract's
    /// aliases. A name that is none adds nothing: alone it is the empty set, and nothing matches.
    pub fn parse(text: &str) -> Self {
        text.split(',')
            .map(|item| Self::one(item.trim()))
            .fold(Self(0), |all, one| Self(all.0 | one.0))
    }

    fn one(text: &str) -> Self {
        let (name, and_above) = match text.strip_prefix(">=") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let Some(named) = Level::from_name(name.trim()) else {
            return Self(0);
        };
        let wanted = Level::ALL
            .into_iter()
            .filter(|level| *level == named || and_above && *level > named);
        Self(wanted.fold(0, |bits, level| bits | 1 << (level as u8)))
    }

    /// The levels that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether a level is in it.
    pub fn contains(self, level: Level) -> bool {
        self.0 & (1 << (level as u8)) != 0
    }

    /// Its levels, ascending.
    pub fn iter(self) -> impl Iterator<Item = Level> {
        Level::ALL
            .into_iter()
            .filter(move |level| self.contains(*level))
    }

    /// Whether no level is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// In which order entries are listed: by time, and for equal times by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Descending.
    #[default]
    Newest,
    /// Ascending.
    Oldest,
}

impl Order {
    /// `newest` or `oldest`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [("newest", Self::Newest), ("oldest", Self::Oldest)]
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, order)| order)
    }
}

/// The page that a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// Entries to skip.
    pub offset: u32,
    /// What comes first.
    pub order: Order,
    /// Only what is older than this entry.
    pub before: Option<i64>,
    /// Only what is newer than this entry.
    pub after: Option<i64>,
    /// Only ids up to this one.
    pub last_id: i64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            offset: 0,
            order: Order::Newest,
            before: None,
            after: None,
            last_id: i64::MAX,
        }
    }
}

impl Page {
    /// Whether it begins at an entry.
    pub fn has_cursor(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }

    /// Reads `limit` and `offset` as the contract wants: a limit that is no number leaves an earlier one in force, 0 means
    /// the default, more than the maximum means the maximum; an offset that is no number is 0.
    pub fn parse<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut page = Self::default();
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            match name {
                "limit" => page.limit = parse_number(value).unwrap_or(page.limit),
                "offset" => page.offset = parse_number(value).unwrap_or(0),
                _ => {}
            }
        }
        page.limit = match page.limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        page
    }
}

/// A decimal number with an optional plus sign (which a query string decodes to a blank) and underscores between digits.
fn parse_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix(['+', ' ']).unwrap_or(text);
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains(['+', ' ']) {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn page(query: &str, limit: u32, offset: u32) {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let expected = Page {
            limit,
            offset,
            ..Page::default()
        };
        assert_eq!(Page::parse(pairs), expected, "{query}");
    }

    #[test]
    fn pages_fall_back_as_the_contract_says() {
        page("", 100, 0);
        page("limit=2&limit=x", 2, 0);
        page("limit=0", 100, 0);
        page("limit=501", 500, 0);
        page("limit=-1&offset=-1", 100, 0);
        page("limit=4294967296", 100, 0);
        page("limit= 7&offset=1_000", 7, 1000);
        page("offset=5&offset=x", 100, 0);
        page("offset=5&offset=", 100, 5);
    }

    #[track_caller]
    fn levels(text: &str, expected: &[Level]) {
        assert_eq!(
            Levels::parse(text).iter().collect::<Vec<_>>(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn levels_are_exact_or_and_above() {
        use Level::{Critical, Error, Warning};
        levels("ERROR", &[Error]);
        levels("error", &[Error]);
        levels("WARN", &[Warning]);
        levels(">=warn", &[Warning, Error, Critical]);
        levels(">=Fatal", &[Critical]);
        levels(">=debug", &Level::ALL);
        levels("debug, error", &[Level::Debug, Error]);
        levels("debug,>=error,x", &[Level::Debug, Error, Critical]);
        levels("bogus", &[]);
        levels(">=", &[]);
        levels(">=bogus", &[]);
        assert!(Levels::parse(&"x".repeat(5000)).is_empty());
    }
}
