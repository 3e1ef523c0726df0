//! A sketch that is being made: its buckets lie side by side, so that none has to be looked for.

use super::{
    Bucket, Damaged, Sketch, index_of, merge_side, read_first, read_head, read_length, read_side,
    representative,
};

/// Counts many values, or merges many sketches, in any order: a sketch whose buckets lie side by side, so that none has to be
/// looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Index of the first of `side`.
    first: i32,
    side: Vec<u32>,
    /// Whether anything was counted in `side` since it was cleared.
    used: bool,
    /// What is not positive, too far from the others, or too often.
    rest: Sketch,
}

impl Counts {
    /// Buckets side by side at most: four decades and a half, 2 KB.
    const MOST: i32 = 512;
    /// There is room for so many more when it grows.
    const ROOM: i32 = 16;
    /// Of so many at most it stays known where they lie when they are cleared, so that others find room beside them.
    const KEPT: usize = 384;
    /// So many are passed over at once on the way to a rank.
    const SUMMED: usize = 16;

    /// Counts one finite value.
    pub(crate) fn add(&mut self, value: f64) {
        if value > 0.0 {
            let index = index_of(value);
            if let Some(count) = self.place_of(index)
                && *count < u32::MAX
            {
                *count += 1;
                self.used = true;
                return;
            }
        }
        self.rest.add(value);
    }

    /// Adds the counts of a sketch.
    pub(crate) fn merge(&mut self, sketch: &Sketch) {
        let Sketch {
            zeros,
            positive,
            negative,
        } = sketch;
        self.rest.zeros += zeros;
        merge_side(&mut self.rest.negative, negative);
        if let (Some(first), Some(last)) = (positive.first(), positive.last())
            && !(self.has(first.index) && self.has(last.index))
        {
            // Once for all; where they are too far apart, one by one.
            let _ = self.grow(first.index, last.index);
        }
        for &bucket in positive {
            self.count(bucket);
        }
    }

    fn count(&mut self, bucket: Bucket) {
        if let Some(count) = self.place_of(bucket.index)
            && let Some(sum) = u64::from(*count).checked_add(bucket.count)
            && let Ok(sum) = u32::try_from(sum)
        {
            *count = sum;
            self.used = true;
        } else {
            merge_side(&mut self.rest.positive, &[bucket]);
        }
    }

    /// Adds the counts of a sketch from its stored form. With these, `points` were counted altogether.
    pub(crate) fn merge_stored(&mut self, bytes: &[u8], points: u64) -> Result<(), Damaged> {
        if points > u64::from(u32::MAX) {
            // One of the counts might not have room for them.
            self.merge(&Sketch::decode(bytes)?);
            return Ok(());
        }
        let (mut bits, zeros) = read_head(bytes)?;
        self.rest.zeros += zeros;
        let mut left = read_length(&mut bits)?;
        if left > 0 {
            let first = read_first(&mut bits)?;
            let mut bucket = Bucket {
                index: first,
                count: bits.gamma()?,
            };
            self.count(bucket);
            let mut index = i64::from(first);
            left -= 1;
            while left > 0 {
                let look = bits.pairs();
                let some = usize::from(look.count);
                let place = usize::try_from(index - i64::from(self.first)).unwrap_or(usize::MAX);
                let end = place.saturating_add(usize::from(look.gaps));
                if some > 0 && some <= left && end < self.side.len() {
                    let mut place = place;
                    // All of them: behind the last pair nothing is added to nothing.
                    for [gap, count] in look.numbers {
                        place += usize::from(gap);
                        let known = &mut self.side[place];
                        *known = known.saturating_add(u32::from(count));
                    }
                    index += i64::from(look.gaps);
                    self.used = true;
                    bits.take(look);
                    left -= some;
                } else {
                    index = index.saturating_add_unsigned(bits.gamma()?);
                    bucket.index = i32::try_from(index).map_err(|_| Damaged)?;
                    bucket.count = bits.gamma()?;
                    self.count(bucket);
                    left -= 1;
                }
            }
        }
        let mut negative = Vec::new();
        read_side(&mut bits, &mut negative)?;
        merge_side(&mut self.rest.negative, &negative);
        Ok(())
    }

    /// Forgets everything, but keeps the memory, and the place of what is counted next where that may be elsewhere, too.
    pub(crate) fn clear(&mut self) {
        if self.side.len() > Self::KEPT {
            self.side.clear();
        }
        self.side.fill(0);
        self.used = false;
        self.rest.clear();
    }

    #[inline]
    fn place_of(&mut self, index: i32) -> Option<&mut u32> {
        if !self.has(index) {
            self.grow(index, index)?;
        }
        let place = i64::from(index) - i64::from(self.first);
        self.side.get_mut(usize::try_from(place).ok()?)
    }

