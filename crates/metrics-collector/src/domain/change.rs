//! What came since a series was read before. Totals only grow; one that is lower has begun anew.
//!
//! The first reading of a total says nothing about when it was counted, so it only becomes what later ones are compared
//! with, unless its sender says that it began a moment ago. Nothing is ever counted twice: where two readings cannot be
//! compared, the later one counts as a first.

use super::buckets::Buckets;

/// A total that began at most so long before its first reading is counted whole, where readings are not further apart.
pub(crate) const JUST_BEGUN_MS: i64 = 300_000;
/// Times of creation that differ by less are the same: some senders compute them from their uptime.
const SAME_BEGIN_MS: i64 = 1_000;
/// More values between two readings are not plausible, and their sums would not fit.
const MOST_VALUES: u64 = 1 << 40;

/// What a sender has counted since it began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Totals {
    /// Not negative.
    Number(f64),
    Buckets(Buckets),
}

/// Totals at a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// When the totals were zero, if their sender says so.
    pub(crate) created_ms: Option<i64>,
    pub(crate) totals: Totals,
}

/// What to do with a reading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// It is the first, or cannot be compared with the one before: later ones are compared with it.
    First,
    /// It is not later than the one before: leave it.
    Old,
    /// Nothing was counted.
    None,
    /// So much was counted.
    Added(Totals),
    /// The sender began anew, and has counted so much since.
    Reset(Totals),
}

/// Compares a reading with the one before. `timed` says whether its time is the sender's: only such a reading can be an
/// old one. A first reading of what began within `new_ms` is counted whole.
pub(crate) fn change(before: Option<&Known>, now: &Known, timed: bool, new_ms: i64) -> Change {
    let Some(before) = before else {
        let just_begun = now
            .created_ms
            .is_some_and(|created| (now.at_ms - created).abs() <= new_ms);
        return match (just_begun, plausible(&now.totals)) {
            (true, true) => Change::Added(now.totals.clone()),
            _ => Change::First,
        };
    };
    if timed && now.at_ms <= before.at_ms {
        return Change::Old;
    }
    let created_anew = match (before.created_ms, now.created_ms) {
        (Some(before), Some(now)) => now - before >= SAME_BEGIN_MS,
        _ => false,
    };
    let added = match (&before.totals, &now.totals) {
        _ if created_anew => None,
        (Totals::Number(before), Totals::Number(now)) if now >= before => {
            Some(Totals::Number(now - before))
        }
        (Totals::Buckets(before), Totals::Buckets(now)) => {
            if now.count < before.count {
                None
            } else if !now.is_like(before) {
                return Change::First;
            } else if now.continues(before) {
                Some(Totals::Buckets(now.since(before)))
            } else {
                None
            }
        }
        _ => None,
    };
    match added {
        Some(Totals::Number(0.0) | Totals::Buckets(Buckets { count: 0, .. })) => Change::None,
        Some(added) if plausible(&added) => Change::Added(added),
        None if plausible(&now.totals) => Change::Reset(now.totals.clone()),
        _ => Change::First,
    }
}

