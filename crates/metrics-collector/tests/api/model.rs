//! Whatever happens in whatever order, answers equal what is computed from the accepted points.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Collector, HOUR, MINUTE, at, bucket};

const SERIES: usize = 3;
const DAY: i64 = 24 * HOUR;

/// What is done to a collector, and which of its answers must then be exact.
struct Plan {
    settings: &'static [(&'static str, &'static str)],
    tiers: &'static [(&'static str, i64)],
    oldest: i64,
    longest_pause: i64,
}

/// Nothing but raw points is old enough to be deleted.
const EVERY_TIER: Plan = Plan {
    settings: &[("RETENTION_RAW", "1"), ("RETENTION_MINUTE", "72")],
    tiers: &[("minute", MINUTE), ("hour", HOUR), ("day", DAY)],
    oldest: 5 * HOUR,
    longest_pause: 90 * MINUTE,
};

/// Points, minutes and hours come and go; late points reach hours and days that have no finer rows any more.
const DAYS_ALONE: Plan = Plan {
    settings: &[
        ("RETENTION_RAW", "1"),
        ("RETENTION_MINUTE", "2"),
        ("RETENTION_HOURLY", "1"),
    ],
    tiers: &[("day", DAY)],
    oldest: 80 * HOUR,
    longest_pause: 30 * HOUR,
};

#[derive(Clone, Debug)]
enum Step {
    /// Series, age in milliseconds, value.
    Post(Vec<(usize, i64, f64)>),
    Advance(i64),
    RollUp,
    Forget,
    Restart,
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-8000..8000_i32).prop_map(|n| f64::from(n) / 8.0),
        Just(0.0),
        (1..100_i32).prop_map(f64::from),
        Just(1e12),
        Just(1e-9)
    ]
}

fn any_step(plan: &Plan) -> impl Strategy<Value = Step> + use<> {
    let age =
        prop_oneof![4 => 0..3 * MINUTE, 2 => 0..HOUR, 2 => 0..plan.oldest, 1 => -2 * MINUTE..0];
    prop_oneof![
        6 => prop::collection::vec((0..SERIES, age, any_value()), 1..20).prop_map(Step::Post),
        3 => prop_oneof![1_000..MINUTE, MINUTE..plan.longest_pause].prop_map(Step::Advance),
        3 => Just(Step::RollUp),
        2 => Just(Step::Forget),
        1 => Just(Step::Restart),
    ]
}

/// An accepted point.
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) series: usize,
    pub(crate) at_ms: i64,
    pub(crate) value: f64,
}

/// What is expected of one row.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) points: Vec<Accepted>,
    /// Whether the percentiles are those of the points; else they may be off by 1 %.
    pub(crate) exact: bool,
}

impl Expected {
    #[track_caller]
    pub(crate) fn check(&mut self, row: &Value, what: &str) {
        self.points.sort_by(|a, b| a.value.total_cmp(&b.value));
        let values: Vec<f64> = self.points.iter().map(|point| point.value).collect();
        let number = |key: &str| {
            row[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key} of {row}"))
        };
        assert_eq!(row["count"], json!(values.len()), "{what}");
        let (sum, scale) = (
            values.iter().sum::<f64>(),
            values.iter().map(|value| value.abs()).sum::<f64>(),
        );
        assert!(
            (number("sum") - sum).abs() <= 1e-9 * scale.max(1.0),
            "{what}: sum {} not {sum}",
            number("sum")
        );
        // The test's JSON reader may be off by a bit in the last place.
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-15 * b.abs();
        assert!(
            same(number("min"), values[0]) && same(number("max"), values[values.len() - 1]),
            "{what}: {row}"
        );
        let last = self
            .points
            .iter()
            .max_by(|a, b| a.at_ms.cmp(&b.at_ms).then(a.value.total_cmp(&b.value)));
        assert!(
            last.is_some_and(|last| same(number("last"), last.value)),
            "{what}: {row}"
        );
        // Only histograms have them.
        let percentiles = if row["p50"].is_null() {
            &[][..]
        } else {
            &[50, 95, 99]
        };
        let tolerance = if self.exact { 1e-15 } else { 0.01 };
        for percent in percentiles {
            let exact = values[(values.len() * percent).div_ceil(100) - 1];
            let got = number(&format!("p{percent}"));
            assert!(
                (got - exact).abs() <= tolerance * exact.abs() + 1e-12,
                "{what}: p{percent} {got} not {exact}"
            );
        }
    }

