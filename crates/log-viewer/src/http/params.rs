//! From a query string to a filter and a page.

use std::time::Duration;

use monlight_shared::http::{ApiError, Query};

use crate::domain::filter::{Filter, Order, Page};
use crate::domain::search::Search;
use crate::domain::{query_filter, span};
use crate::state::AppState;
use crate::store::list;
use crate::store::scan::Budget;

/// Entries that a second pass looks at unless the caller wants fewer.
const MOST_SCANNED: u64 = 1_000_000;
/// How long a second pass looks for its page.
const SCAN_TIME: Duration = Duration::from_secs(1);
/// How long it goes on counting once it has found it.
const COUNT_TIME: Duration = Duration::from_millis(300);

/// The filter of a list.
pub(super) async fn filter(state: &AppState, query: &Query) -> Result<Filter, ApiError> {
    let now_ns = i64::try_from(state.ctx.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
    let stated = |name: &str| match query.last_nonempty(name) {
        None => Ok(None),
        Some(text) => span::parse(text, now_ns)
            .map(Some)
            .ok_or_else(|| no_time(name, text)),
    };
    Ok(Filter {
        since_ns: stated("since")?.map(|span| span.first_ns),
        until_ns: stated("until")?.map(|span| span.last_ns),
        ..entry_filter(state, query).await?
    })
}

/// The part of a filter that looks at the entry alone, not at its time: all that a live tail has use for.
pub(super) async fn entry_filter(state: &AppState, query: &Query) -> Result<Filter, ApiError> {
    let pairs: Vec<(&str, &str)> = query.pairs().collect();
    let filter = query_filter::parse(&pairs).map_err(ApiError::invalid)?;
    let Some(Search::Raw(raw)) = &filter.search else {
        return Ok(filter);
    };
    let raw = raw.clone();
    let fault = state
        .ctx
        .store
        .read(move |conn| list::fault_of_raw(conn, &raw))
        .await?;
    match fault {
        None => Ok(filter),
        Some(fault) => Err(ApiError::invalid(format!("search: {fault}"))),
    }
}

/// The page of a list.
pub(super) fn page(query: &Query) -> Result<Page, ApiError> {
    let id = |name: &str| match query.last_nonempty(name) {
        None => Ok(None),
        Some(text) => match text
            .parse::<u64>()
            .ok()
            .and_then(|id| i64::try_from(id).ok())
        {
            Some(id) => Ok(Some(id)),
            None => Err(unexpected(name, text, "the id of an entry")),
        },
    };
    let order = match query.last_nonempty("order") {
        None => Order::default(),
        Some(text) => {
            Order::parse(text).ok_or_else(|| unexpected("order", text, "newest or oldest"))?
        }
    };
    Ok(Page {
        order,
        before: id("before")?,
        after: id("after")?,
        ..Page::parse(query.pairs())
    })
}

/// What a second pass over entries may cost.
pub(super) fn budget(state: &AppState, query: &Query) -> Result<Budget, ApiError> {
    let entries = match query.last_nonempty("max_scan") {
        None => MOST_SCANNED,
        Some(text) => text
            .parse()
            .ok()
            .filter(|entries| (1..=MOST_SCANNED).contains(entries))
            .ok_or_else(|| {
                unexpected(
                    "max_scan",
                    text,
                    &format!("a number from 1 to {MOST_SCANNED}"),
                )
            })?,
    };
    Ok(Budget {
        entries,
        ..usual_budget(state)
    })
}

/// The same for a caller who has no say.
pub(super) fn usual_budget(state: &AppState) -> Budget {
    let now = state.ctx.clock.monotonic();
    Budget {
        entries: MOST_SCANNED,
        until: now + SCAN_TIME,
        count_until: now + COUNT_TIME,
        clock: state.ctx.clock.clone(),
    }
}

/// The time since `started`.
pub(super) fn took(state: &AppState, started: Duration) -> Duration {
    state.ctx.clock.monotonic().saturating_sub(started)
}

/// A refusal that says what was found and what was expected.
pub(super) fn unexpected(name: &str, text: &str, expected: &str) -> ApiError {
    ApiError::invalid(query_filter::unexpected(name, text, expected))
}

fn no_time(name: &str, text: &str) -> ApiError {
    let shown: String = text.chars().take(64).collect();
    ApiError::invalid(format!(
        "{name}: {shown:?} is no time; expected ISO 8601 such as 2025-01-20T10:00:00Z, 2025-01-20T11:00:00.5+01:00 or 2025-01-20, or a time ago such as 15m or 1h30m"
    ))
}
