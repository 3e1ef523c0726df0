//! What rules find: groups, shares, changes, what is missing, and what they would have found.

use axum::http::Method;
use serde_json::{Value, json};

use super::{RULES, hook, ready, titles};
use crate::{Collector, HOUR, MINUTE, bucket, counter, histogram, with};

#[tokio::test]
async fn each_group_fires_by_itself() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let query = json!({"name": "d", "labels": "status!:2*", "group_by": "path", "agg": "p95"});
    let rule = collector
        .rule(json!({"name": "Slow", "query": query, "window_seconds": 60, "value": 1.0, "condition": ">="}))
        .await;
    let batch = |values: [f64; 3]| {
        let at = collector.now_ms();
        let items = ["/a", "/b", "/c"]
            .into_iter()
            .zip(values)
            .flat_map(|(path, value)| {
                [("500", value), ("200", 99.0)].map(|(status, value)| {
                    with(
                        histogram("d", value, at),
                        json!({"labels": {"path": path, "status": status, "pod": "1"}}),
                    )
                })
            });
        Value::from(items.collect::<Vec<_>>())
    };
    collector.minute_of(batch([0.5, 2.0, 0.1])).await;
    let active = |state: &Value| -> Vec<(String, f64)> {
        let list = state["active"].as_array().expect("a list").iter();
        list.map(|one| {
            (
                one["labels"]["path"].as_str().expect("a path").to_owned(),
                one["value"].as_f64().expect("a value"),
            )
        })
        .collect()
    };
    assert_eq!(
        active(&collector.state_of(rule).await),
        [("/b".to_owned(), 2.0)]
    );
    collector.minute_of(batch([1.5, 2.0, 0.1])).await;
    let state = collector.state_of(rule).await;
    assert_eq!(active(&state).len(), 2);
    assert_eq!(
        (&state["firing"], &state["groups"], &state["last_value"]),
        (&json!(2), &json!(3), &json!(2.0))
    );
    collector.minute_of(json!([])).await;
    let told = hook.wait_for(4).await;
    let mut titles = titles(&told);
    titles[2..].sort_unstable();
    assert_eq!(
        titles,
        [
            "[metrics] Slow: firing for path=/b",
            "[metrics] Slow: firing for path=/a",
            "[metrics] Slow: resolved for path=/a",
            "[metrics] Slow: resolved for path=/b",
        ]
    );
    assert_eq!(told[0].json()["rule"]["labels"], json!({"path": "/b"}));
}

#[tokio::test]
async fn a_share_needs_enough_to_be_of() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let rule = collector
        .rule(json!({
            "name": "Errors", "kind": "ratio", "window_seconds": 60, "value": 0.05, "min_denominator": 20,
            "query": {"name": "r", "labels": "status:5*", "group_by": "path"}, "denominator": "name=r",
        }))
        .await;
    let requests = |path: &str, status: &str, count: f64| {
        with(
            counter("r", count, collector.now_ms()),
            json!({"labels": {"path": path, "status": status}}),
        )
    };
    // One of one, five of a hundred, and six of a hundred.
    let batch = json!([
        requests("/one", "500", 1.0),
        requests("/few", "502", 5.0),
        requests("/few", "200", 95.0),
        requests("/many", "503", 6.0),
        requests("/many", "200", 94.0),
        requests("/fine", "200", 100.0),
    ]);
    collector.minute_of(batch).await;
    let state = collector.state_of(rule).await;
    assert_eq!(state["groups"], 3);
    assert_eq!(state["active"].as_array().map(Vec::len), Some(1), "{state}");
    assert_eq!(
        (
            &state["active"][0]["labels"]["path"],
            &state["active"][0]["value"]
        ),
        (&json!("/many"), &json!(0.06))
    );
    // Nothing came in: there is no share any more.
    collector.minute_of(json!([])).await;
    let history = collector.get(&format!("{RULES}/{rule}/history")).await;
    assert_eq!(
        (
            &history["events"][0]["state"],
            &history["events"][0]["reason"]
        ),
        (&json!("resolved"), &json!("no_data"))
    );
}

