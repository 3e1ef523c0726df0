use monlight_shared::http::Query;

use super::*;

fn read(body: &Value) -> Result<Rule, String> {
    Rule::read(body.to_string().as_bytes())
}

fn with(key: &str, value: Value) -> Value {
    let mut body = json!({"name": "r", "query": {"name": "m"}, "value": 1});
    body[key] = value;
    body
}

#[test]
fn a_rule_has_usual_values() {
    let rule =
        read(&json!({"name": " Load ", "query": {"name": "m"}, "value": 5})).expect("a rule");
    assert_eq!(
        Value::from(rule.to_json()),
        json!({
            "name": "Load", "project": null, "kind": "threshold",
            "query": {"name": "m", "labels": "", "group_by": [], "agg": "rate"},
            "condition": ">", "value": 5.0, "resolve": null,
            "window_seconds": 300, "for_seconds": 0, "repeat_seconds": 14400,
            "quiet_hours": null, "channels": null, "enabled": true,
        })
    );
    let ratio = read(&json!({
        "name": "r", "kind": "ratio", "query": {"name": "m", "labels": "status:5*"}, "denominator": {"name": "m"}, "value": 0.05,
    }));
    let ratio = Value::from(ratio.expect("a rule").to_json());
    assert_eq!(ratio["query"]["agg"], "sum");
    assert_eq!(
        (&ratio["denominator"], &ratio["min_denominator"]),
        (
            &json!({"name": "m", "labels": "", "agg": "sum"}),
            &json!(10.0)
        )
    );
}

#[test]
fn queries_are_objects_or_query_strings() {
    let object = json!({"name": "m", "labels": "status:5*,path!:/health", "group_by": ["path", "method"], "agg": "p95"});
    let object = read(&with("query", object)).expect("a rule");
    let text = "?name=m&labels=status:5*,path!:/health&group_by=path,+method&agg=p95";
    let text = read(&with("query", text.into())).expect("a rule");
    assert_eq!(object, text);
    assert_eq!(object.group_by, ["path", "method"]);
}

#[test]
fn what_is_shown_is_what_is_read() {
    for body in [
        with("project", "shop".into()),
        with(
            "quiet_hours",
            json!({"from": "22:00", "to": "07:00", "offset": "+02:00"}),
        ),
        with("channels", json!(["slack", "smtp:ops@example.com"])),
        with("condition", "<=".into()),
        with("resolve", json!(0.5)),
        json!({"name": "r", "kind": "rate", "change": "percent", "query": "name=m&agg=sum", "value": 50}),
        json!({"name": "r", "kind": "ratio", "query": "name=m", "denominator": "name=n&agg=count", "min_denominator": 0, "value": 1}),
        json!({"name": "r", "kind": "absence", "query": "name=m&group_by=host"}),
    ] {
        let rule = read(&body).expect("a rule");
        let again = read(&Value::from(rule.to_json())).expect("a rule");
        assert_eq!(rule, again, "{body}");
    }
}

#[track_caller]
fn refused(body: &Value, expected: &str) {
    let fault = read(body).expect_err("no rule");
    assert!(fault.contains(expected), "{fault}");
}

