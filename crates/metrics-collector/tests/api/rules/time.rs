//! Rules and the time: quiet hours, restarts, outages.

use axum::http::Method;
use monlight_shared::store::Lane;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{RULES, hook, ready, sum_above, titles};
use crate::{Collector, HOUR, MINUTE, START_MS, bucket, counter, with};

#[tokio::test]
async fn in_quiet_hours_nobody_is_told_until_they_end() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let quiet = json!({"quiet_hours": {"from": "11:58", "to": "12:04", "offset": "+02:00"}});
    let rule = collector.rule(with(sum_above(5.0), quiet)).await;
    for _ in 0..3 {
        collector.minute(6.0).await;
    }
    let state = collector.state_of(rule).await;
    assert_eq!(
        (&state["state"], &state["active"][0]["told"]),
        (&json!("firing"), &Value::Null)
    );
    assert_eq!(collector.get("/api/alerts").await["alerts"], json!([]));
    collector.minute(6.0).await;
    let told = hook.wait_for(1).await[0].json();
    // It says when it began.
    assert_eq!(
        (&told["kind"], &told["rule"]["since"]),
        (&json!("firing"), &json!(bucket(START_MS + MINUTE)))
    );
    let history = collector.get(&format!("{RULES}/{rule}/history")).await;
    assert_eq!(history["events"].as_array().map(Vec::len), Some(1));
    assert!(history["events"][0]["told"].is_string(), "{history}");
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_a_restart() {
    let hook = hook();
    let collector = ready(&hook, &[]).await;
    let rule = collector
        .rule(with(sum_above(5.0), json!({"for_seconds": 120})))
        .await;
    collector.minute(6.0).await;
    collector.minute(6.0).await;
    let mut collector = collector.restart().await;
    for _ in 0..2 {
        // The same minute once more changes nothing.
        collector.look().await;
        collector.minute(6.0).await;
        assert_eq!(
            collector.state_of(rule).await["looked_at"],
            bucket(collector.now_ms() - 30_000)
        );
        collector = collector.restart().await;
    }
    assert_eq!(collector.state_of(rule).await["firing"], 1);
    assert_eq!(
        collector.history(rule).await,
        [("firing".to_owned(), Some(6.0))]
    );
    collector.tasks.deliver();
    assert_eq!(titles(&hook.wait_for(1).await), ["[metrics] Many: firing"]);
    collector.minute(1.0).await;
    collector.minute(1.0).await;
    assert_eq!(
        titles(&hook.wait_for(2).await)[1],
        "[metrics] Many: resolved"
    );
    assert_eq!(
        collector.get("/api/alerts").await["alerts"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn points_that_come_late_are_in_the_windows_that_reach_back_to_them() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let of_minutes = |minutes: i64| with(sum_above(5.0), json!({"window_seconds": minutes * 60}));
    let short = collector.rule(of_minutes(1)).await;
    let long = collector.rule(of_minutes(3)).await;
    collector.minute(1.0).await;
    collector.roll_up().await;
    // Its minute is rolled up and was looked at.
    let late = collector.now_ms() - 50_000;
    collector.minute_of(json!([counter("r", 7.0, late)])).await;
    assert_eq!(collector.state_of(short).await["last_value"], 0.0);
    assert_eq!(collector.state_of(long).await["last_value"], 8.0);
    collector.roll_up().await;
    collector.minute_of(json!([])).await;
    assert_eq!(collector.state_of(long).await["last_value"], 8.0);
    assert_eq!(collector.state_of(long).await["firing"], 1);
}

#[tokio::test]
async fn an_outage_of_the_service_is_no_absence() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    collector.look().await;
    let absence = json!({"name": "a", "kind": "absence", "query": "name=r", "window_seconds": 300});
    let absence = collector.rule(absence).await;
    let firing = collector.rule(sum_above(5.0)).await;
    for _ in 0..3 {
        collector.minute(6.0).await;
    }
    assert_eq!(collector.state_of(firing).await["firing"], 1);
    let collector = collector.restart().await;
    collector.advance(HOUR);
    collector.look().await;
    let state = collector.state_of(absence).await;
    assert_eq!(
        (&state["fired"], &state["groups"]),
        (&json!(0), &json!(1)),
        "{state}"
    );
    assert_eq!(
        collector.state_of(firing).await["firing"],
        1,
        "nobody knows"
    );
    // Clients come back, and one metric does not.
    for _ in 0..4 {
        collector
            .minute_of(json!([counter("other", 1.0, collector.now_ms())]))
            .await;
        assert_eq!(collector.state_of(absence).await["fired"], 0);
    }
    collector.minute_of(json!([])).await;
    assert_eq!(collector.state_of(absence).await["firing"], 1);
    assert_eq!(collector.state_of(firing).await["firing"], 0);
}

#[tokio::test]
async fn a_time_without_rules_is_no_outage() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let rule = collector.rule(sum_above(5.0)).await;
    collector.minute(6.0).await;
    let path = format!("{RULES}/{rule}");
    let off = json!({"enabled": false});
    collector.send(Method::PATCH, &path, &off).await.expect(200);
    collector.minute(6.0).await;
    collector.advance(HOUR);
    let below = with(sum_above(5.0), json!({"condition": "<"}));
    let below = collector.rule(below).await;
    collector.minute(1.0).await;
    assert_eq!(collector.state_of(below).await["state"], "firing");
    // Nobody was told: there is no channel.
    let history = collector.get(&format!("{RULES}/{below}/history")).await;
    assert_eq!(history["events"][0]["told"], Value::Null);
    assert_eq!(
        collector.state_of(below).await["active"][0]["told"],
        Value::Null
    );
}

