//! `GET /api/dashboard`.

use serde_json::{Value, json};

use crate::{Collector, HOUR, MINUTE, START_MS, bucket, counter, histogram, with};

fn vital(name: &str, value: f64, ms: i64, page: &str) -> Value {
    with(
        histogram(&format!("web_vitals_{name}"), value, ms),
        json!({"labels": {"source": "browser", "page": page}}),
    )
}

#[tokio::test]
async fn an_empty_dashboard_has_zeros() {
    let collector = Collector::new(&[]);
    let expected = |period: &str| json!({"period": period, "summary": {"total_datapoints": 0, "distinct_metrics": 0}, "top_metrics": []});
    assert_eq!(collector.get("/api/dashboard").await, expected("24h"));
    assert_eq!(
        collector
            .get("/api/dashboard?period=bad&period=45m&period=7d")
            .await,
        expected("45m")
    );
}

#[tokio::test]
async fn any_period_is_counted_to_the_point() {
    let collector = Collector::new(&[]);
    collector.advance(50 * HOUR + 30 * MINUTE + 15_000);
    let now = collector.now_ms();
    let ages = [
        5_000,
        50_000,
        70_000,
        10 * MINUTE,
        59 * MINUTE + 59_000,
        HOUR + 1,
        5 * HOUR,
        23 * HOUR,
        25 * HOUR,
        50 * HOUR,
    ];
    let batch: Vec<Value> = ages
        .iter()
        .map(|age| counter("c", 1.0, now - age))
        .collect();
    collector.accept(Value::from(batch)).await;
    // Before the rollup, after it, and after the points of all but the last hour are gone.
    for state in ["fresh", "rolled", "retained"] {
        match state {
            "rolled" => collector.roll_up().await,
            "retained" => collector.forget().await,
            _ => {}
        }
        for (period, expected) in [
            ("1m", 2),
            ("2m", 3),
            ("1h", 5),
            ("6h", 7),
            ("24h", 8),
            ("7d", 10),
        ] {
            let dashboard = collector
                .get(&format!("/api/dashboard?period={period}"))
                .await;
            assert_eq!(
                dashboard["summary"],
                json!({"total_datapoints": expected, "distinct_metrics": 1}),
                "{state} {period}"
            );
            assert_eq!(
                dashboard["top_metrics"][0]["total"],
                json!(f64::from(expected)),
                "{state} {period}"
            );
        }
    }
}

#[tokio::test]
async fn top_metrics_are_ten_and_projects_are_honoured() {
    let collector = Collector::new(&[]);
    let mut batch = Vec::new();
    for n in 1..=12 {
        for _ in 0..n {
            batch.push(with(
                counter(&format!("m{n:02}"), 0.5, START_MS),
                json!({"project": if n % 2 == 0 { "even" } else { "odd" }}),
            ));
        }
    }
    collector.accept(Value::from(batch)).await;
    let dashboard = collector.get("/api/dashboard").await;
    assert_eq!(
        dashboard["summary"],
        json!({"total_datapoints": 78, "distinct_metrics": 12})
    );
    let top = dashboard["top_metrics"].as_array().expect("a list");
    assert_eq!(top.len(), 10);
    assert_eq!(
        top[0],
        json!({"name": "m12", "type": "counter", "count": 12, "total": 6.0})
    );
    assert_eq!(top[9]["name"], "m03");
    let even = collector.get("/api/dashboard?project=even").await;
    assert_eq!(
        even["summary"],
        json!({"total_datapoints": 42, "distinct_metrics": 6})
    );
    assert_eq!(
        collector.get("/api/dashboard?project=none").await["summary"]["total_datapoints"],
        0
    );
}

