//! `GET /api/metrics`, names and projects.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{Collector, HOUR, MINUTE, START_MS, bucket, counter, histogram, with};

#[tokio::test]
async fn the_running_minute_is_there_and_the_next_one_is_not() {
    let collector = Collector::new(&[]);
    collector.advance(10_000);
    collector
        .accept(json!([
            counter("c", 2.5, START_MS + 5_000),
            counter("c", 1.0, START_MS + MINUTE + 5_000)
        ]))
        .await;
    let rows = collector
        .service
        .get("/api/metrics?name=c")
        .await
        .expect(200);
    assert_eq!(
        rows.text(),
        r#"{"name": "c", "resolution": "minute", "period": "24h", "data": [{"bucket": "2025-01-20T10:00:00Z", "count": 1, "sum": 2.500000, "min": 2.500000, "max": 2.500000, "avg": 2.500000, "p50": null, "p95": null, "p99": null, "last": 2.500000}]}"#
    );
    collector.advance(MINUTE);
    assert_eq!(
        collector.get("/api/metrics?name=c").await["data"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn parameters_fall_back_as_in_the_contract() {
    let collector = Collector::new(&[]);
    for (query, resolution, period) in [
        ("name=x", "minute", "24h"),
        ("name=x&period=7d", "hour", "7d"),
        ("name=x&period=1h&period=7d&period=bad", "hour", "7d"),
        (
            "name=x&period=7d&resolution=minute&resolution=bad",
            "minute",
            "7d",
        ),
        ("name=x&period=1h&resolution=hour", "hour", "1h"),
        ("name=x&resolution=hour&resolution=auto", "minute", "24h"),
        ("name=x&period=%2B5m", "minute", "24h"),
        ("name=y&name=x&name=", "minute", "24h"),
        ("name=x&period=30d", "hour", "30d"),
        ("name=x&period=999999999d", "day", "999999999d"),
    ] {
        let answer = collector.get(&format!("/api/metrics?{query}")).await;
        assert_eq!(
            answer,
            json!({"name": "x", "resolution": resolution, "period": period, "data": []}),
            "{query}"
        );
    }
    for query in ["", "?name=", "?Name=x", "?period=1h"] {
        let answer = collector
            .service
            .get(&format!("/api/metrics{query}"))
            .await
            .expect(400);
        assert_eq!(
            answer.json(),
            json!({"detail": "Missing required parameter: name"})
        );
    }
}

#[tokio::test]
async fn a_period_longer_than_everything_means_everything() {
    let collector = Collector::new(&[]);
    let past =
        json!({"name": "p", "type": "counter", "value": 1, "timestamp": "1970-01-01T00:00:00Z"});
    let older =
        json!({"name": "p", "type": "counter", "value": 1, "timestamp": "0001-01-01T00:00:00Z"});
    collector
        .accept(json!([past, older, counter("p", 1.0, START_MS)]))
        .await;
    for _ in 0..2 {
        let rows = collector.get("/api/metrics?name=p&period=99999999h").await;
        let buckets: Vec<&Value> = rows["data"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| &row["bucket"])
            .collect();
        assert_eq!(
            buckets,
            [
                "0001-01-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
                "2025-01-20T00:00:00Z"
            ]
        );
        let dashboard = collector.get("/api/dashboard?period=999999999d").await;
        assert_eq!(dashboard["summary"]["total_datapoints"], 3);
        collector.advance(2 * HOUR);
        collector.roll_up().await;
    }
}

#[tokio::test]
async fn projects_and_types_are_kept_apart() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([
            with(counter("p", 1.0, START_MS), json!({"project": "a"})),
            with(counter("p", 10.0, START_MS), json!({"project": "b"})),
            counter("m", 1.0, START_MS),
            histogram("m", 9.0, START_MS),
        ]))
        .await;
    let sums = async |query: &str| -> Vec<Value> {
        let rows = collector.get(&format!("/api/metrics?name={query}")).await;
        rows["data"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["sum"].clone())
            .collect()
    };
    assert_eq!(sums("p&project=a").await, [json!(1.0)]);
    assert_eq!(sums("p&project=b").await, [json!(10.0)]);
    assert_eq!(sums("p&project=zzz").await, Vec::<Value>::new());
    // Without a project: one row per label set, as ever.
    assert_eq!(sums("p").await, [json!(11.0)]);
    assert_eq!(sums("p&project=").await, [json!(11.0)]);
    assert_eq!(sums("m").await, [json!(1.0), json!(9.0)]);
    assert_eq!(
        collector.get("/api/metrics/names?project=a").await,
        json!({"metrics": [{"name": "p", "type": "counter"}]})
    );
}

#[tokio::test]
async fn series_can_be_merged_by_labels() {
    let collector = Collector::new(&[]);
    let mut batch = Vec::new();
    for n in 0..300_u32 {
        let labels =
            json!({"labels": {"endpoint": if n % 3 == 0 { "/slow" } else { "/fast" }, "n": n}});
        let value = if n % 3 == 0 { 100.0 } else { 1.0 };
        batch.push(with(histogram("d", value, START_MS + i64::from(n)), labels));
    }
    collector.accept(Value::from(batch)).await;
    for rolled in [false, true] {
        if rolled {
            collector.advance(2 * HOUR);
            collector.roll_up().await;
        }
        for resolution in ["minute", "hour"] {
            let all = collector
                .get(&format!(
                    "/api/metrics?name=d&group_by=&resolution={resolution}"
                ))
                .await;
            assert_eq!(all["group_by"], json!([]));
            assert_eq!(all["data"].as_array().map(Vec::len), Some(1), "{all}");
            let row = &all["data"][0];
            assert_eq!(
                (&row["count"], &row["sum"], &row["type"]),
                (&json!(300), &json!(10_200.0), &json!("histogram"))
            );
            let p = |row: &Value, key: &str| row[key].as_f64().expect("a number");
            assert!(
                (p(row, "p50") - 1.0).abs() <= 0.01 && (p(row, "p95") - 100.0).abs() <= 1.0,
                "{row}"
            );

            let by = collector
                .get(&format!(
                    "/api/metrics?name=d&group_by=endpoint,none&resolution={resolution}"
                ))
                .await;
            let rows = by["data"].as_array().expect("rows");
            let labels: Vec<&Value> = rows.iter().map(|row| &row["labels"]).collect();
            assert_eq!(
                labels,
                [
                    &json!({"endpoint": "/slow", "none": ""}),
                    &json!({"endpoint": "/fast", "none": ""})
                ]
            );
            assert_eq!((p(&rows[0], "p50"), p(&rows[1], "p99")), (100.0, 1.0));
        }
    }
}

#[tokio::test]
async fn long_answers_come_in_pieces_and_are_whole() {
    let collector = Collector::new(&[]);
    for minute in 0..12 {
        let batch: Vec<Value> = (0..1500)
            .map(|n| {
                with(
                    counter("w", f64::from(n), START_MS + minute * MINUTE),
                    json!({"labels": {"n": n}}),
                )
            })
            .collect();
        collector.accept(Value::from(batch)).await;
        collector.advance(MINUTE);
        if minute == 6 {
            collector.roll_up().await;
        }
    }
    let answer = collector
        .service
        .get("/api/metrics?name=w")
        .await
        .expect(200);
    let rows = answer.json();
    let rows = rows["data"].as_array().expect("rows");
    assert_eq!(rows.len(), 12 * 1500);
    for (place, row) in rows.iter().enumerate() {
        let minute = START_MS + (place / 1500) as i64 * MINUTE;
        assert_eq!(row["bucket"], bucket(minute));
        assert_eq!(row["sum"], json!((place % 1500) as f64));
    }
}

/// Thousands of names for thousands of series took gigabytes.
#[tokio::test]
async fn a_long_group_by_took_all_memory() {
    let collector = Collector::new(&[("MAX_SERIES_PER_NAME", "3000")]);
    let batch: Vec<Value> = (0..3000)
        .map(|n| with(counter("w", 1.0, START_MS), json!({"labels": {"u": n}})))
        .collect();
    collector.accept(Value::from(batch)).await;
    let repeated = format!("/api/metrics?name=w&group_by={}", "u,".repeat(5000));
    let answer = collector.get(&repeated).await;
    assert_eq!(answer["group_by"], json!(["u"]));
    assert_eq!(answer["data"].as_array().expect("rows").len(), 3000);
    let names: Vec<String> = (0..33).map(|n| format!("l{n}")).collect();
    let most = format!("/api/metrics?name=w&group_by={}", names[..32].join(","));
    assert_eq!(
        collector.get(&most).await["data"][0]["labels"]["l31"],
        json!("")
    );
    let more = format!("/api/metrics?name=w&group_by={}", names.join(","));
    let refused = collector.service.get(&more).await.expect(400).json();
    let detail = "group_by: too many labels; expected at most 32";
    assert_eq!(refused, json!({"detail": detail}));
}

/// A hundred answers that were not taken held the labels of their ten thousand series each.
#[tokio::test]
async fn slow_readers_of_many_series_took_all_memory() {
    let collector = Collector::new(&[("MAX_SERIES_PER_NAME", "8000")]);
    for minute in 0..2 {
        let batch: Vec<Value> = (0..8000)
            .map(|n| {
                with(
                    counter("w", 1.0, START_MS + minute * MINUTE),
                    json!({"labels": {"u": n}}),
                )
            })
            .collect();
        collector.accept(Value::from(batch)).await;
    }
    collector.advance(MINUTE);
    let mut held = Vec::new();
    for _ in 0..5 {
        let request = collector
            .service
            .request(Method::GET, "/api/metrics?name=w")
            .body(Body::empty());
        let answer = collector
            .tasks
            .router
            .clone()
            .oneshot(request.expect("a request"));
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 200);
        held.push(answer);
    }
    let refused = collector.service.get("/api/metrics?name=w").await;
    assert_eq!(refused.expect(503).header("retry-after"), "1");
    collector.get("/api/metrics?name=other").await;
    drop(held);
    collector.get("/api/metrics?name=w").await;
}

