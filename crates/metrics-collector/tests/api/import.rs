//! What exporters expose, pushed.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Method;
use monlight_shared::idempotency::Key;
use monlight_shared::testing::TestResponse;
use serde_json::{Value, json};

use crate::{Collector, HOUR, MINUTE, START_MS};

const PATH: &str = "/api/import/prometheus";

async fn push(collector: &Collector, path: &str, text: &str) -> TestResponse {
    let request = collector
        .service
        .request(Method::POST, path)
        .body(Body::from(text.to_owned()))
        .expect("a request");
    collector.service.send(request).await
}

async fn accept(collector: &Collector, text: &str) -> Value {
    push(collector, PATH, text).await.expect(202).json()
}

/// Count and sum of everything a name has.
async fn total(collector: &Collector, name: &str) -> (u64, f64) {
    let path = format!("/api/metrics?name={name}&period=7d&group_by=&agg=count,sum");
    let answer = collector.get(&path).await;
    let rows = answer["data"].as_array().expect("rows").clone();
    rows.iter().fold((0, 0.0), |(count, sum), row| {
        (
            count + row["count"].as_f64().expect("a count") as u64,
            sum + row["sum"].as_f64().expect("a sum"),
        )
    })
}

#[track_caller]
fn near(found: f64, expected: f64, part: f64) {
    assert!(
        (found - expected).abs() <= part * expected.abs(),
        "{found} instead of {expected}"
    );
}

#[tokio::test]
async fn totals_become_differences_and_levels_stay() {
    let collector = Collector::new(&[]);
    let text = |total: f64, level: f64| {
        format!(
            "# TYPE r_total counter\nr_total{{a=\"1\"}} {total}\n# TYPE g gauge\ng {level}\nu 7\n"
        )
    };
    let first = accept(&collector, &text(100.0, 5.0)).await;
    assert_eq!(
        first,
        json!({"status": "accepted", "samples": 3, "points": 2, "baselines": 1, "resets": 0, "skipped": 0})
    );
    // The name is there from the first reading, its counts from the second.
    let names = collector.get("/api/metrics/names").await;
    assert!(names.to_string().contains("r_total"), "{names}");
    assert_eq!(total(&collector, "r_total").await, (0, 0.0));
    for (at, expected) in [(103.5, 3.5), (103.5, 3.5), (110.0, 10.0)] {
        collector.advance(MINUTE);
        accept(&collector, &text(at, -1.0)).await;
        assert_eq!(total(&collector, "r_total").await.1, expected);
    }
    // The exporter was restarted and has counted 4 since.
    collector.advance(MINUTE);
    let reset = accept(&collector, &text(4.0, 9.0)).await;
    assert_eq!(reset["resets"], 1);
    let collector = collector.restart().await;
    accept(&collector, &text(6.0, 9.0)).await;
    assert_eq!(total(&collector, "r_total").await.1, 16.0);
    collector.roll_up().await;
    assert_eq!(total(&collector, "r_total").await.1, 16.0);
    let level = collector
        .get("/api/metrics?name=g&period=1h&group_by=&agg=last&step=1h")
        .await;
    assert_eq!(level["data"][0]["last"], 9.0);
    assert_eq!(total(&collector, "u").await, (6, 42.0));
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    for line in [
        "monlight_metrics_imports_total 1",
        "monlight_metrics_import_samples_total 3",
        "monlight_metrics_import_baselines_total 0",
    ] {
        assert!(
            metrics.contains(&format!("\n{line}\n")),
            "{line}: {metrics}"
        );
    }
}