#[tokio::test]
async fn web_vitals_over_any_period() {
    let collector = Collector::new(&[]);
    collector.advance(10 * MINUTE);
    let t = START_MS;
    let mut batch = vec![
        vital("lcp", 1000.0, t + 1_000, "/a"),
        vital("lcp", 3000.0, t + 50_000, "/a"),
        vital("cls", 0.2, t + 59_000, "/a"),
        vital("inp", 100.0, t + 2 * MINUTE, "/b"),
        vital("fcp", 900.0, t + 2 * MINUTE, "/b"),
        vital("ttfb", 2000.0, t + 2 * MINUTE, "/b"),
        // Not from a browser.
        histogram("web_vitals_lcp", 9999.0, t),
    ];
    batch.extend((0..10).map(|_| vital("lcp", 2000.0, t + MINUTE, "/b")));
    collector.accept(Value::from(batch)).await;
    for period in ["1h", "24h", "7d", "30d"] {
        let vitals = collector
            .get(&format!("/api/dashboard?period={period}"))
            .await["web_vitals"]
            .clone();
        let lcp = &vitals["summary"]["lcp"];
        assert_eq!(
            (&lcp["avg"], &lcp["count"], &lcp["rating"]),
            (&json!(2000.0), &json!(12), &json!("good")),
            "{period}"
        );
        assert!(
            (lcp["p75"].as_f64().expect("a number") - 2000.0).abs() <= 20.0,
            "{lcp}"
        );
        let share = |key: &str| lcp["shares"][key].as_f64().expect("a number");
        assert!(
            (share("good") - 11.0 / 12.0).abs() < 1e-9
                && (share("needs-improvement") - 1.0 / 12.0).abs() < 1e-9
        );
        assert_eq!(vitals["summary"]["ttfb"]["rating"], "poor");
        assert_eq!(vitals["summary"]["cls"]["rating"], "needs-improvement");
        let pages = vitals["by_page"].as_array().expect("pages");
        assert_eq!(pages.len(), 2);
        assert_eq!(
            (&pages[0]["page"], &pages[0]["page_views"], &pages[0]["inp"]),
            (&json!("/b"), &json!(10), &json!(100.0))
        );
        assert_eq!(
            (&pages[1]["page"], &pages[1]["lcp"]),
            (&json!("/a"), &json!(2000.0))
        );
        let series = vitals["timeseries"].as_array().expect("a list");
        if period.ends_with('h') {
            let steps: Vec<(&Value, &Value)> = series
                .iter()
                .map(|step| (&step["bucket"], &step["count"]))
                .collect();
            assert_eq!(
                steps,
                [
                    (&json!(bucket(t)), &json!(3)),
                    (&json!(bucket(t + MINUTE)), &json!(10)),
                    (&json!(bucket(t + 2 * MINUTE)), &json!(1))
                ]
            );
            assert_eq!(
                (&series[0]["lcp"], &series[0]["inp"], &series[2]["fcp"]),
                (&json!(2000.0), &Value::Null, &json!(900.0))
            );
        } else {
            assert_eq!(series.len(), 1);
            assert_eq!(
                (&series[0]["bucket"], &series[0]["count"]),
                (&json!(bucket(t)), &json!(14))
            );
        }
        // The next round reads hours and minutes that are rolled up.
        collector.roll_up().await;
        if period == "1h" {
            collector.advance(40 * MINUTE);
        }
        if period == "24h" {
            collector.advance(26 * HOUR);
        }
    }
}

#[tokio::test]
async fn only_browsers_open_the_vitals() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([
            histogram("web_vitals_lcp", 2500.0, START_MS),
            with(
                histogram("web_vitals_lcp", 1.0, START_MS),
                json!({"labels": {"source": "server"}})
            ),
            with(
                histogram("web_vitals_inp", 1.0, START_MS),
                json!({"labels": {"source": ["browser"]}})
            ),
            vital("fcp", 5.0, START_MS, "/"),
            vital("lcp", 1.0, START_MS - 48 * HOUR, "/"),
        ]))
        .await;
    assert_eq!(
        collector.get("/api/dashboard").await["web_vitals"],
        Value::Null
    );
    collector
        .accept(json!([with(
            vital("lcp", 100.0, START_MS, "/"),
            json!({"project": "p1"})
        )]))
        .await;
    let summary = collector.get("/api/dashboard").await["web_vitals"]["summary"].clone();
    assert_eq!(
        (&summary["lcp"]["count"], &summary["fcp"]["count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        summary["inp"],
        json!({"avg": null, "count": 0, "rating": "unknown", "p75": null, "p75_rating": "unknown", "shares": null})
    );
    assert_eq!(
        collector.get("/api/dashboard?project=p2").await["web_vitals"],
        Value::Null
    );
}
