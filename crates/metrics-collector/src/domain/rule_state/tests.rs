use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const MINUTE: i64 = 60_000;
/// 2025-01-20T00:00:00Z.
const MIDNIGHT: i64 = 1_737_331_200_000;

fn rule(more: &Value) -> Rule {
    let mut body = json!({"name": "r", "query": {"name": "m"}, "value": 10, "repeat_seconds": 0});
    let members = body.as_object_mut().expect("members");
    members.extend(more.as_object().expect("members").clone());
    Rule::read(body.to_string().as_bytes()).expect("a rule")
}

fn reading(value: f64) -> Reading {
    // NaN stands for nothing, infinity for what nobody knows.
    if value.is_nan() {
        Reading::Nothing
    } else if value.is_infinite() {
        Reading::Unknown
    } else {
        Reading::Value(value)
    }
}

const NONE: f64 = f64::NAN;
const UNKNOWN: f64 = f64::INFINITY;

/// What is done when a value is read each minute from `first` on: minute and act.
fn run(rule: &Rule, first: i64, values: &[f64]) -> Vec<(i64, Act)> {
    let mut group = None;
    let mut done = Vec::new();
    for (minute, value) in (first..).zip(values) {
        let step = step(rule, group, reading(*value), MIDNIGHT + minute * MINUTE, 0);
        group = step.group;
        done.extend(step.acts.into_iter().map(|act| (minute, act)));
    }
    done
}

#[track_caller]
fn check(more: &Value, values: &[f64], expected: &[(i64, Act)]) {
    assert_eq!(run(&rule(more), 0, values), expected, "{more}");
}

use Act::{Ended, Fired, Remind, TellEnded, TellFired};
use Reason::{Fine, Nothing};

#[test]
fn it_fires_and_ends() {
    check(
        &json!({}),
        &[1.0, 10.0, 11.0, 12.0, 10.0, 1.0],
        &[(2, Fired), (2, TellFired), (4, Ended(Fine)), (4, TellEnded)],
    );
    check(
        &json!({"condition": "<="}),
        &[11.0, 10.0, 11.0],
        &[(1, Fired), (1, TellFired), (2, Ended(Fine)), (2, TellEnded)],
    );
    check(&json!({}), &[1.0, NONE, UNKNOWN], &[]);
}

#[test]
fn it_waits_until_it_has_lasted() {
    let wait = json!({"for_seconds": 120});
    check(&wait, &[11.0, 11.0, 9.0, 11.0, 11.0, NONE], &[]);
    check(
        &wait,
        &[11.0, 11.0, 11.0, 11.0],
        &[(2, Fired), (2, TellFired)],
    );
    // What nobody knows neither goes on nor ends.
    check(
        &wait,
        &[11.0, UNKNOWN, UNKNOWN, UNKNOWN, 11.0],
        &[(4, Fired), (4, TellFired)],
    );
}

#[test]
fn it_ends_at_another_value() {
    check(
        &json!({"resolve": 5}),
        &[11.0, 9.0, 6.0, 5.0, 6.0, 10.0],
        &[(0, Fired), (0, TellFired), (3, Ended(Fine)), (3, TellEnded)],
    );
    check(
        &json!({"condition": "<", "resolve": 15}),
        &[9.0, 14.0, 15.0, 11.0],
        &[(0, Fired), (0, TellFired), (2, Ended(Fine)), (2, TellEnded)],
    );
}

#[test]
fn without_data_it_ends_and_when_nobody_knows_it_goes_on() {
    check(
        &json!({}),
        &[11.0, UNKNOWN, UNKNOWN, NONE],
        &[
            (0, Fired),
            (0, TellFired),
            (3, Ended(Nothing)),
            (3, TellEnded),
        ],
    );
}

#[test]
fn it_reminds() {
    check(
        &json!({"repeat_seconds": 180}),
        &[11.0; 8],
        &[(0, Fired), (0, TellFired), (3, Remind), (6, Remind)],
    );
    check(&json!({}), &[11.0; 1500], &[(0, Fired), (0, TellFired)]);
}

