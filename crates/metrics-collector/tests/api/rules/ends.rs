//! Rules that are changed, switched off or deleted while they fire.

use axum::http::Method;
use monlight_shared::testing::receiver::Received;
use serde_json::{Value, json};

use super::{RULES, hook, ready, sum_above, titles};
use crate::{Collector, MINUTE, at, counter, with};

impl Collector {
    async fn patch(&self, rule: i64, change: Value) -> Value {
        let path = format!("{RULES}/{rule}");
        let changed = self.send(Method::PATCH, &path, &change).await;
        changed.expect(200).json()
    }

    async fn delete(&self, rule: i64) {
        let path = format!("{RULES}/{rule}");
        let deleted = self.send(Method::DELETE, &path, &Value::Null).await;
        deleted.expect(204);
    }

    /// How many alerts were noted so far.
    async fn noted(&self) -> usize {
        let alerts = self.get("/api/alerts").await;
        alerts["alerts"].as_array().expect("a list").len()
    }
}

/// From two minutes after the start to six minutes after it.
fn quiet() -> Value {
    json!({"quiet_hours": {"from": "12:02", "to": "12:06", "offset": "+02:00"}})
}

/// Kinds, and why they ended.
fn ends(received: &[Received]) -> Vec<(String, String)> {
    let told = received.iter().map(|one| {
        let body = one.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&body["kind"]), text(&body["rule"]["reason"]))
    });
    told.collect()
}

fn told(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let told = list.iter();
    told.map(|&(kind, reason)| (kind.to_owned(), reason.to_owned()))
        .collect()
}

#[tokio::test]
async fn people_hear_of_the_end_when_a_rule_is_changed_switched_off_or_deleted() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let rule = collector.rule(sum_above(5.0)).await;
    collector.minute(6.0).await;
    assert_eq!(
        collector.patch(rule, json!({"value": 5.5})).await["firing"],
        0
    );
    collector.minute(6.0).await;
    assert_eq!(
        collector
            .patch(rule, json!({"enabled": false, "value": 5.0}))
            .await["state"],
        "disabled"
    );
    assert_eq!(
        collector.patch(rule, json!({"enabled": true})).await["state"],
        "unknown"
    );
    collector.minute(6.0).await;
    assert_eq!(collector.state_of(rule).await["firing"], 1);
    collector.delete(rule).await;
    let received = hook.wait_for(6).await;
    assert_eq!(
        ends(&received),
        told(&[
            ("firing", ""),
            ("resolved", "rule_changed"),
            ("firing", ""),
            ("resolved", "rule_disabled"),
            ("firing", ""),
            ("resolved", "rule_deleted"),
        ])
    );
    assert_eq!(titles(&received)[5], "[metrics] Many: resolved");
    // The history of a rule outlives it.
    let history = collector.get(&format!("{RULES}/{rule}/history")).await;
    let last = &history["events"][0];
    assert_eq!(
        (&last["reason"], last["told"].is_string()),
        (&json!("rule_deleted"), true)
    );
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_resolved_total")
            .await,
        3.0
    );
    collector.minute(6.0).await;
    assert_eq!(collector.noted().await, 6, "once each");
}

#[tokio::test]
async fn each_group_that_was_told_ends_and_what_was_only_pending_is_silent() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let query = json!({"name": "r", "agg": "sum", "group_by": "path"});
    let grouped = with(sum_above(5.0), json!({"query": query}));
    let rule = collector.rule(grouped.clone()).await;
    let slow = collector
        .rule(with(grouped, json!({"name": "Slow", "for_seconds": 600})))
        .await;
    let of = |path: &str| {
        let labels = json!({"labels": {"path": path}});
        with(counter("r", 6.0, collector.now_ms()), labels)
    };
    collector.minute_of(json!([of("/a"), of("/b")])).await;
    assert_eq!(collector.state_of(rule).await["firing"], 2);
    assert_eq!(collector.state_of(slow).await["pending"], 2);
    collector.delete(slow).await;
    collector.delete(rule).await;
    let titles = titles(&hook.wait_for(4).await);
    assert_eq!(
        titles[2..],
        [
            "[metrics] Many: resolved for path=/a",
            "[metrics] Many: resolved for path=/b"
        ]
    );
    let path = format!("{RULES}/{slow}/history");
    collector.service.get(&path).await.expect(404);
}

#[tokio::test]
async fn an_end_in_quiet_hours_is_told_after_them_before_what_fires_anew() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let rule = collector.rule(with(sum_above(5.0), quiet())).await;
    let gone = with(with(sum_above(5.0), quiet()), json!({"name": "Gone"}));
    let gone = collector.rule(gone).await;
    collector.minute(6.0).await;
    hook.wait_for(2).await;
    collector.minute(6.0).await;
    collector.patch(rule, json!({"value": 5.5})).await;
    collector.delete(gone).await;
    // Neither a restart nor a second change loses or repeats anything.
    let collector = collector.restart().await;
    collector.minute(6.0).await;
    collector.patch(rule, json!({"value": 4.5})).await;
    collector.minute(6.0).await;
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_ends_waiting")
            .await,
        2.0
    );
    collector.minute(6.0).await;
    assert_eq!(collector.noted().await, 2, "still quiet");
    collector.tasks.deliver();
    collector.minute(6.0).await;
    let received = hook.wait_for(5).await;
    assert_eq!(
        ends(&received)[2..],
        told(&[
            ("resolved", "rule_changed"),
            ("resolved", "rule_deleted"),
            ("firing", ""),
        ])
    );
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_ends_waiting")
            .await,
        0.0
    );
}

#[tokio::test]
async fn without_quiet_hours_from_now_on_the_end_is_told_at_once() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let rule = collector.rule(with(sum_above(5.0), quiet())).await;
    collector.minute(6.0).await;
    collector.minute(6.0).await;
    collector.patch(rule, json!({"enabled": false})).await;
    collector.minute(6.0).await;
    assert_eq!(collector.noted().await, 1);
    collector.patch(rule, json!({"quiet_hours": null})).await;
    collector.minute(6.0).await;
    let received = hook.wait_for(2).await;
    assert_eq!(
        ends(&received)[1],
        told(&[("resolved", "rule_disabled")])[0]
    );
    // It says when it ended, not when it was told.
    let ended = collector.now_ms() - 2 * MINUTE;
    assert_eq!(received[1].json()["time"], at(ended));
}

#[tokio::test]
async fn of_what_nobody_knows_nobody_hears_the_end() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let unheard = collector.rule(with(sum_above(7.0), quiet())).await;
    let ended = collector.rule(with(sum_above(5.0), quiet())).await;
    collector.minute(6.0).await;
    collector.minute(6.0).await;
    // In quiet hours one begins to fire, and one ends.
    collector.minute(8.0).await;
    assert_eq!(collector.state_of(unheard).await["firing"], 1);
    collector.minute(1.0).await;
    collector.minute_of(json!([])).await;
    for rule in [unheard, ended] {
        collector.delete(rule).await;
    }
    collector.advance(10 * MINUTE);
    collector.look().await;
    let received = hook.wait_for(2).await;
    assert_eq!(
        ends(&received),
        told(&[("firing", ""), ("resolved", "value")])
    );
    assert_eq!(collector.noted().await, 2);
}
