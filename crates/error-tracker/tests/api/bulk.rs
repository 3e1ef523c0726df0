//! What people do with several groups at once.

use std::time::Duration;

use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use super::{accepted, listed, report, report_with, service};

/// Groups 1 to `most`.
async fn with_groups(most: u32) -> TestService {
    let service = service();
    for line in 1..=most {
        accepted(&service, &report(line)).await;
    }
    service
}

async fn bulk(service: &TestService, body: Value) -> Value {
    service
        .post_json("/api/errors/bulk", &body)
        .await
        .expect(200)
        .json()
}

fn done(action: &str, matched: u32, changed: u32) -> Value {
    json!({"status": "done", "action": action, "matched": matched, "changed": changed})
}

#[tokio::test]
async fn every_action_works_on_several_groups_by_their_numbers() {
    let service = with_groups(6).await;
    let ids = json!([1, 2, 2, 99]);
    let resolve = json!({"action": "resolve", "ids": ids, "in_release": "1.2"});
    assert_eq!(bulk(&service, resolve.clone()).await, done("resolve", 2, 2));
    assert_eq!(bulk(&service, resolve).await, done("resolve", 2, 0));
    assert_eq!(listed(&service, "?resolved=true").await, (vec![2, 1], 2));
    let older = report_with(1, json!({"release": "1.1"}));
    assert_eq!(accepted(&service, &older).await["status"], "incremented");

    let ignore = json!({"action": "ignore", "ids": [2, 3, 4], "for": "1h"});
    assert_eq!(bulk(&service, ignore).await, done("ignore", 3, 3));
    assert_eq!(listed(&service, "").await, (vec![6, 5], 2));
    let reopen = json!({"action": "reopen", "ids": [1, 2, 5]});
    assert_eq!(bulk(&service, reopen).await, done("reopen", 3, 2));
    assert_eq!(listed(&service, "").await.1, 4);

    let delete = json!({"action": "delete", "ids": [4, 5, 7]});
    assert_eq!(bulk(&service, delete).await, done("delete", 2, 2));
    service.get("/api/errors/4").await.expect(404);
    assert_eq!(listed(&service, "?resolved=all").await.1, 4);

    let merge = json!({"action": "merge", "ids": [6, 2, 4]});
    assert_eq!(bulk(&service, merge).await, done("merge", 2, 1));
    let into = json!({"action": "merge", "ids": [1, 2], "into": 3});
    assert_eq!(bulk(&service, into).await, done("merge", 2, 2));
    assert_eq!(listed(&service, "?resolved=all").await, (vec![3], 1));
    // Open because one of the three was.
    assert_eq!(listed(&service, "").await, (vec![3], 1));
}

#[tokio::test]
async fn a_thousand_groups_are_one_request() {
    let service = with_groups(300).await;
    let ids: Vec<u32> = (1..=1_000).collect();
    let resolve = json!({"action": "resolve", "ids": ids});
    assert_eq!(bulk(&service, resolve).await, done("resolve", 300, 300));
    assert_eq!(listed(&service, "").await.1, 0);
    let delete = json!({"action": "delete", "ids": ids});
    assert_eq!(bulk(&service, delete).await, done("delete", 300, 300));
    assert_eq!(listed(&service, "?resolved=all").await.1, 0);
}

#[tokio::test]
async fn a_filter_reaches_all_it_leaves_and_no_other() {
    let service = service();
    for line in 1..=1_200 {
        let project = if line % 4 == 0 { "cart" } else { "shop" };
        let level = if line % 3 == 0 { "warning" } else { "error" };
        let report = report_with(line, json!({"project": project, "level": level}));
        accepted(&service, &report).await;
        service.clock.advance(Duration::from_millis(7));
    }
    let ignore = json!({"action": "ignore", "filter": {"project": "cart"}});
    assert_eq!(bulk(&service, ignore).await, done("ignore", 300, 300));
    let resolve = json!({"action": "resolve", "filter": {"level": "error"}});
    assert_eq!(bulk(&service, resolve).await, done("resolve", 600, 600));
    assert_eq!(listed(&service, "").await.1, 300);
    assert_eq!(listed(&service, "?level=warning").await.1, 300);
    let reopen = json!({"action": "reopen", "filter": {"state": "all", "search": "input"}});
    assert_eq!(bulk(&service, reopen).await, done("reopen", 1_200, 900));
    let delete = json!({"action": "delete", "filter": {"project": "shop"}});
    assert_eq!(bulk(&service, delete).await, done("delete", 900, 900));
    let merge = json!({"action": "merge", "filter": {"level": "warning"}});
    assert_eq!(bulk(&service, merge).await, done("merge", 100, 99));
    assert_eq!(listed(&service, "?level=warning").await, (vec![12], 1));
    let all = json!({"action": "delete", "filter": {}});
    assert_eq!(bulk(&service, all).await, done("delete", 201, 201));
    assert_eq!(listed(&service, "?resolved=all").await.1, 0);
}

