//! A rollup made of the figures of a row, where its points are not known any more.

use super::percentile::rank;
use super::rollup::{PERCENTS, Point, Rollup};
use super::sketch::Sketch;

/// Values that stand for those between two known ones.
const STEPS: u64 = 16;

/// What a row says of its points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// At least 1.
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// p50, p95 and p99.
    pub(crate) percentiles: Option<[f64; 3]>,
}

impl Figures {
    /// Whether points with such figures are possible.
    pub(crate) fn are_sound(&self) -> bool {
        self.count > 0
            && self.sum.is_finite()
            && self.min.is_finite()
            && self.max.is_finite()
            && self.min <= self.max
            && self
                .percentiles
                .is_none_or(|all| all.iter().all(|value| value.is_finite()))
    }

    /// The rollup of points that have these figures. Between values that are known the others are spread evenly; the last
    /// value is not known at all, so it is the mean, at `last_at_ms`. `exact` says whether the percentiles are those of
    /// the points.
    pub(crate) fn rollup(&self, last_at_ms: i64, exact: bool) -> Rollup {
        let mean = (self.sum / self.count as f64).clamp(self.min, self.max);
        let mut percentiles = self.percentiles;
        if let Some(all) = &mut percentiles {
            let mut least = self.min;
            for value in all {
                *value = value.clamp(least, self.max);
                least = *value;
            }
        }
        Rollup {
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
            last: Point {
                at_ms: last_at_ms,
                value: mean,
            },
            sketch: match percentiles {
                Some(percentiles) => self.between(percentiles),
                None => self.around(mean),
            },
            exact: percentiles.filter(|_| exact),
        }
    }

    /// Values that rise evenly from the least over the percentiles to the greatest.
    fn between(&self, percentiles: [f64; 3]) -> Sketch {
        let mut sketch = Sketch::default();
        sketch.add(self.min);
        let (mut known, mut value) = (1, self.min);
        let ranks = PERCENTS.map(|percent| rank(self.count, percent));
        let knots = ranks.into_iter().zip(percentiles);
        for (rank, next) in knots.chain([(self.count, self.max)]) {
            let between = rank.saturating_sub(known);
            let steps = between.min(STEPS);
            for step in 1..=steps {
                let count = between * step / steps - between * (step - 1) / steps;
                let part = step as f64 / steps as f64;
                // Not the difference, which may be too large for a double.
                sketch.add_many(value * (1.0 - part) + next * part, count);
            }
            (known, value) = (rank.max(known), next);
        }
        sketch
    }

    /// The least, the greatest, and all others at one value in between.
    fn around(&self, mean: f64) -> Sketch {
        let mut sketch = Sketch::of(&[self.min]);
        if self.count > 1 {
            sketch.add(self.max);
        }
        if self.count > 2 {
            let others = self.count - 2;
            let rest = (self.sum - self.min - self.max) / others as f64;
            let rest = if rest.is_finite() { rest } else { mean };
            sketch.add_many(rest.clamp(self.min, self.max), others);
        }
        sketch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_the_row_says_stays_true(mut values in prop::collection::vec(-1e6..1e6_f64, 1..400)) {
            let mut points: Vec<Point> = values.iter().map(|&value| Point { at_ms: 0, value }).collect();
            let whole = Rollup::of(&mut points).expect("not empty");
            let figures = Figures { count: whole.count, sum: whole.sum, min: whole.min, max: whole.max, percentiles: whole.exact };
            prop_assert!(figures.are_sound());
            let made = figures.rollup(60_000, false);
            prop_assert_eq!(made.sketch.count(), whole.count);
            values.sort_by(f64::total_cmp);
            for (percent, exact) in PERCENTS.into_iter().zip(whole.exact.expect("has points")) {
                let got = made.percentile(percent);
                prop_assert!((got - exact).abs() <= 0.01 * exact.abs() + 1e-9, "p{}: {} not {}", percent, got, exact);
            }
            let without = Figures { percentiles: None, ..figures }.rollup(60_000, true);
            prop_assert_eq!(without.sketch.count(), whole.count);
            prop_assert_eq!(without.exact, None);
            prop_assert!((made.sum - whole.sum).abs() < 1e-9 && made.last.value >= made.min && made.last.value <= made.max);
        }
    }

    #[test]
    fn nonsense_is_noticed_or_mended() {
        let sound = Figures {
            count: 4,
            sum: 10.0,
            min: 1.0,
            max: 4.0,
            percentiles: Some([2.0, 4.0, 4.0]),
        };
        assert!(sound.are_sound());
        for figures in [
            Figures { count: 0, ..sound },
            Figures { min: 5.0, ..sound },
            Figures {
                sum: f64::INFINITY,
                ..sound
            },
            Figures {
                max: f64::NAN,
                ..sound
            },
            Figures {
                percentiles: Some([f64::NAN; 3]),
                ..sound
            },
        ] {
            assert!(!figures.are_sound(), "{figures:?}");
        }
        let odd = Figures {
            percentiles: Some([9.0, 0.0, 3.0]),
            ..sound
        };
        assert_eq!(odd.rollup(0, true).exact, Some([4.0, 4.0, 4.0]));
        let huge = Figures {
            count: 3,
            sum: f64::MAX,
            min: -f64::MAX,
            max: f64::MAX,
            percentiles: Some([0.0, f64::MAX, f64::MAX]),
        };
        assert_eq!(huge.rollup(0, true).sketch.count(), 3);
    }
}
