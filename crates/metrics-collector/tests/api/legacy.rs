//! A database that the original service has written, given as `DATABASE_PATH`.
//!
//! `tests/data/legacy.db` was written by the original (schema 6, `AGGREGATION_INTERVAL=10`) from made-up requests of one
//! minute: 260 points of 10 series, and each series' rollup five times.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use monlight_shared::clock::Clock;
use monlight_shared::testing::TestService;
use monlight_shared::testing::files::connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Bare, Collector, HOUR, MINUTE, START_MS, at, counter, histogram, with};

const DAY: i64 = 24 * HOUR;
/// 2026-11-22T02:37:00Z, the minute of the recorded file.
const RECORDED_MS: i64 = 1_795_315_020_000;

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy.db")
}

fn collector_at(dir: Arc<TempDir>, now_ms: i64) -> Collector {
    let now = jiff::Timestamp::from_millisecond(now_ms).expect("in range");
    let (clock, hand) = Clock::manual(now);
    Collector::around(TestService::with_clock::<Bare>(dir, &[], clock, hand), &[])
}

/// Everything that is stored, as text.
async fn dump(collector: &Collector) -> Vec<String> {
    let read = collector.service.ctx.store.read(|conn| {
        let mut all = Vec::new();
        for table in [
            "project",
            "name",
            "series",
            "block",
            "received",
            "watermark",
            "roll_minute",
            "roll_hour",
            "total_minute",
            "total_hour",
            "set_aside",
        ] {
            let mut statement = conn.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let cells: Vec<String> = (0..columns)
                    .map(|column| Ok(format!("{:?}", row.get_ref(column)?)))
                    .collect::<rusqlite::Result<_>>()?;
                all.push(format!("{table}: {}", cells.join(" | ")));
            }
        }
        Ok(all)
    });
    read.await.expect("reads")
}

#[tokio::test]
async fn a_recorded_file_is_taken_over_once() {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let database = dir.path().join("test.db");
    std::fs::copy(recorded(), &database).expect("copied");
    let collector = collector_at(Arc::clone(&dir), RECORDED_MS + 20 * MINUTE);

    let names = collector.get("/api/metrics/names").await;
    assert_eq!(
        names,
        json!({"metrics": [{"name": "active_connections", "type": "gauge"},
                           {"name": "http_request_duration_seconds", "type": "histogram"},
                           {"name": "http_requests_total", "type": "counter"}]})
    );
    assert_eq!(
        collector.get("/api/projects").await,
        json!({"projects": ["shop"]})
    );
    for resolution in ["minute", "hour"] {
        let all = collector
            .get(&format!("/api/metrics?name=http_requests_total&group_by=status&resolution={resolution}&period=24h"))
            .await;
        let counts: Vec<(&Value, &Value)> = all["data"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| (&row["labels"]["status"], &row["sum"]))
            .collect();
        assert_eq!(
            counts,
            [
                (&json!("500"), &json!(12.0)),
                (&json!("200"), &json!(108.0))
            ],
            "{resolution}"
        );
    }
    let one = collector
        .get("/api/metrics?name=http_request_duration_seconds&project=shop&labels=endpoint:/api/0,method:GET,status:200")
        .await;
    let row = &one["data"][0];
    assert_eq!(
        (
            &row["bucket"],
            &row["count"],
            &row["p50"],
            &row["p95"],
            &row["p99"]
        ),
        (
            &json!("2026-11-22T02:37:00Z"),
            &json!(40),
            &json!(0.19),
            &json!(0.46),
            &json!(0.49)
        )
    );
    let dashboard = collector.get("/api/dashboard").await;
    assert_eq!(dashboard["summary"]["total_datapoints"], 260);
    let health = collector.get("/health").await;
    assert_eq!(
        (&health["metrics_received_24h"], &health["last_aggregation"]),
        (&json!(260), &json!("2026-11-22T02:37:00Z"))
    );

    // The copy is the original's file, and neither a rollup nor a second start changes anything.
    let copy = connection(&dir.path().join("test.db.original"));
    let rows: i64 = copy
        .query_row("SELECT count(*) FROM metrics_aggregated", [], |row| {
            row.get(0)
        })
        .expect("reads");
    assert_eq!(rows, 50);
    let before = dump(&collector).await;
    assert_eq!(
        before
            .iter()
            .filter(|row| row.starts_with("roll_minute"))
            .count(),
        10
    );
    collector.roll_up().await;
    let collector = collector.restart().await;
    collector.roll_up().await;
    assert_eq!(dump(&collector).await, before);
}

