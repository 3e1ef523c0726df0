//! Resolving, and what becomes of resolved groups.

use std::time::Duration;

use error_tracker::config::{Config, Retention};
use error_tracker::state::AppState;
use error_tracker::tasks::{gauges, retention};
use monlight_shared::config::{Env, Reader};
use monlight_shared::testing::TestService;
use serde_json::json;

use super::{accepted, detail_of, listed, metric, report, report_with, service};

#[tokio::test]
async fn resolving_twice_keeps_the_first_time() {
    let service = service();
    accepted(&service, &report(1)).await;
    let answer = service.post("/api/errors/1/resolve", "").await.expect(200);
    assert_eq!(answer.text(), "{\"status\": \"resolved\", \"id\": 1}");
    service.clock.advance(Duration::from_secs(90));
    let again = service
        .post("/api/errors/1/resolve?x=y", "{not json")
        .await
        .expect(200);
    assert_eq!(again.text(), answer.text());
    let detail = detail_of(&service, 1).await;
    assert_eq!(detail["resolved"], true);
    assert_eq!(detail["resolved_at"], "2025-01-20T10:00:00Z");
    assert_eq!(detail["last_seen"], "2025-01-20T10:00:00Z");
    assert_eq!(
        (
            &detail["count"],
            detail["occurrences"].as_array().map(Vec::len)
        ),
        (&json!(1), Some(1))
    );
}

#[tokio::test]
async fn what_cannot_be_resolved_is_404() {
    let service = service();
    for (id, text) in [
        ("1", "Error not found"),
        ("0", "Not found"),
        ("-1", "Not found"),
        ("abc", "Not found"),
        ("99999999999999999999", "Not found"),
    ] {
        let answer = service
            .post(&format!("/api/errors/{id}/resolve"), "")
            .await
            .expect(404);
        assert_eq!(answer.json(), json!({"detail": text}), "{id}");
    }
}

/// A state of its own on the same database, as the tasks have it.
pub(super) fn state_of(service: &TestService) -> AppState {
    state_with(service, Env::default())
}

pub(super) fn state_with(service: &TestService, env: Env) -> AppState {
    let config = Config::read(&mut Reader::new(&env));
    AppState::new(&service.ctx, config.alerts, config.intake)
}

const KEPT: Retention = Retention {
    resolved_days: 90,
    open_days: None,
    max_mb: 0,
};

#[tokio::test]
async fn retention_takes_what_was_resolved_long_ago_and_nothing_else() {
    let service = service();
    let session = |line, name: &str| {
        report_with(
            line,
            json!({"project": format!("p{line}"), "extra": {"session_id": name}}),
        )
    };
    for line in 1..=120 {
        accepted(&service, &session(line, "s")).await;
    }
    for id in 1..=110 {
        service
            .post(&format!("/api/errors/{id}/resolve"), "")
            .await
            .expect(200);
    }
    service.clock.advance(Duration::from_hours(24));
    service
        .post("/api/errors/111/resolve", "")
        .await
        .expect(200);
    service
        .clock
        .advance(Duration::from_secs(89 * 24 * 3_600 + 1));
    let state = state_of(&service);
    retention::step(&state, KEPT).await.expect("runs");
    gauges::step(&state).await.expect("runs");
    assert_eq!(listed(&service, "?resolved=true").await, (vec![111], 1));
    assert_eq!(listed(&service, "").await.1, 9);
    assert_eq!(listed(&service, "?session_id=s&resolved=all").await.1, 10);
    service.get("/api/errors/110").await.expect(404);
    let projects = service.get("/api/projects").await.json();
    assert_eq!(projects["projects"].as_array().map(Vec::len), Some(10));
    assert_eq!(
        metric(
            &service,
            "monlight_error_groups_deleted_total{reason=\"resolved\"}"
        )
        .await,
        110.0
    );
    assert_eq!(
        metric(&service, "monlight_error_groups{state=\"resolved\"}").await,
        1.0
    );
    assert_eq!(
        metric(&service, "monlight_error_groups{state=\"open\"}").await,
        9.0
    );
    // Numbers are not used again.
    let new = accepted(&service, &session(1, "t")).await;
    assert_eq!(
        (&new["status"], &new["id"]),
        (&json!("created"), &json!(121))
    );
}

#[tokio::test]
async fn open_errors_go_when_they_were_not_seen_for_long_if_so_wished() {
    let service = service();
    for line in 1..=60 {
        accepted(&service, &report(line)).await;
    }
    service.post("/api/errors/1/resolve", "").await.expect(200);
    service.clock.advance(Duration::from_hours(24 * 10));
    accepted(&service, &report(7)).await;
    let state = state_of(&service);
    retention::step(&state, KEPT).await.expect("runs");
    assert_eq!(listed(&service, "?resolved=all").await.1, 60);
    let open_days = Some(10);
    let kept = Retention { open_days, ..KEPT };
    retention::step(&state, kept).await.expect("runs");
    assert_eq!(
        listed(&service, "?resolved=all").await.1,
        60,
        "ten days are not over"
    );
    service.clock.advance(Duration::from_millis(1));
    retention::step(&state, kept).await.expect("runs");
    assert_eq!(listed(&service, "?resolved=all").await, (vec![7, 1], 2));
    let unseen = "monlight_error_groups_deleted_total{reason=\"unseen\"}";
    assert_eq!(metric(&service, unseen).await, 58.0);
}

#[tokio::test]
async fn a_database_over_its_budget_loses_the_least_useful_first() {
    let service = service();
    let long = "x".repeat(20_000);
    for line in 1..=40 {
        let report = report_with(line, json!({"message": long}));
        accepted(&service, &report).await;
        service.clock.advance(Duration::from_secs(1));
    }
    for id in [38, 39, 40] {
        service
            .post(&format!("/api/errors/{id}/resolve"), "")
            .await
            .expect(200);
        service.clock.advance(Duration::from_secs(1));
    }
    let state = state_of(&service);
    retention::keep_size(&state, 100_000_000)
        .await
        .expect("runs");
    assert_eq!(listed(&service, "?resolved=all").await.1, 40);
    retention::keep_size(&state, 700_000).await.expect("runs");
    let (left, _) = listed(&service, "?resolved=all").await;
    // What was resolved goes first, then what was not seen for longest.
    assert!(left.len() > 5 && left.len() < 30, "{left:?}");
    let newest: Vec<i64> = (1..=37).rev().take(left.len()).collect();
    assert_eq!(left, newest);
    let size = "monlight_error_groups_deleted_total{reason=\"size\"}";
    assert_eq!(metric(&service, size).await, (40 - left.len()) as f64);
    accepted(&service, &report(41)).await;
}