#[tokio::test]
async fn changes_are_seen() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let of = |query: &str, change: &str, value: f64| json!({"name": "c", "kind": "rate", "change": change, "query": query, "value": value, "window_seconds": 60});
    let percent = collector.rule(of("name=r&agg=sum", "percent", 50.0)).await;
    let a_second = collector.rule(of("name=r", "per_second", 0.9)).await;
    let falling = with(
        of("name=r&agg=sum", "per_second", 0.0),
        json!({"condition": "<", "value": -0.5}),
    );
    let falling = collector.rule(falling).await;
    for (value, expected) in [
        // A rise from nothing is no share of it.
        (40.0, [None, Some(40.0 / 60.0), Some(40.0 / 60.0)]),
        (60.0, [Some(50.0), Some(1.0), Some(20.0 / 60.0)]),
        (6.0, [Some(-90.0), Some(0.1), Some(-54.0 / 60.0)]),
    ] {
        collector.minute(value).await;
        for (rule, expected) in [percent, a_second, falling].into_iter().zip(expected) {
            let seen = collector.state_of(rule).await["last_value"].as_f64();
            assert_eq!(seen.is_some(), expected.is_some(), "{value}");
            if let (Some(seen), Some(expected)) = (seen, expected) {
                assert!((seen - expected).abs() < 1e-9, "{value}: {seen} {expected}");
            }
        }
    }
    assert_eq!(collector.state_of(percent).await["fired"], 0);
    assert_eq!(collector.state_of(a_second).await["fired"], 1);
    assert_eq!(collector.state_of(falling).await["state"], "firing");
}

#[tokio::test]
async fn what_was_there_is_missed() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let query = json!({"name": "up", "group_by": "host"});
    let each = json!({"name": "Hosts", "kind": "absence", "query": query, "window_seconds": 120});
    let each = collector.rule(each).await;
    let all = json!({"name": "All", "kind": "absence", "query": "name=up", "window_seconds": 120});
    let all = collector.rule(all).await;
    let never = json!({"name": "Never", "kind": "absence", "query": "name=pu"});
    let never = collector.rule(never).await;
    let up = |hosts: &[&str]| {
        let at = collector.now_ms();
        let items = hosts.iter().map(|host| {
            json!({"name": "up", "type": "gauge", "value": 1, "labels": {"host": host}, "timestamp": crate::at(at)})
        });
        Value::from(items.collect::<Vec<_>>())
    };
    for hosts in [
        vec!["a", "b"],
        vec!["a", "b"],
        vec!["a"],
        vec!["a"],
        vec!["a"],
    ] {
        collector.minute_of(up(&hosts)).await;
    }
    assert_eq!(
        titles(&hook.wait_for(1).await),
        ["[metrics] Hosts: firing for host=b"]
    );
    assert_eq!(collector.state_of(all).await["fired"], 0);
    for hosts in [vec!["a", "b"], vec!["a", "b"]] {
        collector.minute_of(up(&hosts)).await;
    }
    assert_eq!(
        titles(&hook.wait_for(2).await)[1],
        "[metrics] Hosts: resolved for host=b"
    );
    // All of them go. After a day nobody expects single hosts any more.
    for _ in 0..5 {
        collector.minute_of(json!([])).await;
    }
    let mut told = titles(&hook.wait_for(5).await)[2..].to_vec();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "[metrics] All: firing",
            "[metrics] Hosts: firing for host=a",
            "[metrics] Hosts: firing for host=b"
        ]
    );
    collector.roll_up().await;
    collector.advance(27 * HOUR);
    for _ in 0..4 {
        collector.minute_of(json!([])).await;
    }
    assert_eq!(collector.state_of(each).await["firing"], 0);
    assert_eq!(collector.state_of(all).await["firing"], 1);
    let never = collector.state_of(never).await;
    assert_eq!(
        (&never["fired"], &never["state"]),
        (&json!(0), &json!("unknown"))
    );
}