#[test]
fn what_is_wrong_is_said() {
    refused(
        &json!({"query": {"name": "m"}, "value": 1}),
        "name is missing",
    );
    refused(&json!({"name": "r", "value": 1}), "query is missing");
    refused(
        &json!({"name": "r", "query": {"name": "m"}}),
        "value is missing",
    );
    refused(&json!([]), "expected a JSON object");
    refused(&with("treshold", 1.into()), "unknown field `treshold`");
    refused(
        &with("group_by", "a".into()),
        "group_by: it is part of the query",
    );
    refused(&with("name", "".into()), "1 to 100 characters");
    refused(&with("name", "a\nb".into()), "on one line");
    refused(
        &with("value", "many".into()),
        "value: \"many\"; expected a number",
    );
    refused(
        &with("condition", "=".into()),
        "condition: \"=\"; expected >, >=, < or <=",
    );
    refused(
        &with("kind", "median".into()),
        "kind: \"median\"; expected threshold, rate, ratio or absence",
    );
    refused(&with("window_seconds", 59.into()), "from 60 to 86400");
    refused(
        &with("window_seconds", 90.into()),
        "window_seconds: 90; expected whole minutes",
    );
    refused(&with("for_seconds", json!(-1)), "from 0 to 86400");
    refused(
        &with("repeat_seconds", 30.into()),
        "repeat_seconds: 30; expected 0 for never, or 60 to 604800",
    );
    refused(&with("repeat_seconds", json!("1h")), "whole number");
    refused(&with("enabled", json!("yes")), "true or false");
    refused(&with("project", json!(7)), "project: 7; expected a text");
    refused(
        &with("resolve", json!(2)),
        "resolve: 2; expected at most the value, 1",
    );
    refused(
        &with("quiet_hours", json!("night")),
        "quiet_hours: expected an object",
    );
    refused(
        &with("change", "percent".into()),
        "change: it has no place in a rule of kind threshold",
    );
    for (channels, expected) in [
        (json!("slack"), "channels: \"slack\"; expected a list"),
        (
            json!(["pager"]),
            "smtp, postmark, webhook, slack, discord, ntfy",
        ),
        (json!(["slack:hooks.slack.com"]), "expected a list"),
        (json!([7]), "expected a list"),
    ] {
        refused(&with("channels", channels), expected);
    }
    for (query, expected) in [
        (json!(7), "query: expected an object such as"),
        (json!({}), "query: name: expected the name of a metric"),
        (json!({"name": "x".repeat(201)}), "1 to 200 bytes"),
        (
            json!({"name": "m", "labels": "status"}),
            "query: labels: \"status\" is not understood",
        ),
        (
            json!({"name": "m", "agg": "median"}),
            "query: agg: \"median\" is not understood; expected one of count",
        ),
        (
            json!({"name": "m", "agg": "p95,p99"}),
            "query: agg: \"p95,p99\"",
        ),
        (
            json!({"name": "m", "period": "1h"}),
            "window_seconds says how far back",
        ),
        (
            json!({"name": "m", "project": "shop"}),
            "project stands beside the query",
        ),
        (json!({"name": "m", "limit": "3"}), "limit has no place"),
        (
            json!({"name": "m", "lables": "a:b"}),
            "\"lables\" is unknown; expected name, labels, group_by and agg",
        ),
        (
            json!({"name": "m", "labels": {}}),
            "labels: expected a text or a list",
        ),
        (
            json!({"name": "m", "labels": "a:b,".repeat(40)}),
            "too many conditions",
        ),
    ] {
        refused(&with("query", query), expected);
    }
    let ratio = |denominator: Value| json!({"name": "r", "kind": "ratio", "query": "name=m", "value": 1, "denominator": denominator});
    refused(&ratio(Value::Null), "denominator is missing");
    refused(
        &ratio(json!("name=n&group_by=a")),
        "denominator: group_by is that of the query",
    );
    let absence = json!({"name": "r", "kind": "absence", "query": "name=m", "value": 1});
    refused(&absence, "value: it has no place in a rule of kind absence");
}

#[test]
fn a_change_keeps_what_is_not_given() {
    let rule = read(&with("resolve", json!(0.5))).expect("a rule");
    let changed = |body: &str| rule.changed(body.as_bytes());
    let renamed =
        changed(r#"{"name": "new", "for_seconds": 60, "channels": ["ntfy"]}"#).expect("a rule");
    assert_eq!(renamed.name, "new");
    assert!(renamed.finds_like(&rule));
    for other in [
        r#"{"value": 2}"#,
        r#"{"resolve": null}"#,
        r#"{"project": "shop"}"#,
        r#"{"query": "name=m&agg=sum"}"#,
        r#"{"window_seconds": 60}"#,
        r#"{"enabled": false}"#,
        r#"{"kind": "absence"}"#,
        r#"{"kind": "rate"}"#,
    ] {
        match changed(other) {
            Ok(changed) => assert!(!changed.finds_like(&rule), "{other}"),
            // A value of one kind says nothing about another.
            Err(fault) => assert!(
                other.contains("rate") && fault == "value is missing",
                "{fault}"
            ),
        }
    }
    assert!(
        changed(r#"{"values": 2}"#)
            .expect_err("none")
            .contains("unknown field")
    );
    let again = changed(r#"{"kind": "threshold"}"#).expect("a rule");
    assert_eq!(again, rule);
}

#[test]
fn sentences_and_pages() {
    let of = |body: Value| read(&body).expect("a rule");
    let p95 = of(json!({
        "name": "r", "project": "shop", "value": 1.5,
        "query": {"name": "seconds", "labels": "status:5*", "group_by": "path,host", "agg": "p95"},
    }));
    assert_eq!(p95.sentence(), "p95 of seconds{status:5*} over 5 min > 1.5");
    let page = Query::parse(&p95.page_query(&["/a,b*".to_owned(), String::new()]));
    assert_eq!(page.first("metric"), Some("seconds"));
    assert_eq!(page.first("project"), Some("shop"));
    assert_eq!(page.first("labels"), Some(r"status:5*,path:/a\,b\*,host:"));
    assert_eq!(page.first("by"), Some("path,host"));
    let ratio = of(json!({
        "name": "r", "kind": "ratio", "query": "name=m&labels=status:5*", "denominator": "name=m", "value": 0.05, "window_seconds": 600,
    }));
    assert_eq!(
        ratio.sentence(),
        "sum of m{status:5*} / sum of m over 10 min > 0.05"
    );
    let absence = of(json!({"name": "r", "kind": "absence", "query": "name=up"}));
    assert_eq!(absence.sentence(), "no points of up for 5 min");
    let change = of(
        json!({"name": "r", "kind": "rate", "change": "percent", "query": "name=m", "value": 50}),
    );
    assert_eq!(change.sentence(), "change of rate of m over 5 min > 50 %");
}
