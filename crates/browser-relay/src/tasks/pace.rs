//! In which order and how fast the outbox of one service is delivered.
//!
//! Events go in the order in which they came, in batches, one batch after the other. Where a service fails at single events
//! of a batch and takes others, these others have overtaken. That cannot be undone, but it is kept from going on: the first
//! event that is left is sent again alone, before all others, and batches grow again only while all goes well. An event
//! that the service fails at again and again though it comes alone is passed: nobody waits for it for ever. It keeps its
//! place at the beginning of the outbox and has another turn when none are left behind it, or after so many batches.

use std::time::Duration;

use monlight_shared::idempotency::MOST_IN_BATCH;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Batches that have to go whole before the next may hold twice as many events, since the service failed at single ones.
const WHOLE_BEFORE_MORE: u32 = 16;
/// Attempts in a row, of which none got anything delivered, until an event is passed. With the pauses between them that is
/// a second, or some ten minutes when the service says that it has too much to do.
const ATTEMPTS: u32 = 3;
const ATTEMPTS_OVERLOADED: u32 = 25;
/// Batches that go behind events which were passed before these have another turn, though more keep coming; twice as many
/// each time that the service fails at them again.
const FIRST_BATCHES_BEHIND: u32 = 16;
const MOST_BATCHES_BEHIND: u32 = 512;

/// What came of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Nothing of it is left.
    Went,
    /// There was nothing to send.
    Nothing,
    /// So many at once were not accepted as a batch.
    TooMany(usize),
    /// The service failed at single events.
    Left(Left),
    /// There are no more behind those that were passed, or these have waited for enough others.
    Around,
    /// Nothing was accepted; to be tried again after this time at the earliest.
    Failed(Duration),
}

/// Which events of a batch the service failed at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// The id of the first of them that was never passed, if there is one.
    pub(super) first: Option<i64>,
    /// The id of the last event of the batch.
    pub(super) last: i64,
    /// Others of the batch went.
    pub(super) some_went: bool,
    /// The service says of one that it has too much to do.
    pub(super) overloaded: bool,
}

/// What is sent next, and how long the next pause is.
pub(super) struct Pace {
    /// Events at once.
    pub(super) most: usize,
    /// The id of the last event that was passed, behind which it goes on. 0: at the beginning.
    pub(super) after: i64,
    /// Batches in a row that went whole, and as many as `most` needs to grow.
    whole: u32,
    whole_before_more: u32,
    /// Attempts in a row with which nothing went.
    in_vain: u32,
    /// What was passed once, up to this id, has lost its place: it is not tried alone again.
    pub(super) passed: i64,
    /// Batches that went behind `after`, and how many may.
    behind: u32,
    most_behind: u32,
    pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            most: MOST_IN_BATCH,
            after: 0,
            whole: 0,
            whole_before_more: 1,
            in_vain: 0,
            passed: 0,
            behind: 0,
            most_behind: FIRST_BATCHES_BEHIND,
            pause: FIRST_PAUSE,
        }
    }
}

impl Pace {
    /// The pause that an attempt asks for.
    pub(super) fn after(&mut self, step: Step) -> Option<Duration> {
        match step {
            Step::Went => {
                self.went();
                self.whole += 1;
                if self.whole >= self.whole_before_more {
                    self.whole = 0;
                    self.most = (self.most * 2).min(MOST_IN_BATCH);
                }
                if self.after > 0 {
                    self.behind += 1;
                } else {
                    self.most_behind = FIRST_BATCHES_BEHIND;
                }
                None
            }
            Step::Nothing => None,
            Step::TooMany(count) => {
                self.most = (count / 2).max(1);
                (self.whole, self.whole_before_more) = (0, 1);
                None
            }
            Step::Left(left) => {
                self.left(left);
                Some(self.grow())
            }
            Step::Around => {
                (self.after, self.behind) = (0, 0);
                self.most_behind = (self.most_behind * 2).min(MOST_BATCHES_BEHIND);
                None
            }
            Step::Failed(retry_after) => Some(self.grow().max(retry_after)),
        }
    }

    /// Whether those that were passed have waited for enough others.
    pub(super) fn turns_around(&self) -> bool {
        self.behind >= self.most_behind
    }

    fn went(&mut self) {
        (self.in_vain, self.pause) = (0, FIRST_PAUSE);
    }

    fn left(&mut self, left: Left) {
        if left.some_went {
            self.went();
        }
        self.in_vain += 1;
        self.behind += u32::from(self.after > 0);
        let is_alone = left.first == Some(left.last);
        let waits = if left.overloaded {
            // Those behind would hear the same.
            !is_alone || self.in_vain < ATTEMPTS_OVERLOADED
        } else {
            self.in_vain < ATTEMPTS
        };
        if let Some(first) = left.first.filter(|_| waits) {
            // Not with those that were passed, if they were in the batch: they may fail again.
            self.after = if self.passed > 0 { first - 1 } else { 0 };
            self.most = 1;
            (self.whole, self.whole_before_more) = (0, WHOLE_BEFORE_MORE);
        } else {
            self.after = left.last;
            self.passed = self.passed.max(left.last);
            self.most = MOST_IN_BATCH;
        }
    }

