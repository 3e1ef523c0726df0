use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rule(threshold: i64, window: u64, cooldown: u64) -> Rule {
    Rule {
        name: "r".to_owned(),
        query: String::new(),
        threshold,
        window: Duration::from_secs(window),
        cooldown: Duration::from_secs(cooldown),
        enabled: true,
    }
}

fn read(body: &Value) -> Result<Rule, String> {
    Rule::read(body.to_string().as_bytes())
}

#[test]
fn a_rule_has_usual_values() {
    let rule = read(&json!({"name": " Errors ", "filter": {"level": ">=error"}})).expect("a rule");
    assert_eq!(
        (rule.name.as_str(), rule.query.as_str()),
        ("Errors", "level=%3E%3Derror")
    );
    assert_eq!((rule.threshold, rule.enabled), (1, true));
    assert_eq!((rule.window.as_secs(), rule.cooldown.as_secs()), (300, 900));
}

#[test]
fn filters_are_objects_or_query_strings() {
    let object = json!({"search": "a b", "field.status": [500, 503], "container": "shop-*,!shop-db", "q": ""});
    let from_object = read(&json!({"name": "r", "filter": object})).expect("a rule");
    let text = "?container=shop-*,!shop-db&field.status=500&field.status=503&search=a+b";
    let from_text = read(&json!({"name": "r", "filter": text})).expect("a rule");
    assert_eq!(from_object.filter(), from_text.filter());
    assert_eq!(
        Value::from(rules::parameters(&from_text.query)),
        json!({"container": "shop-*,!shop-db", "field.status": ["500", "503"], "search": "a b"})
    );
}

/// The last of them counted alone, and an alert never came.
#[test]
fn of_a_list_of_texts_each_counts() {
    #[track_caller]
    fn check(object: Value, text: &str) {
        let rule = |filter: &Value| read(&json!({"name": "r", "filter": filter})).expect("a rule");
        assert_eq!(
            rule(&object).filter(),
            rule(&json!(text)).filter(),
            "{object}"
        );
    }
    check(json!({"level": ["error", "warn"]}), "level=error,warn");
    check(
        json!({"container": ["api-1", "web"]}),
        "container=api-1,web",
    );
    check(
        json!({"project": ["a"], "service": ["b", "!c"]}),
        "project=a&service=b,!c",
    );
    for (filter, expected) in [
        (
            json!({"stream": ["stdout", "stderr"]}),
            "stream: expected one text",
        ),
        (json!({"search": ["a", "b"]}), "search: expected one text"),
        (json!({"level": []}), "level: expected texts"),
        (json!({"container": ["a", ""]}), "container: expected texts"),
        (
            json!({"level": "error,wran"}),
            "level: \"wran\"; expected levels such as",
        ),
        (json!({"level": ["eror", "error"]}), "level: \"eror\""),
        (json!("level=error,wran"), "level: \"wran\""),
    ] {
        refused(&json!({"name": "r", "filter": filter}), expected);
    }
}

#[track_caller]
fn refused(body: &Value, expected: &str) {
    let fault = read(body).expect_err("no rule");
    assert!(fault.contains(expected), "{fault}");
}

#[test]
fn what_is_wrong_is_said() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"name": "r", "filter": {}});
        body[key] = value;
        body
    };
    refused(&json!({"filter": {}}), "name is missing");
    refused(&json!({"name": "r"}), "filter is missing");
    refused(&json!([]), "expected a JSON object");
    refused(&with("treshold", 1.into()), "unknown field `treshold`");
    refused(&with("name", "".into()), "1 to 100 characters");
    refused(&with("name", "a\nb".into()), "on one line");
    refused(&with("name", "x".repeat(101).into()), "1 to 100");
    refused(
        &with("threshold", 0.into()),
        "threshold: 0; expected a whole number from 1",
    );
    refused(&with("window_seconds", 86_401.into()), "from 1 to 86400");
    refused(&with("cooldown_seconds", json!(-1)), "from 0 to 604800");
    refused(&with("cooldown_seconds", json!("1h")), "whole number");
    refused(&with("enabled", json!("yes")), "true or false");
    refused(&with("filter", json!(7)), "expected an object");
    refused(
        &with("filter", json!({"levl": "error"})),
        "\"levl\" is unknown; expected container",
    );
    refused(
        &with("filter", json!({"since": "1h"})),
        "no place in a rule",
    );
    refused(&with("filter", json!({"search": {}})), "expected a text");
    refused(&with("filter", json!({"regex": "("})), "filter: regex:");
    refused(
        &with("filter", json!({"level": "loud"})),
        "level: \"loud\"; expected levels",
    );
    refused(
        &with("filter", json!({"search": "a", "mode": "fts"})),
        "cannot be watched",
    );
    refused(
        &with("filter", json!({"search": "ä".repeat(900)})),
        "expected at most 4096",
    );
}

