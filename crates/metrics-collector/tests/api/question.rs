//! What a question can ask for beyond the contract: conditions on labels, figures of choice, the largest groups, steps,
//! and stretches of time.

use serde_json::{Value, json};

use crate::{Collector, HOUR, MINUTE, START_MS, bucket, counter, histogram, with};

/// Requests of three endpoints with three statuses in two minutes, and a gauge.
async fn shop() -> Collector {
    let collector = Collector::new(&[]);
    collector.advance(2 * MINUTE + 30_000);
    let mut batch = Vec::new();
    for minute in 0..2 {
        for (place, endpoint) in ["/cart", "/pay", "/list, all"].into_iter().enumerate() {
            for (status, value) in [("200", 60.0), ("404", 3.0), ("503", 1.0)] {
                let value = value * (place + 1) as f64;
                let labels = json!({"labels": {"endpoint": endpoint, "status": status}});
                let at = START_MS + minute * MINUTE + 1000;
                batch.push(with(counter("r", value, at), labels));
            }
        }
    }
    batch.push(with(
        counter("r", 7.0, START_MS),
        json!({"labels": {"endpoint": "/cart"}}),
    ));
    collector.accept(Value::from(batch)).await;
    collector
}

async fn rows(collector: &Collector, query: &str) -> Vec<Value> {
    let answer = collector.get(&format!("/api/metrics?{query}")).await;
    answer["data"].as_array().expect("rows").clone()
}

fn sum(rows: &[Value], key: &str) -> f64 {
    rows.iter().filter_map(|row| row[key].as_f64()).sum()
}

