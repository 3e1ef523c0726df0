//! `POST /api/metrics`.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::{Collector, HOUR, MINUTE, START_MS, at, counter, with};

async fn nothing_stored(collector: &Collector) {
    assert_eq!(
        collector.get("/api/metrics/names").await,
        json!({"metrics": []})
    );
    assert_eq!(collector.get("/health").await["metrics_received_24h"], 0);
    assert_eq!(
        collector
            .number("SELECT (SELECT count(*) FROM block) + (SELECT count(*) FROM project)")
            .await,
        0
    );
}

#[tokio::test]
async fn a_refusal_says_where_the_fault_is_and_stores_nothing() {
    let collector = Collector::new(&[("MAX_BATCH", "3")]);
    let good = counter("a", 1.0, START_MS);
    for (batch, expected) in [
        (
            json!([]),
            json!({"detail": "Metrics array must not be empty"}),
        ),
        (
            json!("x"),
            json!({"detail": "Request body must be a JSON array"}),
        ),
        (
            json!([good, good, good, good]),
            json!({"detail": "Metrics batch exceeds maximum of 3 items"}),
        ),
        (
            json!([good, 5]),
            json!({"detail": "Each metric must be a JSON object", "index": 1}),
        ),
        (
            json!([good, {"name": "b", "type": "nope"}]),
            json!({"detail": "Field 'type' must be 'counter', 'histogram', or 'gauge'", "index": 1, "field": "type"}),
        ),
    ] {
        assert_eq!(collector.post(&batch).await.expect(400).json(), expected);
    }
    let twice = r#"[{"name":"a","type":"counter","value":1},{"name":"a","type":"counter","value":1,"labels":{"k":"1","k":"2"}}]"#;
    let answer = collector
        .service
        .post("/api/metrics", twice)
        .await
        .expect(400)
        .json();
    assert_eq!(
        answer,
        json!({"detail": "Invalid JSON", "index": 1, "field": "labels", "reason": "an object has the same key twice"})
    );
    nothing_stored(&collector).await;
}

#[tokio::test]
async fn wrapped_and_compressed_batches_are_taken() {
    let collector = Collector::new(&[]);
    let wrapped = json!({"metrics": [counter("wrapped", 1.0, START_MS)]});
    assert_eq!(
        collector.post(&wrapped).await.expect(202).text(),
        r#"{"status": "accepted", "count": 1}"#
    );

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(
        json!([counter("zipped", 1.0, START_MS)])
            .to_string()
            .as_bytes(),
    )
    .expect("writes");
    let request = collector
        .service
        .request(Method::POST, "/api/metrics")
        .header("content-encoding", "gzip");
    let request = request
        .body(Body::from(gzip.finish().expect("finishes")))
        .expect("a request");
    collector.service.send(request).await.expect(202);

    let names = collector.get("/api/metrics/names").await;
    assert_eq!(
        names,
        json!({"metrics": [{"name": "wrapped", "type": "counter"}, {"name": "zipped", "type": "counter"}]})
    );
}

#[tokio::test]
async fn good_items_of_a_partial_batch_are_stored_and_the_others_named() {
    let collector = Collector::new(&[]);
    let partial = async |body: String| collector.service.post("/api/metrics?partial=1", body).await;
    let good = counter("good", 1.0, START_MS);
    let twice = r#"{"name":"twice","type":"gauge","value":1,"labels":{"k":1,"k":2}}"#;
    let body = format!(r#"[{good},5,{{"name":"bad"}},{twice},{good}]"#);
    for _ in 0..2 {
        let answer = partial(body.clone()).await.expect(202).json();
        assert_eq!(
            answer,
            json!({"status": "accepted", "count": 2, "rejected": 3, "errors": [
                {"detail": "Each metric must be a JSON object", "index": 1},
                {"detail": "Missing required field: type", "index": 2, "field": "type"},
                {"detail": "Invalid JSON", "index": 3, "reason": "an object has the same key twice"}]})
        );
    }
    let rows = collector.get("/api/metrics?name=good").await;
    assert_eq!(rows["data"][0]["count"], 4);
    assert_eq!(
        partial(format!("[{good}]")).await.expect(202).json(),
        json!({"status": "accepted", "count": 1, "rejected": 0, "errors": []})
    );
    assert_eq!(
        partial("[5]".to_owned()).await.expect(400).json(),
        json!({"detail": "Each metric must be a JSON object", "count": 0, "rejected": 1,
               "errors": [{"detail": "Each metric must be a JSON object", "index": 0}]})
    );
    for (body, detail) in [
        ("[", "Invalid JSON"),
        ("{}", "Request body must be a JSON array"),
    ] {
        let refused = partial(body.to_owned()).await.expect(400).json();
        assert_eq!(refused["detail"], detail);
    }
    let many = partial(format!("[{}5]", "5,".repeat(500)))
        .await
        .expect(400)
        .json();
    assert_eq!(
        (&many["rejected"], many["errors"].as_array().map(Vec::len)),
        (&json!(501), Some(100))
    );
    let stats = collector.get("/api/stats").await;
    assert_eq!(
        (
            &stats["points"],
            &stats["points_refused"],
            &stats["batches_refused"]
        ),
        (&json!(5), &json!(6), &json!(4))
    );
}

#[tokio::test]
async fn ten_thousand_points_go_into_one_request() {
    let collector = Collector::new(&[]);
    let batch: Vec<Value> = (0..10_000)
        .map(|n| {
            with(
                counter("many", 1.0, START_MS),
                json!({"labels": {"n": n % 100}}),
            )
        })
        .collect();
    collector.accept(Value::from(batch)).await;
    let rows = collector.get("/api/metrics?name=many").await;
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(100));
    assert_eq!(rows["data"][0]["count"], 100);
}

