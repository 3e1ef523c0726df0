//! When something that is done at fixed intervals begins, though it may take as long as an interval.

use std::time::Duration;

/// Times at equal distances. What is done at one of them may end a little after the next one, which is then begun late
/// and has to end in time, so the delays do not add up. All times are those of a monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    interval: Duration,
    next: Duration,
}

impl Rhythm {
    /// `interval` is not zero.
    pub(crate) fn new(first: Duration, interval: Duration) -> Self {
        Self {
            interval,
            next: first,
        }
    }

    /// How long until the next time.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// How long what begins now may take, at most `most`: until the time after this one, but half of `most` when it begins
    /// that late.
    pub(crate) fn time_left(&self, now: Duration, most: Duration) -> Duration {
        let end = self.next + self.interval;
        end.saturating_sub(now).max(most / 2).min(most)
    }

    /// Goes on to the time after this one. Those that are past by half an interval or more are left out.
    pub(crate) fn go_on(&mut self, now: Duration) {
        self.next += self.interval;
        let late = now.saturating_sub(self.next) + self.interval / 2;
        let missed = late.as_nanos() / self.interval.as_nanos().max(1);
        self.next += self.interval * u32::try_from(missed).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// When work begins that takes so long each time, in milliseconds; `None`: as long as it may, and 7 ms more.
    fn begins(most: Duration, work: &[Option<u64>]) -> Vec<u64> {
        let mut rhythm = Rhythm::new(SECOND, SECOND);
        let mut now = Duration::ZERO;
        let begin = |work: &Option<u64>| {
            now += rhythm.pause(now);
            let begun = now;
            now += work.map_or_else(|| rhythm.time_left(now, most) + ms(7), ms);
            rhythm.go_on(now);
            begun.as_millis() as u64
        };
        work.iter().map(begin).collect()
    }

    #[test]
    fn what_takes_a_whole_interval_is_done_each_time() {
        assert_eq!(
            begins(SECOND, &[None; 5]),
            [1000, 2007, 3007, 4007, 5007],
            "delays do not add up"
        );
        assert_eq!(begins(ms(300), &[None; 4]), [1000, 2000, 3000, 4000]);
    }

    #[test]
    fn what_is_missed_is_left_out_and_the_rhythm_stays() {
        assert_eq!(
            begins(
                SECOND,
                &[Some(1400), Some(10), Some(1500), Some(2600), Some(10)]
            ),
            [1000, 2400, 3000, 5000, 8000]
        );
    }

    proptest! {
        #[test]
        fn nothing_begins_early_or_twice(work in prop::collection::vec(prop::option::of(0_u64..5000), 1..40)) {
            let begun = begins(SECOND, &work);
            for (one, other) in begun.iter().zip(begun.iter().skip(1)) {
                prop_assert!(one / 1000 < other / 1000 || other % 1000 >= 500, "{one} {other}");
                prop_assert!(other % 1000 < 500, "late by less than half: {other}");
            }
        }
    }
}