#[tokio::test]
async fn of_too_many_groups_the_worst_fire() {
    let collector = Collector::new(&[("MAX_SERIES_PER_NAME", "5000")]);
    collector.advance(30_000);
    let query = json!({"name": "r", "group_by": "n", "agg": "sum"});
    let rule = json!({"name": "r", "query": query, "window_seconds": 60, "value": 0.5});
    let rule = collector.rule(rule).await;
    let batch: Vec<Value> = (1..=1200)
        .map(|n| {
            with(
                counter("r", f64::from(n), collector.now_ms()),
                json!({"labels": {"n": n}}),
            )
        })
        .collect();
    collector.minute_of(batch.into()).await;
    let state = collector.state_of(rule).await;
    assert_eq!(
        (&state["groups"], &state["firing"], &state["left_out"]),
        (&json!(1000), &json!(200), &json!(1000))
    );
    let active = state["active"].as_array().expect("a list");
    assert!(
        active
            .iter()
            .all(|group| group["value"].as_f64() > Some(800.0)),
        "{state}"
    );
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_groups_left_out")
            .await,
        1000.0
    );
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_groups{state=\"firing\"}")
            .await,
        200.0
    );
}

#[tokio::test]
async fn a_preview_does_what_the_rule_would_have_done() {
    let collector = Collector::new(&[("ALERT_DELAY", "0")]);
    let query = json!({"name": "r", "group_by": "path", "agg": "sum"});
    let rule = json!({
        "name": "r", "query": query, "window_seconds": 180, "value": 10, "resolve": 5, "for_seconds": 60, "repeat_seconds": 120,
    });
    let id = collector.rule(rule.clone()).await;
    for minute in 0..40_i64 {
        let of = |path: &str, value: f64| {
            with(
                counter("r", value, collector.now_ms()),
                json!({"labels": {"path": path}}),
            )
        };
        // Two waves, and a small one.
        let wave = if (10..14).contains(&minute) || (25..27).contains(&minute) {
            6.0
        } else {
            1.0
        };
        let small = if minute == 30 { 9.0 } else { 0.5 };
        collector
            .minute_of(json!([of("/a", wave), of("/b", small)]))
            .await;
        if minute % 7 == 0 {
            collector.roll_up().await;
        }
    }
    let preview = collector
        .send(Method::POST, &format!("{RULES}/preview?hours=1"), &rule)
        .await;
    let preview = preview.expect(200).json();
    let events = collector.history(id).await;
    let count = |state: &str| events.iter().filter(|(known, _)| known == state).count();
    assert_eq!(count("firing"), 2, "{events:?}");
    assert_eq!(
        (&preview["fired"], &preview["resolved"]),
        (&json!(count("firing")), &json!(count("resolved")))
    );
    assert_eq!(preview["told"], events.len(), "{events:?} {preview}");
    let history = collector.get(&format!("{RULES}/{id}/history")).await;
    let times = |state: &str| -> Vec<Value> {
        let events = history["events"].as_array().expect("a list").iter().rev();
        events
            .filter(|event| event["state"] == state)
            .map(|event| event["time"].clone())
            .collect()
    };
    let spans = preview["spans"].as_array().expect("a list");
    let of = |key: &str| {
        spans
            .iter()
            .map(|span| span[key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!((of("from"), of("to")), (times("firing"), times("resolved")));
    assert_eq!(
        (&spans[0]["labels"], &spans[0]["value"]),
        (&json!({"path": "/a"}), &json!(18.0))
    );
    let line = &preview["values"][0];
    assert_eq!(line["labels"], json!({"path": "/a"}));
    assert_eq!(
        (
            line["values"].as_array().map(Vec::len),
            &preview["step_seconds"]
        ),
        (Some(60), &json!(60))
    );
    assert_eq!(line["values"][59], 3.0);
    assert_eq!(
        (&preview["groups"], &preview["left_out"], &preview["first"]),
        (
            &json!(2),
            &json!(0),
            &json!(bucket(collector.now_ms() - HOUR + MINUTE))
        )
    );
    let again = collector
        .get(&format!("{RULES}/{id}/preview?hours=1"))
        .await;
    assert_eq!(again["spans"], preview["spans"]);
    collector
        .service
        .get(&format!("{RULES}/{id}/preview?hours=25"))
        .await
        .expect(400);
    // Other kinds go the same way.
    for body in [
        json!({"name": "r", "kind": "ratio", "query": "name=r&labels=path:/a", "denominator": "name=r", "value": 0.5}),
        json!({"name": "r", "kind": "rate", "change": "percent", "query": "name=r&agg=p95", "value": 10}),
        json!({"name": "r", "kind": "absence", "query": "name=r&group_by=path", "window_seconds": 86400}),
    ] {
        let preview = collector
            .send(Method::POST, &format!("{RULES}/preview"), &body)
            .await
            .expect(200)
            .json();
        assert!(preview["groups"].as_i64() >= Some(1), "{preview}");
    }
}

#[tokio::test]
async fn a_preview_says_from_when_it_looked_where_minutes_are_gone() {
    let collector = Collector::new(&[("RETENTION_MINUTE", "2")]);
    for _ in 0..25 {
        collector
            .accept(json!([counter("r", 6.0, collector.now_ms())]))
            .await;
        collector.advance(12 * MINUTE);
    }
    collector.roll_up().await;
    collector.forget().await;
    let now_ms = collector.now_ms();
    let preview = async |hours: i64, rule: Value| {
        let path = format!("{RULES}/preview?hours={hours}");
        let answer = collector.send(Method::POST, &path, &rule).await;
        answer.expect(200).json()
    };
    let sum = json!({"name": "r", "query": "name=r&agg=sum", "condition": "<", "value": 6, "window_seconds": 900});
    // Five hours have passed, a full hour; a window of a quarter of an hour always has a point.
    let cut = preview(24, sum.clone()).await;
    assert_eq!(cut["since"], bucket(now_ms - 24 * HOUR));
    assert_eq!(cut["from"], bucket(now_ms - 2 * HOUR + 15 * MINUTE));
    assert_eq!(cut["first"], bucket(now_ms - 2 * HOUR + 16 * MINUTE));
    assert_eq!((&cut["fired"], &cut["hours"]), (&json!(0), &json!(24)));
    assert_eq!(
        cut["values"][0]["values"].as_array().map(Vec::len),
        Some(105)
    );
    let note = format!(
        "It looked from {} on: before, the 15 min that it looks back are not all kept by the minute (RETENTION_MINUTE)",
        bucket(now_ms - 2 * HOUR + 15 * MINUTE)
    );
    assert_eq!(cut["note"], note);
    let whole = preview(1, sum.clone()).await;
    assert_eq!(
        (&whole["from"], &whole["note"]),
        (&whole["since"], &Value::Null)
    );
    let long = preview(24, with(sum, json!({"window_seconds": 10_800}))).await;
    assert_eq!(
        (&long["from"], &long["values"][0]["values"]),
        (&long["until"], &json!([]))
    );
    assert!(long["note"].is_string(), "{long}");
}

#[tokio::test]
async fn a_preview_that_has_not_looked_says_so() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([counter("r", 6.0, collector.now_ms())]))
        .await;
    // No number of minutes divides a window of 127, so it is looked at once in 127.
    let rule = json!({"name": "r", "query": "name=r&agg=sum", "value": 6, "window_seconds": 7620});
    for (hours, looks, note) in [
        (
            2,
            0,
            json!("It did not look: with this window it looks every 127 min, ask for more hours"),
        ),
        (3, 1, Value::Null),
    ] {
        let path = format!("{RULES}/preview?hours={hours}");
        let preview = collector.send(Method::POST, &path, &rule).await;
        let preview = preview.expect(200).json();
        let values = preview["values"][0]["values"].as_array();
        assert_eq!(values.map(Vec::len), Some(looks), "{preview}");
        assert_eq!(preview["note"], note);
        let from = if looks == 0 { "until" } else { "since" };
        assert_eq!(preview["from"], preview[from]);
    }
}
