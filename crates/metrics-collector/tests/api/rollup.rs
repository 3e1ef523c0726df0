//! Minutes and hours: once, whole, exact.

use serde_json::{Value, json};

use crate::{Collector, HOUR, MINUTE, START_MS, counter, histogram, with};

async fn rows(collector: &Collector, query: &str) -> Vec<Value> {
    let answer = collector.get(&format!("/api/metrics?{query}")).await;
    answer["data"].as_array().expect("rows").clone()
}

#[tokio::test]
async fn a_minutes_percentiles_are_exact_before_and_after_the_rollup() {
    let collector = Collector::new(&[]);
    let shuffled = (0..100).map(|n| f64::from((n * 37) % 100 + 1));
    let batch: Vec<Value> = shuffled
        .map(|value| histogram("lat", value, START_MS + 20_000))
        .collect();
    collector.accept(Value::from(batch)).await;
    collector.advance(MINUTE);
    let before = rows(&collector, "name=lat").await;
    assert_eq!(
        [&before[0]["p50"], &before[0]["p95"], &before[0]["p99"]],
        [&json!(50.0), &json!(95.0), &json!(99.0)]
    );
    collector.roll_up().await;
    assert_eq!(
        collector.number("SELECT count(*) FROM roll_minute").await,
        1
    );
    assert_eq!(rows(&collector, "name=lat").await, before);
}

#[tokio::test]
async fn rolling_up_again_changes_nothing() {
    let collector = Collector::new(&[]);
    for n in 0..5 {
        collector
            .accept(json!([counter(
                "c",
                f64::from(n),
                START_MS + i64::from(n) * MINUTE
            )]))
            .await;
    }
    collector.advance(HOUR);
    for _ in 0..3 {
        collector.roll_up().await;
        assert_eq!(
            collector.number("SELECT count(*) FROM roll_minute").await,
            5
        );
        assert_eq!(collector.number("SELECT count(*) FROM roll_hour").await, 1);
        collector.advance(MINUTE);
    }
    let collector = collector.restart().await;
    collector.roll_up().await;
    assert_eq!(
        collector
            .number("SELECT (SELECT count(*) FROM roll_minute) + (SELECT count(*) FROM total_hour)")
            .await,
        6
    );
    let hour = rows(&collector, "name=c&resolution=hour&period=7d").await;
    assert_eq!(
        (&hour[0]["count"], &hour[0]["sum"], &hour[0]["last"]),
        (&json!(5), &json!(10.0), &json!(4.0))
    );
}

#[tokio::test]
async fn late_points_reach_minutes_and_hours() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([histogram("h", 1.0, START_MS)]))
        .await;
    collector.advance(HOUR + MINUTE);
    collector.roll_up().await;
    let late = json!([
        histogram("h", 3.0, START_MS + 10_000),
        histogram("h", 2.0, START_MS + 5 * MINUTE)
    ]);
    collector.accept(late).await;
    for _ in 0..2 {
        let minutes = rows(&collector, "name=h").await;
        assert_eq!(minutes.len(), 2);
        assert_eq!(
            (&minutes[0]["count"], &minutes[0]["sum"], &minutes[0]["p99"]),
            (&json!(2), &json!(4.0), &json!(3.0))
        );
        let hours = rows(&collector, "name=h&resolution=hour").await;
        assert_eq!(
            (&hours[0]["count"], &hours[0]["sum"]),
            (&json!(3), &json!(6.0))
        );
        collector.advance(MINUTE);
        collector.roll_up().await;
    }
    assert_eq!(
        collector.number("SELECT count(*) FROM dirty_minute").await,
        0
    );
    assert_eq!(collector.number("SELECT max(cnt) FROM total_hour").await, 3);
}

#[tokio::test]
async fn points_older_than_the_raw_ones_are_merged_once() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([
            histogram("h", 1.0, START_MS),
            counter("c", 1.0, START_MS)
        ]))
        .await;
    collector.advance(3 * HOUR);
    collector.roll_up().await;
    // Fresh data, so that the floor can pass the old.
    collector
        .accept(json!([counter("c", 1.0, START_MS + 3 * HOUR)]))
        .await;
    collector.forget().await;
    assert_eq!(collector.number("SELECT count(*) FROM block").await, 1);
    collector
        .accept(json!([
            histogram("h", 5.0, START_MS + 1_000),
            histogram("h", 3.0, START_MS + 2_000)
        ]))
        .await;
    for _ in 0..2 {
        let minutes = rows(&collector, "name=h").await;
        assert_eq!(minutes.len(), 1);
        assert_eq!(
            (
                &minutes[0]["count"],
                &minutes[0]["sum"],
                &minutes[0]["last"]
            ),
            (&json!(3), &json!(9.0), &json!(3.0))
        );
        assert!((minutes[0]["p50"].as_f64().expect("a number") - 3.0).abs() <= 0.03);
        let hours = rows(&collector, "name=h&resolution=hour").await;
        assert_eq!(hours[0]["count"], 3);
        collector.roll_up().await;
    }
    assert_eq!(collector.number("SELECT count(*) FROM block").await, 1);
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_late_points_total 2\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_hour_is_merged_from_sketches_not_from_percentiles() {
    let collector = Collector::new(&[]);
    let mut batch: Vec<Value> = (0..300)
        .map(|_| histogram("h", 1.0, START_MS + 10 * MINUTE))
        .collect();
    batch.push(histogram("h", 1000.0, START_MS + 20 * MINUTE));
    collector.accept(Value::from(batch)).await;
    collector.advance(HOUR);
    for _ in 0..2 {
        let hours = rows(&collector, "name=h&resolution=hour").await;
        assert_eq!(
            (&hours[0]["count"], &hours[0]["sum"], &hours[0]["max"]),
            (&json!(301), &json!(1300.0), &json!(1000.0))
        );
        for key in ["p50", "p95", "p99"] {
            assert!(
                (hours[0][key].as_f64().expect("a number") - 1.0).abs() <= 0.01,
                "{key}"
            );
        }
        collector.roll_up().await;
    }
}

