//! `GET /api/dashboard`.

use serde_json::{Value, json};

use crate::{Collector, DAY, HOUR, MINUTE, START_MS, bucket, counter, histogram, with};

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

fn request(endpoint: &str, status: &str, seconds: f64, ms: i64) -> [Value; 2] {
    let labels = json!({"labels": {"method": "GET", "endpoint": endpoint, "status": status}, "project": "shop"});
    [
        with(counter("http_requests_total", 1.0, ms), labels.clone()),
        with(
            histogram("http_request_duration_seconds", seconds, ms),
            labels,
        ),
    ]
}

/// An hour of requests: `/slow` takes 2 s and fails each fourth time, `/quick` takes 10 ms and fails never.
fn hour(start: i64, slow: usize) -> Vec<Value> {
    let slow = (0..slow).flat_map(|n| {
        let status = if n % 4 == 0 { "503" } else { "200" };
        request("/slow", status, 2.0, start + n as i64 * MINUTE)
    });
    let quick = (0..60).flat_map(|n| request("/quick", "200", 0.01, start + n * MINUTE));
    slow.chain(quick).collect()
}

fn close(value: &Value, expected: f64) {
    let got = value.as_f64().expect("a number");
    assert!(
        (got - expected).abs() <= 0.01 * expected.abs() + 1e-9,
        "{got} not {expected}"
    );
}

/// How many requests failed, by all buckets of the dashboard together.
async fn failures(collector: &Collector, period: &str) -> f64 {
    let path = format!("/api/dashboard?period={period}&project=shop");
    let dashboard = collector.get(&path).await;
    let series = dashboard["requests"]["timeseries"].as_array();
    let errors = series.expect("a list").iter();
    errors
        .map(|one| one["errors"].as_f64().expect("a number"))
        .sum()
}

#[tokio::test]
async fn failures_over_time_are_complete_whenever_their_points_come() {
    let collector = Collector::new(&[("RETENTION_HOURLY", "7"), ("RETENTION_DAILY", "20")]);
    collector.advance(2 * HOUR + 10_000);
    collector.accept(Value::from(hour(START_MS, 40))).await;
    let second = hour(START_MS + HOUR, 20);
    collector.accept(Value::from(second)).await;
    for state in ["fresh", "rolled", "retained", "rolled again"] {
        for period in ["3h", "7d", "30d"] {
            assert_eq!(failures(&collector, period).await, 15.0, "{state} {period}");
        }
        match state {
            "rolled" => collector.forget().await,
            _ => collector.roll_up().await,
        }
    }
    // The first hour has rows only, of which some have no failure yet.
    let late = [4, 5, 5].map(|n| request("/quick", "500", 0.1, START_MS + n * MINUTE));
    collector.accept(Value::from(late.concat())).await;
    for state in ["late", "rolled"] {
        for period in ["3h", "30d"] {
            assert_eq!(failures(&collector, period).await, 18.0, "{state} {period}");
        }
        collector.roll_up().await;
    }
    // The newest points keep those of their hour.
    let later = async |days: i64| {
        collector.advance(days * DAY);
        let newest = request("/quick", "200", 0.1, collector.now_ms());
        collector.accept(Value::from(newest.to_vec())).await;
        collector.advance(HOUR);
        collector.roll_up().await;
        collector.forget().await;
    };
    later(5).await;
    let minutes = "SELECT count(*) FROM failed_minute";
    assert_eq!(collector.number(minutes).await, 0);
    let late = request("/slow", "502", 0.1, START_MS + MINUTE);
    collector.accept(Value::from(late.to_vec())).await;
    assert_eq!(failures(&collector, "30d").await, 19.0);
    later(30).await;
    let left = "SELECT (SELECT count(*) FROM failed_hour) + (SELECT count(*) FROM failed_day)";
    assert_eq!(collector.number(left).await, 0);
}