#[tokio::test]
async fn too_many_groups_for_one_merge_stay_as_they_are() {
    let service = with_groups(1_001).await;
    let body = json!({"action": "merge", "filter": {"project": "shop"}});
    let answer = service.post_json("/api/errors/bulk", &body).await;
    let detail = answer.expect(400).json()["detail"].to_string();
    assert!(detail.contains("more than 1000 errors"), "{detail}");
    assert_eq!(listed(&service, "").await.1, 1_001);
}

#[tokio::test]
async fn what_cannot_be_meant_changes_nothing() {
    let service = with_groups(2).await;
    let other = report_with(3, json!({"project": "other"}));
    accepted(&service, &other).await;
    let many: Vec<u32> = (1..=1_001).collect();
    for (body, says) in [
        (json!([]), "a JSON object"),
        (
            json!({}),
            "'action' must be resolve, reopen, ignore, delete or merge",
        ),
        (json!({"action": "close", "ids": [1]}), "'action'"),
        (json!({"action": "delete"}), "'ids'"),
        (json!({"action": "delete", "ids": []}), "'ids'"),
        (
            json!({"action": "delete", "filter": {"projct": "shop"}}),
            "projct",
        ),
        (
            json!({"action": "delete", "filter": {"state": "closed"}}),
            "state",
        ),
        (
            json!({"action": "delete", "filter": {}, "ids": [1]}),
            "'filter'",
        ),
        (
            json!({"action": "merge", "filter": {}}),
            "of another project",
        ),
        (json!({"action": "delete", "ids": many}), "'ids'"),
        (json!({"action": "delete", "ids": ["1"]}), "'ids'"),
        (
            json!({"action": "ignore", "ids": [1], "until": "1999-01-01"}),
            "'until'",
        ),
        (
            json!({"action": "merge", "ids": [1, 3]}),
            "Error 3 is of another project than error 1",
        ),
        (
            json!({"action": "merge", "ids": [1], "into": 3}),
            "of another project",
        ),
    ] {
        let answer = service
            .post_json("/api/errors/bulk", &body)
            .await
            .expect(400);
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let into_nobody = json!({"action": "merge", "ids": [1], "into": 9});
    let answer = service.post_json("/api/errors/bulk", &into_nobody).await;
    assert_eq!(
        answer.expect(404).json(),
        json!({"detail": "Error not found"})
    );
    let nobody = json!({"action": "merge", "ids": [8, 9]});
    assert_eq!(bulk(&service, nobody).await, done("merge", 0, 0));
    assert_eq!(listed(&service, "").await.1, 3);
    service.get("/api/errors/bulk").await.expect(404);
}

#[tokio::test]
async fn what_was_done_to_many_survives_a_restart() {
    let service = with_groups(3).await;
    bulk(&service, json!({"action": "resolve", "ids": [1]})).await;
    bulk(
        &service,
        json!({"action": "ignore", "ids": [2], "count": 2}),
    )
    .await;
    let service = TestService::on::<error_tracker::ErrorTracker>(service.stop().await, &[]);
    service.clock.advance(Duration::from_secs(5));
    assert_eq!(listed(&service, "").await, (vec![3], 1));
    assert_eq!(accepted(&service, &report(1)).await["status"], "reopened");
    assert_eq!(
        accepted(&service, &report(2)).await["status"],
        "incremented"
    );
    assert_eq!(accepted(&service, &report(2)).await["status"], "reopened");
}
