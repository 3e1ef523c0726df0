//! What people ask for: levels, times, pages.

pub use monlight_shared::time_span::Span;

use super::entry::Level;
use super::search::Search;

/// Entries on a page unless the caller says otherwise.
pub const DEFAULT_LIMIT: u32 = 100;
/// The most entries on a page.
pub const MAX_LIMIT: u32 = 500;

/// Which entries are wanted. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The exact name of the container.
    pub container: Option<String>,
    /// The levels.
    pub levels: Option<Levels>,
    /// Words in the message.
    pub search: Option<Search>,
    /// The earliest time, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// The latest time, in nanoseconds since 1970.
    pub until_ns: Option<i64>,
}

/// A set of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels(u8);

impl Levels {
    /// `ERROR` is that level, `>=ERROR` that and all above; names in any case, with the contract's aliases. A name that
    /// is none is the empty set: nothing matches.
    pub fn parse(text: &str) -> Self {
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

/// The page that a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// Entries to skip.
    pub offset: u32,
}

impl Page {
    /// Reads `limit` and `offset` as the contract wants: a limit that is no number leaves an earlier one in force, 0 means
    /// the default, more than the maximum means the maximum; an offset that is no number is 0.
    pub fn parse<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut page = Self {
            limit: DEFAULT_LIMIT,
            offset: 0,
        };
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
        assert_eq!(Page::parse(pairs), Page { limit, offset }, "{query}");
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
        levels("bogus", &[]);
        levels(">=", &[]);
        levels(">=bogus", &[]);
        assert!(Levels::parse(&"x".repeat(5000)).is_empty());
    }
}
