//! Histograms that were counted by their sender: limits, and how many values are at or below each.
//!
//! Values inside a bucket are taken to be spread evenly between its limits, as Prometheus' `histogram_quantile` takes them
//! (<https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile>): the lowest bucket begins at 0
//! when its limit is above 0, and what is above the highest limit counts as that limit. Count and sum are the sender's.

use super::rollup::{Point, Rollup};
use super::sketch::Sketch;

/// Values are spread in at most so many steps; a sketch has no more buckets between two limits that are plausible.
const MOST_STEPS: usize = 10_000;

/// How many values were at or below some limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Buckets {
    /// Of all values, those above the highest limit included.
    pub(crate) count: u64,
    /// Of all values, when the sender says it; finite.
    pub(crate) sum: Option<f64>,
    /// Finite limits, ascending, and the number of values up to each, not descending and at most `count`.
    pub(crate) below: Vec<(f64, u64)>,
}

impl Buckets {
    /// Puts limits into order and mends what a sender that counts while it writes gets wrong: no number is below the one
    /// before or above the count.
    pub(crate) fn new(count: u64, sum: Option<f64>, mut below: Vec<(f64, u64)>) -> Self {
        below.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut least = 0;
        for (_, number) in &mut below {
            least = (*number).clamp(least, count.max(least));
            *number = least.min(count);
        }
        Self {
            count,
            sum: sum.filter(|sum| sum.is_finite()),
            below,
        }
    }

    /// Whether both have the same limits, so that one can be subtracted from the other.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let limits = |buckets: &Self| -> Vec<u64> {
            let limits = buckets.below.iter().map(|(limit, _)| limit.to_bits());
            limits.collect()
        };
        limits(self) == limits(other)
    }

    /// Whether no number is lower than one of `before`, which is like it.
    pub(crate) fn continues(&self, before: &Self) -> bool {
        let mut pairs = self.below.iter().zip(&before.below);
        self.count >= before.count && pairs.all(|((_, now), (_, before))| now >= before)
    }

    /// What came since `before`, which is like it and which it continues.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let below = self.below.iter().zip(&before.below);
        let below = below.map(|(&(limit, now), (_, before))| (limit, now.saturating_sub(*before)));
        let sum = match (self.sum, before.sum) {
            (Some(now), Some(before)) => Some(now - before),
            _ => None,
        };
        Self::new(
            self.count.saturating_sub(before.count),
            sum,
            below.collect(),
        )
    }

    /// The rollup of the values; `None` when there are none. The last value is not known, so it is the mean.
    pub(crate) fn rollup(&self, at_ms: i64) -> Option<Rollup> {
        if self.count == 0 {
            return None;
        }
        let mut spread = Spread::default();
        let mut done = 0;
        let mut low = None;
        for &(limit, number) in &self.below {
            let low = low.replace(limit).unwrap_or(limit.min(0.0));
            spread.add(low, limit, number.saturating_sub(done));
            done = number;
        }
        let above = self.count - done;
        // Without any limit the mean is all that is known.
        let mean = self.sum.map_or(0.0, |sum| sum / self.count as f64);
        let highest = low.unwrap_or(mean);
        spread.add(highest, highest, above);
        let sum = self.sum.unwrap_or(spread.sum);
        let sum = sum.clamp(f64::MIN, f64::MAX);
        let mean = sum / self.count as f64;
        Some(Rollup {
            count: self.count,
            sum,
            min: spread.min.min(mean),
            max: spread.max.max(mean),
            last: Point { at_ms, value: mean },
            sketch: spread.sketch,
            exact: None,
        })
    }
}

