//! Quantiles that can be merged: a log-bucketed sketch with a relative error of at most 1 %.
//!
//! After C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
//! Guarantees", VLDB 2019. A value v > 0 falls into bucket ceil(ln v / ln γ) and is given back as 2γ^i/(γ+1), the point
//! of the bucket with the smallest relative error, (γ-1)/(γ+1) = 0.99 % for γ = 1.02. Negative values have their own
//! buckets by magnitude, zero is counted apart. Merging adds counts, so it is exact, associative and commutative.
//!
//! Size is bounded: a side spans at most [`MAX_SPAN`] buckets (35 decades); what is smaller than that beside its largest
//! value is counted in the lowest bucket kept, as in the paper's collapsing variant. The bound is on the span, not on the
//! number of buckets, so that collapsing early or late gives the same sketch.
//!
//! Bytes: a version, then Elias gamma codes (P. Elias, "Universal codeword sets", 1975): zeros + 1, then for the positive
//! and the negative side the number of buckets + 1, the first index zig-zag coded + 1, its count, and for each further
//! bucket the gap to the one before and its count.

mod counts;

pub(crate) use super::bits::Damaged;
pub(crate) use counts::Counts;

use super::bits::{BitReader, BitWriter};

/// Quotient of neighbouring bucket limits.
const GAMMA: f64 = 1.02;
/// Largest difference of two indices on one side, plus one.
const MAX_SPAN: i32 = 4096;
const VERSION: u64 = 1;
/// Buckets whose codes are read at once.
const BUCKETS_READ: usize = 48;

/// The distribution of many numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    zeros: u64,
    /// Sorted by index.
    positive: Vec<Bucket>,
    /// By magnitude, sorted by index.
    negative: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    index: i32,
    count: u64,
}

impl Sketch {
    /// The sketch of some values, in any order.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sketch = Self::default();
        for &value in values {
            sketch.add(value);
        }
        sketch
    }

    /// Counts one finite value.
    pub(crate) fn add(&mut self, value: f64) {
        self.add_many(value, 1);
    }

    /// Counts a finite value as often as it occurred, once at least.
    pub(crate) fn add_many(&mut self, value: f64, count: u64) {
        if value == 0.0 {
            self.zeros += count;
            return;
        }
        let side = if value > 0.0 {
            &mut self.positive
        } else {
            &mut self.negative
        };
        let index = index_of(value.abs());
        // Sorted input, which is the usual case, ends up at one of the two ends.
        match side.binary_search_by_key(&index, |bucket| bucket.index) {
            Ok(place) => side[place].count += count,
            Err(place) => {
                side.insert(place, Bucket { index, count });
                collapse(side);
            }
        }
    }

    /// The greatest value that is surely counted with a value that is not zero, among those closer to +∞.
    pub(crate) fn end_of_bucket(value: f64) -> f64 {
        let index = (value.abs().ln() / GAMMA.ln()).ceil();
        let limit = |index: f64| (index * GAMMA.ln()).exp();
        if value > 0.0 {
            limit(index)
        } else {
            -limit(index - 1.0)
        }
    }

    /// Adds the counts of another sketch.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        merge_side(&mut self.positive, &other.positive);
        merge_side(&mut self.negative, &other.negative);
    }

    /// How many values were counted.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.zeros
            + [&self.positive, &self.negative]
                .into_iter()
                .flatten()
                .map(|bucket| bucket.count)
                .sum::<u64>()
    }

    /// The value at a position counted from 1 in ascending order, within 1 %.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<f64> {
        let mut left = rank.checked_sub(1)?;
        for bucket in self.negative.iter().rev() {
            if left < bucket.count {
                return Some(-representative(bucket.index));
            }
            left -= bucket.count;
        }
        if left < self.zeros {
            return Some(0.0);
        }
        left -= self.zeros;
        for bucket in &self.positive {
            if left < bucket.count {
                return Some(representative(bucket.index));
            }
            left -= bucket.count;
        }
        None
    }

    /// How many values are a limit at most. All values in the bucket of the limit count, so one that is above it by less than
    /// 2 % may count as well, but none at the limit is missed.
    pub(crate) fn count_up_to(&self, limit: f64) -> u64 {
        let place = index_of(limit.abs());
        let sum = |side: &[Bucket], counts: &dyn Fn(i32) -> bool| -> u64 {
            let counted = side.iter().filter(|bucket| counts(bucket.index));
            counted.map(|bucket| bucket.count).sum()
        };
        if limit < 0.0 {
            return sum(&self.negative, &|index| index >= place);
        }
        let positive = sum(&self.positive, &|index| limit > 0.0 && index <= place);
        sum(&self.negative, &|_| true) + self.zeros + positive
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.write(VERSION, 8);
        bits.gamma(self.zeros + 1);
        for side in [&self.positive, &self.negative] {
            bits.gamma(side.len() as u64 + 1);
            let mut previous: Option<i32> = None;
            for bucket in side {
                bits.gamma(match previous {
                    None => zigzag(bucket.index) + 1,
                    Some(previous) => u64::from(bucket.index.abs_diff(previous)),
                });
                bits.gamma(bucket.count);
                previous = Some(bucket.index);
            }
        }
        bits.finish()
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut sketch = Self::default();
        sketch.decode_into(bytes)?;
        Ok(sketch)
    }

    /// Reads the stored form in place of what was counted before, into the same memory.
    pub(crate) fn decode_into(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        let (mut bits, zeros) = read_head(bytes)?;
        self.zeros = zeros;
        read_side(&mut bits, &mut self.positive)?;
        read_side(&mut bits, &mut self.negative)
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.zeros == 0 && self.positive.is_empty() && self.negative.is_empty()
    }

    /// Takes over what another one counted, in the memory that is there.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.zeros = other.zeros;
        self.positive.clone_from(&other.positive);
        self.negative.clone_from(&other.negative);
    }

    /// Forgets everything, but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.zeros = 0;
        self.positive.clear();
        self.negative.clear();
    }
}