/// A file of the original, with the tables of its sixth version.
fn file(statements: &[String]) -> Arc<TempDir> {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let conn = connection(&dir.path().join("test.db"));
    conn.execute_batch(
        "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
         INSERT INTO _meta VALUES ('schema_version', '6');
         CREATE TABLE metrics_raw (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp DATETIME NOT NULL, name VARCHAR(200) NOT NULL,
           labels TEXT, value REAL NOT NULL, type VARCHAR(20) NOT NULL, project VARCHAR(100));
         CREATE TABLE metrics_aggregated (id INTEGER PRIMARY KEY AUTOINCREMENT, bucket DATETIME NOT NULL,
           resolution VARCHAR(10) NOT NULL, name VARCHAR(200) NOT NULL, labels TEXT, count INTEGER NOT NULL DEFAULT 0,
           sum REAL NOT NULL DEFAULT 0, min REAL NOT NULL DEFAULT 0, max REAL NOT NULL DEFAULT 0, avg REAL NOT NULL DEFAULT 0,
           p50 REAL, p95 REAL, p99 REAL, project VARCHAR(100));",
    )
    .expect("makes the tables");
    for statement in statements {
        conn.execute_batch(statement).expect(statement);
    }
    dir
}

fn raw(at: &str, name: &str, value: &str, kind: &str) -> String {
    format!(
        "INSERT INTO metrics_raw (timestamp, name, labels, value, type) VALUES ('{at}', '{name}', '{{\"a\":\"1\"}}', {value}, '{kind}')"
    )
}

/// A rollup of `count` values of 1 and one of 3.
fn rollup(at_ms: i64, resolution: &str, name: &str, labels: &str, count: i64) -> String {
    let bucket = crate::bucket(at_ms);
    format!(
        "INSERT INTO metrics_aggregated (bucket, resolution, name, labels, count, sum, min, max, avg, p50, p95, p99)
         VALUES ('{bucket}', '{resolution}', '{name}', '{labels}', {}, {}, 1, 3, 1.1, 1, 3, 3)",
        count + 1,
        count + 3
    )
}

async fn counts(collector: &Collector, query: &str) -> Vec<(String, u64)> {
    let answer = collector
        .get(&format!("/api/metrics?{query}&group_by="))
        .await;
    answer["data"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| Some((row["bucket"].as_str()?.to_owned(), row["count"].as_u64()?)))
        .collect()
}

#[tokio::test]
async fn repeated_rollups_are_one_and_hours_are_built_from_minutes() {
    let minute = START_MS - 3 * HOUR;
    let mut statements: Vec<String> = Vec::new();
    // Seven times the same minute, the last runs saw more; their hour is the sum of all.
    for count in [5, 5, 9, 9, 9, 9, 9] {
        statements.push(rollup(minute, "minute", "h", "{\"a\":\"1\"}", count));
    }
    statements.push(rollup(minute, "hour", "h", "{\"a\":\"1\"}", 61));
    // Two visitors are two label sets there and one here.
    for visitor in ["x", "y"] {
        let labels = format!("{{\"session_id\":\"{visitor}\",\"a\":\"1\"}}");
        statements.push(rollup(minute + MINUTE, "minute", "h", &labels, 4));
    }
    // An hour whose minutes are gone, and one that lost its first minutes.
    statements.push(rollup(START_MS - 3 * DAY, "hour", "h", "", 99));
    let cut = minute - 2 * HOUR;
    statements.push(rollup(cut, "minute", "part", "", 10));
    statements.push(rollup(cut, "hour", "part", "", 99));
    let collector = collector_at(file(&statements), START_MS);
    for _ in 0..2 {
        let minutes = counts(&collector, "name=h").await;
        let expected = [
            (crate::bucket(minute), 10),
            (crate::bucket(minute + MINUTE), 10),
        ];
        assert_eq!(minutes, expected);
        let hours = counts(&collector, "name=h&resolution=hour&period=7d").await;
        assert_eq!(
            hours,
            [
                (crate::bucket(START_MS - 3 * DAY), 100),
                (crate::bucket(minute), 20)
            ]
        );
        assert_eq!(
            counts(&collector, "name=part&resolution=hour&period=7d").await,
            [(crate::bucket(cut), 100)]
        );
        let days = counts(&collector, "name=h&resolution=day&period=7d").await;
        assert_eq!(days.iter().map(|(_, count)| count).sum::<u64>(), 120);
        let row = collector
            .get("/api/metrics?name=h&labels=a:1&period=24h")
            .await;
        assert_eq!(
            (
                &row["data"][0]["p50"],
                &row["data"][0]["p99"],
                &row["data"][0]["max"]
            ),
            (&json!(1.0), &json!(3.0), &json!(3.0))
        );
        collector.roll_up().await;
    }
    // A late point is added to what is there, in every tier.
    let late = with(
        histogram("h", 2.0, minute + 30_000),
        json!({"labels": {"a": 1}}),
    );
    collector.accept(json!([late])).await;
    let early = with(
        histogram("h", 2.0, START_MS - 3 * DAY + 30_000),
        json!({"labels": {"a": 1}}),
    );
    collector.accept(json!([early])).await;
    for _ in 0..2 {
        collector.roll_up().await;
        assert_eq!(counts(&collector, "name=h").await[0].1, 11);
        let hours = counts(&collector, "name=h&resolution=hour&period=7d").await;
        assert_eq!((hours[0].1, hours[1].1), (101, 21));
        let days = counts(&collector, "name=h&resolution=day&period=7d").await;
        assert_eq!(days.iter().map(|(_, count)| count).sum::<u64>(), 122);
        collector.advance(HOUR);
        collector.forget().await;
    }
}