    /// The next pause; the one after it is twice as long.
    fn grow(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(pause: Option<Duration>) -> Option<u128> {
        pause.map(|pause| pause.as_millis())
    }

    fn left(first: i64, last: i64, some_went: bool) -> Step {
        Step::Left(Left {
            first: Some(first),
            last,
            some_went,
            overloaded: false,
        })
    }

    /// The service fails at what was passed, and takes others.
    fn old_ones(last: i64) -> Step {
        Step::Left(Left {
            first: None,
            last,
            some_went: true,
            overloaded: false,
        })
    }

    #[test]
    fn who_was_passed_has_another_turn_though_others_keep_coming() {
        let mut pace = Pace::default();
        for attempt in [left(7, 9, true), left(7, 7, false), left(7, 7, false)] {
            assert_eq!(pace.after, 0, "before {attempt:?}");
            pace.after(attempt);
        }
        let mut batches = Vec::new();
        for _ in 0..8 {
            assert_eq!((pace.after, pace.most), (7, MOST_IN_BATCH));
            let mut count = 0;
            while !pace.turns_around() {
                pace.after(Step::Went);
                count += 1;
            }
            batches.push(count);
            pace.after(Step::Around);
            assert_eq!(pace.after, 0);
            pace.after(old_ones(7));
        }
        assert_eq!(batches, [16, 32, 64, 128, 256, 512, 512, 512]);
        pace.after(Step::Around);
        pace.after(Step::Went);
        assert_eq!(
            pace.most_behind, FIRST_BATCHES_BEHIND,
            "they are taken at last"
        );
    }

    #[test]
    fn after_a_failure_batches_grow_while_all_goes_well() {
        let mut pace = Pace::default();
        pace.after(left(3, 100, true));
        let mut sizes = vec![pace.most];
        for _ in 0..7 * WHOLE_BEFORE_MORE {
            pace.after(Step::Went);
            if sizes.last() != Some(&pace.most) {
                sizes.push(pace.most);
            }
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 100]);
        pace.after(left(200, 205, true));
        assert_eq!((pace.most, pace.after), (1, 0));
        // An outage says nothing about single ones.
        pace.after(Step::Failed(Duration::ZERO));
        assert_eq!(pace.most, 1);
    }

    #[test]
    fn a_service_with_too_much_to_do_has_more_time() {
        let overloaded = |first, last| {
            Step::Left(Left {
                first: Some(first),
                last,
                some_went: false,
                overloaded: true,
            })
        };
        let mut pace = Pace::default();
        let mut waited = pace.after(overloaded(7, 9)).unwrap_or_default();
        while pace.after == 0 {
            assert_eq!(pace.most, 1);
            waited += pace.after(overloaded(7, 7)).unwrap_or_default();
        }
        assert_eq!(pace.after, 7);
        assert!(waited > Duration::from_mins(9), "{waited:?}");
        // Those behind hear the same, and are not passed together.
        pace.after(overloaded(8, 9));
        assert_eq!((pace.after, pace.most), (7, 1));
    }

    #[test]
    fn pauses_grow_as_long_as_nothing_goes() {
        let mut pace = Pace::default();
        let seconds = Duration::from_secs;
        for (step, pause, most, after) in [
            (Step::Failed(Duration::ZERO), Some(250), 100, 0),
            (Step::Failed(Duration::ZERO), Some(500), 100, 0),
            (Step::Failed(seconds(7)), Some(7_000), 100, 0),
            (Step::TooMany(100), None, 50, 0),
            (Step::Failed(Duration::ZERO), Some(2_000), 50, 0),
            (Step::Nothing, None, 50, 0),
            (left(5, 50, true), Some(250), 1, 0),
            (left(5, 5, false), Some(500), 1, 0),
            (left(5, 5, false), Some(1_000), 100, 5),
            // Behind it all fail as well.
            (left(6, 80, false), Some(2_000), 100, 80),
            (old_ones(81), Some(250), 100, 81),
            // Without those that were passed.
            (left(90, 99, true), Some(250), 1, 89),
            (Step::Went, None, 1, 89),
            (Step::Around, None, 1, 0),
            (Step::TooMany(1), None, 1, 0),
            (Step::Went, None, 2, 0),
            (Step::Failed(Duration::ZERO), Some(250), 2, 0),
        ] {
            let found = (millis(pace.after(step)), pace.most, pace.after);
            assert_eq!(found, (pause, most, after), "{step:?}");
        }
        let last = (0..20).map(|_| pace.after(Step::Failed(Duration::ZERO)));
        assert_eq!(last.last().flatten(), Some(LONGEST_PAUSE));
    }
}
