//! What is kept of many points of one series, or of several: count, sum, least, greatest and last value, and a sketch.
//!
//! Any order and any split of the same points gives the same rollup; sums agree within rounding. That is what makes
//! rebuilding a minute harmless and an hour the sum of its minutes.

use super::percentile::{nearest_rank, rank};
use super::sketch::{Counts, Damaged, Sketch};

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Finite.
    pub(crate) value: f64,
}

/// A sum over at least one point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rollup {
    pub(crate) count: u64,
    /// Held at the largest double where it would overflow.
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The point with the latest time; of several at one time the one with the greatest value.
    pub(crate) last: Point,
    pub(crate) sketch: Sketch,
    /// p50, p95 and p99 by nearest rank, known when all points were at hand; a merge loses them.
    pub(crate) exact: Option<[f64; 3]>,
}

/// The percentiles of the contract.
pub(crate) const PERCENTS: [u32; 3] = [50, 95, 99];

impl Rollup {
    /// Sums up points given in any order; sorts them by value. `None` when there are none.
    pub(crate) fn of(points: &mut [Point]) -> Option<Self> {
        points.sort_unstable_by(|a, b| a.value.total_cmp(&b.value));
        let (first, greatest) = (points.first()?, points.last()?);
        let mut sketch = Sketch::default();
        let mut last = *first;
        for point in &*points {
            sketch.add(point.value);
            last = later(last, *point);
        }
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let exact = PERCENTS.map(|percent| nearest_rank(&values, percent).unwrap_or(first.value));
        Some(Self {
            count: points.len() as u64,
            sum: sum(&values),
            min: first.value,
            max: greatest.value,
            last,
            sketch,
            exact: Some(exact),
        })
    }

    /// A rollup of one point.
    pub(crate) fn of_one(point: Point) -> Self {
        Self {
            sketch: Sketch::of(&[point.value]),
            exact: Some([point.value; 3]),
            ..Self::without_sketch(point)
        }
    }

    /// A rollup of one point, when nobody will ask for percentiles, or its values are counted elsewhere.
    pub(crate) fn without_sketch(point: Point) -> Self {
        Self {
            count: 1,
            sum: point.value,
            min: point.value,
            max: point.value,
            last: point,
            sketch: Sketch::default(),
            exact: None,
        }
    }

    /// Adds one point; for streams too large to sort.
    pub(crate) fn add(&mut self, point: Point) {
        self.sketch.add(point.value);
        self.add_without_sketch(point);
    }

    /// As [`Rollup::add`], to a rollup without a sketch.
    pub(crate) fn add_without_sketch(&mut self, point: Point) {
        self.count += 1;
        self.sum = add(self.sum, point.value);
        self.min = self.min.min(point.value);
        self.max = self.max.max(point.value);
        self.last = later(self.last, point);
        self.exact = None;
    }

    /// Adds what another rollup counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.sketch.merge(&other.sketch);
        self.merge_without_sketch(other);
    }

    fn merge_without_sketch(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = add(self.sum, other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.last = later(self.last, other.last);
        self.exact = None;
    }

    /// The mean; between least and greatest even where the sum is not exact.
    pub(crate) fn mean(&self) -> f64 {
        (self.sum / self.count as f64).clamp(self.min, self.max)
    }

    /// A percentile (1 to 100): exact when it is known, else from the sketch, within 1 %.
    pub(crate) fn percentile(&self, percent: u32) -> f64 {
        if let Some(exact) = self.exact_percentile(percent) {
            return exact;
        }
        let wanted = rank(self.count, percent);
        self.estimate(wanted, self.sketch.at_rank(wanted))
    }

    fn exact_percentile(&self, percent: u32) -> Option<f64> {
        let place = PERCENTS.iter().position(|&known| known == percent)?;
        Some(self.exact?[place])
    }

    /// What is said of the value at a rank, of which a sketch knows this.
    fn estimate(&self, rank: u64, of_sketch: Option<f64>) -> f64 {
        match of_sketch {
            Some(value) if rank < self.count => value.clamp(self.min, self.max),
            _ => self.max,
        }
    }

    /// How many values are a limit at most; one that is above it by less than 2 % may count as well.
    pub(crate) fn count_up_to(&self, limit: f64) -> u64 {
        if self.max <= limit {
            return self.count;
        }
        if self.min > limit {
            return 0;
        }
        // At least the greatest is above.
        self.sketch.count_up_to(limit).min(self.count - 1)
    }
}

/// Merges into a rollup that may not be there yet.
pub(crate) fn merge_into(sum: &mut Option<Rollup>, part: Rollup) {
    match sum {
        Some(sum) => sum.merge(&part),
        None => *sum = Some(part),
    }
}

/// As [`merge_into`], of a part that is needed again.
pub(crate) fn add_to(sum: &mut Option<Rollup>, part: &Rollup) {
    match sum {
        Some(sum) => sum.merge(part),
        None => *sum = Some(part.clone()),
    }
}

