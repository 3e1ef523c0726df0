//! What people decided about a group, and what the next report makes of it.

use std::cmp::Ordering;

use super::release_order;

/// How many changes of a group are remembered.
pub const KEPT_HISTORY: i64 = 200;

/// What holds for a group at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'d> {
    /// Nothing: it is open.
    Open,
    /// It is dealt with.
    Resolved {
        /// The release that brought the cure; without one any report reopens the group.
        in_release: Option<&'d str>,
    },
    /// Nobody wants to hear of it. Without any condition: for ever.
    Ignored {
        /// Until this unix time in milliseconds.
        until_ms: Option<i64>,
        /// Until it has this many reports in all.
        until_count: Option<i64>,
    },
}

/// For how long a group is to be ignored; without any condition for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// Until this unix time in milliseconds.
    pub until_ms: Option<i64>,
    /// For so many more reports.
    pub reports: Option<i64>,
}

/// What one more report does to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The decision holds on.
    Stays,
    /// The group is open again.
    ComesBack,
    /// The group was resolved in one release and is reported from another, and their names do not
    /// tell which is the newer one.
    AskWhichIsNewer,
}

/// Judges the report that makes it `count` reports of a group, sent by `release` at `now_ms`.
///
/// An older release going wrong proves nothing about the cure in a newer one, and neither does a
/// report that does not say where it comes from.
pub fn on_report(
    decision: Decision<'_>,
    count: i64,
    release: Option<&str>,
    now_ms: i64,
) -> Outcome {
    match decision {
        Decision::Open => Outcome::Stays,
        Decision::Resolved { in_release: None } => Outcome::ComesBack,
        Decision::Resolved {
            in_release: Some(cured),
        } => match release {
            None => Outcome::Stays,
            Some(reporting) => match release_order::compare(reporting, cured) {
                Some(Ordering::Greater) => Outcome::ComesBack,
                Some(Ordering::Less | Ordering::Equal) => Outcome::Stays,
                None if release_order::different_packages(reporting, cured) => Outcome::Stays,
                None => Outcome::AskWhichIsNewer,
            },
        },
        Decision::Ignored {
            until_ms,
            until_count,
        } => {
            let over = until_ms.is_some_and(|until| now_ms >= until)
                || until_count.is_some_and(|until| count >= until);
            if over {
                Outcome::ComesBack
            } else {
                Outcome::Stays
            }
        }
    }
}

