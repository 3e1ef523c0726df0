//! Web Vitals: which metrics they are and when they are good.
//!
//! Limits and ratings from Google's <https://web.dev/articles/vitals>: a value on a limit is the better one. The `rating` of
//! the contract counts it as the worse one.
//!
//! Ratings are those of sketches, which tell values apart that differ by 2 %. Where a limit lies between two values that a
//! sketch takes for the same, both count as being on it, so that whatever is on a limit is rated right.

use super::percentile::rank;
use super::rollup::Rollup;
use super::sketch::Sketch;

/// A measure of how a page feels to its visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vital {
    /// Largest Contentful Paint, milliseconds.
    Lcp,
    /// Interaction to Next Paint, milliseconds.
    Inp,
    /// Cumulative Layout Shift, no unit.
    Cls,
    /// First Contentful Paint, milliseconds.
    Fcp,
    /// Time to First Byte, milliseconds.
    Ttfb,
}

impl Vital {
    /// All of them; the contract's three first.
    pub(crate) const ALL: [Self; 5] = [Self::Lcp, Self::Inp, Self::Cls, Self::Fcp, Self::Ttfb];

    /// The key in answers.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Lcp => "lcp",
            Self::Inp => "inp",
            Self::Cls => "cls",
            Self::Fcp => "fcp",
            Self::Ttfb => "ttfb",
        }
    }

    /// The metric that carries it.
    pub(crate) const fn metric_name(self) -> &'static str {
        match self {
            Self::Lcp => "web_vitals_lcp",
            Self::Inp => "web_vitals_inp",
            Self::Cls => "web_vitals_cls",
            Self::Fcp => "web_vitals_fcp",
            Self::Ttfb => "web_vitals_ttfb",
        }
    }

    /// Whether it makes the answer's `web_vitals` appear: the contract's three do.
    pub(crate) const fn opens_the_section(self) -> bool {
        matches!(self, Self::Lcp | Self::Inp | Self::Cls)
    }

    /// Up to the first it is good, above the second poor.
    pub(crate) const fn limits(self) -> (f64, f64) {
        match self {
            Self::Lcp => (2500.0, 4000.0),
            Self::Inp => (200.0, 500.0),
            Self::Cls => (0.1, 0.25),
            Self::Fcp => (1800.0, 3000.0),
            Self::Ttfb => (800.0, 1800.0),
        }
    }

    /// The value that three quarters of the visits do not exceed, within 1 %. Where it may be on a limit it is that limit, of
    /// which it is within 2 % then.
    pub(crate) fn p75(self, sum: &Rollup) -> f64 {
        let p75 = sum.percentile(75);
        if rank(sum.count, 75) == sum.count {
            // The greatest value, which is known.
            return p75;
        }
        let (good, poor) = self.limits();
        let may_be_on = |limit: &f64| *limit < p75 && p75 <= Sketch::end_of_bucket(*limit);
        let on = [good, poor].into_iter().find(may_be_on);
        on.map_or(p75, |limit| limit.clamp(sum.min, sum.max))
    }

    /// Which part of the visits is good, in between and poor.
    pub(crate) fn shares(self, sum: &Rollup) -> [f64; 3] {
        let (good, poor) = self.limits();
        let (good, not_poor) = (sum.count_up_to(good), sum.count_up_to(poor));
        [good, not_poor - good, sum.count - not_poor].map(|part| part as f64 / sum.count as f64)
    }

    /// The word for a value; `unknown` for none.
    pub(crate) fn rating(self, value: Option<f64>) -> &'static str {
        let (good, poor) = self.limits();
        word(value, |value| value <= good, |value| value <= poor)
    }

    /// The contract's word for a value.
    pub(crate) fn strict_rating(self, value: Option<f64>) -> &'static str {
        let (good, poor) = self.limits();
        word(value, |value| value < good, |value| value < poor)
    }
}