/// A rollup that many points or rollups are added to. Their values are counted [side by side](Counts), which is faster, as
/// soon as there is more than one part.
#[derive(Clone, Debug)]
pub(crate) struct Total {
    rollup: Rollup,
    values: Counts,
}

impl From<Rollup> for Total {
    fn from(rollup: Rollup) -> Self {
        Self {
            rollup,
            values: Counts::default(),
        }
    }
}

impl Total {
    /// Begins anew with what a rollup counted, in the memory that is there.
    pub(crate) fn begin(&mut self, part: &Rollup) {
        let mut sketch = std::mem::take(&mut self.rollup.sketch);
        sketch.copy_from(&part.sketch);
        self.rollup = Rollup { sketch, ..*part };
        self.values.clear();
    }

    /// As [`Total::begin`], with a rollup whose sketch is at hand in its stored form.
    pub(crate) fn begin_stored(&mut self, part: &Rollup, sketch: &[u8]) -> Result<(), Damaged> {
        self.begin(part);
        self.values.merge_stored(sketch, self.rollup.count)
    }

    /// Adds what a rollup counted whose sketch is at hand in its stored form.
    pub(crate) fn merge_stored(&mut self, part: &Rollup, sketch: &[u8]) -> Result<(), Damaged> {
        self.rollup.merge_without_sketch(part);
        self.spread_out();
        self.values.merge_stored(sketch, self.rollup.count)
    }

    /// Adds a point. Its value is counted when somebody will ask for `percentiles`.
    pub(crate) fn add(&mut self, point: Point, percentiles: bool) {
        self.rollup.add_without_sketch(point);
        if percentiles {
            self.values.add(point.value);
        }
    }

    /// Adds what a rollup counted.
    pub(crate) fn merge(&mut self, part: &Rollup) {
        self.rollup.merge_without_sketch(part);
        if !part.sketch.is_empty() {
            self.spread_out();
            self.values.merge(&part.sketch);
        }
    }

    /// Counts the values of its first part side by side, too.
    fn spread_out(&mut self) {
        if !self.rollup.sketch.is_empty() {
            self.values.merge(&self.rollup.sketch);
            self.rollup.sketch.clear();
        }
    }

    /// Everything but percentiles.
    pub(crate) fn counted(&self) -> &Rollup {
        &self.rollup
    }

    /// As [`Rollup::percentile`], without making the sketch of everything where it can be done.
    pub(crate) fn percentile(&self, percent: u32) -> f64 {
        if self.values.is_empty() {
            return self.rollup.percentile(percent);
        }
        if let Some(exact) = self.rollup.exact_percentile(percent) {
            return exact;
        }
        let wanted = rank(self.rollup.count, percent);
        match self.values.at_rank(wanted) {
            Some(value) if self.rollup.sketch.is_empty() => {
                self.rollup.estimate(wanted, Some(value))
            }
            _ => self.clone().finish().percentile(percent),
        }
    }

    /// The rollup of everything.
    pub(crate) fn finish(mut self) -> Rollup {
        if !self.values.is_empty() {
            self.values.merge(&self.rollup.sketch);
            self.rollup.sketch = self.values.into_sketch();
        }
        self.rollup
    }
}

fn later(a: Point, b: Point) -> Point {
    if a.at_ms
        .cmp(&b.at_ms)
        .then(a.value.total_cmp(&b.value))
        .is_lt()
    {
        b
    } else {
        a
    }
}

fn add(a: f64, b: f64) -> f64 {
    (a + b).clamp(f64::MIN, f64::MAX)
}

