//! What somebody sends who wants to do harm: text that is SQL in every place, numbers that are none, a million label values.

use axum::http::Method;
use serde_json::{Value, json};

use crate::process::{Process, ask};
use crate::{Collector, START_MS, counter, encoded, with};

const NASTY: [&str; 9] = [
    "' OR '1'='1",
    "'; DROP TABLE roll_minute; --",
    "\" OR \"\"=\"",
    "x') UNION SELECT sql, 1, 1 FROM sqlite_master --",
    "1; ATTACH DATABASE '/tmp/x' AS y",
    "nul\0inside",
    "%' ESCAPE '\\",
    "NaN",
    "1e309",
];

/// Every path that reads, with every parameter that any of them knows.
const PATHS: [&str; 9] = [
    "/api/metrics?name=r",
    "/api/metrics/export?name=r",
    "/api/metrics/labels?name=r",
    "/api/metrics/label-values?label=n",
    "/api/metrics/names?",
    "/api/projects?",
    "/api/dashboard?",
    "/api/stats?",
    "/health?",
];
const PARAMETERS: [&str; 19] = [
    "name",
    "project",
    "period",
    "resolution",
    "labels",
    "group_by",
    "group_by=n&labels",
    "agg",
    "group_by=n&agg",
    "group_by=n&limit",
    "group_by=n&limit=1&rest",
    "start",
    "end",
    "step",
    "format",
    "label",
    "search",
    "partial",
    "api_key",
];

async fn counts(collector: &Collector) -> Value {
    let answer = collector.get("/api/metrics?name=r&group_by=&agg=sum").await;
    answer["data"][0]["sum"].clone()
}

#[tokio::test]
async fn every_parameter_takes_any_text() {
    let collector = Collector::new(&[("RATE_LIMIT", "0")]);
    let labels = json!({"labels": {"n": "1"}, "project": "p"});
    let point = with(counter("r", 7.0, START_MS), labels);
    collector.accept(json!([point])).await;
    let tables = "SELECT count(*) FROM sqlite_master";
    let before = (counts(&collector).await, collector.number(tables).await);
    assert_eq!(before.0, 7.0);
    for path in PATHS {
        for parameter in PARAMETERS {
            for text in NASTY {
                let full = format!("{path}&{parameter}={}", encoded(text));
                let answer = collector.service.get(&full).await;
                let status = answer.status.as_u16();
                assert!(
                    [200, 400].contains(&status),
                    "{full}: {status} {}",
                    answer.text()
                );
                let body = answer.text();
                assert!(!body.contains("CREATE TABLE"), "{full}: {body}");
            }
        }
    }
    let after = (counts(&collector).await, collector.number(tables).await);
    assert_eq!(after, before);
}

#[tokio::test]
async fn every_field_takes_any_text() {
    let collector = Collector::new(&[]);
    for text in NASTY {
        for item in [
            json!({"name": text, "type": "gauge", "value": 1}),
            json!({"name": "f", "type": "gauge", "value": 1, "timestamp": text}),
            json!({"name": "f", "type": "gauge", "value": 1, "labels": {text: text}}),
            json!({"name": "f", "type": "gauge", "value": 1, "labels": text}),
            json!({"name": "f", "type": "gauge", "value": 1, "labels": [text]}),
            json!({"name": "f", "type": "gauge", "value": 1, "project": text}),
            json!({"name": "f", "type": "gauge", "value": 1, text: text}),
        ] {
            collector.accept(json!([item])).await;
        }
        for item in [
            json!({"name": "f", "type": text, "value": 1}),
            json!({"name": "f", "type": "gauge", "value": text}),
            json!({"name": [text], "type": "gauge", "value": 1}),
        ] {
            collector.post(&json!([item])).await.expect(400);
        }
        let path = format!("/api/metrics?partial={}", encoded(text));
        let batch = json!([{"name": "f", "type": "gauge", "value": 1}]);
        collector.service.post_json(&path, &batch).await.expect(202);
    }
    let stored = collector.number("SELECT sum(n) FROM block").await;
    assert_eq!(stored, NASTY.len() as i64 * 8);
    collector.advance(2 * crate::HOUR);
    collector.roll_up().await;
    for text in NASTY {
        let text = encoded(text);
        for path in [
            format!("/api/metrics?name={text}"),
            format!("/api/metrics?name=f&project={text}"),
        ] {
            let rows = collector.get(&path).await;
            let points = rows["data"].as_array().expect("rows").len();
            assert!(points > 0, "{path}: {rows}");
        }
    }
}

