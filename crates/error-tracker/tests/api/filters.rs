//! Filters that the original does not have.

use std::time::Duration;

use monlight_shared::testing::TestService;
use serde_json::json;

use super::{accepted, listed, report_with, service};

/// Three errors, a minute apart.
async fn with_errors() -> TestService {
    let service = service();
    for (line, fields) in [
        (
            1,
            json!({"level": "error", "release": "1.0", "environment": "prod", "server_name": "web-1", "user_id": "ann",
            "tags": {"region": "eu", "tier": 1}}),
        ),
        (
            2,
            json!({"level": "warning", "release": "1.1", "environment": "prod", "user_id": "bob",
            "tags": {"region": "us", "tier": 1}}),
        ),
        (
            3,
            json!({"level": "error", "release": "1.1", "environment": "staging", "server_name": "web 2",
            "tags": {"region": "eu", "a:b": "c d"}}),
        ),
    ] {
        accepted(&service, &report_with(line, fields)).await;
        service.clock.advance(Duration::from_mins(1));
    }
    service
}

#[tokio::test]
async fn what_reports_named_can_be_asked_for() {
    let service = with_errors().await;
    for (query, ids) in [
        ("level=error", vec![3, 1]),
        ("level=Error", vec![]),
        ("release=1.1", vec![3, 2]),
        ("release=1.1&release=1.0", vec![1]),
        ("environment=prod", vec![2, 1]),
        ("server_name=web+2", vec![3]),
        ("server_name=web%202", vec![3]),
        ("tag=region:eu", vec![3, 1]),
        ("tag=region%3Aeu&tag=tier:1", vec![1]),
        ("tag=a:b:c+d", vec![3]),
        ("tag=region:e", vec![]),
        ("user=ann", vec![1]),
        ("user=Ann", vec![]),
        (
            "level=error&release=1.1&environment=staging&tag=region:eu",
            vec![3],
        ),
        ("level=error&user=bob", vec![]),
        (
            "level=&release=&environment=&server_name=&tag=&user=&state=&until=",
            vec![3, 2, 1],
        ),
        ("project=shop&level=error", vec![3, 1]),
        ("project=other&level=error", vec![]),
    ] {
        let total = ids.len() as i64;
        assert_eq!(
            listed(&service, &format!("?{query}")).await,
            (ids, total),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_later_report_adds_to_what_its_group_named() {
    let service = with_errors().await;
    accepted(
        &service,
        &report_with(
            1,
            json!({"release": "1.2", "level": "warning", "user_id": "bob"}),
        ),
    )
    .await;
    assert_eq!(listed(&service, "?release=1.0").await, (vec![1], 1));
    assert_eq!(
        listed(&service, "?release=1.2&level=warning").await,
        (vec![1], 1)
    );
    assert_eq!(listed(&service, "?user=bob").await, (vec![1, 2], 2));
    let entry = &service.get("/api/errors").await.json()["errors"][0];
    assert_eq!(
        [
            &entry["id"],
            &entry["release"],
            &entry["level"],
            &entry["environment"],
            &entry["users"]
        ],
        [
            &json!(1),
            &json!("1.2"),
            &json!("warning"),
            &json!(null),
            &json!(2)
        ]
    );
}

#[tokio::test]
async fn states_have_their_names() {
    let service = with_errors().await;
    service.post("/api/errors/1/resolve", "").await.expect(200);
    service.post("/api/errors/2/ignore", "{}").await.expect(200);
    for (query, ids) in [
        ("", vec![3]),
        ("?state=open", vec![3]),
        ("?state=resolved", vec![1]),
        ("?state=ignored", vec![2]),
        ("?state=all", vec![3, 2, 1]),
        ("?resolved=true&state=ignored", vec![2]),
        ("?state=all&resolved=true", vec![3, 2, 1]),
        ("?resolved=true&state=", vec![1]),
    ] {
        let total = ids.len() as i64;
        assert_eq!(listed(&service, query).await, (ids, total), "{query}");
    }
    let all = service.get("/api/errors?state=all").await.json();
    let states: Vec<_> = all["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["state"])
        .collect();
    assert_eq!(states, ["open", "ignored", "resolved"]);
    accepted(&service, &report_with(1, json!({}))).await;
    let entry = &service.get("/api/errors").await.json()["errors"][0];
    assert_eq!(
        (&entry["id"], &entry["reopened"]),
        (&json!(1), &json!(true))
    );
}

/// It is three minutes past ten; the errors came at ten, a minute later, and two minutes later.
#[tokio::test]
async fn until_includes_the_whole_stated_time_and_ages_count_from_now() {
    let service = with_errors().await;
    for (query, ids) in [
        ("until=2025-01-20T10:01:00Z", vec![2, 1]),
        ("until=2025-01-20T10:00:59.999Z", vec![1]),
        ("until=2025-01-20T10:01", vec![2, 1]),
        ("until=2025-01-20T12:01:00%2B02:00", vec![2, 1]),
        ("until=2025-01-20T12:01:00+02:00", vec![2, 1]),
        ("until=2025-01-20", vec![3, 2, 1]),
        ("until=2025-01-19", vec![]),
        ("until=1737367200", vec![1]),
        ("until=1737367199999", vec![]),
        (
            "since=2025-01-20T10:01:00Z&until=2025-01-20T10:01:00Z",
            vec![2],
        ),
        (
            "since=2025-01-20T10:02:00Z&until=2025-01-20T10:01:00Z",
            vec![],
        ),
        ("since=90s", vec![3]),
        ("since=2m", vec![3, 2]),
        ("since=1h&until=2m", vec![2, 1]),
        ("since=1w", vec![3, 2, 1]),
        ("since=1y", vec![3, 2, 1]),
        ("since=90s&sort=count", vec![3]),
        ("until=2m&sort=first_seen&level=error", vec![1]),
    ] {
        let total = ids.len() as i64;
        assert_eq!(
            listed(&service, &format!("?{query}")).await,
            (ids, total),
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let service = with_errors().await;
    for (query, says) in [
        (
            "state=closed",
            "state: \"closed\" is not understood; expected open, resolved, ignored or all",
        ),
        (
            "tag=eu",
            "tag: \"eu\" is not understood; expected key:value",
        ),
        (
            "sort=name",
            "sort: \"name\" is not understood; expected last_seen, first_seen, count or users",
        ),
        (
            "sparkline=1h",
            "sparkline: \"1h\" is not understood; expected 24h, 7d or 30d",
        ),
        (
            "until=soon",
            "until: \"soon\" is not understood; expected a time such as ",
        ),
        (
            "cursor=x",
            "cursor: \"x\" is not understood; expected the next_cursor of a list",
        ),
    ] {
        for path in ["/api/errors", "/api/errors/export"] {
            let answer = service
                .get(&format!("{path}?{query}"))
                .await
                .expect(400)
                .json();
            let detail = answer["detail"].as_str().unwrap_or_default();
            assert!(detail.starts_with(says), "{query}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_list_brings_its_sparklines_when_asked() {
    let service = with_errors().await;
    service.clock.advance(Duration::from_hours(2));
    for _ in 0..3 {
        accepted(&service, &report_with(1, json!({}))).await;
    }
    let list = service
        .get("/api/errors?sparkline=24h")
        .await
        .expect(200)
        .json();
    assert_eq!(list["sparkline_from"], "2025-01-19T13:00:00Z");
    assert_eq!(list["sparkline_step_seconds"], 3600);
    let mut expected = vec![0; 24];
    (expected[21], expected[23]) = (1, 3);
    assert_eq!(list["errors"][0]["sparkline"], json!(expected));
    (expected[21], expected[23]) = (1, 0);
    assert_eq!(list["errors"][1]["sparkline"], json!(expected));
    let list = service.get("/api/errors?sparkline=7d").await.json();
    let week = list["errors"][0]["sparkline"].as_array().expect("numbers");
    assert_eq!(
        (week.len(), &week[26], &week[27]),
        (28, &json!(1), &json!(3))
    );
    let list = service.get("/api/errors?sparkline=30d").await.json();
    let month = list["errors"][0]["sparkline"].as_array().expect("numbers");
    assert_eq!((month.len(), &month[29]), (30, &json!(4)));
    assert_eq!(list["sparkline_step_seconds"], 86_400);
}
