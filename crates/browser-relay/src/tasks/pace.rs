//! In which order and how fast the outbox of one service is delivered.
//!
//! Events go in the order in which they came, in batches, one batch after the other. Where a service fails at single events
//! of a batch and takes others, these others have overtaken. That cannot be undone, but it is kept from going on: the first
//! event that is left is sent again alone, before all others, and batches grow again only while all goes well. An event
//! that the service fails at again and again though it comes alone is passed: nobody waits for it for ever. It keeps its
//! place at the beginning of the outbox and has another turn when none are left behind it, or after so many batches.
//!
//! What a service has against the events of one DSN key is no reason for those of others to wait: when it says of an event
//! that comes alone that it has too much to do, or fails at a batch as a whole, the keys concerned are set aside. Their
//! events stay in their order; they go on when those of other keys have gone, or after so many batches.

use std::collections::HashMap;
use std::time::Duration;

use monlight_shared::idempotency::MOST_IN_BATCH;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Batches that have to go whole before the next may hold twice as many events, since the service failed at single ones.
const WHOLE_BEFORE_MORE: u32 = 16;
/// Attempts in a row, of which none got anything delivered, until an event is passed, or its key is set aside when the
/// service says that it has too much to do. With the pauses between them that is a second.
const ATTEMPTS: u32 = 3;
/// Attempts at an event of which it goes on saying so, until that is passed: some ten minutes, in a row or, where events of
/// others go in between so that pauses do not grow, in all.
const ATTEMPTS_OVERLOADED: u32 = 25;
const ATTEMPTS_BETWEEN_OTHERS: u32 = 2_000;
/// Batches that go behind events which were passed, or whose keys were set aside, before these have another turn, though
/// more keep coming; twice as many each time that the service fails at them again.
const FIRST_BATCHES_BEHIND: u32 = 16;
const MOST_BATCHES_BEHIND: u32 = 512;

/// What came of an attempt.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Nothing of it is left; the id of the last event.
    Went(i64),
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
#[derive(Debug, Clone)]
pub(super) struct Left {
    /// The id of the first of them that was never passed, if there is one.
    pub(super) first: Option<i64>,
    /// The DSN keys of all of them.
    pub(super) keys: Vec<i64>,
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
    /// What was passed once, of these DSN keys up to these ids, has lost its place: it is not tried alone again.
    passed: HashMap<i64, i64>,
    /// DSN keys that are set aside, and the id behind which it goes on with them.
    pub(super) aside: Vec<i64>,
    back: i64,
    /// At most one for each DSN key.
    stuck: Vec<Stuck>,
    /// Batches that went behind `after`, and how many may.
    behind: u32,
    most_behind: u32,
    pause: Duration,
}

/// An event of which the service says, though it comes alone, that it has too much to do.
struct Stuck {
    key: i64,
    id: i64,
    attempts: u32,
}