#[tokio::test]
async fn numbers_that_are_none_are_refused_and_the_largest_stay_finite() {
    let collector = Collector::new(&[]);
    for value in [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e309",
        "-1e309",
        "nan",
        "0x10",
        "1.",
        ".5",
        "01",
        "true",
        "null",
        "\"1\"",
        "[1]",
    ] {
        let body = format!(r#"[{{"name":"v","type":"histogram","value":{value}}}]"#);
        let request = collector
            .service
            .request(Method::POST, "/api/metrics")
            .body(body.clone().into())
            .expect("a request");
        let answer = collector.service.send(request).await.expect(400).json();
        assert!(answer["detail"].is_string(), "{body}: {answer}");
    }
    for kind in ["counter", "gauge", "histogram"] {
        let values = [1e308, 1e308, -1e308, f64::MAX, f64::MIN, 5e-324, -0.0];
        let items = values.map(
            |value| json!({"name": "v", "type": kind, "value": value, "timestamp": crate::at(START_MS)}),
        );
        collector.accept(items.to_vec().into()).await;
    }
    collector.advance(3 * crate::HOUR);
    for _ in 0..2 {
        for (query, types) in [
            ("name=v", 3),
            ("name=v&resolution=day", 3),
            ("name=v&group_by=&agg=sum,rate,avg,p50,p90,p99,last", 3),
            // One, and the rest.
            ("name=v&group_by=x&limit=1&rest=1&agg=p90", 2),
        ] {
            let answer = collector.get(&format!("/api/metrics?{query}")).await;
            let rows = answer["data"].as_array().expect("rows");
            assert_eq!(rows.len(), types, "{query}");
            for row in rows {
                for figure in ["sum", "avg", "p90", "last", "max"] {
                    let value = &row[figure];
                    assert!(value.as_f64().is_none_or(f64::is_finite), "{row}");
                }
            }
        }
        let dashboard = collector.get("/api/dashboard").await;
        assert!(dashboard["top_metrics"][0]["total"].is_number());
        collector.roll_up().await;
    }
}

/// Sends batches of points each of which has label values of its own; how many there are of a name.
fn flood(server: &Process, batches: std::ops::Range<usize>, of_a_batch: usize) {
    for batch in batches {
        let items: Vec<Value> = (0..of_a_batch)
            .map(|n| {
                let labels = json!({"user": format!("user-{}", batch * of_a_batch + n), "page": "/"});
                json!({"name": format!("m{}", n % 50), "type": "histogram", "value": n, "labels": labels, "project": "p"})
            })
            .collect();
        let body = Value::from(items).to_string();
        let answer = ask(&server.address, "POST", "/api/metrics", &[], &body);
        assert_eq!(answer.map(|(status, _)| status), Some(202));
    }
}

#[test]
fn a_million_label_values_take_no_more_memory_than_a_hundred_thousand() {
    const VALUES: usize = 1_000_000;
    const OF_A_BATCH: usize = 10_000;
    let dir = tempfile::tempdir().expect("a directory");
    // As in the images.
    let settings = [
        ("MALLOC_ARENA_MAX", "1"),
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
        // What a rollup takes is bounded by itself.
        ("AGGREGATION_INTERVAL", "3600"),
    ];
    let server = Process::start(&dir.path().join("metrics.db"), &settings);
    flood(&server, 0..10, OF_A_BATCH);
    let early = server.peak_memory();
    flood(&server, 10..VALUES / OF_A_BATCH, OF_A_BATCH);
    let peak = server.peak_memory();
    assert!(
        peak < early + 4_000_000,
        "{early} bytes after the first, {peak} after all"
    );
    let stats = server.get("/api/stats");
    assert_eq!(stats["points"], VALUES);
    assert_eq!(stats["series"], 10_050);
    assert_eq!(stats["overflow_points"], VALUES - 10_000);
    let overflowing = stats["overflowing"].as_array().expect("a list");
    assert_eq!(overflowing.len(), 50);
    for (path, most) in [
        ("/api/metrics?name=m7&labels=__overflow__:true", 1),
        ("/api/metrics?name=m7&group_by=", 1),
        ("/api/metrics?name=m7&group_by=user&limit=5&agg=p90", 5),
        ("/api/metrics/label-values?label=user&limit=10", 10),
        ("/api/metrics?name=m7", 201),
        ("/api/dashboard", 10),
    ] {
        let answer = server.get(path);
        let rows = ["data", "values", "top_metrics"]
            .iter()
            .find_map(|key| answer[key].as_array());
        let rows = rows.expect("a list").len();
        // The points may lie in several minutes.
        assert!((1..=most * 30).contains(&rows), "{path}: {rows}");
    }
    let whole = server.get("/api/metrics?name=m7&group_by=&step=1d&period=2d");
    let rows = whole["data"].as_array().expect("rows").iter();
    let points: u64 = rows.filter_map(|row| row["count"].as_u64()).sum();
    assert_eq!(points, VALUES as u64 / 50);
    println!(
        "peak {:.1} MB, {:.1} MB with the answers",
        peak as f64 / 1e6,
        server.peak_memory() as f64 / 1e6
    );
}
