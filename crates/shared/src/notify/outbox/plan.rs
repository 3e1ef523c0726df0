//! When to do what: pure functions over times in unix milliseconds.
//!
//! The clock of the day can step. A remembered time that lies in the future was remembered before a step back; it counts
//! as long past, so that nothing waits for a time that may never come.

use std::time::Duration;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// A digest waits until no alert has come for so long: a storm is over then.
pub(super) const QUIET: i64 = MINUTE;
/// It waits no longer than this for the storm to end.
pub(super) const LONGEST_STORM: i64 = 10 * MINUTE;
/// A digest follows another one not before this.
pub(super) const BETWEEN_DIGESTS: i64 = HOUR;

/// Undelivered alerts are given up after so long.
pub(super) const GIVE_UP: i64 = 24 * HOUR;
const FIRST_PAUSE: i64 = 10 * SECOND;
const LONGEST_PAUSE: i64 = HOUR;
/// A channel that fails is tried again at the latest after this, if any alert is due: another one may pass.
const LONGEST_GATE: i64 = MINUTE;
/// A time further ahead than any pause comes from another setting of the clock.
const PLAUSIBLE: i64 = 2 * HOUR;

/// What is known when it is decided what to do with the alerts that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Alerts told one by one within the last hour.
    pub(super) told: u32,
    /// When alerts began to be collected, if they are.
    pub(super) collecting_since: Option<i64>,
    /// When the newest alert that waits was noted; `None` when none waits.
    pub(super) newest: Option<i64>,
    /// When the last digest was made.
    pub(super) digest_at: Option<i64>,
}

/// What to do with the alerts that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// None waits.
    Idle,
    /// Tell the oldest ones one by one, at most so many.
    Alone(u32),
    /// From now on they are collected.
    Collect,
    /// Put all of them into a digest.
    Digest,
    /// Look again at this time.
    WaitUntil(i64),
}

/// Decides. `per_hour`: how many are told one by one within an hour.
pub(super) fn next(standing: Standing, per_hour: u32, now: i64) -> Step {
    let Some(newest) = standing.newest else {
        return Step::Idle;
    };
    let Some(since) = standing.collecting_since else {
        return match per_hour.saturating_sub(standing.told) {
            0 => Step::Collect,
            room => Step::Alone(room),
        };
    };
    let due = digest_due(since, newest, standing.digest_at, now);
    if due <= now {
        Step::Digest
    } else {
        Step::WaitUntil(due)
    }
}

/// When the digest of what is being collected is made, as far as can be said now.
pub(super) fn digest_due(since: i64, newest: i64, digest_at: Option<i64>, now: i64) -> i64 {
    let past = |time: i64| if time > now { i64::MIN / 2 } else { time };
    let calm = (past(newest) + QUIET).min(past(since) + LONGEST_STORM);
    let allowed = digest_at.map_or(i64::MIN, |last| past(last) + BETWEEN_DIGESTS);
    calm.max(allowed)
}

/// How long a delivery waits after its `tries`th attempt failed: 10 s, 20 s, 40 s, ... 1 h.
pub(super) fn pause(tries: i64, retry_after: Option<Duration>) -> i64 {
    let doublings = (tries - 1).clamp(0, 20);
    let pause = (FIRST_PAUSE << doublings).min(LONGEST_PAUSE);
    pause.max(asked(retry_after))
}

/// How long its whole channel waits after `failures` in a row.
pub(super) fn gate(failures: i64, retry_after: Option<Duration>) -> i64 {
    pause(failures, None)
        .min(LONGEST_GATE)
        .max(asked(retry_after))
}

fn asked(retry_after: Option<Duration>) -> i64 {
    let asked = retry_after.map_or(0, |after| after.as_millis());
    i64::try_from(asked)
        .unwrap_or(LONGEST_PAUSE)
        .min(LONGEST_PAUSE)
}

/// A time to wait for, or `now` when it is further ahead than any wait.
pub(super) fn plausible(time: i64, now: i64) -> i64 {
    if time > now + PLAUSIBLE { now } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_737_367_200_000;

    #[track_caller]
    fn check(standing: Standing, expected: Step) {
        assert_eq!(next(standing, 30, NOW), expected, "{standing:?}");
    }

    #[test]
    fn up_to_the_limit_each_is_told() {
        check(Standing::default(), Step::Idle);
        let one = Standing {
            newest: Some(NOW),
            ..Standing::default()
        };
        check(one, Step::Alone(30));
        check(Standing { told: 29, ..one }, Step::Alone(1));
        check(Standing { told: 30, ..one }, Step::Collect);
        check(Standing { told: 99, ..one }, Step::Collect);
    }

    #[test]
    fn a_digest_waits_for_calm() {
        let storm = Standing {
            told: 30,
            collecting_since: Some(NOW - 5_000),
            newest: Some(NOW - 1_000),
            digest_at: None,
        };
        check(storm, Step::WaitUntil(NOW - 1_000 + QUIET));
        let calm = Standing {
            newest: Some(NOW - QUIET),
            ..storm
        };
        check(calm, Step::Digest);
        // One that does not end is told of all the same.
        let long = Standing {
            collecting_since: Some(NOW - LONGEST_STORM + 7),
            ..storm
        };
        check(long, Step::WaitUntil(NOW + 7));
        let longer = Standing {
            collecting_since: Some(NOW - LONGEST_STORM),
            ..storm
        };
        check(longer, Step::Digest);
    }

    #[test]
    fn an_hour_has_one_digest() {
        let again = Standing {
            told: 30,
            collecting_since: Some(NOW - 20 * MINUTE),
            newest: Some(NOW - 5 * MINUTE),
            digest_at: Some(NOW - 40 * MINUTE),
        };
        check(again, Step::WaitUntil(NOW + 20 * MINUTE));
        let later = Standing {
            digest_at: Some(NOW - HOUR),
            ..again
        };
        check(later, Step::Digest);
        // While a digest is being collected, nothing overtakes it.
        check(
            Standing { told: 0, ..again },
            Step::WaitUntil(NOW + 20 * MINUTE),
        );
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let ahead = Standing {
            told: 30,
            collecting_since: Some(NOW + HOUR),
            newest: Some(NOW + HOUR),
            digest_at: Some(NOW + HOUR),
        };
        check(ahead, Step::Digest);
        assert_eq!(plausible(NOW + 3 * HOUR, NOW), NOW);
        assert_eq!(plausible(NOW + HOUR, NOW), NOW + HOUR);
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<i64> = (1..=12).map(|tries| pause(tries, None) / SECOND).collect();
        assert_eq!(
            pauses,
            [
                10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600
            ]
        );
        assert_eq!(pause(1, Some(Duration::from_secs(30))), 30 * SECOND);
        assert_eq!(pause(9, Some(Duration::from_secs(30))), 2_560 * SECOND);
        assert_eq!(pause(i64::MAX, Some(Duration::MAX)), HOUR);
        let gates: Vec<i64> = (0..=5)
            .map(|failures| gate(failures, None) / SECOND)
            .collect();
        assert_eq!(gates, [10, 10, 20, 40, 60, 60]);
        assert_eq!(gate(1, Some(Duration::from_mins(10))), 600 * SECOND);
    }
}
