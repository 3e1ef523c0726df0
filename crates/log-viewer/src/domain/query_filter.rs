//! From the parameters of a query string to a filter: the part that looks at the entry alone, not at its time.
//!
//! Unknown parameters are ignored, of a repeated one the last that is not empty counts, except `field.NAME`, of which all
//! count.

use super::field_test::FieldTest;
use super::filter::{Filter, Levels};
use super::names::NameFilter;
use super::pattern::Pattern;
use super::search::{self, MOST_WORDS, Search, words};

/// The parameters that are understood, besides `field.NAME`.
pub const NAMES: [&str; 10] = [
    "container",
    "project",
    "service",
    "stream",
    "level",
    "min_level",
    "search",
    "q",
    "mode",
    "regex",
];

/// Understands them, given decoded and in their order. [`Search::Raw`] is not checked.
///
/// # Errors
/// What is wrong, in the form `name: what; what was expected`.
pub fn parse(pairs: &[(&str, &str)]) -> Result<Filter, String> {
    let last = |name: &str| {
        let mut given = pairs.iter().rev();
        let found = given.find(|(known, value)| *known == name && !value.is_empty());
        found.map(|(_, value)| *value)
    };
    let names = |name: &str| last(name).map(|text| NameFilter::new(text.split(',')));
    let least = last("min_level")
        .map(|text| Levels::parse(&format!(">={}", text.trim_start_matches(">="))));
    let levels = last("level").map(Levels::parse);
    let stream = match last("stream") {
        None => None,
        Some(text) => Some(
            search::stream(text).ok_or_else(|| unexpected("stream", text, "stdout or stderr"))?,
        ),
    };
    let regex = last("regex").map(Pattern::parse);
    Ok(Filter {
        container: names("container"),
        project: names("project"),
        service: names("service"),
        stream,
        levels: match (levels, least) {
            (Some(levels), Some(least)) => Some(levels.and(least)),
            (levels, least) => levels.or(least),
        },
        search: search_of(pairs)?,
        fields: FieldTest::parse(pairs.iter().copied())?,
        regex: regex
            .transpose()
            .map_err(|fault| format!("regex: {fault}"))?,
        ..Filter::default()
    })
}

fn search_of(pairs: &[(&str, &str)]) -> Result<Option<Search>, String> {
    // `q` and `search` are one parameter with two names.
    let given = pairs
        .iter()
        .rfind(|(name, value)| matches!(*name, "search" | "q") && !value.is_empty());
    let mode = pairs
        .iter()
        .rfind(|(name, value)| *name == "mode" && !value.is_empty());
    let is_raw = match mode.map(|(_, value)| *value) {
        None | Some("words") => false,
        Some("fts") => true,
        Some(other) => return Err(unexpected("mode", other, "words or fts")),
    };
    let Some((name, text)) = given else {
        return Ok(None);
    };
    let count = words(text);
    if count > MOST_WORDS {
        return Err(format!(
            "{name}: {count} words; expected at most {MOST_WORDS}"
        ));
    }
    Ok(Some(if is_raw {
        Search::Raw((*text).to_owned())
    } else {
        Search::parse(text)
    }))
}

/// A refusal that says what was found and what was expected.
pub fn unexpected(name: &str, text: &str, expected: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    format!("{name}: {shown:?}; expected {expected}")
}