/// What holds for two groups that become one, each given with its number of reports: whichever decision lets it come back
/// sooner.
pub fn unite<'d>(one: (Decision<'d>, i64), other: (Decision<'d>, i64)) -> Decision<'d> {
    match (one.0, other.0) {
        (Decision::Open, _) | (_, Decision::Open) => Decision::Open,
        (Decision::Resolved { in_release: one }, Decision::Resolved { in_release: other }) => {
            Decision::Resolved {
                in_release: one.zip(other).and_then(newer),
            }
        }
        (resolved @ Decision::Resolved { .. }, Decision::Ignored { .. })
        | (Decision::Ignored { .. }, resolved @ Decision::Resolved { .. }) => resolved,
        (
            Decision::Ignored {
                until_ms: one_ms,
                until_count: one_count,
            },
            Decision::Ignored {
                until_ms: other_ms,
                until_count: other_count,
            },
        ) => {
            let left = |until: Option<i64>, count| until.map(|until| until.saturating_sub(count));
            let left = [left(one_count, one.1), left(other_count, other.1)];
            let count = one.1.saturating_add(other.1);
            Decision::Ignored {
                until_ms: one_ms.into_iter().chain(other_ms).min(),
                until_count: left
                    .into_iter()
                    .flatten()
                    .min()
                    .map(|left| count.saturating_add(left)),
            }
        }
    }
}

/// The newer of two releases, as far as their names tell.
fn newer<'d>((one, other): (&'d str, &'d str)) -> Option<&'d str> {
    match release_order::compare(one, other)? {
        Ordering::Less => Some(other),
        Ordering::Equal | Ordering::Greater => Some(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_group_stays_open() {
        assert_eq!(on_report(Decision::Open, 2, None, 0), Outcome::Stays);
    }

    #[test]
    fn any_report_reopens_what_is_merely_resolved() {
        let resolved = Decision::Resolved { in_release: None };
        assert_eq!(on_report(resolved, 2, None, 0), Outcome::ComesBack);
        assert_eq!(on_report(resolved, 2, Some("1.0"), 0), Outcome::ComesBack);
    }

    #[test]
    fn only_a_newer_release_reopens_what_was_resolved_in_one() {
        #[track_caller]
        fn check(release: Option<&str>, expected: Outcome) {
            let in_release = Some("shop@2.4.1");
            let decision = Decision::Resolved { in_release };
            assert_eq!(on_report(decision, 9, release, 0), expected, "{release:?}");
        }
        check(Some("shop@2.4.2"), Outcome::ComesBack);
        check(Some("2.10.0"), Outcome::ComesBack);
        check(Some("shop@2.4.1"), Outcome::Stays);
        check(Some("shop@2.4.0"), Outcome::Stays);
        check(Some("shop@2.4.1-rc.2"), Outcome::Stays);
        check(None, Outcome::Stays);
        check(Some("1a2b3c4d"), Outcome::AskWhichIsNewer);
        check(Some("shop@1a2b3c4d"), Outcome::AskWhichIsNewer);
        check(Some("cart@9.0.0"), Outcome::Stays);
        check(Some("cart@1a2b3c4d"), Outcome::Stays);
    }

    #[test]
    fn an_ignored_group_comes_back_when_its_time_or_count_is_over() {
        #[track_caller]
        fn check(until: (Option<i64>, Option<i64>), count: i64, now: i64, expected: Outcome) {
            let decision = Decision::Ignored {
                until_ms: until.0,
                until_count: until.1,
            };
            let found = on_report(decision, count, Some("1.0"), now);
            assert_eq!(found, expected, "{decision:?} with {count} at {now}");
        }
        check((None, None), i64::MAX, i64::MAX, Outcome::Stays);
        check((Some(1_000), None), 99, 999, Outcome::Stays);
        check((Some(1_000), None), 99, 1_000, Outcome::ComesBack);
        check((None, Some(107)), 106, 5_000, Outcome::Stays);
        check((None, Some(107)), 107, 5_000, Outcome::ComesBack);
        check((None, Some(107)), 300, 5_000, Outcome::ComesBack);
        check((Some(1_000), Some(107)), 2, 1_001, Outcome::ComesBack);
        check((Some(1_000), Some(107)), 107, 1, Outcome::ComesBack);
        check((Some(1_000), Some(107)), 2, 1, Outcome::Stays);
    }

    #[test]
    fn of_two_decisions_the_one_that_hides_less_holds() {
        #[track_caller]
        fn check(one: Decision<'_>, other: Decision<'_>, expected: Decision<'_>) {
            let united = unite((one, 10), (other, 5));
            assert_eq!(united, expected, "{one:?} {other:?}");
            let reversed = unite((other, 5), (one, 10));
            assert_eq!(reversed, expected, "{other:?} {one:?}");
        }
        let resolved = |in_release| Decision::Resolved { in_release };
        let ignored = |until_ms, until_count| Decision::Ignored {
            until_ms,
            until_count,
        };
        for decision in [Decision::Open, resolved(None), ignored(None, None)] {
            check(decision, Decision::Open, Decision::Open);
            check(decision, decision, decision);
        }
        check(
            resolved(Some("1.9")),
            resolved(Some("1.10")),
            resolved(Some("1.10")),
        );
        check(resolved(Some("1.9")), resolved(None), resolved(None));
        check(resolved(Some("1.9")), resolved(Some("x")), resolved(None));
        check(
            resolved(Some("1.9")),
            ignored(Some(3), None),
            resolved(Some("1.9")),
        );
        check(
            ignored(None, None),
            ignored(Some(3), None),
            ignored(Some(3), None),
        );
        check(
            ignored(Some(9), None),
            ignored(Some(3), None),
            ignored(Some(3), None),
        );
        // 4 more of the one, 3 more of the other; 15 reports in all.
        check(
            ignored(None, Some(14)),
            ignored(None, Some(8)),
            ignored(None, Some(18)),
        );
        check(
            ignored(Some(3), None),
            ignored(None, Some(8)),
            ignored(Some(3), Some(18)),
        );
    }
}
