//! Reports over time.

use std::time::Duration;

use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use super::{accepted, report, report_with, service};

async fn stats(service: &TestService, query: &str) -> Value {
    service
        .get(&format!("/api/stats{query}"))
        .await
        .expect(200)
        .json()
}

/// New and known reports of each bucket that has any: hour of the bucket's start, new, known.
fn filled(stats: &Value) -> Vec<(String, i64, i64)> {
    let number = |value: &Value| value.as_i64().expect("a number");
    let buckets = stats["buckets"].as_array().expect("a list").iter();
    buckets
        .map(|bucket| {
            let time = bucket["time"].as_str().expect("a time").to_owned();
            (time, number(&bucket["new"]), number(&bucket["known"]))
        })
        .filter(|(_, new, known)| new + known > 0)
        .collect()
}

fn bucket(hour: &str, new: i64, known: i64) -> (String, i64, i64) {
    (format!("2025-01-{hour}:00:00Z"), new, known)
}

/// An old error with reports on three days, a new one on the last.
async fn with_days() -> TestService {
    let service = service();
    for _ in 0..2 {
        accepted(&service, &report(1)).await;
    }
    service.clock.advance(Duration::from_hours(24));
    accepted(&service, &report(1)).await;
    service.clock.advance(Duration::from_hours(22));
    for line in [1, 2, 2] {
        accepted(&service, &report(line)).await;
    }
    service.clock.advance(Duration::from_hours(1));
    accepted(&service, &report(2)).await;
    service
}

#[tokio::test]
async fn reports_of_new_and_known_errors_are_told_apart() {
    let service = with_days().await;
    let day = stats(&service, "").await;
    assert_eq!(
        filled(&day),
        [
            bucket("21T10", 0, 1),
            bucket("22T08", 2, 1),
            bucket("22T09", 1, 0),
        ]
    );
    assert_eq!(
        (&day["from"], &day["to"]),
        (
            &json!("2025-01-21T10:00:00Z"),
            &json!("2025-01-22T10:00:00Z")
        )
    );
    assert_eq!(day["step_seconds"], 3600);
    assert_eq!(day["buckets"].as_array().map(Vec::len), Some(24));
    assert_eq!(
        [&day["total"], &day["new"], &day["known"]],
        [&json!(5), &json!(3), &json!(2)]
    );
    // The day before began with the error that is old by now.
    assert_eq!(day["before"], json!({"total": 2, "new": 2, "known": 0}));
    assert_eq!(
        day["groups"],
        json!({"open": 2, "resolved": 0, "ignored": 0, "new": 1})
    );
    assert_eq!(
        stats(&service, "?range=24h").await["buckets"],
        day["buckets"]
    );
}

#[tokio::test]
async fn a_longer_range_has_longer_buckets() {
    let service = with_days().await;
    let week = stats(&service, "?range=7d").await;
    assert_eq!(
        filled(&week),
        [
            bucket("20T06", 2, 0),
            bucket("21T06", 1, 0),
            bucket("22T06", 4, 0),
        ]
    );
    assert_eq!(
        (&week["step_seconds"], &week["total"]),
        (&json!(21_600), &json!(7))
    );
    assert_eq!(week["before"]["total"], 0);
    let month = stats(&service, "?range=30d").await;
    assert_eq!(
        (month["buckets"].as_array().map(Vec::len), &month["total"]),
        (Some(30), &json!(7))
    );
    // Hours are not kept for as long as that.
    assert_eq!(month["before"], json!(null));
}

#[tokio::test]
async fn an_error_that_came_back_is_new_from_then_on() {
    let service = with_days().await;
    service.post("/api/errors/1/resolve", "").await.expect(200);
    service.clock.advance(Duration::from_hours(1));
    accepted(&service, &report(1)).await;
    let day = stats(&service, "").await;
    assert_eq!(
        filled(&day),
        [
            bucket("22T08", 2, 1),
            bucket("22T09", 1, 0),
            bucket("22T10", 1, 0),
        ]
    );
    assert_eq!(day["groups"]["new"], 2);
    assert_eq!(day["before"], json!({"total": 1, "new": 0, "known": 1}));
}

#[tokio::test]
async fn stats_can_be_asked_for_any_time_project_and_source() {
    let service = with_days().await;
    let from_page = json!({"project": "page", "request_method": "BROWSER"});
    accepted(&service, &report_with(9, from_page)).await;
    let yesterday = "?since=2025-01-21&until=2025-01-21";
    assert_eq!(
        filled(&stats(&service, yesterday).await),
        [bucket("21T10", 0, 1)]
    );
    let some_hours = stats(&service, "?since=2h").await;
    assert_eq!(some_hours["buckets"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        filled(&some_hours),
        [bucket("22T08", 2, 1), bucket("22T09", 2, 0)]
    );
    for (query, total, open) in [
        ("?project=page", 1, 1),
        ("?project=shop", 5, 2),
        ("?project=nowhere", 0, 0),
        ("?source=browser", 1, 1),
        ("?source=server", 5, 2),
        ("?source=browser&project=shop", 0, 0),
    ] {
        let stats = stats(&service, query).await;
        assert_eq!(
            (&stats["total"], &stats["groups"]["open"]),
            (&json!(total), &json!(open)),
            "{query}"
        );
    }
    for query in [
        "range=1h",
        "since=x",
        "until=x",
        "until=1h",
        "since=1h&until=2h",
        "source=x",
    ] {
        for path in ["/api/stats", "/api/errors/1/stats"] {
            if query != "source=x" || path == "/api/stats" {
                service.get(&format!("{path}?{query}")).await.expect(400);
            }
        }
    }
}

#[tokio::test]
async fn an_error_has_stats_of_its_own() {
    let service = with_days().await;
    let fields = json!({"release": "2.0", "level": "error", "user_id": "ann", "tags": {"a": "b"}});
    accepted(&service, &report_with(1, fields)).await;
    service.clock.advance(Duration::from_secs(1));
    accepted(
        &service,
        &report_with(1, json!({"release": "2.1", "user_id": "bob"})),
    )
    .await;
    let day = service
        .get("/api/errors/1/stats?range=24h")
        .await
        .expect(200)
        .json();
    let counts: Vec<i64> = day["buckets"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["count"].as_i64())
        .collect();
    assert_eq!(
        (counts[0], counts[22], counts[23], counts.len()),
        (1, 1, 2, 24)
    );
    assert_eq!(
        (&day["total"], &day["users"], &day["users_exact"]),
        (&json!(4), &json!(2), &json!(true))
    );
    assert_eq!(
        day["facets"],
        json!({
            "level": ["error"], "release": ["2.1", "2.0"], "environment": [], "server_name": [], "tag": ["a:b"],
        })
    );
    let month = service.get("/api/errors/1/stats?range=30d").await.json();
    assert_eq!(month["total"], 6);
    service.get("/api/errors/99/stats").await.expect(404);
    service.get("/api/errors/x/stats").await.expect(404);
}

#[tokio::test]
async fn deleted_errors_did_happen() {
    let service = with_days().await;
    let before = stats(&service, "").await;
    service.delete("/api/errors/2").await.expect(200);
    let after = stats(&service, "").await;
    for key in ["total", "new", "known", "buckets", "before"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(
        [&before["groups"]["new"], &after["groups"]["new"]],
        [&json!(1), &json!(0)]
    );
}
