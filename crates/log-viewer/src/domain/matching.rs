//! Whether an entry passes a filter, without the index: for what has just been stored, and for what the index does not
//! know.

use monlight_shared::search_text::Matcher;

use super::ansi;
use super::entry::{Level, Stream};
use super::field_test::FieldTest;
use super::fields;
use super::filter::Filter;
use super::names;
use super::pattern::PatternMatcher;
use super::search::{Known, Search};

/// An entry as filters see it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'e> {
    /// The container's name.
    pub container: &'e str,
    /// Its compose project.
    pub project: &'e str,
    /// Its compose service.
    pub service: &'e str,
    /// Where it came from.
    pub stream: Stream,
    /// How bad it is.
    pub level: Level,
    /// The message, with its colours.
    pub message: &'e str,
    /// The words of its fields, separated by blanks.
    pub fields: Option<&'e str>,
}

impl Seen<'_> {
    fn has_word(&self, word: &str) -> bool {
        self.fields
            .is_some_and(|fields| fields.split(' ').any(|known| known == word))
    }

    /// Whether `name:value` finds it, apart from its words.
    fn has(&self, name: &str, value: &str) -> bool {
        let is_known = match Known::of(name, value) {
            None => false,
            Some(Known::Levels(levels)) => levels.contains(self.level),
            Some(Known::Stream(stream)) => stream == self.stream,
            Some(Known::Container) => names::is_listed(value, self.container),
            Some(Known::Project) => names::is_listed(value, self.project),
            Some(Known::Service) => names::is_listed(value, self.service),
        };
        is_known || self.has_word(&fields::token(name, value))
    }
}

/// A filter at work on one entry after the other. Times are not looked at.
#[derive(Debug)]
pub struct Matching<'f> {
    filter: &'f Filter,
    search: Option<Matcher<'f>>,
}

impl<'f> Matching<'f> {
    /// `None` for a filter that only the index understands.
    pub fn new(filter: &'f Filter) -> Option<Self> {
        let search = match &filter.search {
            Some(Search::Raw(_)) => return None,
            Some(Search::Text(text)) => Some(Matcher::new(text)),
            Some(Search::Nothing) | None => None,
        };
        Some(Self { filter, search })
    }

    /// Whether the index would find the entry; what the index does not know is left to the [`SecondPass`].
    pub fn matches(&mut self, seen: Seen<'_>) -> bool {
        let filter = self.filter;
        let holds = |test: &FieldTest| {
            test.words().is_none_or(|(wanted, words)| {
                words.iter().any(|word| seen.has_word(word)) == wanted
            })
        };
        filter.search != Some(Search::Nothing)
            && filter
                .levels
                .is_none_or(|levels| levels.contains(seen.level))
            && filter.stream.is_none_or(|stream| stream == seen.stream)
            && filter.wants(seen.container, seen.project, seen.service)
            && filter.fields.iter().all(holds)
            && self.search.as_mut().is_none_or(|search| {
                search.matches_with(&[&ansi::strip(seen.message)], |name, value| {
                    seen.has(name, value)
                })
            })
    }
}

/// What has to be looked up in the text of each entry that the index finds: a pattern, and fields by form or number.
#[derive(Debug)]
pub struct SecondPass {
    tests: Vec<FieldTest>,
    pattern: Option<PatternMatcher>,
}

impl SecondPass {
    /// `None` when the index knows all of it.
    pub fn new(filter: &Filter) -> Option<Self> {
        let tests: Vec<FieldTest> = filter
            .fields
            .iter()
            .filter(|test| test.words().is_none())
            .cloned()
            .collect();
        let pattern = filter.regex.as_ref().map(super::pattern::Pattern::matcher);
        (!tests.is_empty() || pattern.is_some()).then_some(Self { tests, pattern })
    }

    /// Whether an entry with this message passes; `None` when `is_over` said that there is no more time.
    pub fn matches(&mut self, message: &str, is_over: impl FnMut() -> bool) -> Option<bool> {
        if !self.tests.is_empty() {
            let fields = fields::parse(message);
            if !self.tests.iter().all(|test| test.holds(&fields)) {
                return Some(false);
            }
        }
        match &mut self.pattern {
            None => Some(true),
            Some(pattern) => pattern.is_match(&ansi::strip(message), is_over),
        }
    }
}
