//! What a rule reads of a group in one window: a value, nothing, or that nobody can say.

use super::aggregate::Aggregate;
use super::metric::MetricType;
use super::rollup::Rollup;
use super::rule::{Change, Kind, Rule};

/// The share of a window, in per cent, that may lie in an outage.
const OUTAGE_PERCENT: i64 = 10;

/// What a rule reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// A finite number.
    Value(f64),
    /// There is no value: no points, or too small a denominator.
    Nothing,
    /// The service was away for too much of the window to know.
    Unknown,
}

impl Reading {
    /// The value, if there is one.
    pub(crate) fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Unknown => None,
        }
    }

    /// NaN and infinities are no values.
    fn of(value: Option<f64>) -> Self {
        match value {
            Some(value) if value.is_finite() => Self::Value(value),
            _ => Self::Nothing,
        }
    }
}

/// What one measure has of a group.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Of the type of the metric, and whether series of the group are known that had points not long ago.
    pub(crate) kind: Option<MetricType>,
    pub(crate) is_known: bool,
    /// In the window, and in the one before it.
    pub(crate) now: Option<Rollup>,
    pub(crate) before: Option<Rollup>,
}

impl Measured {
    /// The figure of a window. Counts of nothing are zero where there was something before.
    fn figure(&self, rollup: Option<&Rollup>, aggregate: Aggregate, seconds: f64) -> Option<f64> {
        let kind = self.kind.unwrap_or(MetricType::Counter);
        let counts = matches!(
            aggregate,
            Aggregate::Count | Aggregate::Sum | Aggregate::Rate
        );
        match rollup {
            Some(rollup) => Some(aggregate.of(rollup, kind, seconds)),
            None if counts && self.is_known => Some(0.0),
            None => None,
        }
    }
}

/// Reads a group. `denominator`: of a ratio.
pub(crate) fn read(rule: &Rule, query: &Measured, denominator: Option<&Measured>) -> Reading {
    let seconds = rule.window.as_secs_f64();
    let aggregate = rule.query.aggregate;
    let now = || query.figure(query.now.as_ref(), aggregate, seconds);
    let before = || query.figure(query.before.as_ref(), aggregate, seconds);
    Reading::of(match &rule.kind {
        Kind::Threshold => now(),
        Kind::Rate(Change::PerSecond) if !rule.compares() => now(),
        Kind::Rate(change) => now()
            .zip(before())
            .map(|(now, before)| changed(*change, now, before, seconds)),
        Kind::Ratio(measure, least) => {
            let below = denominator
                .and_then(|below| below.figure(below.now.as_ref(), measure.aggregate, seconds));
            // No failure at all is no reason to know nothing.
            let above = now().or_else(|| {
                Measured {
                    is_known: true,
                    ..Measured::default()
                }
                .figure(None, aggregate, seconds)
            });
            let below = below.filter(|below| *below != 0.0 && *below >= *least);
            above.zip(below).map(|(above, below)| above / below)
        }
        Kind::Absence => match &query.now {
            Some(rollup) => Some(rollup.count as f64),
            None => query.is_known.then_some(0.0),
        },
    })
}

/// A share of nothing is no value, so that the first points of a metric are no rise; that nothing is still nothing is one.
fn changed(change: Change, now: f64, before: f64, seconds: f64) -> f64 {
    let difference = now - before;
    match change {
        Change::PerSecond => difference / seconds,
        Change::Percent if difference == 0.0 => 0.0,
        Change::Percent => difference / before.abs() * 100.0,
    }
}

/// A stretch of time in which nothing could come in, milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) from_ms: i64,
    pub(crate) until_ms: i64,
}

