//! Bounds on the number of series.

use serde_json::{Value, json};

use crate::{Collector, MINUTE, START_MS, counter, with};

#[tokio::test]
async fn what_overflows_is_counted_in_one_visible_series() {
    let collector = Collector::new(&[("MAX_SERIES_PER_PROJECT", "10")]);
    let item = |n: usize| with(counter("c", 1.0, START_MS), json!({"labels": {"n": n}}));
    let batch: Vec<Value> = (0..25).map(item).collect();
    collector.accept(Value::from(batch)).await;
    let rows = collector.get("/api/metrics?name=c").await;
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(11));
    let overflow = collector
        .get("/api/metrics?name=c&labels=__overflow__:true")
        .await;
    assert_eq!(overflow["data"][0]["count"], 15);

    // A series that has its place keeps it, a new name has none.
    collector
        .accept(json!([item(3), item(30), counter("other", 1.0, START_MS)]))
        .await;
    assert_eq!(
        collector.get("/api/metrics?name=c&labels=n:3").await["data"][0]["count"],
        2
    );
    assert_eq!(
        collector
            .get("/api/metrics?name=c&labels=__overflow__:true")
            .await["data"][0]["count"],
        16
    );
    assert_eq!(
        collector.get("/api/metrics?name=__overflow__").await["data"][0]["count"],
        1
    );

    // Another project has its own bound.
    collector
        .accept(json!([with(
            counter("other", 1.0, START_MS),
            json!({"project": "p"})
        )]))
        .await;
    assert_eq!(
        collector.get("/api/metrics?name=other&project=p").await["data"][0]["count"],
        1
    );

    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_overflow_points_total 17\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nmonlight_metrics_series_max_per_project 10\n"),
        "{metrics}"
    );
    assert_eq!(
        collector.get("/api/dashboard").await["summary"]["total_datapoints"],
        29
    );
}

#[tokio::test]
async fn one_name_does_not_take_the_place_of_others() {
    let collector = Collector::new(&[("MAX_SERIES_PER_NAME", "3"), ("RETENTION_DAILY", "30")]);
    let item =
        |name: &str, n: usize| with(counter(name, 1.0, START_MS), json!({"labels": {"n": n}}));
    let batch: Vec<Value> = (0..5)
        .flat_map(|n| [item("many", n), item("few", n % 2)])
        .collect();
    collector.accept(Value::from(batch)).await;
    let many = collector.get("/api/metrics?name=many&group_by=n").await;
    assert_eq!(many["data"].as_array().map(Vec::len), Some(4));
    let stats = collector.get("/api/stats").await;
    assert_eq!(
        stats,
        json!({"since": "2025-01-20T10:00:00Z", "batches": 1, "batches_refused": 0, "points": 10, "points_refused": 0,
               "late_points": 0, "timestamps_replaced": 0, "overflow_points": 2,
               "series": 6, "series_max_per_project": 10_000, "series_max_per_name": 3,
               "projects": [{"project": "", "series": 6}],
               "overflowing": [{"project": "", "name": "many", "type": "counter", "series": 4}],
               "set_aside": 0, "removed": 0, "rollup": {"backlog": 3, "last": null}})
    );
    // When the old ones are forgotten there is room again.
    collector.advance(60 * 24 * crate::HOUR);
    collector.roll_up().await;
    collector
        .accept(json!([counter("now", 1.0, collector.now_ms())]))
        .await;
    collector.forget().await;
    collector.accept(json!([item("many", 9)])).await;
    let labels = collector.get("/api/metrics/labels?name=many").await;
    assert_eq!(labels["series"], 1);
    assert_eq!(collector.get("/api/stats").await["overflowing"], json!([]));
}

#[tokio::test]
async fn projects_are_bounded_too() {
    let collector = Collector::new(&[]);
    let item = |n: usize| {
        with(
            counter("c", 1.0, START_MS),
            json!({"project": format!("p{n:04}")}),
        )
    };
    let batch: Vec<Value> = (0..1100).map(item).collect();
    collector.accept(Value::from(batch)).await;
    let projects = collector.get("/api/projects").await;
    let projects = projects["projects"].as_array().expect("projects");
    assert_eq!(projects.len(), 1001);
    assert_eq!(projects[0], "__overflow__");
    assert_eq!(
        collector
            .get("/api/metrics?name=c&project=__overflow__")
            .await["data"][0]["count"],
        100
    );
    assert_eq!(
        collector.get("/api/metrics?name=c").await["data"][0]["count"],
        1100
    );
}

#[tokio::test]
async fn two_thousand_label_sets_are_rolled_up_and_shown() {
    let collector = Collector::new(&[]);
    let batch: Vec<Value> = (0..2000)
        .map(|n| {
            with(
                crate::histogram("s", 1.0, START_MS),
                json!({"labels": {"visitor": n}}),
            )
        })
        .collect();
    collector.accept(Value::from(batch)).await;
    collector.advance(MINUTE);
    let rows = collector.tasks.roll_up().await.expect("rolls up");
    assert_eq!(rows, 2001);
    let rows = collector.get("/api/metrics?name=s").await;
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(2000));
}
