//! What is deleted, and what must not be.

use serde_json::{Value, json};

use crate::{Collector, HOUR, START_MS, counter, with};

#[tokio::test]
async fn tiers_are_kept_as_long_as_they_should_be() {
    let collector = Collector::new(&[
        ("RETENTION_RAW", "2"),
        ("RETENTION_MINUTE", "3"),
        ("RETENTION_HOURLY", "4"),
        ("RETENTION_DAILY", "6"),
    ]);
    collector.accept(json!([counter("c", 1.0, START_MS)])).await;
    let tiers = async || {
        (
            collector.number("SELECT count(*) FROM block").await,
            collector.number("SELECT count(*) FROM roll_minute").await,
            collector.number("SELECT count(*) FROM roll_hour").await,
            collector.number("SELECT count(*) FROM roll_day").await,
        )
    };
    let steps = [
        (HOUR, (1, 1, 1, 0)),
        (90 * 60_000, (0, 1, 1, 0)),
        (2 * HOUR, (0, 0, 1, 0)),
        (80 * HOUR, (0, 0, 1, 1)),
        // Hours go by the day: those of the 20th when it is four days past.
        (36 * HOUR, (0, 0, 0, 1)),
        (48 * HOUR, (0, 0, 0, 0)),
    ];
    for (step, expected) in steps {
        collector.advance(step);
        collector.roll_up().await;
        // A point in each step, so that the floors can follow; it is the only other one.
        collector
            .accept(json!([with(
                counter("fresh", 1.0, collector.now_ms()),
                json!({"project": "fresh"})
            )]))
            .await;
        collector.forget().await;
        let (blocks, minutes, hours, days) = tiers().await;
        let fresh = collector.number("SELECT count(*) FROM block WHERE n > 0 AND id >= (SELECT ifnull(min(minute), 0) / 60000 << 28 FROM dirty_minute)").await;
        let fresh_rows = collector
            .number("SELECT count(*) FROM roll_minute WHERE name_id = (SELECT max(id) FROM name)")
            .await;
        let fresh_hours = collector
            .number("SELECT count(*) FROM roll_hour WHERE name_id = (SELECT max(id) FROM name)")
            .await;
        let fresh_days = collector
            .number("SELECT count(*) FROM roll_day WHERE name_id = (SELECT max(id) FROM name)")
            .await;
        let old_blocks = collector
            .number("SELECT count(*) FROM block WHERE id >> 28 = 1737367200 / 60")
            .await;
        assert!(blocks >= fresh);
        assert_eq!(
            (
                old_blocks,
                minutes - fresh_rows,
                hours - fresh_hours,
                days - fresh_days
            ),
            expected,
            "after {step} ms more"
        );
        if hours > fresh_hours {
            let rows = collector.get("/api/metrics?name=c&period=30d").await;
            assert_eq!(rows["data"][0]["count"], 1);
        }
        if days > fresh_days {
            let rows = collector
                .get("/api/metrics?name=c&period=30d&resolution=day")
                .await;
            assert_eq!(rows["data"][0]["count"], 1);
        }
    }
}

#[tokio::test]
async fn what_is_older_than_minutes_are_kept_is_shown_by_the_hour_or_day() {
    async fn check(collector: &Collector, question: &str, resolution: &str) {
        let answer = collector
            .get(&format!("/api/metrics?name=c&{question}"))
            .await;
        assert_eq!(answer["resolution"], resolution, "{question}");
        assert_eq!(answer["data"][0]["count"], 1, "{question}: {answer}");
    }
    let later = async |collector: &Collector, step| {
        collector.advance(step);
        // The newest point holds the floors back.
        collector
            .accept(json!([counter("fresh", 1.0, collector.now_ms())]))
            .await;
        collector.advance(HOUR);
        collector.roll_up().await;
        collector.forget().await;
    };
    let of_that_hour = "start=2025-01-20T10:00:00Z&end=2025-01-20T11:59:59Z";
    let collector = Collector::new(&[]);
    collector.accept(json!([counter("c", 1.0, START_MS)])).await;
    check(&collector, of_that_hour, "minute").await;
    later(&collector, 71 * HOUR).await;
    check(&collector, of_that_hour, "hour").await;
    later(&collector, 40 * 24 * HOUR).await;
    check(&collector, "start=2025-01-20&end=2025-01-20", "day").await;

    let collector = Collector::new(&[("RETENTION_MINUTE", "2")]);
    let counted = counter("http_requests_total", 1.0, START_MS);
    collector
        .accept(json!([counter("c", 1.0, START_MS), counted]))
        .await;
    check(&collector, "period=2h", "minute").await;
    later(&collector, 4 * HOUR).await;
    check(&collector, "period=6h", "hour").await;
    check(&collector, "", "hour").await;
    let dashboard = collector.get("/api/dashboard?period=6h").await;
    let requests = &dashboard["requests"];
    assert_eq!(requests["now"]["count"], 1.0);
    assert_eq!(requests["timeseries"][0]["count"], 1.0, "{requests}");
}