#[test]
fn a_change_keeps_what_is_not_given() {
    let rule = rule(5, 60, 10);
    let changed = rule.clone().changed(br#"{"name": "new"}"#).expect("a rule");
    assert_eq!(changed.name, "new");
    assert!(changed.counts_like(&rule));
    let changed = rule
        .clone()
        .changed(br#"{"threshold": 6}"#)
        .expect("a rule");
    assert!(!changed.counts_like(&rule));
}

#[test]
fn the_threshold_counts_within_the_window() {
    let rule = rule(3, 60, 0);
    let fired = |seconds: &[i64]| firings(&rule, seconds.iter().map(|second| second * 1000));
    assert_eq!(fired(&[0, 1]), [0_i64; 0]);
    assert_eq!(fired(&[0, 1, 2]), [2000]);
    assert_eq!(fired(&[0, 1, 70]), [0_i64; 0]);
    assert_eq!(fired(&[0, 50, 60]), [60_000]);
    // It begins anew.
    assert_eq!(fired(&[0, 1, 2, 3, 4, 5]), [2000, 5000]);
}

/// The parts of a window that is no multiple of sixty milliseconds did not cover it.
#[test]
fn a_window_of_any_length_is_covered() {
    let fired = firings(&rule(3, 1, 0), [378_585, 378_622, 379_584].into_iter());
    assert_eq!(fired, [379_584]);
}

#[test]
fn a_rule_that_fired_is_quiet_and_then_tells_how_many_it_was() {
    let rule = rule(2, 60, 600);
    let mut counted = Counted::default();
    assert_eq!(counted.add(&rule, 5, 0), Some(5));
    for second in 1..600 {
        assert_eq!(counted.add(&rule, 1, second * 1000), None);
    }
    assert_eq!(counted.quiet_until(&rule, 599_999), Some(600_000));
    assert_eq!(counted.within(&rule, 599_999), 61);
    assert_eq!(counted.add(&rule, 1, 600_000), Some(600));
    assert!(counted.parts.is_empty());
}

/// Every stray match since the last alert was told with the next one.
#[test]
fn what_left_the_window_while_nothing_was_quiet_is_not_told() {
    let rule = rule(3, 60, 0);
    let mut counted = Counted::default();
    for minute in 0..10 {
        assert_eq!(counted.add(&rule, 1, minute * 120_000), None);
    }
    assert_eq!(counted.add(&rule, 1, 1_081_000), None);
    assert_eq!(counted.add(&rule, 2, 1_082_000), Some(4));
    assert_eq!(counted.add(&rule, 3, 1_083_000), Some(3));
}

#[test]
fn a_clock_that_is_set_back_silences_nothing() {
    let rule = rule(1, 60, 600);
    let mut counted = Counted::default();
    assert_eq!(counted.add(&rule, 1, 10_000_000), Some(1));
    assert_eq!(counted.add(&rule, 1, 5_000_000), Some(1));
}

proptest! {
    /// Whatever arrives within a window is counted, and nothing that is older by more than a sixtieth.
    #[test]
    fn counting_is_never_short(times in proptest::collection::vec(0_i64..400_000, 1..80), threshold in 1_i64..10, window in 1_u64..120) {
        let mut times = times;
        times.sort_unstable();
        let rule = rule(threshold, window, 1_000_000);
        let fired = firings(&rule, times.iter().copied()).first().copied();
        let first_within = |span: i64| {
            times.iter().enumerate().find(|(index, time)| {
                let since = **time - span;
                times[..=*index].iter().filter(|other| **other > since).count() as i64 >= threshold
            }).map(|(_, time)| *time)
        };
        let window_ms = window as i64 * 1000;
        let (latest, earliest) = (first_within(window_ms), first_within(window_ms + 2 * window_ms / 60 + 1));
        if let Some(latest) = latest {
            prop_assert!(fired.is_some_and(|fired| fired <= latest));
        }
        if let Some(fired) = fired {
            prop_assert!(earliest.is_some_and(|earliest| earliest <= fired));
        }
    }
}
