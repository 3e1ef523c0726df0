//! Alert rules, from points to a receiver.

mod ends;
mod kill;
mod kinds;
mod time;

use axum::body::Body;
use axum::http::Method;
use monlight_shared::testing::TestResponse;
use monlight_shared::testing::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::{Collector, MINUTE, START_MS, bucket, counter, with};

const RULES: &str = "/api/alert-rules";

fn hook() -> Receiver {
    Receiver::start("200 OK", "", "ok")
}

/// A collector whose alerts go to a receiver.
fn collector(hook: &Receiver, more: &[(&str, &str)]) -> Collector {
    let url = hook.url("/hook");
    let mut settings = vec![
        ("ALERT_ALLOW_PRIVATE", "true"),
        ("ALERT_WEBHOOK_URLS", url.as_str()),
        ("BASE_URL", "https://m.example/"),
    ];
    settings.extend(more);
    let collector = Collector::new(&settings);
    collector.tasks.deliver();
    collector
}

impl Collector {
    async fn send(&self, method: Method, path: &str, body: &Value) -> TestResponse {
        let request = self.service.request(method, path);
        let request = request.body(Body::from(body.to_string()));
        self.service.send(request.expect("a request")).await
    }

    async fn rule(&self, rule: Value) -> i64 {
        let made = self.send(Method::POST, RULES, &rule).await;
        made.expect(201).json()["id"].as_i64().expect("a number")
    }

    async fn state_of(&self, rule: i64) -> Value {
        self.get(&format!("{RULES}/{rule}")).await
    }

    /// Lets a minute pass in which a counter called `r` goes up by `value` at once, then looks.
    async fn minute(&self, value: f64) {
        self.minute_of(json!([counter("r", value, self.now_ms())]))
            .await;
    }

    async fn minute_of(&self, batch: Value) {
        if batch.as_array().is_some_and(|batch| !batch.is_empty()) {
            self.accept(batch).await;
        }
        self.advance(MINUTE);
        self.look().await;
    }

    async fn look(&self) {
        self.tasks.look().await.expect("looks");
    }