#[tokio::test]
async fn figures_are_numbers_whatever_their_size() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([
            histogram("inf", 1e308, START_MS),
            histogram("inf", 1e308, START_MS),
            histogram("big", 1e26, START_MS),
            histogram("small", 1e-9, START_MS),
            histogram("third", 1.0 / 3.0, START_MS),
        ]))
        .await;
    let row = async |name: &str| {
        collector.get(&format!("/api/metrics?name={name}")).await["data"][0].clone()
    };
    let inf = row("inf").await;
    assert_eq!(
        (&inf["sum"], &inf["avg"], &inf["p99"]),
        (&json!(f64::MAX), &json!(1e308), &json!(1e308))
    );
    assert_eq!(row("big").await["sum"], json!(1e26));
    assert_eq!(row("small").await["avg"], json!(1e-9));
    assert_eq!(row("third").await["p50"], json!(1.0 / 3.0));
    let dashboard = collector.get("/api/dashboard").await;
    assert_eq!(
        dashboard["top_metrics"][0],
        json!({"name": "inf", "type": "histogram", "count": 2, "total": f64::MAX})
    );
}

#[tokio::test]
async fn unknown_routes_and_methods_are_not_found() {
    let collector = Collector::new(&[]);
    for path in [
        "/api/metrics/",
        "/api/metrics/other",
        "/api/unknown",
        "/api",
    ] {
        let answer = collector.service.get(path).await.expect(404);
        assert_eq!(answer.json(), json!({"detail": "Not found"}), "{path}");
    }
    let answer = collector.service.delete("/api/metrics").await.expect(404);
    assert_eq!(answer.json(), json!({"detail": "Not found"}));
    assert!(
        collector
            .service
            .get("/")
            .await
            .expect(200)
            .text()
            .contains("<html")
    );
}

/// Clients that do not understand pieces read answers of thousands of rows, as the original sends them.
#[tokio::test]
async fn usual_answers_have_a_length() {
    let collector = Collector::new(&[]);
    let batch: Vec<Value> = (0..1500)
        .map(|n| with(counter("w", 1.0, START_MS), json!({"labels": {"n": n}})))
        .collect();
    collector.accept(Value::from(batch)).await;
    let request = collector
        .service
        .request(Method::GET, "/api/metrics?name=w")
        .body(Body::empty())
        .expect("a request");
    let router = collector.service.router.clone();
    let answer = router.oneshot(request).await.expect("answers");
    let length = axum::body::HttpBody::size_hint(answer.body()).exact();
    assert!(length.is_some_and(|bytes| bytes > 200_000), "{length:?}");
}