fn word(
    value: Option<f64>,
    is_good: impl FnOnce(f64) -> bool,
    is_not_poor: impl FnOnce(f64) -> bool,
) -> &'static str {
    match value {
        None => "unknown",
        Some(value) if is_good(value) => "good",
        Some(value) if is_not_poor(value) => "needs-improvement",
        Some(_) => "poor",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::percentile::nearest_rank;
    use crate::domain::rollup::Point;
    use proptest::prelude::*;

    #[test]
    fn a_value_on_a_limit_has_the_better_rating_but_for_the_contract() {
        for vital in Vital::ALL {
            let (good, poor) = vital.limits();
            for (value, rating, strict) in [
                (Some(good * 0.999), "good", "good"),
                (Some(good), "good", "needs-improvement"),
                (Some(good * 1.001), "needs-improvement", "needs-improvement"),
                (Some(poor), "needs-improvement", "poor"),
                (Some(poor * 1.001), "poor", "poor"),
                (None, "unknown", "unknown"),
            ] {
                let words = (vital.rating(value), vital.strict_rating(value));
                assert_eq!(words, (rating, strict), "{vital:?} {value:?}");
            }
        }
    }

    fn rollup(values: &[f64]) -> Rollup {
        let mut points: Vec<Point> = values
            .iter()
            .map(|&value| Point { at_ms: 0, value })
            .collect();
        Rollup::of(&mut points).expect("not empty")
    }

    #[test]
    fn what_is_on_a_limit_is_rated_right_whatever_is_beside_it() {
        for vital in Vital::ALL {
            let (good, poor) = vital.limits();
            for (limit, rating) in [(good, "good"), (poor, "needs-improvement")] {
                for others in [vec![], vec![limit * 0.5; 10], vec![limit * 9.0; 20]] {
                    let mut values = vec![limit; 80];
                    values.extend(&others);
                    let sum = rollup(&values);
                    let p75 = vital.p75(&sum);
                    assert!((0.99..=1.0).contains(&(p75 / limit)), "{vital:?} {p75}");
                    assert_eq!(vital.rating(Some(p75)), rating, "{vital:?} {others:?}");
                    let above = others.iter().filter(|&&other| other > limit).count();
                    let expected = 1.0 - above as f64 / values.len() as f64;
                    let [share, between, _] = vital.shares(&sum);
                    let share = if limit == good {
                        share
                    } else {
                        share + between
                    };
                    assert!((share - expected).abs() < 1e-9, "{vital:?} {share}");
                }
            }
        }
    }

    #[test]
    fn all_just_above_a_limit_are_not_on_it() {
        for vital in Vital::ALL {
            let value = vital.limits().0 * 1.0001;
            for count in [1, 2, 50] {
                let sum = rollup(&vec![value; count]);
                assert_eq!(vital.p75(&sum), value);
                assert_eq!(vital.shares(&sum), [0.0, 1.0, 0.0]);
            }
        }
        // The greatest value is known.
        let few = rollup(&[100.0, 2510.0]);
        assert_eq!(Vital::Lcp.p75(&few), 2510.0);
        assert_eq!(Vital::Lcp.shares(&few), [0.5, 0.5, 0.0]);
    }

    proptest! {
        #[test]
        fn rating_and_shares_agree_and_stay_within_their_error(values in prop::collection::vec(prop_oneof![1 => 0.0..5000.0_f64, 3 => 2400.0..2600.0_f64, 1 => 3900.0..4100.0_f64, 1 => Just(2500.0)], 1..80)) {
            let (sum, count) = (rollup(&values), values.len());
            let p75 = Vital::Lcp.p75(&sum);
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let exact = nearest_rank(&sorted, 75).expect("not empty");
            let error = if [2500.0, 4000.0].contains(&p75) { 0.02 } else { 0.01 };
            prop_assert!((p75 - exact).abs() <= error * exact, "{} is {}", p75, exact);
            let [good, between, poor] = Vital::Lcp.shares(&sum);
            prop_assert!((good + between + poor - 1.0).abs() < 1e-9);
            let is_at_rank = |share: f64| (share * count as f64).round() as u64 >= rank(count as u64, 75);
            prop_assert_eq!(Vital::Lcp.rating(Some(p75)) == "good", is_at_rank(good));
            prop_assert_eq!(Vital::Lcp.rating(Some(p75)) == "poor", !is_at_rank(good + between));
            for (limit, share) in [(2500.0, good), (4000.0, good + between)] {
                let up_to = |limit: f64| sorted.iter().filter(|&&value| value <= limit).count() as f64 / count as f64;
                prop_assert!(up_to(limit) <= share + 1e-9 && share <= up_to(limit * 1.02) + 1e-9);
            }
        }
    }
}