#[tokio::test]
async fn names_and_projects_live_as_long_as_their_rollups() {
    let collector = Collector::new(&[("RETENTION_DAILY", "30")]);
    let old = |name: &str| {
        with(
            counter(name, 1.0, START_MS),
            json!({"project": "old", "labels": {"k": "v"}}),
        )
    };
    collector.accept(json!([old("a"), old("b")])).await;
    collector
        .accept(json!([with(
            counter("a", 1.0, START_MS),
            json!({"project": "kept"})
        )]))
        .await;
    let names = async || {
        collector.get("/api/metrics/names").await["metrics"]
            .as_array()
            .map(Vec::len)
    };
    collector.advance(29 * 24 * HOUR);
    collector.roll_up().await;
    collector
        .accept(json!([with(
            counter("a", 1.0, collector.now_ms()),
            json!({"project": "kept"})
        )]))
        .await;
    collector.forget().await;
    assert_eq!(names().await, Some(2));
    assert_eq!(
        collector.get("/api/projects").await,
        json!({"projects": ["kept", "old"]})
    );

    collector.advance(24 * HOUR);
    collector.roll_up().await;
    collector.advance(12 * 24 * HOUR);
    collector.forget().await;
    assert_eq!(names().await, Some(1));
    assert_eq!(
        collector.get("/api/projects").await,
        json!({"projects": ["kept"]})
    );
    assert_eq!(collector.number("SELECT count(*) FROM series").await, 1);
    assert_eq!(collector.number("SELECT sum(series) FROM project").await, 1);

    // A series that the dictionary still knew is made anew.
    collector
        .accept(json!([with(
            counter("a", 7.0, collector.now_ms()),
            json!({"project": "old", "labels": {"k": "v"}})
        )]))
        .await;
    let rows = collector
        .get("/api/metrics?name=a&project=old&labels=k:v")
        .await;
    assert_eq!(rows["data"][0]["sum"], json!(7.0));
}

#[tokio::test]
async fn a_series_that_only_gets_late_points_is_not_forgotten() {
    let collector = Collector::new(&[]);
    collector
        .accept(json!([counter("now", 1.0, START_MS)]))
        .await;
    for day in 1..40 {
        collector.advance(24 * HOUR);
        let now = collector.now_ms();
        collector
            .accept(json!([
                counter("late", 1.0, now - 3 * HOUR),
                counter("now", 1.0, now)
            ]))
            .await;
        collector.roll_up().await;
        collector.forget().await;
        let names = collector.get("/api/metrics/names").await;
        assert_eq!(
            names["metrics"].as_array().map(Vec::len),
            Some(2),
            "day {day}"
        );
    }
    let rows = collector.get("/api/metrics?name=late&period=7d").await;
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(7));
}

#[tokio::test]
async fn a_clock_set_far_ahead_for_a_moment_does_no_harm() {
    let collector = Collector::new(&[]);
    collector.accept(json!([counter("c", 1.0, START_MS)])).await;
    let year = 365 * 24 * HOUR;
    collector
        .service
        .clock
        .set(jiff::Timestamp::from_millisecond(START_MS + 20 * 60_000).expect("in range"));
    collector.roll_up().await;
    collector
        .service
        .clock
        .set(jiff::Timestamp::from_millisecond(START_MS + year).expect("in range"));
    collector.forget().await;
    collector
        .service
        .clock
        .set(jiff::Timestamp::from_millisecond(START_MS + 30 * 60_000).expect("in range"));
    collector
        .accept(json!([crate::histogram("h", 1.0, START_MS + 29 * 60_000)]))
        .await;
    assert_eq!(
        collector.number("SELECT count(*) FROM block").await,
        2,
        "points still go into blocks"
    );
    let rows: Value = collector.get("/api/metrics?name=h").await;
    assert_eq!(rows["data"][0]["count"], 1);
}

#[tokio::test]
async fn the_file_shrinks_when_much_is_deleted() {
    let collector = Collector::new(&[]);
    let item = |n: i64| crate::histogram("d", n as f64, START_MS + n);
    for _ in 0..90 {
        collector.accept((0..10_000).map(item).collect()).await;
    }
    collector.advance(3 * HOUR);
    collector.roll_up().await;
    let pages = async || {
        collector
            .number("SELECT page_count FROM pragma_page_count")
            .await
    };
    let before = pages().await;
    assert!(before > 2000, "{before} pages");
    collector
        .accept(json!([counter("c", 1.0, collector.now_ms())]))
        .await;
    collector.forget().await;
    let after = pages().await;
    assert!(after < 1200, "{after} of {before} pages are left");
}