#[tokio::test]
async fn requests_errors_and_latency_beside_the_period_before() {
    let collector = Collector::new(&[]);
    collector.advance(2 * HOUR);
    collector.accept(Value::from(hour(START_MS, 40))).await;
    collector
        .accept(Value::from(hour(START_MS + HOUR, 20)))
        .await;
    for state in ["fresh", "rolled", "retained"] {
        let dashboard = collector.get("/api/dashboard?period=1h&project=shop").await;
        let requests = &dashboard["requests"];
        let (now, before) = (&requests["now"], &requests["before"]);
        assert_eq!(
            (
                &now["count"],
                &now["errors"],
                &before["count"],
                &before["errors"]
            ),
            (&json!(80.0), &json!(5.0), &json!(100.0), &json!(10.0)),
            "{state}"
        );
        close(&now["rate"], 80.0 / 3600.0);
        close(&now["error_rate"], 5.0 / 80.0);
        close(&now["p50"], 0.01);
        close(&now["p95"], 2.0);
        close(&before["avg"], 80.6 / 100.0);
        let slowest = requests["slowest"].as_array().expect("a list");
        let names: Vec<&str> = slowest
            .iter()
            .filter_map(|one| one["endpoint"].as_str())
            .collect();
        assert_eq!(
            (names, &requests["endpoints"]),
            (vec!["/slow", "/quick"], &json!(2))
        );
        close(&slowest[0]["time_share"], 40.0 / 40.6);
        close(&slowest[0]["error_rate"], 0.25);
        close(&slowest[0]["before"]["count"], 40.0);
        close(&slowest[1]["p99"], 0.01);
        assert_eq!(slowest[1]["method"], "GET");
        let failing = requests["failing"].as_array().expect("a list");
        assert_eq!((failing.len(), &failing[0]["errors"]), (1, &json!(5.0)));
        let series = requests["timeseries"].as_array().expect("a list");
        assert_eq!(series.len(), 60, "{state}");
        assert_eq!(series[0]["bucket"], bucket(START_MS + HOUR));
        assert_eq!(
            (
                &series[0]["count"],
                &series[0]["errors"],
                &series[1]["errors"]
            ),
            (&json!(2.0), &json!(1.0), &json!(0.0))
        );
        close(&series[0]["p99"], 2.0);
        close(&series[30]["p99"], 0.01);
        close(&series[1]["rate"], 2.0 / 60.0);
        match state {
            "fresh" => collector.roll_up().await,
            _ => collector.forget().await,
        }
    }
    let none = collector
        .get("/api/dashboard?period=1h&project=other")
        .await;
    assert_eq!(none["requests"], Value::Null);
    // The first of two days has nothing before it.
    let all = collector.get("/api/dashboard?period=2d").await;
    assert_eq!(all["requests"]["before"], Value::Null);
    assert_eq!(all["requests"]["slowest"][0]["before"], Value::Null);
    assert_eq!(all["requests"]["now"]["count"], 180.0);
}

#[tokio::test]
async fn measured_requests_are_counted_where_no_counter_is_sent() {
    let collector = Collector::new(&[]);
    collector.advance(MINUTE);
    let measured: Vec<Value> = (0..8)
        .flat_map(|n| request("/a", if n == 0 { "500" } else { "200" }, 0.5, START_MS + n))
        .filter(|item| item["type"] == "histogram")
        .collect();
    collector.accept(Value::from(measured)).await;
    let requests = &collector.get("/api/dashboard").await["requests"];
    assert_eq!(
        (&requests["now"]["count"], &requests["now"]["error_rate"]),
        (&json!(8.0), &json!(0.125))
    );
    assert_eq!(requests["failing"][0]["endpoint"], "/a");
}

#[tokio::test]
async fn vitals_on_a_limit_are_good_in_every_period() {
    let collector = Collector::new(&[]);
    collector.advance(10 * MINUTE);
    let limits = [
        ("lcp", 2500.0),
        ("inp", 200.0),
        ("cls", 0.1),
        ("fcp", 1800.0),
        ("ttfb", 800.0),
    ];
    let mut batch = Vec::new();
    for (short, limit) in limits {
        for minute in 0..5 {
            let at = START_MS + minute * MINUTE;
            batch.extend((0..4).map(|_| vital(short, limit, at, "/a")));
        }
        // More of the visits are on the limit than p75 asks for, and some are far above and below.
        batch.push(vital(short, limit * 30.0, START_MS, "/b"));
        batch.push(vital(short, limit / 30.0, START_MS, "/b"));
    }
    collector.accept(Value::from(batch)).await;
    let check = async || {
        for period in ["1h", "24h", "7d", "31d"] {
            let path = format!("/api/dashboard?period={period}");
            let vitals = collector.get(&path).await["web_vitals"].clone();
            for (short, limit) in limits {
                let one = &vitals["summary"][short];
                let p75 = one["p75"].as_f64().expect("a number");
                assert!((0.99..=1.0).contains(&(p75 / limit)), "{period} {one}");
                assert_eq!(one["p75_rating"], "good", "{period} {short}");
                let good = one["shares"]["good"].as_f64().expect("a number");
                assert!((good - 21.0 / 22.0).abs() < 1e-9, "{period} {one}");
                let page = &vitals["by_page"][0];
                assert_eq!(
                    (&page["page"], &page["p75"][short]),
                    (&json!("/a"), &json!(limit))
                );
                assert_eq!(page["shares"][short]["good"], 1.0);
                let rows = vitals["timeseries"].as_array().expect("rows");
                let last = rows.last().and_then(|row| row["p75"][short].as_f64());
                assert!(
                    last.is_some_and(|p75| (0.99..=1.0).contains(&(p75 / limit))),
                    "{rows:?}"
                );
            }
        }
    };
    check().await;
    collector.roll_up().await;
    check().await;
    collector.advance(50 * MINUTE);
    collector.roll_up().await;
    check().await;
}