impl Outage {
    /// A reading as it counts when the window that ends at `end_ms` was partly in this outage. What is missing can make a
    /// value too small, so only one that is too large although something is missing counts.
    pub(crate) fn doubts(self, rule: &Rule, reading: Reading, end_ms: i64, fires: bool) -> Reading {
        let windows = if rule.compares() { 2 } else { 1 };
        let length = rule.window_ms() * windows;
        let missing = self.until_ms.min(end_ms) - self.from_ms.max(end_ms - length);
        if missing.max(0) * 100 <= length * OUTAGE_PERCENT {
            return reading;
        }
        let counts = rule.limit.condition.is_upper() && !rule.compares();
        match reading {
            Reading::Value(value) if counts && rule.limit.is_broken(value, fires) => reading,
            _ => Reading::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::rollup::Point;

    /// The usual window.
    const SECONDS: f64 = 300.0;

    fn rule(more: &Value) -> Rule {
        let mut body = json!({"name": "r", "query": {"name": "m"}, "value": 1});
        let more = more.as_object().expect("members");
        body.as_object_mut().expect("members").extend(more.clone());
        if more.get("kind") == Some(&json!("absence")) {
            body["value"] = Value::Null;
        }
        Rule::read(body.to_string().as_bytes()).expect("a rule")
    }

    fn rollup(values: &[f64]) -> Option<Rollup> {
        let points = values.iter().zip(1..);
        let mut points: Vec<Point> = points
            .map(|(&value, at_ms)| Point { at_ms, value })
            .collect();
        Rollup::of(&mut points)
    }

    fn measured(now: &[f64], before: &[f64], is_known: bool) -> Measured {
        Measured {
            kind: Some(MetricType::Counter),
            is_known,
            now: rollup(now),
            before: rollup(before),
        }
    }

    #[track_caller]
    fn check(more: &Value, windows: [&[f64]; 2], expected: Option<f64>) {
        let measured = measured(windows[0], windows[1], true);
        let reading = read(&rule(more), &measured, None);
        assert_eq!(reading.value(), expected, "{more}");
    }

    #[test]
    fn thresholds_and_changes() {
        let agg = |agg: &str| json!({"query": {"name": "m", "agg": agg}});
        check(&json!({}), [&[300.0, 600.0], &[]], Some(900.0 / SECONDS));
        check(&agg("sum"), [&[300.0, 600.0], &[]], Some(900.0));
        check(&agg("max"), [&[300.0, 600.0], &[]], Some(600.0));
        // Counts of nothing are zero, other figures of nothing are none.
        check(&agg("rate"), [&[], &[]], Some(0.0));
        check(&agg("p95"), [&[], &[]], None);
        let per_second = |agg: &str| json!({"kind": "rate", "query": {"name": "m", "agg": agg}});
        check(&per_second("rate"), [&[300.0], &[900.0]], Some(1.0));
        check(&per_second("last"), [&[900.0], &[300.0]], Some(2.0));
        check(&per_second("last"), [&[900.0], &[]], None);
        let percent = |agg: &str| json!({"kind": "rate", "change": "percent", "query": {"name": "m", "agg": agg}});
        check(&percent("sum"), [&[150.0], &[100.0]], Some(50.0));
        check(&percent("avg"), [&[-150.0], &[-100.0]], Some(-50.0));
        check(&percent("sum"), [&[0.0], &[0.0]], Some(0.0));
        check(&percent("sum"), [&[], &[]], Some(0.0));
        check(&percent("sum"), [&[5.0], &[]], None);
        check(&percent("avg"), [&[-5.0], &[0.0]], None);
        check(&percent("sum"), [&[f64::MAX], &[f64::MIN]], None);
    }

    #[test]
    fn a_ratio_needs_enough_to_be_of() {
        #[track_caller]
        fn check(above: &Measured, below: &[f64], least: f64, expected: Option<f64>) {
            let rule = rule(
                &json!({"kind": "ratio", "denominator": {"name": "n"}, "min_denominator": least}),
            );
            let below = measured(below, &[], true);
            assert_eq!(read(&rule, above, Some(&below)).value(), expected);
        }
        let one = measured(&[1.0], &[], true);
        check(&one, &[20.0], 10.0, Some(0.05));
        check(&one, &[1.0], 10.0, None);
        check(&one, &[1.0], 0.0, Some(1.0));
        check(&one, &[0.0], 0.0, None);
        check(&one, &[], 0.0, None);
        check(&one, &[5e-324], 0.0, None);
        // It never failed.
        check(&Measured::default(), &[20.0], 10.0, Some(0.0));
    }

    #[test]
    fn only_what_was_there_can_be_absent() {
        let absence = rule(&json!({"kind": "absence"}));
        let read = |measured: &Measured| read(&absence, measured, None);
        assert_eq!(read(&measured(&[1.0, 2.0], &[], true)), Reading::Value(2.0));
        assert_eq!(read(&measured(&[], &[], true)), Reading::Value(0.0));
        assert_eq!(read(&measured(&[], &[], false)), Reading::Nothing);
        assert!(absence.limit.is_broken(0.0, false) && !absence.limit.is_broken(1.0, true));
    }

    #[test]
    fn an_outage_leaves_only_what_is_certain() {
        const END: i64 = 1_000_000;
        let outage = Outage {
            from_ms: 700_000,
            until_ms: 800_000,
        };
        let doubts = |more: &Value, value: f64, end_ms| {
            let rule = rule(more);
            outage.doubts(&rule, Reading::Value(value), end_ms, false)
        };
        let upper = json!({});
        assert_eq!(doubts(&upper, 2.0, END), Reading::Value(2.0));
        assert_eq!(doubts(&upper, 0.5, END), Reading::Unknown);
        let lower = json!({"condition": "<"});
        assert_eq!(doubts(&lower, 0.5, END), Reading::Unknown);
        assert_eq!(
            doubts(&json!({"kind": "absence"}), 0.0, END),
            Reading::Unknown
        );
        let percent = json!({"kind": "rate", "change": "percent"});
        assert_eq!(doubts(&percent, 7.0, END), Reading::Unknown);
        // A tenth of a window may be missing, and a long window hardly notices.
        assert_eq!(doubts(&lower, 0.5, END + 70_000), Reading::Value(0.5));
        let long = json!({"condition": "<", "window_seconds": 3600});
        assert_eq!(doubts(&long, 0.5, END), Reading::Value(0.5));
    }
}
