//! Time cut into equal parts, for histograms.

/// The most parts.
pub const MOST_BUCKETS: i64 = 1000;
/// Parts unless the caller says otherwise; there may be fewer.
pub const USUAL_BUCKETS: i64 = 60;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Lengths that people read with ease, in seconds.
const STEPS: [i64; 19] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    DAY,
    7 * DAY,
];

/// How finely time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Into at most so many parts, 2 to [`MOST_BUCKETS`].
    Parts(i64),
    /// Into parts of so many seconds, at least 1.
    Seconds(i64),
}

/// Equal parts of time. They begin at whole multiples of their length since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// The number of the first part, counted since 1970.
    first: i64,
    /// How many there are.
    pub count: usize,
    /// How long each is, in seconds.
    pub seconds: i64,
}

impl Buckets {
    /// The parts that cover a span of nanoseconds, first and last included. `Err` is how many there would be, when that is
    /// more than [`MOST_BUCKETS`].
    pub fn new(first_ns: i64, last_ns: i64, cut: Cut) -> Result<Self, i64> {
        let with = |seconds: i64| {
            let step_ns = seconds.saturating_mul(SECOND);
            let first = first_ns.div_euclid(step_ns);
            let count = last_ns.div_euclid(step_ns).saturating_sub(first) + 1;
            (first, count, seconds)
        };
        let (first, count, seconds) = match cut {
            Cut::Seconds(seconds) => with(seconds),
            Cut::Parts(most) => {
                let weeks = (1..40).map(|number| (7 * DAY) << number);
                let mut steps = STEPS.into_iter().chain(weeks).map(with);
                steps
                    .find(|(_, count, _)| *count <= most)
                    .unwrap_or(with(i64::MAX / SECOND))
            }
        };
        if count > MOST_BUCKETS {
            return Err(count);
        }
        Ok(Self {
            first,
            count: usize::try_from(count).unwrap_or(0),
            seconds,
        })
    }

    /// The part that holds a time; `None` when none does.
    pub fn of(&self, time_ns: i64) -> Option<usize> {
        let index = time_ns
            .div_euclid(self.seconds.saturating_mul(SECOND))
            .checked_sub(self.first)?;
        usize::try_from(index)
            .ok()
            .filter(|index| *index < self.count)
    }

    /// Where a part begins, in nanoseconds since 1970. The one behind the last says where that ends.
    pub fn start_ns(&self, index: usize) -> i64 {
        (self.first.saturating_add(index as i64))
            .saturating_mul(self.seconds.saturating_mul(SECOND))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(first_s: i64, last_s: i64, cut: Cut, seconds: i64, count: usize) {
        let buckets = Buckets::new(first_s * SECOND, last_s * SECOND, cut).expect("not too many");
        assert_eq!(
            (buckets.seconds, buckets.count),
            (seconds, count),
            "{first_s} to {last_s}"
        );
    }

    #[test]
    fn lengths_are_round_and_parts_few_enough() {
        check(0, 0, Cut::Parts(60), 1, 1);
        check(0, 59, Cut::Parts(60), 1, 60);
        check(0, 60, Cut::Parts(60), 2, 31);
        check(1, 3600, Cut::Parts(60), 120, 31);
        check(0, 3599, Cut::Parts(60), 60, 60);
        check(0, 86_399, Cut::Parts(90), 1800, 48);
        check(0, 400 * DAY, Cut::Parts(60), 7 * DAY, 58);
        check(0, 10_000 * DAY, Cut::Parts(60), 224 * DAY, 45);
        check(59, 60, Cut::Seconds(60), 60, 2);
        check(-1, 0, Cut::Seconds(60), 60, 2);
        assert_eq!(Buckets::new(0, 2000 * SECOND, Cut::Seconds(1)), Err(2001));
        let whole = Buckets::new(i64::MIN, i64::MAX, Cut::Parts(2)).expect("few");
        assert_eq!((whole.count, whole.of(0)), (4, Some(2)));
    }

    proptest! {
        #[test]
        fn every_time_of_the_span_has_its_part(first in any::<i64>(), length in 0..i64::MAX / 4, at in 0.0..1.0, parts in 2..1000_i64) {
            let last = first.saturating_add(length);
            let buckets = Buckets::new(first, last, Cut::Parts(parts)).expect("few enough");
            prop_assert!(buckets.count as i64 <= parts);
            let time = first.saturating_add((length as f64 * at) as i64).min(last);
            let index = buckets.of(time).expect("inside");
            prop_assert!(buckets.start_ns(index) <= time);
            prop_assert!(buckets.start_ns(index + 1) > time || buckets.start_ns(index + 1) == i64::MAX);
            prop_assert_eq!(buckets.of(first), Some(0));
            prop_assert_eq!(buckets.of(last), Some(buckets.count - 1));
        }
    }
}