#[tokio::test]
async fn a_vital_is_rated_by_its_p75() {
    let collector = Collector::new(&[]);
    let mut batch: Vec<Value> = (0..80)
        .map(|_| vital("lcp", 1000.0, START_MS, "/a"))
        .collect();
    batch.extend((0..20).map(|_| vital("lcp", 20_000.0, START_MS, "/a")));
    collector.accept(Value::from(batch)).await;
    let vitals = &collector.get("/api/dashboard").await["web_vitals"];
    let lcp = &vitals["summary"]["lcp"];
    assert_eq!(
        (&lcp["avg"], &lcp["rating"], &lcp["p75_rating"]),
        (&json!(4800.0), &json!("good"), &json!("good"))
    );
    assert_eq!(
        vitals["by_page"][0]["shares"]["lcp"],
        json!({"good": 0.8, "needs-improvement": 0.0, "poor": 0.2})
    );
    assert_eq!(vitals["by_page"][0]["shares"]["cls"], Value::Null);
}

#[tokio::test]
async fn a_period_and_the_one_before_count_everything_once() {
    let collector = Collector::new(&[("RETENTION_MINUTE", "3")]);
    collector.advance(9 * HOUR + 17 * MINUTE + 15_123);
    let now = collector.now_ms();
    let batch: Vec<Value> = (0..4000)
        .map(|n| counter("http_requests_total", 1.0, now - n * 7_919))
        .collect();
    collector.accept(Value::from(batch)).await;
    for state in ["fresh", "rolled", "retained"] {
        for (period, both) in [("13m", "26m"), ("1h", "2h"), ("2h", "4h"), ("4h", "8h")] {
            let requests = async |period: &str| {
                let path = format!("/api/dashboard?period={period}");
                collector.get(&path).await["requests"].clone()
            };
            let (one, both) = (requests(period).await, requests(both).await);
            let count = |value: &Value| value["count"].as_f64().expect("a number");
            assert_eq!(
                count(&one["now"]) + count(&one["before"]),
                count(&both["now"]),
                "{state} {period}"
            );
        }
        match state {
            "fresh" => collector.roll_up().await,
            _ => collector.forget().await,
        }
    }
}

#[tokio::test]
async fn failures_beyond_the_largest_number_stay_at_it() {
    let collector = Collector::new(&[]);
    let labels = json!({"labels": {"endpoint": "/a", "status": "500"}});
    let point = |n: i64| {
        with(
            counter("http_requests_total", 1e308, START_MS + n),
            labels.clone(),
        )
    };
    let minutes = (0..3).map(|n| point(n * MINUTE));
    let others = (0..3).map(|n| {
        let labels = json!({"labels": {"endpoint": format!("/{n}"), "status": "500"}});
        with(counter("http_requests_total", 1e308, START_MS), labels)
    });
    collector.accept(minutes.chain(others).collect()).await;
    collector.advance(2 * HOUR);
    for _ in 0..2 {
        let dashboard = collector.get("/api/dashboard?period=24h").await;
        let series = &dashboard["requests"]["timeseries"];
        assert_eq!(
            (&series[0]["errors"], &series[1]["errors"]),
            (&json!(f64::MAX), &json!(1e308))
        );
        collector.roll_up().await;
    }
}
