//! From a query string to a question about one metric.
//!
//! What the contract knows falls back when it is not understood; everything else is refused, so that a typing error does
//! not look like an answer.

use monlight_shared::http::{ApiError, Query};
use monlight_shared::time_span::Span;

use super::names;
use crate::domain::aggregate::{self, Aggregate};
use crate::domain::label_filter::LabelFilter;
use crate::domain::labels;
use crate::domain::range::{Kept, Period, Resolution, step_ms};
use crate::store::query::{Buckets, LabelSets, Limit, Question};

/// The most groups that a limit can ask for.
const LARGEST_LIMIT: usize = 1000;
const NS_PER_MS: i64 = 1_000_000;

/// A question, and what the answer repeats of it.
pub(super) struct Asked {
    pub(super) question: Question,
    /// `None` when `start` says how far back it goes.
    pub(super) period: Option<Period>,
    /// Whether `start` or `end` was given.
    pub(super) has_bounds: bool,
    /// Whether `step` was given.
    pub(super) has_step: bool,
}

impl Asked {
    pub(super) fn read(params: &Query, kept: Kept, now_ms: i64) -> Result<Self, ApiError> {
        let name = required(params, "name")?.to_owned();
        let group_by = params.last("group_by").map(labels::names).transpose();
        let group_by = group_by.map_err(ApiError::invalid)?;
        let labels = match params.last_nonempty("labels") {
            None => LabelSets::Any,
            Some(text) if group_by.is_none() => LabelSets::Exactly(labels::from_filter(text)),
            Some(text) => LabelSets::Matching(filter(text)?),
        };
        let time = Time::read(params, now_ms)?;
        let (tier, step) = time.steps(params, kept, now_ms)?;
        let limit = limit(params)?;
        if limit.is_some() && group_by.is_none() {
            return Err(ApiError::invalid("limit: only together with group_by"));
        }
        Ok(Self {
            question: Question {
                name,
                project: names::project(params),
                labels,
                group_by,
                aggregates: aggregates(params)?,
                limit,
                buckets: Buckets {
                    tier,
                    step_ms: step.unwrap_or(tier.step_ms()),
                    from_ms: time.from_ms,
                    until_ms: time.until_ms,
                },
                now_ms,
            },
            has_bounds: time.has_bounds,
            has_step: step.is_some(),
            period: time.period,
        })
    }
}

/// The last value of a parameter that is not empty.
pub(super) fn required<'q>(params: &'q Query, name: &str) -> Result<&'q str, ApiError> {
    params
        .last_nonempty(name)
        .ok_or_else(|| ApiError::invalid(format!("Missing required parameter: {name}")))
}

/// Conditions on labels.
pub(super) fn filter(text: &str) -> Result<LabelFilter, ApiError> {
    LabelFilter::parse(text).map_err(|fault| ApiError::invalid(format!("labels: {fault}")))
}

/// A whole number in a range.
pub(super) fn number(
    params: &Query,
    name: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.last_nonempty(name) else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number| range.contains(number));
    let expected = || format!("a whole number, {} to {}", range.start(), range.end());
    number
        .map(Some)
        .ok_or_else(|| unclear(name, text, &expected()))
}

/// `name`: `value` is not `expected`.
fn unclear(name: &str, value: &str, expected: &str) -> ApiError {
    let shown: String = value.chars().take(64).collect();
    ApiError::invalid(format!(
        "{name}: {shown:?} is not understood; expected {expected}"
    ))
}

/// The stretch of time of a question.
struct Time {
    period: Option<Period>,
    from_ms: i64,
    until_ms: i64,
    has_bounds: bool,
}

impl Time {
    fn read(params: &Query, now_ms: i64) -> Result<Self, ApiError> {
        let period = last_valid(params, "period", Period::parse).unwrap_or_default();
        let start = time(params, "start")?.map(|span| span.first_ns);
        let end = time(params, "end")?.map(|span| span.last_ns);
        let until_ms = end.map_or(now_ms, |ns| ns.div_euclid(NS_PER_MS));
        let from_ms = start.map_or_else(
            || period.start_ms(until_ms.min(now_ms)),
            |ns| ns.div_euclid(NS_PER_MS),
        );
        if from_ms > until_ms {
            return Err(ApiError::invalid("start: it lies behind the end"));
        }
        Ok(Self {
            period: start.is_none().then_some(period),
            from_ms,
            until_ms,
            has_bounds: start.is_some() || end.is_some(),
        })
    }

    /// The tier of the answer, and the length of its buckets when one was asked for.
    fn steps(
        &self,
        params: &Query,
        kept: Kept,
        now_ms: i64,
    ) -> Result<(Resolution, Option<i64>), ApiError> {
        if let Some(text) = params.last_nonempty("step") {
            let step = step_ms(text).ok_or_else(|| {
                unclear(
                    "step",
                    text,
                    "whole minutes, hours or days such as 5m, 6h or 1d",
                )
            })?;
            return Ok((Resolution::dividing(step), Some(step)));
        }
        let length_ms = match &self.period {
            // Its end may lie ahead, as that of a day.
            Some(period) => period.seconds.saturating_mul(1000),
            None => self.until_ms - self.from_ms,
        };
        let auto = Resolution::suiting(length_ms, now_ms - self.from_ms, kept);
        let asked = last_valid(params, "resolution", |text| Resolution::parse(text, auto));
        Ok((asked.unwrap_or(auto), None))
    }
}

/// The last value of a parameter that is valid; others are as if they were not there.
fn last_valid<T>(params: &Query, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    params.all(name).filter_map(parse).last()
}

fn time(params: &Query, name: &str) -> Result<Option<Span>, ApiError> {
    let Some(text) = params.last_nonempty(name) else {
        return Ok(None);
    };
    let expected =
        "ISO 8601 such as 2025-01-20T10:00:00Z, 2025-01-20T11:00:00.5+01:00 or 2025-01-20";
    Span::parse(text)
        .map(Some)
        .ok_or_else(|| unclear(name, text, expected))
}

fn aggregates(params: &Query) -> Result<Vec<Aggregate>, ApiError> {
    let Some(text) = params.last_nonempty("agg") else {
        return Ok(Vec::new());
    };
    Aggregate::parse_list(text).ok_or_else(|| unclear("agg", text, aggregate::EXPECTED))
}

fn limit(params: &Query) -> Result<Option<Limit>, ApiError> {
    let groups = number(params, "limit", 1..=LARGEST_LIMIT)?;
    let rest = number(params, "rest", 0..=1)?.unwrap_or(0) == 1;
    if rest && groups.is_none() {
        return Err(ApiError::invalid("rest: only together with limit"));
    }
    Ok(groups.map(|groups| Limit { groups, rest }))
}