/// What an event that the service failed at means for others.
enum Turn {
    /// They wait.
    Waits(i64),
    /// Those of other keys go on.
    Aside(i64),
    /// They all go on.
    Passed,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            most: MOST_IN_BATCH,
            after: 0,
            whole: 0,
            whole_before_more: 1,
            in_vain: 0,
            passed: HashMap::new(),
            aside: Vec::new(),
            back: 0,
            stuck: Vec::new(),
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
            Step::Went(last) => {
                self.went();
                self.stuck
                    .retain(|stuck| stuck.id > last || self.aside.contains(&stuck.key));
                self.whole += 1;
                if self.whole >= self.whole_before_more {
                    self.whole = 0;
                    self.most = (self.most * 2).min(MOST_IN_BATCH);
                }
                if self.goes_behind() {
                    self.behind += 1;
                } else {
                    self.most_behind = FIRST_BATCHES_BEHIND;
                }
                if !self.aside.is_empty() {
                    // There may be many of those keys before it.
                    self.after = last;
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
                let back = if self.aside.is_empty() { 0 } else { self.back };
                (self.after, self.behind) = (back, 0);
                if !self.aside.is_empty() && !self.stuck.is_empty() {
                    self.one_by_one();
                }
                self.aside.clear();
                self.most_behind = (self.most_behind * 2).min(MOST_BATCHES_BEHIND);
                None
            }
            Step::Failed(retry_after) => Some(self.grow().max(retry_after)),
        }
    }

    /// Whether an event of a DSN key was passed before.
    pub(super) fn was_passed(&self, key: i64, id: i64) -> bool {
        self.passed.get(&key).is_some_and(|passed| id <= *passed)
    }

    /// Whether something that came earlier was passed, or set aside.
    pub(super) fn goes_behind(&self) -> bool {
        self.after > 0 || !self.aside.is_empty()
    }

    /// Whether what was passed or set aside has waited for enough others.
    pub(super) fn turns_around(&self) -> bool {
        self.behind >= self.most_behind
    }

    fn went(&mut self) {
        (self.in_vain, self.pause) = (0, FIRST_PAUSE);
    }

    fn one_by_one(&mut self) {
        self.most = 1;
        (self.whole, self.whole_before_more) = (0, WHOLE_BEFORE_MORE);
    }

    fn left(&mut self, left: Left) {
        if left.some_went {
            self.went();
        }
        self.in_vain += 1;
        self.behind += u32::from(self.goes_behind());
        match self.turn(&left) {
            Turn::Waits(first) => {
                // Not with those that were passed, if they were in the batch: they may fail again.
                let from_there = !self.passed.is_empty() || !self.aside.is_empty();
                self.after = if from_there { first - 1 } else { 0 };
                self.one_by_one();
            }
            Turn::Aside(first) => self.set_aside(left.keys, first - 1),
            Turn::Passed => {
                self.after = left.last;
                for key in &left.keys {
                    let passed = self.passed.entry(*key).or_default();
                    *passed = left.last.max(*passed);
                }
                self.most = MOST_IN_BATCH;
                if !left.some_went && left.keys.len() > 1 {
                    // All that it failed at may be of the same kind, and more of it may follow.
                    self.set_aside(left.keys, left.last);
                }
            }
        }
    }

    fn turn(&mut self, left: &Left) -> Turn {
        let Some(first) = left.first else {
            return Turn::Passed;
        };
        let is_alone = first == left.last;
        if !left.overloaded {
            let waits = self.in_vain < ATTEMPTS;
            return if waits {
                Turn::Waits(first)
            } else {
                Turn::Passed
            };
        }
        let key = left.keys.first().filter(|_| is_alone);
        let Some(key) = key else {
            // Those behind may hear the same.
            return Turn::Waits(first);
        };
        let attempts = self.attempts(*key, first);
        match attempts.min(self.in_vain) {
            ATTEMPTS_OVERLOADED.. => Turn::Passed,
            _ if attempts >= ATTEMPTS_BETWEEN_OTHERS => Turn::Passed,
            _ if attempts >= ATTEMPTS => Turn::Aside(first),
            _ => Turn::Waits(first),
        }
    }

    /// Counts an attempt at an event that came alone; the batch before, if it failed in that, is one too.
    fn attempts(&mut self, key: i64, id: i64) -> u32 {
        let first_attempts = self.in_vain.min(2);
        if let Some(stuck) = self.stuck.iter_mut().find(|stuck| stuck.key == key) {
            stuck.attempts = if stuck.id == id {
                stuck.attempts + 1
            } else {
                first_attempts
            };
            stuck.id = id;
            return stuck.attempts;
        }
        let attempts = first_attempts;
        self.stuck.push(Stuck { key, id, attempts });
        attempts
    }

    /// Events of these keys wait; it goes on with those behind this id.
    fn set_aside(&mut self, keys: Vec<i64>, back: i64) {
        self.back = if self.aside.is_empty() {
            back
        } else {
            back.min(self.back)
        };
        self.aside.extend(keys);
        self.aside.sort_unstable();
        self.aside.dedup();
        self.most = MOST_IN_BATCH;
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
            keys: vec![1; if first == last { 1 } else { 2 }],
            last,
            some_went,
            overloaded: false,
        })
    }

    /// The service fails at what was passed, and takes others.
    fn old_ones(last: i64) -> Step {
        Step::Left(Left {
            first: None,
            keys: vec![1],
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
                pace.after(Step::Went(0));
                count += 1;
            }
            batches.push(count);
            pace.after(Step::Around);
            assert_eq!(pace.after, 0);
            pace.after(old_ones(7));
        }
        assert_eq!(batches, [16, 32, 64, 128, 256, 512, 512, 512]);
        pace.after(Step::Around);
        pace.after(Step::Went(0));
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
            pace.after(Step::Went(0));
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
                keys: vec![1],
                last,
                some_went: false,
                overloaded: true,
            })
        };
        let mut pace = Pace::default();
        let mut waited = pace.after(overloaded(7, 9)).unwrap_or_default();
        while pace.after < 7 {
            assert_eq!(pace.most, 1);
            waited += pace.after(overloaded(7, 7)).unwrap_or_default();
            if !pace.aside.is_empty() {
                // There are no others.
                pace.after(Step::Around);
            }
        }
        assert_eq!(pace.after, 7);
        assert!(waited > Duration::from_mins(9), "{waited:?}");
        // Those behind hear the same, and are not passed together.
        pace.after(overloaded(8, 9));
        assert_eq!((pace.after, pace.most), (7, 1));
    }

    #[test]
    fn whose_key_is_set_aside_holds_up_no_other_key() {
        let overloaded = |id, key| {
            Step::Left(Left {
                first: Some(id),
                keys: vec![key],
                last: id,
                some_went: false,
                overloaded: true,
            })
        };
        let mut pace = Pace::default();
        for _ in 0..ATTEMPTS {
            assert_eq!((pace.after, &pace.aside[..]), (0, &[][..]));
            pace.after(overloaded(7, 1));
        }
        assert_eq!((pace.most, &pace.aside[..]), (MOST_IN_BATCH, &[1][..]));
        pace.after(Step::Went(250));
        assert_eq!(
            pace.after, 250,
            "the key's events are not looked through again"
        );
        for id in [251, 251, 251] {
            pace.after(overloaded(id, 2));
        }
        assert_eq!((pace.after, &pace.aside[..]), (250, &[1, 2][..]));
        // Both go on where they stopped, and know what it was.
        pace.after(Step::Around);
        assert_eq!((pace.after, pace.most, &pace.aside[..]), (6, 1, &[][..]));
        pace.after(overloaded(7, 1));
        assert_eq!((pace.after, &pace.aside[..]), (6, &[1][..]));
        pace.after(overloaded(251, 2));
        assert_eq!((pace.after, &pace.aside[..]), (6, &[1, 2][..]));
        pace.after(Step::Around);
        assert_eq!(pace.after, 6);
        pace.after(Step::Went(7));
        assert_eq!(pace.stuck.len(), 1);
        // Those of others that go in between cost it its place only in the end.
        let mut attempts = 0;
        while !pace.was_passed(2, 251) {
            assert!(attempts < ATTEMPTS_BETWEEN_OTHERS);
            pace.after(overloaded(251, 2));
            pace.after(Step::Went(300));
            pace.after(Step::Around);
            attempts += 1;
        }
        assert!(attempts > 1_900, "{attempts}");
        // Who is passed takes along none of another key.
        pace.after(old_ones(900));
        assert!(pace.was_passed(1, 900) && !pace.was_passed(2, 900));
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
            (Step::Went(95), None, 1, 95),
            // First those that were set aside.
            (Step::Around, None, 1, 80),
            (Step::Around, None, 1, 0),
            (Step::TooMany(1), None, 1, 0),
            (Step::Went(0), None, 2, 0),
            (Step::Failed(Duration::ZERO), Some(250), 2, 0),
        ] {
            let found = (millis(pace.after(step.clone())), pace.most, pace.after);
            assert_eq!(found, (pause, most, after), "{step:?}");
        }
        let last = (0..20).map(|_| pace.after(Step::Failed(Duration::ZERO)));
        assert_eq!(last.last().flatten(), Some(LONGEST_PAUSE));
    }
}