struct Spread {
    sketch: Sketch,
    min: f64,
    max: f64,
    sum: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            sketch: Sketch::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl Spread {
    /// Adds `count` values: the first above `low`, the last at `high`, all as far from the next. Takes as many steps as the
    /// sketch has buckets for them, however many values they are.
    fn add(&mut self, low: f64, high: f64, count: u64) {
        if count == 0 {
            return;
        }
        self.min = self.min.min(low);
        self.max = self.max.max(high);
        self.sum += (low / 2.0 + high / 2.0) * count as f64;
        let width = high - low;
        let mut next = 1;
        for _ in 0..MOST_STEPS {
            if next > count || width <= 0.0 || !width.is_finite() {
                break;
            }
            let value = low + width * (next as f64 / count as f64);
            let end = match value {
                0.0 => 0.0,
                value => Sketch::end_of_bucket(value),
            };
            let last = ((end - low) / width * count as f64) as u64;
            let last = last.clamp(next, count);
            self.sketch.add_many(value, last - next + 1);
            next = last + 1;
        }
        if next <= count {
            self.sketch.add_many(high, count - next + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::percentile::rank;
    use proptest::prelude::*;

    fn of(count: u64, sum: f64, below: &[(f64, u64)]) -> Buckets {
        Buckets::new(count, Some(sum), below.to_vec())
    }

    #[track_caller]
    fn check(buckets: &Buckets, expected: [f64; 5]) {
        let rollup = buckets.rollup(5).expect("has values");
        assert_eq!((rollup.count, rollup.last.at_ms), (buckets.count, 5));
        let got = [
            rollup.min,
            rollup.max,
            rollup.percentile(50),
            rollup.percentile(95),
            rollup.percentile(99),
        ];
        for (got, expected) in got.into_iter().zip(expected) {
            assert!(
                (got - expected).abs() <= 0.0101 * expected.abs() + 1e-300,
                "{got} instead of {expected}"
            );
        }
    }

    #[test]
    fn values_are_spread_as_histogram_quantile_spreads_them() {
        check(&of(100, 50.0, &[(1.0, 100)]), [0.0, 1.0, 0.5, 0.95, 0.99]);
        check(
            &of(100, 900.0, &[(5.0, 50), (10.0, 90)]),
            [0.0, 10.0, 5.0, 10.0, 10.0],
        );
        // Above the highest limit nothing is known; the mean says that the greatest is no lower.
        check(
            &of(10, 1000.0, &[(5.0, 0)]),
            [5.0, 100.0, 5.0, 100.0, 100.0],
        );
        check(&of(4, 8.0, &[]), [2.0, 2.0, 2.0, 2.0, 2.0]);
        check(
            &of(10, -20.0, &[(-1.0, 10)]),
            [-2.0, -1.0, -1.0, -1.0, -1.0],
        );
        check(
            &of(10, 0.0, &[(-1.0, 0), (1.0, 10)]),
            [-1.0, 1.0, 0.0, 1.0, 1.0],
        );
        let huge = 1 << 40;
        check(&of(huge, 1.0, &[(1.0, huge)]), [0.0, 1.0, 0.5, 0.95, 0.99]);
        check(&of(huge, 0.0, &[(5e-324, huge)]), [0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(of(0, 0.0, &[(1.0, 0)]).rollup(0), None);
    }

    #[test]
    fn a_sum_that_is_missing_is_estimated() {
        let buckets = Buckets::new(10, Some(f64::NAN), vec![(1.0, 10)]);
        assert_eq!(buckets.rollup(0).expect("has values").sum, 5.0);
        let buckets = Buckets::new(10, None, vec![(f64::MIN, 5), (f64::MAX, 10)]);
        assert!(buckets.rollup(0).expect("has values").sum.is_finite());
    }

    #[test]
    fn what_is_counted_while_it_is_written_is_mended() {
        let buckets = of(5, 1.0, &[(2.0, 3), (1.0, 4), (3.0, 9)]);
        assert_eq!(buckets.below, [(1.0, 4), (2.0, 4), (3.0, 5)]);
    }

    fn any_buckets() -> impl Strategy<Value = Buckets> {
        let step = (1e-3..10.0_f64, 0..2000_u64);
        (
            -10.0..10.0_f64,
            prop::collection::vec(step, 0..12),
            0..50_u64,
        )
            .prop_map(|(first, steps, above)| {
                let (mut limit, mut count) = (first, 0);
                let below: Vec<(f64, u64)> = steps
                    .into_iter()
                    .map(|(width, number)| {
                        (limit, count) = (limit + width, count + number);
                        (limit, count)
                    })
                    .collect();
                Buckets::new(count + above, Some(limit * count as f64 / 2.0), below)
            })
    }

    proptest! {
        #[test]
        fn percentiles_lie_in_their_bucket(buckets in any_buckets()) {
            let Some(rollup) = buckets.rollup(0) else { return Ok(()) };
            prop_assert_eq!(rollup.count, buckets.count);
            prop_assert_eq!(rollup.sketch.count(), buckets.count);
            prop_assert_eq!(Some(rollup.sum), buckets.sum);
            prop_assert!(rollup.min <= rollup.mean() && rollup.mean() <= rollup.max);
            for percent in [1, 25, 50, 75, 95, 99] {
                let wanted = rank(buckets.count, percent);
                if wanted == buckets.count {
                    continue;
                }
                let found = rollup.percentile(percent);
                let place = buckets.below.iter().position(|&(_, number)| number >= wanted);
                let (low, high) = match place {
                    Some(0) => (buckets.below[0].0.min(0.0), buckets.below[0].0),
                    Some(place) => (buckets.below[place - 1].0, buckets.below[place].0),
                    None => {
                        let highest = buckets.below.last().map_or(rollup.mean(), |&(limit, _)| limit);
                        (highest, highest)
                    }
                };
                let slack = |limit: f64| limit.abs() * 0.0101 + 1e-12;
                prop_assert!(low - slack(low) <= found && found <= high + slack(high), "p{}: {} not in {}..{}", percent, found, low, high);
            }
        }

        #[test]
        fn parts_add_up(first in any_buckets(), more in prop::collection::vec(0..1000_u64, 13)) {
            let mut below = first.below.clone();
            let mut added = 0;
            for ((_, number), more) in below.iter_mut().zip(&more) {
                added += more;
                *number += added;
            }
            let later = Buckets::new(first.count + added + more[12], first.sum.map(|sum| sum + 7.0), below);
            prop_assert!(later.is_like(&first) && later.continues(&first));
            let part = later.since(&first);
            prop_assert_eq!(part.count, later.count - first.count);
            prop_assert!((part.sum.expect("is known") - 7.0).abs() < 1e-6);
            prop_assert!(!(first.count < later.count && first.continues(&later)));
        }
    }
}