fn plausible(totals: &Totals) -> bool {
    match totals {
        Totals::Number(_) => true,
        Totals::Buckets(buckets) => buckets.count <= MOST_VALUES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(at_ms: i64, created_ms: Option<i64>, total: f64) -> Known {
        Known {
            at_ms,
            created_ms,
            totals: Totals::Number(total),
        }
    }

    fn histogram(count: u64, below: &[(f64, u64)]) -> Known {
        Known {
            at_ms: 0,
            created_ms: None,
            totals: Totals::Buckets(Buckets::new(count, Some(count as f64), below.to_vec())),
        }
    }

    #[track_caller]
    fn check(before: Option<Known>, now: Known, timed: bool, expected: Change) {
        assert_eq!(
            change(before.as_ref(), &now, timed, JUST_BEGUN_MS),
            expected
        );
    }

    fn added(total: f64) -> Change {
        Change::Added(Totals::Number(total))
    }

    fn reset(total: f64) -> Change {
        Change::Reset(Totals::Number(total))
    }

    #[test]
    fn totals_are_compared() {
        let before = Some(known(1000, None, 5.0));
        check(None, known(0, None, 5.0), false, Change::First);
        check(before.clone(), known(2000, None, 7.5), false, added(2.5));
        check(before.clone(), known(2000, None, 5.0), true, Change::None);
        check(before.clone(), known(2000, None, 2.0), false, reset(2.0));
        check(before.clone(), known(2000, None, 0.0), false, reset(0.0));
        // A time of the sender's own that is not later; without one, the clock may have been set back.
        check(before.clone(), known(1000, None, 7.0), true, Change::Old);
        check(before.clone(), known(900, None, 2.0), true, Change::Old);
        check(before, known(900, None, 7.0), false, added(2.0));
    }

    #[test]
    fn the_time_of_creation_tells_of_new_and_restarted_totals() {
        let day = 86_400_000;
        check(None, known(day, Some(day - 1000), 5.0), false, added(5.0));
        check(None, known(day, Some(day + 1000), 5.0), false, added(5.0));
        check(None, known(day, Some(0), 5.0), false, Change::First);
        let hourly = change(None, &known(day, Some(0), 5.0), false, day);
        assert_eq!(hourly, added(5.0));
        let before = Some(known(day, Some(1000), 5.0));
        // It has counted more than before already.
        check(
            before.clone(),
            known(day + 1, Some(day), 9.0),
            false,
            reset(9.0),
        );
        check(
            before.clone(),
            known(day + 1, Some(1999), 9.0),
            false,
            added(4.0),
        );
        check(before.clone(), known(day + 1, None, 9.0), false, added(4.0));
        check(before, known(day + 1, Some(0), 9.0), false, added(4.0));
    }

    #[test]
    fn histograms_are_compared() {
        let before = histogram(10, &[(1.0, 5), (2.0, 8)]);
        let now = histogram(14, &[(1.0, 6), (2.0, 10)]);
        let Change::Added(Totals::Buckets(added)) = change(Some(&before), &now, false, 0) else {
            panic!("is added")
        };
        assert_eq!((added.count, added.sum), (4, Some(4.0)));
        assert_eq!(added.below, [(1.0, 1), (2.0, 2)]);
        check(Some(before.clone()), before.clone(), false, Change::None);
        for lower in [
            histogram(9, &[(1.0, 5), (2.0, 8)]),
            histogram(9, &[(1.0, 5)]),
            histogram(20, &[(1.0, 4), (2.0, 8)]),
        ] {
            let whole = Change::Reset(lower.totals.clone());
            check(Some(before.clone()), lower, false, whole);
        }
        // Other limits and no fewer values: nobody knows what was counted.
        check(
            Some(before.clone()),
            histogram(20, &[(1.0, 5)]),
            false,
            Change::First,
        );
        let absurd = histogram(1 << 50, &[(1.0, 5), (2.0, 8)]);
        check(Some(before), absurd, false, Change::First);
    }

    proptest! {
        /// Whatever is restarted whenever, what is added is what was counted since the first reading, but for what was
        /// counted between the last reading before a restart and the restart.
        #[test]
        fn everything_is_added_once(steps in prop::collection::vec((0..100_u32, prop::bool::weighted(0.1)), 1..80)) {
            let (mut total, mut expected, mut got) = (0.0, 0.0, 0.0);
            let mut before: Option<Known> = None;
            for (n, (more, restarted)) in steps.into_iter().enumerate() {
                if restarted {
                    total = 0.0;
                }
                let last = match &before {
                    Some(Known { totals: Totals::Number(last), .. }) => Some(*last),
                    _ => None,
                };
                total += f64::from(more);
                // A restart that overtakes the reading before cannot be seen without a time of creation.
                let created = if restarted { Some(n as i64 * 30_000) } else { before.as_ref().and_then(|known| known.created_ms) };
                let now = known(n as i64 * 30_000, created.or(Some(-1_000_000)), total);
                if let Some(last) = last {
                    expected += if restarted { total } else { total - last };
                } else if restarted {
                    expected += total;
                }
                match change(before.as_ref(), &now, true, JUST_BEGUN_MS) {
                    Change::Added(Totals::Number(n)) | Change::Reset(Totals::Number(n)) => got += n,
                    Change::First | Change::None => {}
                    other => prop_assert!(false, "{:?}", other),
                }
                before = Some(now);
            }
            prop_assert_eq!(got, expected);
        }
    }
}
