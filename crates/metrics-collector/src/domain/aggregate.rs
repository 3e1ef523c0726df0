//! The figures a question can ask for.

use super::metric::MetricType;
use super::rollup::{PERCENTS, Rollup, Total};

/// One figure of a rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    /// Number of points.
    Count,
    Sum,
    /// A second: of counters their increments, of others their points.
    Rate,
    Avg,
    Min,
    Max,
    /// The value with the latest time.
    Last,
    P50,
    P90,
    P95,
    P99,
}

/// What a list of them may name, for error texts.
pub(crate) const EXPECTED: &str =
    "some of count, sum, rate, avg, min, max, last, p50, p90, p95 and p99, separated by commas";

impl Aggregate {
    const ALL: [Self; 11] = [
        Self::Count,
        Self::Sum,
        Self::Rate,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Last,
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
    ];

    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Rate => "rate",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Last => "last",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// Reads names separated by commas, each once; `None` when one is unknown or there is none.
    pub(crate) fn parse_list(text: &str) -> Option<Vec<Self>> {
        let mut list = Vec::new();
        for name in text.split(',').map(str::trim) {
            let known = Self::ALL.into_iter().find(|one| one.as_str() == name)?;
            if !list.contains(&known) {
                list.push(known);
            }
        }
        Some(list)
    }

    /// Which percentile it is.
    pub(crate) const fn percent(self) -> Option<u32> {
        match self {
            Self::P50 => Some(50),
            Self::P90 => Some(90),
            Self::P95 => Some(95),
            Self::P99 => Some(99),
            _ => None,
        }
    }

    /// Whether it needs the sketch even of a row that has exact percentiles.
    pub(crate) fn needs_sketch(self) -> bool {
        self.percent()
            .is_some_and(|percent| !PERCENTS.contains(&percent))
    }

    /// The figure of a rollup over a number of seconds, which must be more than zero.
    pub(crate) fn of(self, rollup: &Rollup, kind: MetricType, seconds: f64) -> f64 {
        self.figure(rollup, |percent| rollup.percentile(percent), kind, seconds)
    }

    /// The same of a total.
    pub(crate) fn of_total(self, total: &Total, kind: MetricType, seconds: f64) -> f64 {
        let percentile = |percent| total.percentile(percent);
        self.figure(total.counted(), percentile, kind, seconds)
    }

    fn figure(
        self,
        rollup: &Rollup,
        percentile: impl Fn(u32) -> f64,
        kind: MetricType,
        seconds: f64,
    ) -> f64 {
        match self {
            Self::Count => rollup.count as f64,
            Self::Sum => rollup.sum,
            Self::Rate if kind == MetricType::Counter => rollup.sum / seconds,
            Self::Rate => rollup.count as f64 / seconds,
            Self::Avg => rollup.mean(),
            Self::Min => rollup.min,
            Self::Max => rollup.max,
            Self::Last => rollup.last.value,
            Self::P50 => percentile(50),
            Self::P90 => percentile(90),
            Self::P95 => percentile(95),
            Self::P99 => percentile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollup::Point;

    #[test]
    fn names_are_read() {
        use Aggregate::{Count, P95, Rate};
        assert_eq!(Aggregate::parse_list("rate"), Some(vec![Rate]));
        assert_eq!(
            Aggregate::parse_list("p95, count,p95"),
            Some(vec![P95, Count])
        );
        for unknown in ["", "rate,", "median", "P95", "p75"] {
            assert_eq!(Aggregate::parse_list(unknown), None, "{unknown}");
        }
        for one in Aggregate::ALL {
            assert_eq!(Aggregate::parse_list(one.as_str()), Some(vec![one]));
            assert!(EXPECTED.contains(one.as_str()));
        }
    }

    #[test]
    fn figures() {
        let mut points: Vec<Point> = (1..=10)
            .map(|n| Point {
                at_ms: n,
                value: n as f64,
            })
            .collect();
        let rollup = Rollup::of(&mut points).expect("not empty");
        let of = |aggregate: Aggregate| aggregate.of(&rollup, MetricType::Histogram, 5.0);
        for (aggregate, expected) in [
            (Aggregate::Count, 10.0),
            (Aggregate::Sum, 55.0),
            (Aggregate::Rate, 2.0),
            (Aggregate::Avg, 5.5),
            (Aggregate::Min, 1.0),
            (Aggregate::Max, 10.0),
            (Aggregate::Last, 10.0),
            (Aggregate::P50, 5.0),
            (Aggregate::P99, 10.0),
        ] {
            assert_eq!(of(aggregate), expected, "{aggregate:?}");
        }
        assert!((of(Aggregate::P90) - 9.0).abs() <= 0.09);
        assert_eq!(Aggregate::Rate.of(&rollup, MetricType::Counter, 5.0), 11.0);
        assert!(Aggregate::P90.needs_sketch() && !Aggregate::P95.needs_sketch());
    }
}