#[tokio::test]
async fn histograms_have_exact_sums_and_percentiles_within_their_buckets() {
    let collector = Collector::new(&[]);
    let text = |number: [u64; 4], sum: f64| {
        let [a, b, c, all] = number;
        format!(
            "# TYPE d histogram\nd_bucket{{le=\"0.1\",e=\"/\"}} {a}\nd_bucket{{le=\"0.5\",e=\"/\"}} {b}\n\
             d_bucket{{le=\"1\",e=\"/\"}} {c}\nd_bucket{{le=\"+Inf\",e=\"/\"}} {all}\nd_sum{{e=\"/\"}} {sum}\nd_count{{e=\"/\"}} {all}\n"
        )
    };
    accept(&collector, &text([5, 5, 5, 5], 0.25)).await;
    assert_eq!(total(&collector, "d").await, (0, 0.0));
    // A million below 0.1, as many up to 0.5.
    accept(
        &collector,
        &text([1_000_005, 2_000_005, 2_000_005, 2_000_005], 350_000.25),
    )
    .await;
    for rolled in [false, true] {
        if rolled {
            collector.advance(2 * HOUR);
            collector.roll_up().await;
        }
        assert_eq!(total(&collector, "d").await, (2_000_000, 350_000.0));
        let path =
            "/api/metrics?name=d&period=24h&group_by=e&agg=p50,p90,p95,p99,avg,min,max&step=1d";
        let answer = collector.get(path).await;
        let row = &answer["data"][0];
        let figure = |name: &str| row[name].as_f64().expect("a figure");
        near(figure("p50"), 0.1, 0.01);
        near(figure("p90"), 0.42, 0.01);
        near(figure("p95"), 0.46, 0.01);
        near(figure("p99"), 0.492, 0.01);
        near(figure("avg"), 0.175, 1e-9);
        assert_eq!((figure("min"), figure("max")), (0.0, 0.5));
    }
    // Single measurements of the same series are merged with it.
    let now = collector.now_ms();
    let item = json!({"name": "d", "type": "histogram", "value": 3.0, "labels": {"e": "/"}, "timestamp": crate::at(now)});
    collector.accept(json!([item])).await;
    accept(
        &collector,
        &text([1_000_005, 2_000_005, 2_000_010, 2_000_010], 350_004.25),
    )
    .await;
    assert_eq!(total(&collector, "d").await, (2_000_006, 350_007.0));
    collector.advance(2 * MINUTE);
    collector.roll_up().await;
    assert_eq!(total(&collector, "d").await, (2_000_006, 350_007.0));
    let raw = "SELECT count(*) FROM block";
    assert!(collector.number(raw).await <= 3);
}

#[tokio::test]
async fn a_time_of_creation_counts_what_is_new() {
    let collector = Collector::new(&[]);
    let text = |total: f64, created_ms: i64| {
        format!(
            "# TYPE a counter\na_total {total}\na_created {}\n# EOF\n",
            created_ms as f64 / 1000.0
        )
    };
    accept(&collector, &text(5.0, START_MS - 10_000)).await;
    assert_eq!(total(&collector, "a_total").await.1, 5.0);
    // Restarted, and ahead of what it was already.
    collector.advance(MINUTE);
    let answer = accept(&collector, &text(8.0, START_MS + 1_500)).await;
    assert_eq!(answer["resets"], 1);
    assert_eq!(total(&collector, "a_total").await.1, 13.0);
    // The time itself is no metric.
    assert_eq!(total(&collector, "a_created").await, (0, 0.0));
}

#[tokio::test]
async fn summaries_are_quantiles_and_totals() {
    let collector = Collector::new(&[]);
    let text = |n: u32| {
        format!("# TYPE s summary\ns{{quantile=\"0.5\"}} 0.25\ns_sum {n}.5\ns_count {n}\n")
    };
    accept(&collector, &text(1)).await;
    accept(&collector, &text(4)).await;
    assert_eq!(total(&collector, "s").await, (2, 0.5));
    assert_eq!(total(&collector, "s_sum").await.1, 3.0);
    assert_eq!(total(&collector, "s_count").await.1, 3.0);
}

