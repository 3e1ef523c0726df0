//! Sums over a window that moves in steps, as two stacks: one of what came, one of the sums of what goes next. Each part is
//! merged twice, however long the window is. (Known as the two-stack queue of sliding-window aggregation; K. Tangwongsan,
//! M. Hirzel, S. Schneider: "In-Order Sliding-Window Aggregation in Worst-Case Constant Time", 2021, section 2.)

use std::collections::VecDeque;

use super::rollup::{Rollup, add_to, merge_into};

/// The last few parts, summed up.
#[derive(Debug)]
pub(crate) struct Sliding {
    length: usize,
    /// What came since the stacks were turned over, oldest first, and its sum.
    came: Vec<Option<Rollup>>,
    sum: Option<Rollup>,
    /// The sums of what came before: the last one is of all of it, the one before without its oldest part, ...
    going: Vec<Option<Rollup>>,
}

impl Sliding {
    /// Over so many parts, at least one.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            length: length.max(1),
            came: Vec::new(),
            sum: None,
            going: Vec::new(),
        }
    }

    /// The next part comes; the oldest one goes when there are more than fit.
    pub(crate) fn push(&mut self, part: Option<Rollup>) {
        if let Some(part) = &part {
            add_to(&mut self.sum, part);
        }
        self.came.push(part);
        if self.came.len() + self.going.len() <= self.length {
            return;
        }
        if self.going.is_empty() {
            let mut sum = None;
            for part in self.came.drain(..).rev() {
                if let Some(part) = part {
                    merge_into(&mut sum, part);
                }
                self.going.push(sum.clone());
            }
            self.sum = None;
        }
        self.going.pop();
    }

    /// All parts together.
    pub(crate) fn sum(&self) -> Option<Rollup> {
        let mut sum = self.going.last().cloned().flatten();
        if let Some(part) = &self.sum {
            add_to(&mut sum, part);
        }
        sum
    }
}

/// A window, and the one of the same length before it.
#[derive(Debug)]
pub(crate) struct Windows {
    now: Sliding,
    /// Parts of the first window, when the one before is wanted.
    between: Option<VecDeque<Option<Rollup>>>,
    before: Sliding,
}

impl Windows {
    /// Over so many parts; with the window before or without it.
    pub(crate) fn new(length: usize, with_before: bool) -> Self {
        Self {
            now: Sliding::new(length),
            between: with_before.then(VecDeque::new),
            before: Sliding::new(length),
        }
    }

    /// The next part comes.
    pub(crate) fn push(&mut self, part: Option<Rollup>) {
        if let Some(between) = &mut self.between {
            between.push_back(part.clone());
            if between.len() > self.now.length {
                self.before.push(between.pop_front().flatten());
            }
        }
        self.now.push(part);
    }

    /// The sums of the window, and of the one before.
    pub(crate) fn sums(&self) -> [Option<Rollup>; 2] {
        [self.now.sum(), self.before.sum()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::rollup::Point;

    fn part(place: usize, value: Option<i32>) -> Option<Rollup> {
        value.map(|value| {
            Rollup::of_one(Point {
                at_ms: place as i64,
                value: f64::from(value),
            })
        })
    }

    fn summed(parts: &[Option<i32>], first: usize) -> Option<(u64, f64, f64, f64, f64)> {
        let mut sum = None;
        for (place, value) in parts.iter().enumerate() {
            if let Some(rollup) = part(first + place, *value) {
                merge_into(&mut sum, rollup);
            }
        }
        figures(sum)
    }

    fn figures(rollup: Option<Rollup>) -> Option<(u64, f64, f64, f64, f64)> {
        rollup.map(|sum| (sum.count, sum.sum, sum.min, sum.max, sum.last.value))
    }

    proptest! {
        #[test]
        fn windows_hold_what_they_should(
            values in proptest::collection::vec(proptest::option::of(-100_i32..100), 1..80),
            length in 1_usize..12,
        ) {
            let mut windows = Windows::new(length, true);
            for (place, value) in values.iter().enumerate() {
                windows.push(part(place, *value));
                let [now, before] = windows.sums();
                let first = (place + 1).saturating_sub(length);
                prop_assert_eq!(figures(now), summed(&values[first..=place], first));
                let earlier = first.saturating_sub(length);
                prop_assert_eq!(figures(before), summed(&values[earlier..first], earlier));
            }
        }
    }
}