    #[track_caller]
    fn check_histogram(&mut self, row: &Value, what: &str) {
        assert!(row["p50"].is_number(), "{what}: {row}");
        self.check(row, what);
    }
}

/// Compares the rows of a query with the points that belong to them.
async fn compare(
    collector: &Collector,
    query: &str,
    step_ms: i64,
    points: impl Iterator<Item = Accepted>,
) {
    let mut expected: BTreeMap<i64, Expected> = BTreeMap::new();
    for point in points {
        expected
            .entry(point.at_ms - point.at_ms.rem_euclid(step_ms))
            .or_default()
            .points
            .push(point);
    }
    let answer = collector.get(&format!("/api/metrics?{query}")).await;
    let rows = answer["data"].as_array().expect("rows");
    let buckets: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["bucket"].as_str())
        .collect();
    let wanted: Vec<String> = expected.keys().map(|&start| bucket(start)).collect();
    assert_eq!(buckets, wanted, "{query}");
    for (row, (start, expected)) in rows.iter().zip(&mut expected) {
        expected.check_histogram(row, &format!("{query} at {}", bucket(*start)));
    }
}

async fn check(collector: &Collector, accepted: &[Accepted], plan: &Plan) {
    let now = collector.now_ms();
    for &(resolution, step_ms) in plan.tiers {
        let end = now - now.rem_euclid(step_ms) + step_ms;
        // The future is not shown, but for what is left of the running bucket.
        let visible = || accepted.iter().filter(|point| point.at_ms < end).copied();
        let base = format!("name=m&period=60d&resolution={resolution}");
        for series in 0..SERIES {
            let of_series = visible().filter(|point| point.series == series);
            compare(
                collector,
                &format!("{base}&labels=s:{series}"),
                step_ms,
                of_series,
            )
            .await;
        }
        compare(collector, &format!("{base}&group_by="), step_ms, visible()).await;
    }
    let end = now - now.rem_euclid(MINUTE) + MINUTE;
    let received = accepted.iter().filter(|point| point.at_ms < end).count();
    let dashboard = collector.get("/api/dashboard?period=60d").await;
    assert_eq!(dashboard["summary"]["total_datapoints"], json!(received));
}

async fn run(steps: Vec<Step>, plan: &Plan) {
    let mut collector = Collector::new(plan.settings);
    let mut accepted = Vec::new();
    for step in steps {
        match step {
            Step::Post(points) => {
                let now = collector.now_ms();
                let new: Vec<Accepted> = points
                    .into_iter()
                    .map(|(series, age, value)| Accepted {
                        series,
                        at_ms: now - age,
                        value,
                    })
                    .collect();
                let item = |point: &Accepted| {
                    json!({"name": "m", "type": "histogram", "value": point.value, "timestamp": at(point.at_ms),
                           "labels": {"s": point.series}})
                };
                collector.accept(new.iter().map(item).collect()).await;
                accepted.extend(new);
            }
            Step::Advance(ms) => collector.advance(ms),
            Step::RollUp => collector.roll_up().await,
            Step::Forget => collector.forget().await,
            Step::Restart => collector = collector.restart().await,
        }
        check(&collector, &accepted, plan).await;
    }
    collector.advance(2 * DAY);
    collector.roll_up().await;
    collector.forget().await;
    check(&collector, &accepted, plan).await;
    // One row for each series and bucket, whatever came when.
    for &(tier, step_ms) in plan.tiers {
        let rows = match tier {
            "minute" => "SELECT count(*) FROM roll_minute",
            "hour" => "SELECT count(*) FROM roll_hour",
            _ => "SELECT count(*) FROM roll_day",
        };
        let buckets: std::collections::BTreeSet<(usize, i64)> = accepted
            .iter()
            .map(|point| (point.series, point.at_ms.div_euclid(step_ms)))
            .collect();
        assert_eq!(collector.number(rows).await, buckets.len() as i64, "{tier}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_equal_the_accepted_points(steps in prop::collection::vec(any_step(&EVERY_TIER), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps, &EVERY_TIER));
    }

    #[test]
    fn days_equal_the_accepted_points_whatever_is_deleted(steps in prop::collection::vec(any_step(&DAYS_ALONE), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps, &DAYS_ALONE));
    }
}