    /// Makes room from one index to another, and for half as many again, as others will follow; `None` when they are too
    /// far away.
    #[cold]
    fn grow(&mut self, first: i32, last: i32) -> Option<()> {
        if !self.used {
            self.side.clear();
        }
        let known = if self.side.is_empty() {
            first..last
        } else {
            self.first..self.first + self.side.len() as i32
        };
        let reach = |room: i32| {
            let from = known.start.min(first.checked_sub(room)?);
            let to = known.end.max(last.checked_add(room)?);
            let long = i64::from(to) - i64::from(from) > i64::from(Self::MOST);
            (!long).then_some((from, to))
        };
        let more = self.side.len() as i32 / 2;
        let (from, to) = reach(Self::ROOM.max(more)).or_else(|| reach(Self::ROOM))?;
        let (before, counted) = ((known.start - from) as usize, self.side.len());
        let long = (to - from) as usize;
        self.side.reserve_exact(long - counted);
        self.side.resize(long, 0);
        self.side.copy_within(..counted, before);
        self.side[..before.min(counted)].fill(0);
        self.first = from;
        Some(())
    }

    /// Whether it has room for an index.
    fn has(&self, index: i32) -> bool {
        let place = i64::from(index) - i64::from(self.first);
        usize::try_from(place).is_ok_and(|place| place < self.side.len())
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        !self.used && self.rest.is_empty()
    }

    /// The value at a position counted from 1 in ascending order, within 1 %, where all values lie side by side; `None`
    /// where only the whole sketch knows.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<f64> {
        if !self.rest.positive.is_empty() {
            return None;
        }
        let below: u64 = self.rest.negative.iter().map(|bucket| bucket.count).sum();
        let mut left = rank.checked_sub(below + self.rest.zeros)?.checked_sub(1)?;
        let mut first = self.first;
        for some in self.side.chunks(Self::SUMMED) {
            let all: u64 = some.iter().map(|&count| u64::from(count)).sum();
            if let Some(fewer) = left.checked_sub(all) {
                left = fewer;
                first += some.len() as i32;
                continue;
            }
            for (&count, index) in some.iter().zip(first..) {
                match left.checked_sub(u64::from(count)) {
                    Some(fewer) => left = fewer,
                    None => return Some(representative(index)),
                }
            }
        }
        None
    }

    /// The sketch of all values.
    pub(crate) fn into_sketch(self) -> Sketch {
        let used = self.side.iter().filter(|&&count| count > 0).count();
        let mut positive = Vec::with_capacity(used);
        let counted = self.side.iter().zip(self.first..);
        positive.extend(
            counted
                .filter(|&(&count, _)| count > 0)
                .map(|(&count, index)| Bucket {
                    index,
                    count: u64::from(count),
                }),
        );
        let mut sketch = Sketch {
            positive,
            ..Sketch::default()
        };
        sketch.merge(&self.rest);
        sketch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sketch::tests::any_value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_side_by_side_it_is_the_same_sketch(values in prop::collection::vec(prop_oneof![1 => any_value(), 3 => 0.001..3.0], 0..300)) {
            let mut counts = Counts::default();
            for &value in &values {
                counts.add(value);
            }
            prop_assert!(counts.side.len() <= Counts::MOST as usize);
            prop_assert_eq!(counts.into_sketch(), Sketch::of(&values));
            let mut counts = Counts::default();
            for part in values.chunks(7) {
                counts.merge(&Sketch::of(part));
            }
            prop_assert!(counts.side.len() <= Counts::MOST as usize);
            prop_assert_eq!(counts.is_empty(), values.is_empty());
            let whole = Sketch::of(&values);
            for rank in 0..values.len() as u64 + 2 {
                let known = counts.at_rank(rank);
                prop_assert!(known.is_none() || known == whole.at_rank(rank));
                let is_plain = values.iter().all(|value| (0.001..3.0).contains(value));
                prop_assert!(!is_plain || known == whole.at_rank(rank));
            }
            prop_assert_eq!(counts.clone().into_sketch(), Sketch::of(&values));
            counts.clear();
            prop_assert!(counts.is_empty());
            let others: Vec<f64> = values.iter().map(|value| value / 7.0).collect();
            for part in others.chunks(7) {
                let stored = Sketch::of(part).encode();
                prop_assert_eq!(counts.merge_stored(&stored, others.len() as u64), Ok(()));
                prop_assert!(counts.side.len() <= Counts::MOST as usize);
            }
            prop_assert_eq!(counts.is_empty(), values.is_empty());
            prop_assert_eq!(counts.into_sketch(), Sketch::of(&others));
        }

        #[test]
        fn any_bytes_are_counted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), one in any_value()) {
            let mut bytes = bytes;
            if let Some(version) = bytes.first_mut() {
                *version = 1;
            }
            let mut counts = Counts::default();
            counts.add(one);
            let taken = counts.merge_stored(&bytes, 1);
            prop_assert_eq!(taken.is_ok(), Sketch::decode(&bytes).is_ok());
        }

        #[test]
        fn counts_of_any_size_are_added(counts in prop::collection::vec((0..3, prop_oneof![1_u64..1 << 40, 1_u64..1 << 31]), 0..20)) {
            let mut sum = Sketch::default();
            let mut side_by_side = Counts::default();
            let mut points = 0;
            for (value, count) in counts {
                let mut one = Sketch::default();
                one.add_many(f64::from(value), count);
                sum.merge(&one);
                points += count;
                if points % 2 == 0 {
                    side_by_side.merge(&one);
                } else {
                    prop_assert_eq!(side_by_side.merge_stored(&one.encode(), points), Ok(()));
                }
            }
            prop_assert_eq!(side_by_side.into_sketch(), sum);
        }
    }
}