#[tokio::test]
async fn points_count_where_they_are_whole_and_what_cannot_be_read_is_set_aside() {
    let minute = START_MS - 30 * MINUTE;
    let mut statements = vec![
        // A first minute that is half deleted, and a second with a late point that its rollup missed.
        raw(&at(minute + 50_000), "h", "3", "histogram"),
        rollup(minute, "minute", "h", "{\"a\":\"1\"}", 7),
        rollup(minute + MINUTE, "minute", "h", "{\"a\":\"1\"}", 1),
        // A name with two types: its rollups are over the points of both.
        raw(&at(minute), "two", "1", "counter"),
        raw(&at(minute), "two", "1", "gauge"),
        "INSERT INTO metrics_aggregated (bucket, resolution, name, labels, count, sum, min, max, avg)
         SELECT strftime('%Y-%m-%dT%H:%M:00Z', timestamp), 'minute', 'two', labels, 2, 2, 1, 1, 1 FROM metrics_raw WHERE name = 'two'"
            .to_owned(),
        // The minute that is not over.
        raw(&at(START_MS - 30_000), "c", "1", "counter"),
        raw(&at(START_MS + 10_000), "c", "1", "counter"),
        raw(&at(START_MS + 10_000), "c", "1", "counter"),
    ];
    for _ in 0..3 {
        statements.push(raw(&at(minute + MINUTE), "h", "2", "histogram"));
    }
    for (at, value, kind) in [
        ("banana", "1", "counter"),
        ("", "1", "counter"),
        ("12345", "1", "counter"),
        ("2999-01-01T00:00:00Z", "1", "counter"),
        (at(minute).as_str(), "1", "summary"),
        (at(minute).as_str(), "9e999", "counter"),
        (at(minute).as_str(), "'text'", "counter"),
    ] {
        statements.push(raw(at, "c", value, kind));
    }
    statements.push(rollup(minute + 1, "minute", "odd", "", 3).replace(":00Z", ":30Z"));
    statements.push(rollup(minute, "hour", "odd", "", -1));
    let labels = "UPDATE metrics_raw SET labels = 'no json' WHERE name = 'two'";
    statements.push(labels.to_owned());

    let collector = collector_at(file(&statements), START_MS + 20_000);
    assert_eq!(
        counts(&collector, "name=h").await,
        [
            (crate::bucket(minute), 8),
            (crate::bucket(minute + MINUTE), 3)
        ]
    );
    let two = collector.get("/api/metrics?name=two&group_by=labels").await;
    let types: Vec<(&Value, &Value)> = two["data"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (&row["type"], &row["count"]))
        .collect();
    assert_eq!(
        types,
        [(&json!("counter"), &json!(1)), (&json!("gauge"), &json!(1))]
    );
    assert_eq!(two["data"][0]["labels"]["labels"], "no json");
    let stats = collector.get("/api/stats").await;
    assert_eq!(stats["set_aside"], 9);
    let kept = collector
        .number("SELECT count(*) FROM set_aside WHERE kind = 'point' AND at IN ('banana', '', '12345', '2999-01-01T00:00:00Z')")
        .await;
    assert_eq!(kept, 4);
    // The running minute goes on.
    collector
        .accept(json!([with(
            counter("c", 1.0, START_MS + 15_000),
            json!({"labels": {"a": "1"}})
        )]))
        .await;
    for _ in 0..2 {
        assert_eq!(
            counts(&collector, "name=c").await,
            [
                (crate::bucket(START_MS - MINUTE), 1),
                (crate::bucket(START_MS), 3)
            ]
        );
        collector.advance(2 * MINUTE);
        collector.roll_up().await;
    }
    assert_eq!(collector.number("SELECT count(*) FROM series").await, 4);
}

#[tokio::test]
async fn the_first_version_had_points_only() {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let conn = connection(&dir.path().join("test.db"));
    conn.execute_batch(&format!(
        "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
         INSERT INTO _meta VALUES ('schema_version', '1');
         CREATE TABLE metrics_raw (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp DATETIME NOT NULL, name VARCHAR(200) NOT NULL,
           labels TEXT, value REAL NOT NULL, type VARCHAR(20) NOT NULL);
         INSERT INTO metrics_raw (timestamp, name, value, type) VALUES ('{0}', 'g', 4, 'gauge'), ('{0}', 'g', 6, 'gauge'),
           ('{0}', '', 1, 'gauge'), ('{0}', x'00ff', 1, 'gauge');",
        at(START_MS - HOUR)
    ))
    .expect("makes the file");
    drop(conn);
    let collector = collector_at(dir, START_MS);
    let rows = collector.get("/api/metrics?name=g").await;
    assert_eq!(
        (&rows["data"][0]["count"], &rows["data"][0]["last"]),
        (&json!(2), &json!(6.0))
    );
    assert_eq!(
        collector.get("/api/projects").await,
        json!({"projects": []})
    );
    assert_eq!(collector.number("SELECT count(*) FROM name").await, 1);
}