#[tokio::test]
async fn a_clock_that_was_wrong_for_a_while_silences_nothing() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let rule = json!({"condition": "<", "for_seconds": 60});
    let rule = collector.rule(with(sum_above(5.0), rule)).await;
    collector.minute(6.0).await;
    let right = collector.service.ctx.clock.now();
    collector.advance(1000 * HOUR);
    collector.look().await;
    assert_eq!(collector.state_of(rule).await["fired"], 0);
    collector.service.clock.set(right);
    for _ in 0..2 {
        collector.minute(1.0).await;
    }
    assert_eq!(collector.state_of(rule).await["firing"], 1);
}

#[tokio::test]
async fn a_rule_that_cannot_be_understood_is_left_out() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let rule = collector.rule(sum_above(5.0)).await;
    let other = |conn: &Connection| {
        let sql = "INSERT INTO alert_rules (spec, enabled, created_ms, updated_ms) VALUES ('{\"kind\": \"guess\"}', 1, 0, 0)";
        Ok(conn.execute_batch(sql)?)
    };
    let store = &collector.service.ctx.store;
    store.write(Lane::Ingest, 0, other).await.expect("stored");
    collector.minute(6.0).await;
    assert_eq!(collector.state_of(rule).await["firing"], 1);
    let listed = collector.get(RULES).await;
    assert_eq!(listed["rules"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_history_has_an_end() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let rule = collector.rule(sum_above(5.0)).await;
    // Ten years ago, and too many of now.
    let events = move |conn: &Connection| {
        let add =
            "INSERT INTO alert_events (rule, happened, labels, time_ms, since_ms, reason, spec)
            WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT ?1)
            SELECT ?2, 1, '[]', ?3, ?3, 0, (SELECT spec FROM alert_rules) FROM n";
        conn.execute(add, (700, rule, START_MS - 10 * 365 * 24 * HOUR))?;
        conn.execute(add, (11_000, rule, START_MS))?;
        Ok(())
    };
    let store = &collector.service.ctx.store;
    store.write(Lane::Ingest, 0, events).await.expect("stored");
    collector.minute(1.0).await;
    let left = "SELECT count(*) FROM alert_events";
    assert_eq!(collector.number(left).await, 10_000);
    assert_eq!(
        collector.metric("monlight_metrics_alert_events").await,
        10_000.0
    );
    assert_eq!(
        collector
            .metric("monlight_metrics_alert_events_deleted_total")
            .await,
        1700.0
    );
    // What is young enough goes when it is old enough, also when there is no rule any more.
    let path = format!("{RULES}/{rule}");
    let removed = collector.send(Method::DELETE, &path, &Value::Null).await;
    removed.expect(204);
    collector.minute(1.0).await;
    collector.advance(91 * 24 * HOUR);
    collector.look().await;
    assert_eq!(collector.number(left).await, 0);
}