#[tokio::test]
async fn a_push_is_taken_whole_or_not_at_all() {
    let collector = Collector::new(&[("MAX_BATCH", "3")]);
    let bad = "a 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nb{x} 2\n";
    let refused = push(&collector, PATH, bad).await.expect(400).json();
    assert_eq!(
        refused,
        json!({"detail": "Line 3: expected the bucket le=\"+Inf\" or _count of this histogram", "line": 3})
    );
    assert_eq!(total(&collector, "a").await, (0, 0.0));
    let path = format!("{PATH}?partial=1");
    let stored = push(&collector, &path, bad).await.expect(202).json();
    assert_eq!(
        (&stored["points"], &stored["rejected"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(stored["errors"][1]["line"], 4);
    assert_eq!(
        stored["errors"][1]["detail"],
        "Line 4: expected = behind the name of a label, found \"} 2\""
    );
    assert_eq!(total(&collector, "a").await, (1, 1.0));
    for (text, detail) in [
        ("a 1\nb 2\nc 3\nd 4", "Line 4: expected at most 3 samples"),
        ("!", "Line 1: expected the name of a metric, found \"!\""),
        (" \n", "Expected at least one line of metrics"),
    ] {
        for path in [PATH, &path] {
            let refused = push(&collector, path, text).await.expect(400).json();
            assert_eq!(refused["detail"], detail);
        }
    }
    // An end that does not come is a push that was cut off.
    let request = collector
        .service
        .request(Method::POST, PATH)
        .header(
            "content-type",
            "application/openmetrics-text; version=1.0.0",
        )
        .body(Body::from("a 1\n"))
        .expect("a request");
    let refused = collector.service.send(request).await.expect(400).json();
    assert_eq!(refused["line"], 2);
    // Nothing but the end is nothing to store.
    assert_eq!(accept(&collector, "# EOF\n").await["samples"], 0);
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_imports_refused_total 6\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nmonlight_metrics_import_left_out_total{reason=\"fault\"} 2\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_sender_names_project_and_labels() {
    let collector = Collector::new(&[]);
    let path = format!("{PATH}?project=shop&labels/instance=web%201&labels/job=cron");
    push(&collector, &path, "a{job=\"x\",b=\"1\"} 5")
        .await
        .expect(202);
    let answer = collector
        .get("/api/metrics?name=a&project=shop&labels=b:1,exported_job:x,instance:web%201,job:cron")
        .await;
    assert_eq!(answer["data"][0]["count"], 1);
    for query in ["labels/=x", "labels/a=1&labels/a=2"] {
        let refused = push(&collector, &format!("{PATH}?{query}"), "a 1").await;
        assert!(refused.expect(400).text().contains("labels/<name>=<value>"));
    }
    // Instances without a label of their own would be one series; with it each has its own last value.
    for (instance, total) in [("1", 10), ("2", 500), ("1", 11), ("2", 502)] {
        let path = format!("{PATH}?labels/instance={instance}");
        push(
            &collector,
            &path,
            &format!("# TYPE c_total counter\nc_total {total}"),
        )
        .await
        .expect(202);
    }
    assert_eq!(total(&collector, "c_total").await.1, 3.0);
}

#[tokio::test]
async fn a_push_can_be_packed_and_is_taken_once() {
    let collector = Collector::new(&[]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"g 5\n").expect("packs");
    let body = gzip.finish().expect("finishes");
    for status in [202, 200] {
        let request = collector
            .service
            .request(Method::POST, PATH)
            .header("content-encoding", "gzip")
            .header("idempotency-key", Key::new(START_MS, 1, 1).to_string())
            .body(Body::from(body.clone()))
            .expect("a request");
        collector.service.send(request).await.expect(status);
    }
    assert_eq!(total(&collector, "g").await, (1, 5.0));
    let anonymous = axum::http::Request::post(PATH)
        .body(Body::from("g 5"))
        .expect("a request");
    collector.service.send(anonymous).await.expect(401);
}

#[tokio::test]
async fn the_senders_times_count_and_no_reading_counts_twice() {
    let collector = Collector::new(&[("RETENTION_RAW", "2")]);
    let line = |total: u32, minutes_ago: i64| {
        let at = collector.now_ms() - minutes_ago * MINUTE;
        format!("# TYPE t_total counter\nt_total {total} {at}\n")
    };
    // Several readings of one series, in any order of lines.
    let both = format!(
        "{}t_total 10 {}\n",
        line(14, 10),
        collector.now_ms() - 20 * MINUTE
    );
    let stored = accept(&collector, &both).await;
    assert_eq!(
        (&stored["baselines"], &stored["points"]),
        (&json!(1), &json!(1))
    );
    let again = accept(&collector, &both).await;
    assert_eq!(
        (&again["points"], &again["skipped"]),
        (&json!(0), &json!(2))
    );
    accept(&collector, &line(20, 5)).await;
    assert_eq!(total(&collector, "t_total").await, (2, 10.0));
    // Older than the points that are kept: merged into rollups, sum and count exact.
    collector.roll_up().await;
    collector.advance(3 * HOUR);
    collector
        .accept(json!([crate::counter("fresh", 1.0, collector.now_ms())]))
        .await;
    collector.roll_up().await;
    collector.forget().await;
    let late = |count: u32, minutes_ago: i64| {
        let at = collector.now_ms() - minutes_ago * MINUTE;
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} {count} {at}\nh_sum {count} {at}\nh_count {count} {at}\n"
        )
    };
    accept(&collector, &late(3, 170)).await;
    accept(&collector, &late(1003, 169)).await;
    assert_eq!(total(&collector, "h").await, (1000, 1000.0));
    collector.roll_up().await;
    assert_eq!(total(&collector, "h").await, (1000, 1000.0));
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_late_points_total 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn series_without_a_place_are_counted_together() {
    let collector = Collector::new(&[
        ("MAX_SERIES_PER_NAME", "2"),
        ("MAX_SERIES_PER_PROJECT", "3"),
    ]);
    let text = |more: u32| {
        let lines: Vec<String> = (0..7)
            .map(|n| format!("c_total{{n=\"{n}\"}} {}\n", n * 100 + more))
            .collect();
        format!("# TYPE c_total counter\n{}", lines.concat())
    };
    accept(&collector, &text(0)).await;
    accept(&collector, &text(5)).await;
    // Two have their own place, three a last value of their own in the one that they share; of two there is none.
    assert_eq!(total(&collector, "c_total").await.1, 25.0);
    let overflow = collector
        .get("/api/metrics?name=c_total&labels=__overflow__:true")
        .await;
    assert_eq!(overflow["data"][0]["sum"], 15.0);
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_import_left_out_total{reason=\"no_room\"} 4\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nmonlight_metrics_overflow_points_total 3\n"),
        "{metrics}"
    );
    // What shares a place makes room when it is not read for a day.
    collector.advance(25 * HOUR);
    collector.forget().await;
    assert_eq!(collector.number("SELECT count(*) FROM baseline").await, 2);
}

#[tokio::test]
async fn a_series_is_kept_while_it_is_read_and_forgotten_with_its_last_value() {
    let collector = Collector::new(&[("RETENTION_DAILY", "30")]);
    let text = "# TYPE c_total counter\nc_total 5\n";
    accept(&collector, text).await;
    for _ in 0..5 {
        collector.advance(20 * 24 * HOUR);
        accept(&collector, text).await;
        collector.roll_up().await;
        collector.forget().await;
        assert_eq!(collector.number("SELECT count(*) FROM baseline").await, 1);
    }
    // It comes back and goes on from where it was.
    accept(&collector, "# TYPE c_total counter\nc_total 7\n").await;
    assert_eq!(total(&collector, "c_total").await.1, 2.0);
    collector.advance(40 * 24 * HOUR);
    collector.roll_up().await;
    collector.forget().await;
    assert_eq!(collector.number("SELECT count(*) FROM series").await, 0);
    assert_eq!(collector.number("SELECT count(*) FROM baseline").await, 0);
    assert_eq!(accept(&collector, text).await["baselines"], 1);
}

#[tokio::test]
async fn a_level_with_its_own_time_counts_once() {
    let collector = Collector::new(&[]);
    let at = START_MS - 10_000;
    let text = |value: f64, at: i64| format!("g {value} {at}\n");
    assert_eq!(accept(&collector, &text(5.0, at)).await["points"], 1);
    for _ in 0..2 {
        collector.advance(MINUTE);
        let again = accept(&collector, &text(5.0, at)).await;
        assert_eq!(
            (&again["points"], &again["skipped"]),
            (&json!(0), &json!(1))
        );
    }
    let collector = collector.restart().await;
    accept(&collector, &text(5.0, at)).await;
    assert_eq!(total(&collector, "g").await, (1, 5.0));
    // Another time, another value of the same time, and what comes later than newer ones all count.
    for (value, at) in [(5.0, at + 1), (6.0, at + 1), (7.0, at - 1), (5.0, at + 1)] {
        accept(&collector, &text(value, at)).await;
    }
    assert_eq!(total(&collector, "g").await, (4, 23.0));
    // Without a time each reading is one of its own.
    accept(&collector, "u 1\n").await;
    accept(&collector, "u 1\n").await;
    assert_eq!(total(&collector, "u").await.0, 2);
}

#[tokio::test]
async fn a_histogram_with_a_wrong_line_loses_nothing() {
    let collector = Collector::new(&[]);
    let text = |low: &str, count: u64| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} {low}\nh_bucket{{le=\"+Inf\"}} {count}\nh_sum {count}\nh_count {count}\n"
        )
    };
    accept(&collector, &text("5", 10)).await;
    let path = format!("{PATH}?partial=1");
    let partly = push(&collector, &path, &format!("{}g 1\n", text("bad", 12))).await;
    let partly = partly.expect(202).json();
    assert_eq!(
        (&partly["points"], &partly["rejected"], &partly["skipped"]),
        (&json!(1), &json!(1), &json!(1)),
        "{partly}"
    );
    accept(&collector, &text("7", 14)).await;
    assert_eq!(total(&collector, "h").await, (4, 4.0));
}

#[tokio::test]
async fn our_own_metrics_are_understood() {
    let collector = Collector::new(&[]);
    for _ in 0..2 {
        let text = collector.service.get("/metrics").await.expect(200).text();
        let stored = accept(&collector, &text).await;
        assert_eq!(stored["skipped"], 0, "{text}");
    }
    assert!(total(&collector, "monlight_metrics_imports_total").await.1 >= 1.0);
    assert!(total(&collector, "process_resident_memory_bytes").await.0 == 2);
}
