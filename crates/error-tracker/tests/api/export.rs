//! All errors that a filter leaves, line by line.

use std::time::Duration;

use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use super::{accepted, report, report_with, service};

async fn exported(service: &TestService, query: &str) -> Vec<Value> {
    let answer = service
        .get(&format!("/api/errors/export{query}"))
        .await
        .expect(200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn ids(lines: &[Value]) -> Vec<i64> {
    lines
        .iter()
        .filter_map(|line| line["id"].as_i64())
        .collect()
}

#[tokio::test]
async fn a_line_is_the_entry_of_a_list_and_its_traceback() {
    let service = service();
    let fields = json!({"message": "two\nlines", "release": "1.0"});
    accepted(&service, &report_with(1, fields)).await;
    let mut lines = exported(&service, "").await;
    let line = lines.pop().expect("one line");
    let mut entry = service.get("/api/errors").await.json()["errors"][0].clone();
    assert!(entry.get("traceback").is_none());
    entry["traceback"] = report(1)["traceback"].clone();
    assert_eq!(line, entry);
    assert_eq!(lines, Vec::<Value>::new());
}

#[tokio::test]
async fn an_export_has_the_filters_and_orders_of_a_list() {
    let service = service();
    for line in 1..=6 {
        let level = if line % 2 == 0 { "warning" } else { "error" };
        accepted(&service, &report_with(line, json!({"level": level}))).await;
        service.clock.advance(Duration::from_secs(1));
    }
    accepted(&service, &report(1)).await;
    service.post("/api/errors/6/resolve", "").await.expect(200);
    for (query, expected) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("?sort=last_seen", vec![1, 5, 4, 3, 2]),
        ("?level=warning", vec![4, 2]),
        ("?level=warning&state=all", vec![6, 4, 2]),
        (
            "?search=ValueError&since=2025-01-20T10:00:03Z",
            vec![5, 4, 1],
        ),
        ("?limit=2&offset=1", vec![5, 4, 3, 2, 1]),
        ("?project=nowhere", vec![]),
        ("?search=%22", vec![]),
    ] {
        assert_eq!(ids(&exported(&service, query).await), expected, "{query}");
    }
    let with_sparkline = exported(&service, "?sparkline=7d").await;
    assert_eq!(
        with_sparkline[0]["sparkline"].as_array().map(Vec::len),
        Some(28)
    );
}

#[tokio::test]
async fn a_long_export_comes_in_pieces() {
    let service = service();
    let long = "x".repeat(100_000);
    for line in 0..12 {
        accepted(
            &service,
            &report_with(line, json!({"message": format!("{line}{long}")})),
        )
        .await;
        service.clock.advance(Duration::from_secs(1));
    }
    let answer = service.get("/api/errors/export").await.expect(200);
    assert_eq!(answer.header("content-length"), "");
    let lines = exported(&service, "").await;
    assert_eq!(ids(&lines), (1..=12).rev().collect::<Vec<_>>());
    assert_eq!(lines[0]["message"], json!(format!("11{long}")));
}

#[tokio::test]
async fn more_groups_than_are_looked_up_at_a_time_are_all_there_once() {
    let service = service();
    for line in 0..2_300 {
        accepted(&service, &report(line)).await;
        if line % 7 == 0 {
            service.clock.advance(Duration::from_millis(1));
        }
    }
    for query in ["", "?sort=count", "?search=ValueError", "?level=none"] {
        let mut found = ids(&exported(&service, query).await);
        found.sort_unstable();
        let expected: Vec<i64> = if query == "?level=none" {
            vec![]
        } else {
            (1..=2_300).collect()
        };
        assert!(found == expected, "{query}: {} groups", found.len());
    }
}