#[tokio::test]
async fn a_minute_with_more_points_than_are_held_is_rolled_up_in_passes() {
    let collector = Collector::new(&[("MAX_BATCH", "100000"), ("MAX_BODY_BYTES", "8388608")]);
    // Two series of 90,000 points and a crowded one of 200,000, more than any pass holds.
    for part in 0..10 {
        let of_series = |series: &str| -> String {
            let item = |n: u32| {
                format!(
                    r#"{{"name":"n","type":"histogram","value":{n},"labels":{{"s":"{series}"}}}},"#
                )
            };
            (0..9_000).map(item).collect::<Vec<_>>().concat()
        };
        let crowded = |n: u32| {
            format!(
                r#"{{"name":"crowded","type":"histogram","value":{}}}"#,
                part * 20_000 + n
            )
        };
        let crowded = (0..20_000).map(crowded).collect::<Vec<_>>().join(",");
        let body = format!("[{}{}{crowded}]", of_series("a"), of_series("b"));
        collector
            .service
            .post("/api/metrics", body)
            .await
            .expect(202);
    }
    for rolled in [false, true] {
        for label in ["a", "b"] {
            let row = &rows(&collector, &format!("name=n&labels=s:{label}")).await[0];
            assert_eq!(
                (&row["count"], &row["sum"]),
                (&json!(90_000), &json!(404_955_000.0))
            );
            let p50 = row["p50"].as_f64().expect("a number");
            // Too many points to be sorted for one answer, not too many for the rollup.
            let allowed = if rolled { 0.0 } else { 45.0 };
            assert!((p50 - 4499.0).abs() <= allowed, "{rolled}: {p50}");
        }
        let row = &rows(&collector, "name=crowded").await[0];
        assert_eq!(
            (&row["count"], &row["max"]),
            (&json!(200_000), &json!(199_999.0))
        );
        assert!((row["p95"].as_f64().expect("a number") / 189_999.0 - 1.0).abs() <= 0.01);
        collector.advance(MINUTE);
        collector.roll_up().await;
    }
    assert_eq!(
        collector.number("SELECT sum(cnt) FROM total_minute").await,
        380_000
    );
}

#[tokio::test]
async fn a_clock_that_steps_back_rebuilds_what_it_touches() {
    let collector = Collector::new(&[]);
    collector.accept(json!([counter("c", 1.0, START_MS)])).await;
    collector.advance(2 * MINUTE);
    collector.roll_up().await;
    collector
        .service
        .clock
        .set(jiff::Timestamp::from_millisecond(START_MS + 1_000).expect("in range"));
    collector
        .accept(json!([{"name": "c", "type": "counter", "value": 1}]))
        .await;
    assert_eq!(rows(&collector, "name=c").await[0]["count"], 2);
    collector.advance(2 * MINUTE);
    collector.roll_up().await;
    assert_eq!(rows(&collector, "name=c").await[0]["count"], 2);
    assert_eq!(
        collector.number("SELECT count(*) FROM roll_minute").await,
        1
    );
}

#[tokio::test]
async fn the_originals_view_of_the_rollups_can_be_read() {
    let collector = Collector::new(&[]);
    let item = with(
        histogram("h", 2.0, START_MS),
        json!({"labels": {"b": 1, "a": 2}, "project": "p"}),
    );
    collector.accept(json!([item])).await;
    collector.advance(HOUR);
    collector.roll_up().await;
    let read = collector.service.ctx.store.read(|conn| {
        let mut statement = conn.prepare(
            "SELECT bucket || resolution || name || labels || count || avg || p50 || project FROM metrics_aggregated WHERE resolution = 'minute'",
        )?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?)
    });
    assert_eq!(
        read.await.expect("reads"),
        [r#"2025-01-20T10:00:00Zminuteh{"a":"2","b":"1"}12.02.0p"#]
    );
}