#[tokio::test]
async fn conditions_on_labels_choose_series() {
    let collector = shop().await;
    for rolled in [false, true] {
        for (filter, expected) in [
            ("", 775.0),
            ("status:503", 12.0),
            ("status:5*", 12.0),
            ("status:*", 768.0),
            ("status!:*", 7.0),
            ("status!:200", 55.0),
            ("endpoint:/cart", 135.0),
            ("endpoint:/cart,status!:2*", 15.0),
            (r"endpoint:/list\, all", 384.0),
            ("endpoint:/*a*", 775.0),
            ("endpoint:/none", 0.0),
            ("none:", 775.0),
        ] {
            let query = format!("name=r&group_by=&labels={}", crate::encoded(filter));
            assert_eq!(
                sum(&rows(&collector, &query).await, "sum"),
                expected,
                "{filter}"
            );
        }
        if !rolled {
            collector.advance(MINUTE);
            collector.roll_up().await;
        }
    }
    // Alone, labels are a complete set, as in the contract.
    assert_eq!(
        rows(&collector, "name=r&labels=status:503").await,
        [Value::Null; 0]
    );
    let refused = collector
        .service
        .get("/api/metrics?name=r&group_by=&labels=status")
        .await
        .expect(400);
    assert_eq!(
        refused.json(),
        json!({"detail": r#"labels: "status" is not understood; expected label:value, label!:value, label:* or label!:*"#})
    );
}

#[tokio::test]
async fn figures_of_choice() {
    let collector = shop().await;
    let answer = collector
        .get("/api/metrics?name=r&group_by=status&labels=status:503&agg=rate,count,max")
        .await;
    assert_eq!(answer["agg"], json!(["rate", "count", "max"]));
    assert_eq!(
        answer["data"][0],
        json!({"bucket": bucket(START_MS), "type": "counter", "labels": {"status": "503"},
               "rate": 0.1, "count": 3, "max": 3.0})
    );
    // Thirty seconds of the running minute are over.
    collector
        .accept(json!([counter("live", 60.0, START_MS + 2 * MINUTE)]))
        .await;
    let live = rows(&collector, "name=live&group_by=&agg=rate").await;
    assert_eq!(live[0]["rate"], 2.0);
    // Without groups the usual row is there, and what it lacks beside it.
    let usual = rows(&collector, "name=live&agg=rate,p90").await;
    assert_eq!(
        (
            &usual[0]["sum"],
            &usual[0]["rate"],
            &usual[0]["p90"],
            &usual[0]["p95"]
        ),
        (&json!(60.0), &json!(2.0), &json!(60.0), &Value::Null)
    );
    for (query, detail) in [
        (
            "agg=median",
            "agg: \"median\" is not understood; expected some of count, sum, rate, avg, min, max, last, p50, p90, p95 and p99, separated by commas",
        ),
        ("limit=3", "limit: only together with group_by"),
        (
            "group_by=&limit=0",
            "limit: \"0\" is not understood; expected a whole number, 1 to 1000",
        ),
        ("group_by=&rest=1", "rest: only together with limit"),
        (
            "step=90s",
            "step: \"90s\" is not understood; expected whole minutes, hours or days such as 5m, 6h or 1d",
        ),
        (
            "start=yesterday",
            "start: \"yesterday\" is not understood; expected ISO 8601 such as 2025-01-20T10:00:00Z, 2025-01-20T11:00:00.5+01:00 or 2025-01-20",
        ),
        (
            "start=2025-01-20&end=2025-01-19",
            "start: it lies behind the end",
        ),
    ] {
        let refused = collector
            .service
            .get(&format!("/api/metrics?name=r&{query}"))
            .await
            .expect(400);
        assert_eq!(refused.json(), json!({"detail": detail}), "{query}");
    }
}

#[tokio::test]
async fn percentiles_of_groups_are_those_of_their_points() {
    let collector = Collector::new(&[]);
    let batch: Vec<Value> = (1..=1000)
        .map(|n| {
            let labels =
                json!({"labels": {"pod": n % 7, "path": if n > 900 { "/b" } else { "/a" }}});
            with(histogram("d", f64::from(n), START_MS + 1000), labels)
        })
        .collect();
    collector.accept(Value::from(batch)).await;
    for _ in 0..2 {
        let answer = rows(&collector, "name=d&group_by=path&agg=p50,p90,p95,p99").await;
        for (row, of_path) in answer.iter().zip([1..=900_u32, 901..=1000]) {
            for (key, percent) in [("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99)] {
                let values: Vec<u32> = of_path.clone().collect();
                let exact = f64::from(values[(values.len() * percent).div_ceil(100) - 1]);
                let got = row[key].as_f64().expect("a number");
                assert!(
                    (got / exact - 1.0).abs() <= 0.01,
                    "{key}: {got} not {exact}"
                );
            }
        }
        collector.advance(2 * MINUTE);
        collector.roll_up().await;
    }
    // One series of one minute has its exact ones, and what is not kept exactly comes from the sketch.
    let one = rows(&collector, "name=d&labels=pod:0,path:/a&agg=p90").await;
    assert_eq!(one[0]["p50"], 448.0);
    assert!((one[0]["p90"].as_f64().expect("a number") / 812.0 - 1.0).abs() <= 0.01);
}

#[tokio::test]
async fn a_limit_keeps_the_largest_groups_and_says_what_it_leaves_out() {
    let collector = Collector::new(&[]);
    let item = |n: u32, minute: i64| {
        let at = START_MS + minute * MINUTE;
        let labels = json!({"labels": {"page": format!("/{n:02}")}});
        with(histogram("d", f64::from(n), at), labels)
    };
    let batch: Vec<Value> = (0..60).map(|n| item(n % 20, i64::from(n / 20))).collect();
    collector.accept(Value::from(batch)).await;
    collector.advance(3 * MINUTE);
    collector.roll_up().await;
    for agg in ["avg", "sum", "p95", "max", "last"] {
        let answer = collector
            .get(&format!(
                "/api/metrics?name=d&group_by=page&agg={agg}&limit=2"
            ))
            .await;
        assert_eq!(
            (&answer["groups"], &answer["left_out"]),
            (&json!(20), &json!({"groups": 18, "points": 54})),
            "{agg}"
        );
        let shown: Vec<&Value> = answer["data"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| &row["labels"]["page"])
            .collect();
        assert_eq!(shown, ["/19", "/18", "/19", "/18", "/19", "/18"], "{agg}");
        assert_eq!(answer["totals"][1]["labels"]["page"], "/18");
    }
    let answer = collector
        .get("/api/metrics?name=d&group_by=page&agg=sum&limit=1&rest=1")
        .await;
    assert_eq!(
        answer["totals"],
        json!([{"type": "histogram", "labels": {"page": "/19"}, "sum": 57.0},
               {"type": "histogram", "labels": {}, "rest": true, "sum": 513.0}])
    );
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(6));
    assert_eq!(answer["data"][1]["rest"], true);
    // Nothing is left out: no rest.
    let answer = collector
        .get("/api/metrics?name=d&group_by=page&limit=100&rest=1")
        .await;
    assert_eq!(answer["left_out"], json!({"groups": 0, "points": 0}));
    assert_eq!(answer["totals"].as_array().map(Vec::len), Some(20));
    // All together is one group, whatever the limit.
    let answer = collector.get("/api/metrics?name=d&group_by=&limit=5").await;
    assert_eq!(
        (&answer["groups"], &answer["totals"][0]["count"]),
        (&json!(1), &json!(60))
    );
    let none = collector
        .get("/api/metrics?name=none&group_by=a&limit=5")
        .await;
    assert_eq!((&none["groups"], &none["data"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn more_groups_than_sketches_that_are_held_are_ranked_all_the_same() {
    let collector = Collector::new(&[]);
    let batch: Vec<Value> = (0..1500)
        .map(|n| {
            let labels = json!({"labels": {"n": n}});
            with(histogram("d", f64::from((n * 7) % 1500), START_MS), labels)
        })
        .collect();
    collector.accept(Value::from(batch)).await;
    let answer = collector
        .get("/api/metrics?name=d&group_by=n&agg=p99&limit=2")
        .await;
    assert_eq!(
        answer["totals"],
        json!([{"type": "histogram", "labels": {"n": "857"}, "p99": 1499.0},
               {"type": "histogram", "labels": {"n": "214"}, "p99": 1498.0}])
    );
    assert_eq!(answer["left_out"]["groups"], 1498);
}

#[tokio::test]
async fn steps_and_stretches_of_time() {
    let collector = Collector::new(&[("RETENTION_MINUTE", "72")]);
    collector.advance(50 * HOUR);
    let batch: Vec<Value> = (0..100)
        .map(|n| histogram("d", f64::from(n), START_MS + i64::from(n) * HOUR / 2))
        .collect();
    collector.accept(Value::from(batch)).await;
    for _ in 0..2 {
        for (query, counts) in [
            ("step=6h&period=5d", vec![4, 12, 12, 12, 12, 12, 12, 12, 12]),
            ("step=1d&period=5d", vec![28, 48, 24]),
            (
                "step=90m&start=2025-01-20T10:00Z&end=2025-01-20T14:00:00Z",
                vec![3, 3, 3],
            ),
            ("resolution=day&period=9d", vec![28, 48, 24]),
            (
                "resolution=hour&start=2025-01-20T12:00:00%2B01:00&end=2025-01-20T12:00",
                vec![2, 2],
            ),
            (
                "start=2025-01-20T10:00Z&end=2025-01-20T11:00:00Z",
                vec![1, 1, 1],
            ),
            ("end=2025-01-20T11:59Z&period=1h", vec![1, 1]),
            ("start=2025-01-21&end=2025-01-21&resolution=day", vec![48]),
            ("start=2031-01-01&end=2032-01-01", vec![]),
            ("start=2020-01-01&end=2021-01-01", vec![]),
        ] {
            let answer = rows(&collector, &format!("name=d&group_by=&{query}")).await;
            let got: Vec<u64> = answer
                .iter()
                .filter_map(|row| row["count"].as_u64())
                .collect();
            // Six hours begin at 6, 12, 18 and 0.
            let expected = match query {
                "step=6h&period=5d" => vec![4, 12, 12, 12, 12, 12, 12, 12, 12],
                _ => counts,
            };
            assert_eq!(got, expected, "{query}");
        }
        collector.roll_up().await;
    }
    let answer = collector
        .get("/api/metrics?name=d&step=5m&start=2025-01-20T10:00Z&end=2025-01-20T11:00:00Z&group_by=")
        .await;
    assert_eq!(
        (
            &answer["period"],
            &answer["step_seconds"],
            &answer["resolution"]
        ),
        (&Value::Null, &json!(300), &json!("minute"))
    );
    assert_eq!(
        (&answer["start"], &answer["end"]),
        (
            &json!("2025-01-20T10:00:00Z"),
            &json!("2025-01-20T11:00:00Z")
        )
    );
}

#[tokio::test]
async fn percentiles_that_are_asked_for_are_there_for_every_type() {
    let collector = shop().await;
    for rolled in [false, true] {
        let found = rows(&collector, "name=r&labels=endpoint:/cart&agg=p50,p99").await;
        assert_eq!(found.len(), 1);
        let percentiles = ["p50", "p95", "p99"].map(|key| &found[0][key]);
        assert_eq!(percentiles, [&json!(7.0), &Value::Null, &json!(7.0)]);
        if !rolled {
            collector.roll_up().await;
        }
    }
}

#[tokio::test]
async fn a_point_of_the_year_1_is_answered_beside_those_of_today() {
    let collector = shop().await;
    let old =
        json!([{"name": "r", "type": "counter", "value": 1, "timestamp": "0001-01-01T00:00:00Z"}]);
    collector.accept(old).await;
    let earliest = "1700-01-01T00:00:30Z";
    let later = json!([{"name": "r", "type": "counter", "value": 1, "timestamp": earliest}]);
    collector.accept(later).await;
    for rolled in [false, true] {
        for (query, buckets) in [
            (
                "period=99999999d&step=1m",
                vec![
                    "0001-01-01T00:00:00Z".to_owned(),
                    "1700-01-01T00:00:00Z".to_owned(),
                    bucket(START_MS),
                    bucket(START_MS + MINUTE),
                ],
            ),
            (
                "start=1677-10-01&resolution=minute",
                vec![
                    "1700-01-01T00:00:00Z".to_owned(),
                    bucket(START_MS),
                    bucket(START_MS + MINUTE),
                ],
            ),
        ] {
            let found = rows(&collector, &format!("name=r&group_by=&{query}")).await;
            let found: Vec<&str> = found
                .iter()
                .filter_map(|row| row["bucket"].as_str())
                .collect();
            assert_eq!(found, buckets, "{query} {rolled}");
        }
        if !rolled {
            collector.roll_up().await;
        }
    }
}

#[tokio::test]
async fn hostile_questions_are_answered() {
    let collector = shop().await;
    for text in [
        "' OR 1=1 --",
        "\"; DROP TABLE series; --",
        "\0",
        "x' UNION SELECT value FROM _meta --",
        "\u{202e}\u{fffd}",
        "*:*",
        "\\",
        "{\"a\":1}",
    ] {
        let text = crate::encoded(text);
        for path in [
            format!("/api/metrics?name={text}"),
            format!("/api/metrics?name=r&project={text}"),
            format!("/api/metrics?name=r&labels={text}"),
            format!("/api/metrics?name=r&group_by={text}&limit=1"),
            format!("/api/metrics/labels?name={text}&project={text}"),
            format!("/api/metrics/label-values?label={text}&search={text}"),
            format!("/api/metrics/names?project={text}"),
            format!("/api/dashboard?project={text}&period={text}"),
            format!("/api/metrics/export?name=r&project={text}&format=csv"),
        ] {
            collector.service.get(&path).await.expect(200);
        }
        for path in [
            format!("/api/metrics?name=r&agg={text}"),
            format!("/api/metrics?name=r&start={text}"),
            format!("/api/metrics?name=r&step={text}"),
            format!("/api/metrics/export?name=r&format={text}"),
        ] {
            collector.service.get(&path).await.expect(400);
        }
    }
    assert_eq!(
        sum(&rows(&collector, "name=r&group_by=").await, "sum"),
        775.0
    );
}
