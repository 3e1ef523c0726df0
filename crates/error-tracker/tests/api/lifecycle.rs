//! What people decide about a group, and what the next report makes of it.

use std::time::Duration;

use error_tracker::ErrorTracker;
use error_tracker::tasks::{gauges, ignored};
use monlight_shared::testing::TestService;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::resolve::state_of;
use super::{accepted, listed, metric, report, report_with, service};

#[tokio::test]
async fn a_deleted_error_is_gone_and_comes_back_as_a_new_one() {
    let service = service();
    accepted(&service, &report(1)).await;
    let answer = service.delete("/api/errors/1").await.expect(200);
    assert_eq!(answer.text(), "{\"status\": \"deleted\", \"id\": 1}");
    service.delete("/api/errors/1").await.expect(404);
    service.get("/api/errors/1").await.expect(404);
    assert_eq!(listed(&service, "?resolved=all").await, (vec![], 0));
    let again = accepted(&service, &report(1)).await;
    assert_eq!(
        (&again["status"], &again["id"]),
        (&json!("created"), &json!(2))
    );
}

#[tokio::test]
async fn an_ignored_error_comes_back_when_its_time_or_count_is_over() {
    let service = service();
    for (line, body) in [(1, r#"{"for":"1h"}"#), (2, r#"{"count":3}"#), (3, "{}")] {
        accepted(&service, &report(line)).await;
        let path = format!("/api/errors/{line}/ignore");
        let answer = service.post(&path, body).await.expect(200).json();
        assert_eq!(answer, json!({"status": "ignored", "id": line}));
    }
    assert_eq!(listed(&service, "").await.1, 0);
    for (line, statuses) in [
        (1, ["incremented", "incremented", "incremented"]),
        (2, ["incremented", "incremented", "reopened"]),
        (3, ["incremented", "incremented", "incremented"]),
    ] {
        for status in statuses {
            assert_eq!(
                accepted(&service, &report(line)).await["status"],
                status,
                "{line}"
            );
        }
    }
    service.clock.advance(Duration::from_hours(1));
    assert_eq!(accepted(&service, &report(1)).await["status"], "reopened");
    assert_eq!(
        accepted(&service, &report(3)).await["status"],
        "incremented"
    );
    assert_eq!(listed(&service, "").await, (vec![1, 2], 2));
    service.post("/api/errors/3/reopen", "").await.expect(200);
    assert_eq!(listed(&service, "").await.1, 3);
}

#[tokio::test]
async fn only_a_newer_release_reopens_what_was_resolved_in_one() {
    let service = service();
    let of = |release: &str| report_with(1, json!({"release": release}));
    accepted(&service, &of("2.4.0")).await;
    let body = r#"{"in_release":"2.4.1"}"#;
    service
        .post("/api/errors/1/resolve", body)
        .await
        .expect(200);
    for release in ["2.4.0", "2.4.1"] {
        assert_eq!(
            accepted(&service, &of(release)).await["status"],
            "incremented"
        );
    }
    assert_eq!(
        accepted(&service, &report(1)).await["status"],
        "incremented"
    );
    assert_eq!(listed(&service, "").await.1, 0);
    assert_eq!(accepted(&service, &of("2.4.2")).await["status"], "reopened");
    // Resolved without a release, any report reopens it.
    service.post("/api/errors/1/resolve", "").await.expect(200);
    assert_eq!(accepted(&service, &of("2.4.0")).await["status"], "reopened");
}

#[tokio::test]
async fn what_cannot_be_decided_is_refused_with_the_reason() {
    let service = service();
    accepted(&service, &report(1)).await;
    for (path, body) in [
        ("ignore", r#"{"for":"soon"}"#),
        ("ignore", "[]"),
        ("note", "{}"),
        ("resolve", r#"{"in_release":5}"#),
    ] {
        let path = format!("/api/errors/1/{path}");
        let detail = service.post(&path, body).await.expect(400).json()["detail"].to_string();
        assert!(detail.contains("must be"), "{path}: {detail}");
    }
    for path in ["resolve", "reopen", "ignore"] {
        service
            .post(&format!("/api/errors/2/{path}"), "")
            .await
            .expect(404);
    }
    service
        .post("/api/errors/2/note", r#"{"note":"x"}"#)
        .await
        .expect(404);
}

#[tokio::test]
async fn an_ignored_error_comes_back_by_itself_when_its_time_is_over() {
    let service = service();
    for line in 1..=120 {
        accepted(&service, &report(line)).await;
        let lasting = if line <= 110 { "1h" } else { "2h" };
        let body = json!({"for": lasting});
        let path = format!("/api/errors/{line}/ignore");
        service.post_json(&path, &body).await.expect(200);
    }
    let state = state_of(&service);
    ignored::step(&state).await.expect("runs");
    assert_eq!(listed(&service, "").await.1, 0);
    service.clock.advance(Duration::from_hours(1));
    ignored::step(&state).await.expect("runs");
    assert_eq!(listed(&service, "").await.1, 110);
    gauges::step(&state).await.expect("runs");
    let gauge = |state| format!("monlight_error_groups{{state=\"{state}\"}}");
    assert_eq!(metric(&service, &gauge("ignored")).await, 10.0);
    // Nothing of what was decided is left.
    for status in ["incremented", "incremented"] {
        assert_eq!(accepted(&service, &report(1)).await["status"], status);
    }
}

#[tokio::test]
async fn releases_without_an_order_are_told_apart_by_when_they_came() {
    let service = service();
    let of = |line, release: &str| report_with(line, json!({"release": release}));
    for (line, release) in [(1, "1a2b3c4"), (2, "9f8e7d6"), (1, "2b3c4d5")] {
        accepted(&service, &of(line, release)).await;
        service.clock.advance(Duration::from_mins(1));
    }
    let body = json!({"in_release": "2b3c4d5"});
    let resolve = || service.post_json("/api/errors/1/resolve", &body);
    resolve().await.expect(200);
    for known in ["1a2b3c4", "9f8e7d6", "2b3c4d5"] {
        let again = accepted(&service, &of(1, known)).await;
        assert_eq!(again["status"], "incremented", "{known}");
    }
    assert_eq!(
        accepted(&service, &of(1, "0c4d5e6")).await["status"],
        "reopened"
    );
    // One that came in between, but elsewhere.
    resolve().await.expect(200);
    accepted(&service, &of(2, "4d5e6f7")).await;
    assert_eq!(
        accepted(&service, &of(1, "4d5e6f7")).await["status"],
        "reopened"
    );
}

#[tokio::test]
async fn a_group_goes_through_its_states_again_and_again() {
    let service = service();
    accepted(&service, &report(1)).await;
    let mut count = 1;
    for _ in 0..3 {
        for (action, status, state, reported) in [
            ("ignore", "ignored", "ignored", "incremented"),
            ("ignore", "ignored", "ignored", "incremented"),
            ("resolve", "resolved", "resolved", "reopened"),
            ("resolve", "resolved", "resolved", "reopened"),
            ("ignore", "ignored", "ignored", "incremented"),
            ("reopen", "reopened", "open", "incremented"),
            ("reopen", "reopened", "open", "incremented"),
        ] {
            let path = format!("/api/errors/1/{action}");
            let answer = service.post(&path, "").await.expect(200).json();
            assert_eq!(answer, json!({"status": status, "id": 1}));
            for other in ["open", "resolved", "ignored"] {
                let found = listed(&service, &format!("?state={other}")).await.1;
                assert_eq!(found, i64::from(other == state), "{other} after {action}");
            }
            count += 1;
            let again = accepted(&service, &report(1)).await;
            assert_eq!(again, json!({"status": reported, "id": 1, "count": count}));
        }
    }
}

#[tokio::test]
async fn a_restart_keeps_what_was_decided() {
    let service = service();
    for (line, action, body) in [
        (1, "resolve", "{}"),
        (2, "resolve", r#"{"in_release":"2.0"}"#),
        (3, "ignore", "{}"),
        (4, "ignore", r#"{"count":2}"#),
        (5, "ignore", r#"{"for":"1h"}"#),
        (6, "note", r#"{"note":"kept"}"#),
    ] {
        accepted(&service, &report(line)).await;
        let path = format!("/api/errors/{line}/{action}");
        service.post(&path, body).await.expect(200);
    }
    let service = TestService::on::<ErrorTracker>(service.stop().await, &[]);
    for (line, statuses) in [
        (1, ["reopened", "incremented"]),
        (2, ["incremented", "incremented"]),
        (3, ["incremented", "incremented"]),
        (4, ["incremented", "reopened"]),
        (5, ["incremented", "incremented"]),
    ] {
        for status in statuses {
            let again = accepted(&service, &report(line)).await;
            assert_eq!(again["status"], status, "{line}");
        }
    }
    let newer = report_with(2, json!({"release": "2.1"}));
    assert_eq!(accepted(&service, &newer).await["status"], "reopened");
    service.clock.advance(Duration::from_hours(1));
    assert_eq!(accepted(&service, &report(5)).await["status"], "reopened");
}

/// What happened to a group: milliseconds since the service started, what, and the details.
async fn history(service: &TestService, group: i64) -> Vec<(i64, String, Value)> {
    const START: i64 = 1_737_367_200_000;
    let rows = move |conn: &Connection| {
        let mut rows = conn.prepare(
            "SELECT time, action, detail FROM group_history WHERE group_id = ?1 ORDER BY id",
        )?;
        let rows = rows.query_map([group], |row| {
            let detail: Option<String> = row.get(2)?;
            let detail = detail.map(|detail| serde_json::from_str(&detail).expect("JSON"));
            Ok((
                row.get::<_, i64>(0)? - START,
                row.get(1)?,
                detail.unwrap_or_default(),
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    service.ctx.store.read(rows).await.expect("is read")
}

#[tokio::test]
async fn every_change_is_remembered_in_order_with_its_time() {
    let service = service();
    accepted(&service, &report(1)).await;
    accepted(&service, &report(2)).await;
    for (action, body) in [
        ("resolve", "{}"),
        ("resolve", ""),
        ("resolve", r#"{"in_release":"1.2"}"#),
        ("ignore", r#"{"for":"1m","count":7}"#),
        ("reopen", ""),
        ("reopen", ""),
        ("note", r#"{"note":"x"}"#),
        ("note", r#"{"note":"x"}"#),
        ("note", r#"{"note":null}"#),
        ("resolve", "{}"),
    ] {
        service.clock.advance(Duration::from_secs(1));
        let path = format!("/api/errors/1/{action}");
        service.post(&path, body).await.expect(200);
    }
    service.clock.advance(Duration::from_secs(1));
    accepted(&service, &report_with(1, json!({"release": "1.3"}))).await;
    let body = r#"{"for":"1s"}"#;
    service.post("/api/errors/2/ignore", body).await.expect(200);
    service.clock.advance(Duration::from_secs(1));
    ignored::step(&state_of(&service)).await.expect("runs");
    service
        .post("/api/errors/1/merge", r#"{"ids":[2]}"#)
        .await
        .expect(200);
    let entry =
        |second: i64, action: &str, detail: Value| (second * 1_000, action.to_owned(), detail);
    let until = 1_737_367_200_000_i64 + 64_000;
    let expected = [
        entry(1, "resolved", json!(null)),
        entry(3, "resolved", json!({"in_release": "1.2"})),
        entry(4, "ignored", json!({"until_ms": until, "reports": 7})),
        entry(5, "reopened", json!({"by": "person"})),
        entry(7, "noted", json!(null)),
        entry(9, "note removed", json!(null)),
        entry(10, "resolved", json!(null)),
        entry(11, "reopened", json!({"by": "report", "release": "1.3"})),
        entry(
            11,
            "ignored",
            json!({"until_ms": until - 52_000, "reports": null}),
        ),
        entry(12, "reopened", json!({"by": "time"})),
        entry(12, "merged", json!({"id": 2, "reports": 1})),
    ];
    assert_eq!(history(&service, 1).await, expected);
    service.delete("/api/errors/1").await.expect(200);
    assert_eq!(history(&service, 1).await, []);
}

#[tokio::test]
async fn the_newest_two_hundred_changes_are_remembered() {
    let service = service();
    accepted(&service, &report(1)).await;
    for _ in 0..130 {
        for action in ["resolve", "reopen"] {
            let path = format!("/api/errors/1/{action}");
            service.post(&path, "").await.expect(200);
            service.clock.advance(Duration::from_millis(1));
        }
    }
    let history = history(&service, 1).await;
    let times: Vec<i64> = history.iter().map(|(time, ..)| *time).collect();
    assert_eq!(times, (60..260).collect::<Vec<_>>());
}