/// The bucket of a value greater than zero.
fn index_of(value: f64) -> i32 {
    (value.ln() / GAMMA.ln()).ceil() as i32
}

fn representative(index: i32) -> f64 {
    // The limit of the topmost bucket lies beyond the largest double.
    ((GAMMA.ln() * f64::from(index)).exp() * (2.0 / (GAMMA + 1.0))).min(f64::MAX)
}

fn merge_side(side: &mut Vec<Bucket>, other: &[Bucket]) {
    // After a few merges most buckets are there, and nothing has to move.
    let mut place = 0;
    for (done, bucket) in other.iter().enumerate() {
        // Where no bucket is missing, places follow each other as indices do.
        let next = side.get(place).map_or(0, |known| known.index);
        let ahead = i64::from(bucket.index) - i64::from(next);
        let guess = place + usize::try_from(ahead).unwrap_or(0);
        if let Some(known) = side.get_mut(guess)
            && known.index == bucket.index
        {
            known.count += bucket.count;
            place = guess + 1;
            continue;
        }
        while side
            .get(place)
            .is_some_and(|known| known.index < bucket.index)
        {
            place += 1;
        }
        match side.get_mut(place) {
            Some(known) if known.index == bucket.index => known.count += bucket.count,
            _ => return merge_new(side, &other[done..]),
        }
    }
}

/// Merges buckets of which some are not there yet, from the highest down, so that everything moves once.
fn merge_new(side: &mut Vec<Bucket>, other: &[Bucket]) {
    let mut place = 0;
    let mut new = 0;
    for bucket in other {
        while side
            .get(place)
            .is_some_and(|known| known.index < bucket.index)
        {
            place += 1;
        }
        let known = side.get(place).map(|known| known.index);
        new += usize::from(known != Some(bucket.index));
    }
    let mut from = side.len();
    let mut to = from + new;
    side.resize(to, Bucket { index: 0, count: 0 });
    for &bucket in other.iter().rev() {
        while from > 0 && side[from - 1].index > bucket.index {
            (from, to) = (from - 1, to - 1);
            side[to] = side[from];
        }
        to -= 1;
        side[to] = bucket;
        if from > 0 && side[from - 1].index == bucket.index {
            from -= 1;
            side[to].count += side[from].count;
        }
    }
    collapse(side);
}

