//! Lists: filters, order, pages.

use std::time::Duration;

use serde_json::json;

use super::{accepted, listed, report, report_with, service};

#[tokio::test]
async fn an_entry_has_the_contract_s_keys_in_order() {
    let service = service();
    service.clock.advance(Duration::from_millis(250));
    accepted(&service, &report(1)).await;
    let text = service.get("/api/errors").await.expect(200).text();
    let fingerprint = service.get("/api/errors/1").await.json()["fingerprint"].clone();
    let expected = format!(
        "{{\"errors\": [{{\"id\": 1, \"fingerprint\": {fingerprint}, \"project\": \"shop\", \
         \"exception_type\": \"ValueError\", \"message\": \"invalid input\", \"count\": 1, \
         \"first_seen\": \"2025-01-20T10:00:00Z\", \"last_seen\": \"2025-01-20T10:00:00Z\", \"resolved\": false, \
         \"source\": \"server\", \"first_seen_ms\": 1737367200250, \"last_seen_ms\": 1737367200250, \
         \"state\": \"open\", \"reopened\": false, \"users\": 0, \"level\": null, \"release\": null, \
         \"environment\": null}}], \"total\": 1, \"limit\": 50, \"offset\": 0, \"total_exact\": true, \
         \"next_cursor\": null, \"took_ms\": 0.0}}"
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn the_newest_comes_first_by_its_exact_time() {
    let service = service();
    for line in [1, 2, 3, 1] {
        accepted(&service, &report(line)).await;
        service.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(listed(&service, "").await, (vec![1, 3, 2], 3));
    assert_eq!(listed(&service, "?limit=2").await, (vec![1, 3], 3));
    assert_eq!(listed(&service, "?limit=2&offset=2").await, (vec![2], 3));
    assert_eq!(listed(&service, "?offset=3").await, (vec![], 3));
    assert_eq!(listed(&service, "?offset=4294967295").await, (vec![], 3));
    assert_eq!(
        listed(&service, "?offset=-1&limit=x").await,
        (vec![1, 3, 2], 3)
    );
}

#[tokio::test]
async fn states_are_listed_apart_or_together() {
    let service = service();
    for line in [1, 2, 3] {
        accepted(&service, &report(line)).await;
        service.clock.advance(Duration::from_secs(1));
    }
    service.post("/api/errors/2/resolve", "").await.expect(200);
    assert_eq!(listed(&service, "").await, (vec![3, 1], 2));
    assert_eq!(listed(&service, "?resolved=true").await, (vec![2], 1));
    assert_eq!(listed(&service, "?resolved=1").await, (vec![2], 1));
    assert_eq!(listed(&service, "?resolved=all").await, (vec![3, 2, 1], 3));
    assert_eq!(
        listed(&service, "?resolved=true&resolved=no").await,
        (vec![3, 1], 2)
    );
}

#[tokio::test]
async fn names_with_any_characters_can_be_selected() {
    let service = service();
    for (line, project) in [(1, "my app"), (2, "a%20b"), (3, "grün"), (4, "shop")] {
        accepted(&service, &report_with(line, json!({"project": project}))).await;
    }
    assert_eq!(listed(&service, "?project=my+app").await, (vec![1], 1));
    assert_eq!(listed(&service, "?project=my%20app").await, (vec![1], 1));
    assert_eq!(listed(&service, "?project=a%2520b").await, (vec![2], 1));
    assert_eq!(listed(&service, "?project=gr%C3%BCn").await, (vec![3], 1));
    assert_eq!(listed(&service, "?project=Shop").await, (vec![], 0));
    assert_eq!(
        listed(&service, "?project=shop&project=").await,
        (vec![4], 1)
    );
}

#[tokio::test]
async fn a_browser_group_stays_one_and_stays_in_its_session() {
    let service = service();
    let from_page = |session: serde_json::Value| {
        report_with(
            1,
            json!({"request_method": "BROWSER", "extra": {"session_id": session}}),
        )
    };
    accepted(&service, &from_page(json!("s-1"))).await;
    accepted(&service, &from_page(json!(42))).await;
    for _ in 0..6 {
        accepted(&service, &report(1)).await;
    }
    accepted(&service, &report(2)).await;
    assert_eq!(listed(&service, "?source=browser").await, (vec![1], 1));
    assert_eq!(listed(&service, "?source=server").await, (vec![2], 1));
    assert_eq!(listed(&service, "?source=Browser").await.1, 2);
    assert_eq!(listed(&service, "?session_id=s-1").await, (vec![1], 1));
    assert_eq!(listed(&service, "?session_id=42").await, (vec![1], 1));
    assert_eq!(listed(&service, "?session_id=s-").await, (vec![], 0));
    assert_eq!(
        listed(&service, "?session_id=s-1&source=server").await,
        (vec![], 0)
    );
}

#[tokio::test]
async fn since_understands_zones_and_numbers_and_ignores_the_rest() {
    let service = service();
    accepted(&service, &report(1)).await;
    service.clock.advance(Duration::from_mins(1));
    accepted(&service, &report(2)).await;
    let half = "2025-01-20T10:00:30";
    for since in [
        format!("{half}Z"),
        format!("{half}.000000001Z"),
        half.to_owned(),
        "2025-01-20T10%3A00%3A30Z".to_owned(),
        "2025-01-20T12:00:30%2B02:00".to_owned(),
        "2025-01-20T12:00:30+02:00".to_owned(),
        "1737367230".to_owned(),
        "1737367230000".to_owned(),
    ] {
        assert_eq!(
            listed(&service, &format!("?since={since}")).await,
            (vec![2], 1),
            "{since}"
        );
    }
    assert_eq!(listed(&service, "?since=2999-01-01").await, (vec![], 0));
    for since in [
        "",
        "yesterday",
        "2025-01-20T10:00:30Zjunk",
        "1e99",
        "2020-01-01",
    ] {
        assert_eq!(
            listed(&service, &format!("?since={since}")).await.1,
            2,
            "{since}"
        );
    }
}

#[tokio::test]
async fn unknown_parameters_change_nothing() {
    let service = service();
    accepted(&service, &report(1)).await;
    for query in [
        "?foo=zzz",
        "?&&&",
        "?=",
        "?project",
        "?Limit=0",
        "?%00=%ff",
        "?limit=%F0%9F",
    ] {
        assert_eq!(listed(&service, query).await, (vec![1], 1), "{query}");
    }
}

#[tokio::test]
async fn long_messages_are_listed_whole() {
    let service = service();
    let long = "ä\u{1}".repeat(30_000);
    for line in 0..12 {
        accepted(
            &service,
            &report_with(line, json!({"message": format!("{line}{long}")})),
        )
        .await;
        service.clock.advance(Duration::from_secs(1));
    }
    let answer = service.get("/api/errors?limit=200").await.expect(200);
    assert_eq!(
        answer.header("content-length"),
        "",
        "an answer this long is sent in pieces"
    );
    let list = answer.json();
    assert_eq!(list["total"], 12);
    for (position, entry) in list["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .enumerate()
    {
        let line = 11 - position;
        assert_eq!(entry["message"], json!(format!("{line}{long}")));
    }
    assert_eq!(list["errors"].as_array().map(Vec::len), Some(12));
}