    /// States and values of the history, oldest first.
    async fn history(&self, rule: i64) -> Vec<(String, Option<f64>)> {
        let history = self.get(&format!("{RULES}/{rule}/history")).await;
        let mut events: Vec<(String, Option<f64>)> = history["events"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|event| {
                let state = event["state"].as_str().expect("a text");
                (state.to_owned(), event["value"].as_f64())
            })
            .collect();
        events.reverse();
        events
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.service.get("/metrics").await.expect(200).text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

fn titles(received: &[Received]) -> Vec<String> {
    let titles = received.iter().map(|one| one.json()["title"].clone());
    titles
        .map(|title| title.as_str().expect("a title").to_owned())
        .collect()
}

/// A rule about the sum of `r` in a minute.
fn sum_above(value: f64) -> Value {
    json!({"name": "Many", "query": {"name": "r", "agg": "sum"}, "window_seconds": 60, "value": value, "repeat_seconds": 0})
}

/// At half past a minute, so that the minute before can be looked at.
async fn ready(hook: &Receiver, more: &[(&str, &str)]) -> Collector {
    let collector = collector(hook, more);
    collector.advance(30_000);
    collector.look().await;
    collector
}

#[tokio::test]
async fn rules_are_made_listed_changed_and_removed() {
    let collector = Collector::new(&[]);
    assert_eq!(
        collector.get(RULES).await,
        json!({"rules": [], "most": 100})
    );
    let made = collector
        .send(
            Method::POST,
            RULES,
            &with(
                sum_above(5.0),
                json!({"project": "shop", "for_seconds": 60}),
            ),
        )
        .await;
    let expected = json!({
        "id": 1, "name": "Many", "project": "shop", "kind": "threshold",
        "query": {"name": "r", "labels": "", "group_by": [], "agg": "sum"},
        "condition": ">", "value": 5.0, "resolve": null,
        "window_seconds": 60, "for_seconds": 60, "repeat_seconds": 0,
        "quiet_hours": null, "channels": null, "enabled": true,
        "sentence": "sum of r over 1 min > 5",
        "created": bucket(START_MS), "updated": bucket(START_MS),
        "fired": 0, "last_fired": null, "state": "unknown", "pending": 0, "firing": 0,
        "looked_at": null, "groups": null, "left_out": null, "last_value": null, "fault": null, "active": [],
    });
    assert_eq!(made.expect(201).json(), expected);
    collector.rule(sum_above(1.0)).await;
    let listed = collector.get(&format!("{RULES}?project=shop")).await;
    assert_eq!(listed["rules"].as_array().map(Vec::len), Some(1));
    collector.advance(MINUTE);
    let changed = collector
        .send(
            Method::PATCH,
            "/api/alert-rules/1",
            &json!({"enabled": false, "quiet_hours": {"from": "22:00", "to": "06:00"}}),
        )
        .await;
    let changed = changed.expect(200).json();
    assert_eq!(
        changed["quiet_hours"],
        json!({"from": "22:00", "to": "06:00", "offset": "+00:00"})
    );
    assert_eq!(
        (&changed["state"], &changed["updated"]),
        (&json!("disabled"), &json!(bucket(START_MS + MINUTE)))
    );
    let refused = collector
        .send(
            Method::PATCH,
            "/api/alert-rules/1",
            &json!({"condition": "!="}),
        )
        .await;
    assert_eq!(
        refused.expect(400).json(),
        json!({"detail": "condition: \"!=\"; expected >, >=, < or <="})
    );
    collector
        .send(Method::DELETE, "/api/alert-rules/1", &Value::Null)
        .await
        .expect(204);
    for (method, path) in [
        (Method::GET, "/api/alert-rules/1"),
        (Method::DELETE, "/api/alert-rules/1"),
        (Method::PATCH, "/api/alert-rules/1"),
        (Method::GET, "/api/alert-rules/x"),
        (Method::POST, "/api/alert-rules/1/test"),
        (Method::GET, "/api/alert-rules/1/preview"),
        (Method::GET, "/api/alert-rules/1/history"),
    ] {
        let answer = collector.send(method.clone(), path, &json!({})).await;
        assert_eq!(
            answer.expect(404).json(),
            json!({"detail": "Rule not found"}),
            "{method} {path}"
        );
    }
    assert_eq!(
        collector.rule(sum_above(1.0)).await,
        3,
        "no number is used twice"
    );
}

#[tokio::test]
async fn there_are_at_most_a_hundred() {
    let collector = Collector::new(&[]);
    for _ in 0..100 {
        collector.rule(sum_above(1.0)).await;
    }
    let refused = collector.send(Method::POST, RULES, &sum_above(1.0)).await;
    let refused = refused.expect(409).json();
    assert_eq!(
        refused["detail"],
        "There are 100 rules, the most there can be; remove one first"
    );
    collector.look().await;
    assert_eq!(
        collector.metric("monlight_metrics_alert_rules").await,
        100.0
    );
}

#[tokio::test]
async fn a_rule_fires_reminds_and_ends() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let rule = json!({"for_seconds": 60, "repeat_seconds": 120, "resolve": 3});
    let rule = collector.rule(with(sum_above(5.0), rule)).await;
    collector.minute(5.0).await;
    let state = collector.state_of(rule).await;
    assert_eq!(
        (&state["state"], &state["last_value"]),
        (&json!("ok"), &json!(5.0))
    );
    for (value, state) in [
        (6.0, "pending"),
        (7.0, "firing"),
        (4.0, "firing"),
        (4.0, "firing"),
        (4.0, "firing"),
        (3.0, "ok"),
    ] {
        collector.minute(value).await;
        assert_eq!(collector.state_of(rule).await["state"], state, "{value}");
    }
    let state = collector.state_of(rule).await;
    assert_eq!(
        (&state["state"], &state["fired"]),
        (&json!("ok"), &json!(1)),
        "{state}"
    );
    let told = hook.wait_for(3).await;
    assert_eq!(
        titles(&told),
        [
            "[metrics] Many: firing",
            "[metrics] Many: still firing",
            "[metrics] Many: resolved"
        ]
    );
    let first = told[0].json();
    assert_eq!(
        (&first["kind"], &first["service"]),
        (&json!("firing"), &json!("metrics-collector"))
    );
    assert_eq!(first["rule"]["value"], 7.0);
    assert_eq!(first["link"], "https://m.example/?view=explore&metric=r");
    let names = collector.history(rule).await;
    assert_eq!(
        names,
        [
            ("firing".to_owned(), Some(7.0)),
            ("still_firing".to_owned(), Some(4.0)),
            ("resolved".to_owned(), Some(3.0))
        ]
    );
    let alerts = collector.get("/api/alerts").await;
    let shown: Vec<_> = alerts["alerts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|alert| {
            (
                alert["kind"].as_str(),
                alert["rule"].as_str(),
                alert["rule_id"].as_i64(),
                alert["value"].as_f64(),
            )
        })
        .collect();
    let of = |kind, value| (Some(kind), Some("Many"), Some(rule), Some(value));
    assert_eq!(
        shown,
        [
            of("resolved", 3.0),
            of("still_firing", 4.0),
            of("firing", 7.0)
        ]
    );
    assert_eq!(
        collector.metric("monlight_metrics_alert_fired_total").await,
        1.0
    );
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_resolved_total")
            .await,
        1.0
    );
    assert_eq!(collector.metric("monlight_metrics_alert_events").await, 3.0);
}