/// The sum with A. Neumaier's compensation, so that it does not depend on how values of different size follow each other.
fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for &value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    let compensated = sum + lost;
    if compensated.is_finite() {
        compensated
    } else {
        values.iter().copied().fold(0.0, add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(values: &[f64]) -> Vec<Point> {
        values
            .iter()
            .enumerate()
            .map(|(n, &value)| Point {
                at_ms: n as i64 * 10,
                value,
            })
            .collect()
    }

    #[test]
    fn sums_up_a_minute() {
        let rollup = Rollup::of(&mut points(&[5.0, -1.0, 2.5])).expect("not empty");
        assert_eq!(
            (rollup.count, rollup.sum, rollup.min, rollup.max),
            (3, 6.5, -1.0, 5.0)
        );
        assert_eq!(
            rollup.last,
            Point {
                at_ms: 20,
                value: 2.5
            }
        );
        assert_eq!(rollup.exact, Some([2.5, 5.0, 5.0]));
        assert_eq!(Rollup::of(&mut []), None);
    }

    #[test]
    fn huge_values_never_become_infinite() {
        let mut rollup = Rollup::of(&mut points(&[1e308, 1e308])).expect("not empty");
        assert_eq!((rollup.sum, rollup.mean()), (f64::MAX, 1e308));
        rollup.merge(&Rollup::of_one(Point {
            at_ms: 0,
            value: f64::MIN,
        }));
        assert!(rollup.sum.is_finite() && rollup.mean().is_finite());
        let percentile = rollup.percentile(95);
        assert!((f64::MIN..=1e308).contains(&percentile));
    }

    #[test]
    fn a_merged_median_is_that_of_the_points() {
        let mut hour = Rollup::of(&mut points(&[1.0; 300])).expect("not empty");
        hour.merge(&Rollup::of(&mut points(&[1000.0])).expect("not empty"));
        assert_eq!(hour.exact, None);
        for percent in [50, 95, 99] {
            assert!((hour.percentile(percent) - 1.0).abs() <= 0.01);
        }
        assert_eq!(hour.percentile(100), 1000.0);
    }

    #[test]
    fn adding_point_by_point_is_the_same_but_for_exactness() {
        let values = [0.0, 3.0, -2.0, 3.0];
        let mut streamed = Rollup::of_one(Point {
            at_ms: 0,
            value: 0.0,
        });
        for point in &points(&values)[1..] {
            streamed.add(*point);
        }
        let sorted = Rollup::of(&mut points(&values)).expect("not empty");
        assert_eq!(
            streamed,
            Rollup {
                exact: None,
                ..sorted
            }
        );
    }

    fn any_points() -> impl Strategy<Value = Vec<Point>> {
        prop::collection::vec(
            (0..5_i64, prop_oneof![-1e9..1e9, Just(0.0), Just(1e-12)]),
            1..120,
        )
        .prop_map(|pairs| {
            pairs
                .into_iter()
                .map(|(at_ms, value)| Point { at_ms, value })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_split_give_the_same_rollup(
            points in any_points(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            order in any::<prop::sample::Index>(),
        ) {
            let whole = Rollup::of(&mut points.clone()).expect("not empty");
            let mut shuffled = points.clone();
            shuffled.rotate_left(order.index(points.len()));
            prop_assert_eq!(&Rollup::of(&mut shuffled.clone()).expect("not empty"), &whole);

            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(points.len())).chain([0, points.len()]).collect();
            ends.sort_unstable();
            ends.dedup();
            let mut merged: Option<Rollup> = None;
            for part in ends.windows(2) {
                merge_into(&mut merged, Rollup::of(&mut shuffled[part[0]..part[1]]).expect("not empty"));
            }
            let merged = merged.expect("not empty");
            let mut total: Option<Total> = None;
            for part in ends.windows(2) {
                let part = Rollup::of(&mut shuffled[part[0]..part[1]]).expect("not empty");
                match &mut total {
                    Some(total) => total.merge(&part),
                    None => total = Some(Total::from(part)),
                }
            }
            let total = total.expect("not empty");
            for percent in [1, 50, 75, 95, 99, 100] {
                prop_assert_eq!(total.percentile(percent), merged.percentile(percent));
            }
            // Begun anew it has forgotten everything.
            let mut again = total.clone();
            prop_assert_eq!(&total.finish(), &merged);
            again.begin(&whole);
            prop_assert_eq!(&again.clone().finish(), &whole);
            let stored = whole.sketch.encode();
            let bare = Rollup { sketch: Sketch::default(), ..whole.clone() };
            prop_assert_eq!(again.begin_stored(&bare, &stored), Ok(()));
            for percent in [1, 50, 75, 95, 99, 100] {
                prop_assert_eq!(again.percentile(percent), whole.percentile(percent));
            }
            prop_assert_eq!(&again.clone().finish(), &whole);
            let bare = Rollup { exact: None, ..bare };
            let estimated = Rollup { exact: None, ..whole.clone() };
            prop_assert_eq!(again.begin_stored(&bare, &stored), Ok(()));
            for percent in [1, 50, 75, 95, 99, 100] {
                prop_assert_eq!(again.percentile(percent), estimated.percentile(percent));
            }
            prop_assert_eq!(again.merge_stored(&bare, &stored), Ok(()));
            let mut twice = whole.clone();
            twice.merge(&whole);
            prop_assert_eq!(again.finish(), twice);
            let scale: f64 = points.iter().map(|point| point.value.abs()).sum();
            prop_assert!((merged.sum - whole.sum).abs() <= 1e-9 * scale.max(1.0));
            let exact = whole.exact;
            prop_assert_eq!(Rollup { sum: 0.0, exact, ..merged.clone() }, Rollup { sum: 0.0, ..whole.clone() });
            for percent in [1, 50, 75, 95, 99, 100] {
                let merged = merged.percentile(percent);
                prop_assert!((whole.min..=whole.max).contains(&merged));
                let mut values: Vec<f64> = points.iter().map(|point| point.value).collect();
                values.sort_by(f64::total_cmp);
                let exact = nearest_rank(&values, percent).expect("not empty");
                prop_assert!((merged - exact).abs() <= 0.01 * exact.abs() + f64::EPSILON, "p{}: {} instead of {}", percent, merged, exact);
            }
        }
    }
}