#[tokio::test]
async fn times_are_understood_or_replaced() {
    let collector = Collector::new(&[]);
    collector.advance(30 * MINUTE + 500);
    let now = collector.now_ms();
    for (timestamp, expected) in [
        (json!(at(now - 10 * MINUTE)), now - 10 * MINUTE),
        (json!("2025-01-20T12:15:00+02:00"), START_MS + 15 * MINUTE),
        (json!(START_MS + 5 * MINUTE), START_MS + 5 * MINUTE),
        (json!("banana"), now),
        (json!("2999-01-01T00:00:00Z"), now),
        (json!(null), now),
        (json!(17), now),
    ] {
        let name = format!("t{timestamp}");
        collector
            .accept(json!([{"name": name, "type": "gauge", "value": 1, "timestamp": timestamp}]))
            .await;
        let encoded = crate::encoded(&name);
        let rows = collector.get(&format!("/api/metrics?name={encoded}")).await;
        assert_eq!(
            rows["data"][0]["bucket"],
            crate::bucket(expected - expected % MINUTE),
            "{timestamp}"
        );
    }
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_timestamps_replaced_total 2\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nmonlight_metrics_points_total 7\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn labels_have_one_form() {
    let collector = Collector::new(&[]);
    for labels in [
        r#"{"b":"1","a":"2"}"#,
        r#"{ "a":"2", "b": 1 }"#,
        r#"{"a":"2","b":"1","session_id":"s-1"}"#,
        r#"{"a":"2","b":"1","session_id":"s-2","gone":null}"#,
    ] {
        let body = format!(r#"[{{"name":"r","type":"counter","value":1,"labels":{labels}}}]"#);
        collector
            .service
            .post("/api/metrics", body)
            .await
            .expect(202);
    }
    for labels in ["{}", "null"] {
        let body = format!(r#"[{{"name":"r","type":"counter","value":10,"labels":{labels}}}]"#);
        collector
            .service
            .post("/api/metrics", body)
            .await
            .expect(202);
    }
    let rows = collector.get("/api/metrics?name=r").await;
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(2));
    for (filter, count) in [
        ("a:2,b:1", 4),
        ("b:1,a:2", 4),
        ("b:1,a:2,session_id:other", 4),
        ("zzz", 2),
    ] {
        let rows = collector
            .get(&format!("/api/metrics?name=r&labels={filter}"))
            .await;
        assert_eq!(rows["data"][0]["count"], count, "{filter}");
    }
    for filter in ["a:2", "a:2,b:2", "a:2,b:1,c:3"] {
        assert_eq!(
            collector
                .get(&format!("/api/metrics?name=r&labels={filter}"))
                .await["data"],
            json!([]),
            "{filter}"
        );
    }
}

#[tokio::test]
async fn the_relays_metrics_belong_to_its_project() {
    let collector = Collector::new(&[]);
    let labels = json!({"project": "web", "source": "browser", "session_id": "s", "page": "/"});
    collector
        .accept(json!([with(
            counter("c", 1.0, START_MS),
            json!({"labels": labels})
        )]))
        .await;
    collector
        .accept(json!([with(
            counter("c", 1.0, START_MS),
            json!({"labels": labels, "project": "own"})
        )]))
        .await;
    collector
        .accept(json!([with(
            counter("c", 1.0, START_MS),
            json!({"labels": {"project": "label-only"}})
        )]))
        .await;
    assert_eq!(
        collector.get("/api/projects").await,
        json!({"projects": ["own", "web"]})
    );
    let rows = collector.get("/api/metrics?name=c&project=web").await;
    assert_eq!(rows["data"][0]["count"], 1);
}

#[tokio::test]
async fn hostile_text_is_only_text() {
    let collector = Collector::new(&[]);
    let nasty = [
        "it's",
        "\" ; DROP TABLE series; --",
        "nul\u{0}inside",
        "%s%n",
        "<img onerror=x>",
        "a,b:c",
        "é😀",
    ];
    for name in nasty {
        collector
            .accept(json!([{"name": name, "type": "gauge", "value": 1e308, "project": name, "labels": {name: name}}]))
            .await;
    }
    for name in nasty {
        let encoded = crate::encoded(name);
        let names = collector
            .get(&format!("/api/metrics/names?project={encoded}"))
            .await;
        assert_eq!(names, json!({"metrics": [{"name": name, "type": "gauge"}]}));
        let rows = collector
            .get(&format!("/api/metrics?name={encoded}&project={encoded}"))
            .await;
        assert_eq!(
            (&rows["name"], &rows["data"][0]["max"]),
            (&json!(name), &json!(1e308))
        );
        collector
            .get(&format!(
                "/api/dashboard?project={encoded}&period={encoded}"
            ))
            .await;
        for query in [
            format!("labels={encoded}&period={encoded}"),
            format!("labels=k:v&group_by={encoded}"),
        ] {
            collector.get(&format!("/api/metrics?name=x&{query}")).await;
        }
    }
    assert_eq!(
        collector.get("/api/projects").await["projects"]
            .as_array()
            .map(Vec::len),
        Some(nasty.len())
    );
    let injected = collector
        .get("/api/metrics/names?project=x%27/**/OR/**/%271%27=%271")
        .await;
    assert_eq!(injected, json!({"metrics": []}));
}

#[tokio::test]
async fn an_empty_project_is_none_and_a_long_one_is_its_own() {
    let collector = Collector::new(&[]);
    let long = "z".repeat(101);
    collector
        .accept(json!([with(
            counter("a", 1.0, START_MS),
            json!({"project": ""})
        )]))
        .await;
    collector
        .accept(json!([with(
            counter("b", 1.0, START_MS),
            json!({"project": long})
        )]))
        .await;
    let projects = collector.get("/api/projects").await;
    assert_eq!(projects["projects"].as_array().map(Vec::len), Some(1));
    let names = collector
        .get(&format!("/api/metrics/names?project={long}"))
        .await;
    assert_eq!(
        names,
        json!({"metrics": [{"name": "b", "type": "counter"}]})
    );
    let other = collector
        .get(&format!("/api/metrics/names?project={}", "z".repeat(102)))
        .await;
    assert_eq!(other, json!({"metrics": []}));
}

#[tokio::test]
async fn health_counts_the_points_of_the_last_day() {
    let collector = Collector::new(&[]);
    let now = collector.now_ms();
    collector
        .accept(json!([
            counter("a", 1.0, now),
            counter("a", 1.0, now - 30 * MINUTE),
            counter("a", 1.0, now - 23 * HOUR),
            counter("old", 1.0, now - 25 * HOUR),
        ]))
        .await;
    let health = collector.get("/health").await;
    assert_eq!(
        health,
        json!({"status": "ok", "metrics_received_24h": 3, "last_aggregation": null})
    );
    collector.advance(2 * MINUTE);
    collector.roll_up().await;
    collector.forget().await;
    // Late, after its minute has lost its points.
    collector
        .accept(json!([
            counter("a", 1.0, now - 22 * HOUR),
            counter("a", 1.0, now)
        ]))
        .await;
    let health = collector.get("/health").await;
    assert_eq!(
        health,
        json!({"status": "ok", "metrics_received_24h": 5, "last_aggregation": crate::bucket(START_MS)})
    );
    // A late point whose minute still has its points: it is counted before and after the minute is rolled up again.
    collector.accept(json!([counter("a", 1.0, now)])).await;
    for _ in 0..2 {
        assert_eq!(collector.get("/health").await["metrics_received_24h"], 6);
        collector.advance(MINUTE);
        collector.roll_up().await;
    }
}