#[tokio::test]
async fn a_changed_rule_begins_anew_and_a_renamed_one_goes_on() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let rule = collector.rule(sum_above(5.0)).await;
    collector.minute(6.0).await;
    collector.minute(6.0).await;
    let path = format!("{RULES}/{rule}");
    let renamed = collector
        .send(
            Method::PATCH,
            &path,
            &json!({"name": "Very many", "repeat_seconds": 60}),
        )
        .await;
    let renamed = renamed.expect(200).json();
    assert_eq!(
        (&renamed["firing"], &renamed["state"]),
        (&json!(1), &json!("firing"))
    );
    collector.minute(6.0).await;
    assert_eq!(
        titles(&hook.wait_for(2).await)[1],
        "[metrics] Very many: still firing"
    );
    let changed = collector
        .send(Method::PATCH, &path, &json!({"value": 5.5}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&changed["firing"], &changed["state"], &changed["fired"]),
        (&json!(0), &json!("unknown"), &json!(1))
    );
    let history = collector.get(&format!("{path}/history?limit=1")).await;
    let last = &history["events"][0];
    assert_eq!(
        (&last["state"], &last["reason"], last["told"].is_string()),
        (&json!("resolved"), &json!("rule_changed"), true)
    );
    let older = collector
        .get(&format!("{path}/history?before={}", history["next"]))
        .await;
    assert_eq!(
        (older["events"].as_array().map(Vec::len), &older["next"]),
        (Some(2), &Value::Null)
    );
    collector.minute(6.0).await;
    assert_eq!(
        titles(&hook.wait_for(4).await)[2..],
        [
            "[metrics] Very many: resolved",
            "[metrics] Very many: firing"
        ]
    );
    // Nothing that was noted is lost with a rule.
    collector
        .send(Method::DELETE, &path, &Value::Null)
        .await
        .expect(204);
    let alerts = collector.get("/api/alerts").await;
    assert_eq!(alerts["alerts"][0]["rule"], "Very many");
    let refused = collector
        .service
        .get(&format!("{RULES}/1/history?limit=0"))
        .await;
    refused.expect(400);
}

#[tokio::test]
async fn a_test_goes_over_every_channel() {
    let hook = hook();
    let collector = collector(&hook, &[]);
    let rule = collector
        .rule(with(sum_above(5.0), json!({"channels": ["smtp"]})))
        .await;
    let tested = collector
        .send(Method::POST, &format!("{RULES}/{rule}/test"), &Value::Null)
        .await;
    let tested = tested.expect(202).json();
    assert_eq!(
        (&tested["rule"], &tested["channels"][0]["ok"]),
        (&json!(rule), &json!(true))
    );
    let told = hook.wait_for(1).await[0].json();
    assert_eq!(
        (&told["kind"], &told["title"]),
        (&json!("test"), &json!("[metrics] Many: test alert"))
    );
    let tested = collector
        .send(Method::POST, "/api/test-alert", &Value::Null)
        .await;
    assert_eq!(tested.expect(202).json()["status"], "test alert dispatched");
    assert_eq!(
        hook.wait_for(2).await[1].json()["title"],
        "[metrics] test alert"
    );
    let without = Collector::new(&[]);
    let refused = without
        .send(Method::POST, "/api/test-alert", &Value::Null)
        .await;
    let refused = refused.expect(503).json();
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("not configured")),
        "{refused}"
    );
}

#[tokio::test]
async fn hostile_rules_are_harmless() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    for text in [
        "' OR 1=1 --",
        "\u{0}",
        "x' UNION SELECT 1 --",
        "\\",
        "{\"a\":1}",
        "\u{202e}",
    ] {
        let query = json!({"name": text, "labels": format!("a:{}", text.replace('\\', "\\\\")), "group_by": [text]});
        let rule = json!({"name": "r", "project": text, "query": query, "value": 1e308, "kind": "rate", "change": "percent"});
        let id = collector.rule(rule).await;
        collector.get(&format!("{RULES}/{id}/preview")).await;
    }
    let huge = json!([
        counter("r", 1e308, collector.now_ms()),
        counter("r", 1e308, collector.now_ms())
    ]);
    for (agg, value) in [("sum", 1e308), ("rate", -1e308), ("p99", 1.0)] {
        collector.rule(json!({"name": "r", "query": {"name": "r", "agg": agg}, "window_seconds": 60, "value": value})).await;
    }
    collector.minute_of(huge).await;
    let rules = collector.get(RULES).await;
    assert!(
        rules["rules"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|rule| rule["fault"].is_null()),
        "{rules}"
    );
    assert_eq!(rules["rules"][6]["state"], "firing");
}