/// Counts buckets too far below the highest one in the lowest that is kept.
fn collapse(side: &mut Vec<Bucket>) {
    let (Some(first), Some(last)) = (side.first(), side.last()) else {
        return;
    };
    let lowest = last.index - (MAX_SPAN - 1);
    if first.index >= lowest {
        return;
    }
    let kept_from = side.partition_point(|bucket| bucket.index <= lowest);
    let count = side.drain(..kept_from).map(|bucket| bucket.count).sum();
    side.insert(
        0,
        Bucket {
            index: lowest,
            count,
        },
    );
}

fn zigzag(n: i32) -> u64 {
    u64::from(((n << 1) ^ (n >> 31)).cast_unsigned())
}

fn unzigzag(n: u64) -> Option<i32> {
    let n = u32::try_from(n).ok()?;
    Some((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
}

/// The stored form behind its zeros.
fn read_head(bytes: &[u8]) -> Result<(BitReader<'_>, u64), Damaged> {
    let mut bits = BitReader::new(bytes);
    if bits.read(8)? != VERSION {
        return Err(Damaged);
    }
    let zeros = bits.gamma()? - 1;
    Ok((bits, zeros))
}

/// How many buckets a side has.
fn read_length(bits: &mut BitReader<'_>) -> Result<usize, Damaged> {
    let length = usize::try_from(bits.gamma()? - 1).map_err(|_| Damaged)?;
    if length > MAX_SPAN as usize {
        return Err(Damaged);
    }
    Ok(length)
}

/// Reads the index of the first bucket of a side.
fn read_first(bits: &mut BitReader<'_>) -> Result<i32, Damaged> {
    unzigzag(bits.gamma()? - 1).ok_or(Damaged)
}

/// Reads the buckets of one side.
fn read_side(bits: &mut BitReader<'_>, side: &mut Vec<Bucket>) -> Result<(), Damaged> {
    side.clear();
    let length = read_length(bits)?;
    side.reserve(length);
    if length > 0 {
        let index = read_first(bits)?;
        let count = bits.gamma()?;
        side.push(Bucket { index, count });
        let mut index = i64::from(index);
        let mut numbers = [0; 2 * BUCKETS_READ];
        let mut left = length - 1;
        while left > 0 {
            let some = left.min(BUCKETS_READ);
            let numbers = &mut numbers[..2 * some];
            bits.gammas(numbers)?;
            let (pairs, _) = numbers.as_chunks();
            side.extend(pairs.iter().map(|&[gap, count]| {
                index = index.saturating_add_unsigned(gap);
                Bucket {
                    index: index as i32,
                    count,
                }
            }));
            left -= some;
        }
        i32::try_from(index).map_err(|_| Damaged)?;
    }
    // Only now, so that the codes need not be asked one by one whether they still were in the bytes.
    bits.check()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::percentile::{nearest_rank, rank};
    use proptest::prelude::*;

    pub(in crate::domain) fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1e6..1e6,
            2 => Just(0.0),
            1 => (any::<bool>(), -300_i32..300).prop_map(|(negative, power)| 10_f64.powi(power) * if negative { -1.0 } else { 1.0 }),
            1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(f64::MIN_POSITIVE), Just(5e-324), Just(-0.0)],
        ]
    }

    proptest! {
        #[test]
        fn any_split_and_any_order_give_the_same_sketch(values in prop::collection::vec(any_value(), 0..200), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let whole = Sketch::of(&values);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len() + 1)).chain([0, values.len()]).collect();
            ends.sort_unstable();
            let mut merged = Sketch::default();
            for part in ends.windows(2).rev() {
                let mut piece = Sketch::of(&values[part[0]..part[1]]);
                piece.merge(&merged);
                merged = piece;
            }
            prop_assert_eq!(&merged, &whole);
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(Sketch::of(&sorted), whole);
        }

        #[test]
        fn bytes_are_read_back(values in prop::collection::vec(any_value(), 0..300)) {
            let sketch = Sketch::of(&values);
            prop_assert_eq!(sketch.count(), values.len() as u64);
            prop_assert_eq!(Sketch::decode(&sketch.encode()), Ok(sketch));
        }

        #[test]
        fn a_cut_off_sketch_is_noticed(values in prop::collection::vec(any_value(), 0..300), cut in any::<prop::sample::Index>()) {
            let bytes = Sketch::of(&values).encode();
            let cut = &bytes[..cut.index(bytes.len())];
            prop_assert_eq!(Sketch::decode(cut), Err(Damaged));
        }

        #[test]
        fn no_bytes_crash_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Sketch::decode(&bytes);
            let mut versioned = vec![1];
            versioned.extend(bytes);
            let _ = Sketch::decode(&versioned);
        }
    }

    /// Numbers between 0 and 1 from a fixed start, so that a failure can be repeated (xorshift64*).
    fn uniform(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            ((state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        })
    }

    fn normal(seed: u64) -> impl Iterator<Item = f64> {
        let (mut a, mut b) = (uniform(seed), uniform(seed ^ 0x9E37_79B9_7F4A_7C15));
        std::iter::repeat_with(move || {
            let (u, v) = (a.next().unwrap_or(0.5), b.next().unwrap_or(0.5));
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        })
    }

    #[track_caller]
    fn check_error(name: &str, values: impl Iterator<Item = f64>) {
        let mut sorted: Vec<f64> = values.take(20_000).collect();
        // Merged from many parts, as hours are.
        let mut sketch = Sketch::default();
        for part in sorted.chunks(333) {
            let stored = Sketch::of(part).encode();
            sketch.merge(&Sketch::decode(&stored).expect("was just written"));
        }
        sorted.sort_by(f64::total_cmp);
        for percent in [1, 5, 10, 25, 50, 75, 90, 95, 99, 100] {
            let exact = nearest_rank(&sorted, percent).expect("not empty");
            let got = sketch.at_rank(rank(20_000, percent)).expect("not empty");
            assert!(
                (got - exact).abs() <= 0.01 * exact.abs(),
                "{name}: p{percent} is {exact}, sketch says {got}"
            );
        }
    }

    #[test]
    fn the_error_stays_within_one_percent_on_five_distributions() {
        check_error("uniform", uniform(1).map(|u| u * 1000.0));
        check_error("exponential", uniform(2).map(|u| -u.ln() * 0.05));
        check_error("lognormal", normal(3).map(|n| (n - 3.0).exp()));
        check_error("pareto", uniform(4).map(|u| u.powf(-1.0 / 1.1)));
        check_error("normal around zero", normal(5).map(|n| n * 40.0));
    }

    #[test]
    fn the_largest_and_smallest_numbers_have_a_place() {
        for value in [
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            1e-300,
            1.0,
            -1.0,
        ] {
            let got = Sketch::of(&[value]).at_rank(1).expect("not empty");
            assert!((got / value - 1.0).abs() <= 0.01, "{value}: {got}");
        }
    }

    #[test]
    fn the_span_is_bounded_and_keeps_the_count() {
        let values: Vec<f64> = (-320..=308)
            .map(|power| 10_f64.powf(f64::from(power)))
            .collect();
        let sketch = Sketch::of(&values);
        assert_eq!(sketch.count(), values.len() as u64);
        assert!(sketch.positive.len() <= MAX_SPAN as usize);
        let top = sketch.at_rank(values.len() as u64).expect("not empty");
        assert!((top / 1e308 - 1.0).abs() <= 0.01, "{top}");
    }

    #[test]
    fn a_minute_of_a_thousand_points_stays_small() {
        let values: Vec<f64> = normal(7).map(f64::exp).take(1000).collect();
        let bytes = Sketch::of(&values).encode().len();
        assert!(bytes < 200, "{bytes} bytes");
        assert!(Sketch::of(&[1.0; 1000]).encode().len() <= 6);
    }

    #[test]
    fn counts_up_to_a_limit() {
        let sketch = Sketch::of(&[-5.0, -5.0, 0.0, 0.05, 0.2, 3.0]);
        for (limit, count) in [
            (-10.0, 0),
            (-5.0, 2),
            (-1.0, 2),
            (0.0, 3),
            (0.05, 4),
            (0.1, 4),
            (0.25, 5),
            (3.0, 6),
            (100.0, 6),
        ] {
            assert_eq!(sketch.count_up_to(limit), count, "{limit}");
        }
    }
}
