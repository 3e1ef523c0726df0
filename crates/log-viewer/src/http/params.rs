//! From a query string to a filter.

use monlight_shared::http::{ApiError, Query};

use crate::domain::filter::{Filter, Levels, Span};
use crate::domain::search::{MOST_WORDS, Search, words};

/// The filter of a list. Unknown parameters are ignored, of a repeated one the last that is not empty counts.
pub(super) fn filter(query: &Query) -> Result<Filter, ApiError> {
    let span = |name: &str| match query.last_nonempty(name) {
        None => Ok(None),
        Some(text) => Span::parse(text)
            .map(Some)
            .ok_or_else(|| no_time(name, text)),
    };
    Ok(Filter {
        since_ns: span("since")?.map(|span| span.first_ns),
        until_ns: span("until")?.map(|span| span.last_ns),
        ..entry_filter(query)?
    })
}

/// The part of a filter that looks at the entry alone, not at its time: all that a live tail has use for.
pub(super) fn entry_filter(query: &Query) -> Result<Filter, ApiError> {
    // `q` and `search` are one parameter with two names.
    let search = query
        .pairs()
        .filter(|(name, value)| matches!(*name, "search" | "q") && !value.is_empty())
        .last();
    if let Some((name, text)) = search {
        let count = words(text);
        if count > MOST_WORDS {
            return Err(ApiError::invalid(format!(
                "{name}: {count} words; expected at most {MOST_WORDS}"
            )));
        }
    }
    Ok(Filter {
        container: query.last_nonempty("container").map(ToOwned::to_owned),
        levels: query.last_nonempty("level").map(Levels::parse),
        search: search.map(|(_, text)| Search::parse(text)),
        ..Filter::default()
    })
}

fn no_time(name: &str, text: &str) -> ApiError {
    let shown: String = text.chars().take(64).collect();
    ApiError::invalid(format!(
        "{name}: {shown:?} is no time; expected ISO 8601 such as 2025-01-20T10:00:00Z, 2025-01-20T11:00:00.5+01:00 or 2025-01-20"
    ))
}