#[test]
fn in_quiet_hours_nobody_is_told() {
    // From the 3rd to the 7th minute.
    let quiet = json!({"quiet_hours": {"from": "00:03", "to": "00:07"}, "repeat_seconds": 60});
    let (hot, fine) = (11.0, 1.0);
    // It still fires when they end.
    check(
        &quiet,
        &[fine, fine, fine, fine, hot, hot, hot, hot, hot],
        &[(4, Fired), (7, TellFired), (8, Remind)],
    );
    // It came and went.
    check(
        &quiet,
        &[fine, fine, fine, fine, hot, fine, fine, fine],
        &[(4, Fired), (5, Ended(Fine))],
    );
    // People know of it, and hear of its end afterwards.
    check(
        &quiet,
        &[fine, fine, hot, hot, hot, fine, fine, fine],
        &[(2, Fired), (2, TellFired), (5, Ended(Fine)), (7, TellEnded)],
    );
    // It ended and came again: people hear of the new one, and once of its end.
    check(
        &quiet,
        &[fine, fine, hot, fine, hot, hot, hot, hot, fine],
        &[
            (2, Fired),
            (2, TellFired),
            (3, Ended(Fine)),
            (4, Fired),
            (7, TellFired),
            (8, Ended(Fine)),
            (8, TellEnded),
        ],
    );
    // It ended, came again and ended again: what people know of has ended.
    check(
        &quiet,
        &[fine, fine, hot, fine, hot, fine, fine, fine, fine],
        &[
            (2, Fired),
            (2, TellFired),
            (3, Ended(Fine)),
            (4, Fired),
            (5, Ended(Fine)),
            (7, TellEnded),
        ],
    );
    // What waits does not keep people from hearing of the end.
    let waiting = json!({"quiet_hours": {"from": "00:03", "to": "00:07"}, "for_seconds": 180});
    check(
        &waiting,
        &[hot, hot, hot, hot, fine, fine, hot, hot, hot, hot],
        &[(3, Fired), (4, Ended(Fine)), (9, Fired), (9, TellFired)],
    );
}

#[test]
fn what_was_pending_before_an_outage_begins_anew() {
    let rule = rule(&json!({"for_seconds": 120}));
    let hot = Reading::Value(11.0);
    let pending = step(&rule, None, hot, MIDNIGHT, 0).group;
    let later = MIDNIGHT + 30 * MINUTE;
    let again = step(&rule, pending, hot, later, later - MINUTE);
    assert_eq!(again.acts, []);
    assert_eq!(again.group.map(|group| group.since_ms), Some(later));
    // What fires goes on.
    let fired = step(&rule, again.group, hot, later + 2 * MINUTE, 0).group;
    let after = step(&rule, fired, hot, later + 60 * MINUTE, later + 59 * MINUTE);
    assert_eq!((after.group, after.acts), (fired, Vec::new()));
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let rule = rule(&json!({"for_seconds": 60, "repeat_seconds": 60}));
    let hot = Reading::Value(11.0);
    let pending = step(&rule, None, hot, MIDNIGHT + 1000 * MINUTE, 0).group;
    let pending = step(&rule, pending, hot, MIDNIGHT, 0).group;
    let fired = step(&rule, pending, hot, MIDNIGHT + MINUTE, 0);
    assert_eq!(fired.acts, [Fired, TellFired]);
    let back = step(&rule, fired.group, hot, MIDNIGHT - 1000 * MINUTE, 0);
    let reminded = step(&rule, back.group, hot, MIDNIGHT - 999 * MINUTE, 0);
    assert_eq!(reminded.acts, [Remind]);
}

proptest! {
    /// Whatever happens: what fires ends before it fires again, nobody hears of an end without a beginning, and when all is
    /// fine outside of quiet hours everybody knows it.
    #[test]
    fn what_is_told_makes_sense(
        values in proptest::collection::vec(prop_oneof![Just(1.0), Just(7.0), Just(11.0), Just(NONE), Just(UNKNOWN)], 1..200),
        wait in 0_i64..4, repeat in 0_i64..4, resolve in prop_oneof![Just(5.0), Just(10.0)],
        from in 0_i64..30, length in 1_i64..30,
    ) {
        let clock = |minute: i64| format!("00:{minute:02}");
        let rule = rule(&json!({
            "for_seconds": wait * 60, "repeat_seconds": repeat * 60, "resolve": resolve,
            "quiet_hours": {"from": clock(from), "to": clock(from + length)},
        }));
        let mut values = values;
        values.extend([1.0; 120]);
        let done = run(&rule, 0, &values);
        let (mut fires, mut believed) = (false, false);
        for (minute, act) in done {
            let quiet = (from..from + length).contains(&(minute % 1440));
            match act {
                Fired => {
                    prop_assert!(!fires);
                    fires = true;
                }
                Ended(_) => {
                    prop_assert!(fires);
                    fires = false;
                }
                TellFired | Remind => {
                    prop_assert!(fires && !quiet && (act == TellFired || believed));
                    believed = true;
                }
                TellEnded => {
                    prop_assert!(believed && !quiet);
                    believed = false;
                }
            }
        }
        prop_assert!(!fires && !believed);
    }
}
