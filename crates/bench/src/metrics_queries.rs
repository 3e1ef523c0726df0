//! The metrics collector with 30 days of hours for 5,000 series and an hour of 1,000 points a second: how long its answers
//! take.
//!
//! One day is sent to the service as points. The days before it are copies of its rows, which the service could not tell
//! from rows of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use rusqlite::Connection;

use crate::Options;
use crate::load::{self, Pace, Requests, Until};
use crate::payload::Numbers;
use crate::report::{Goal, Report, Row};
use crate::target::{Phase, Target};

/// The name on the command line.
pub(crate) const SERVICE: &str = "metrics-collector-large";

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Series of a name: 25 endpoints, two methods, two statuses.
const ENDPOINTS: u64 = 25;
const OF_A_NAME: u64 = ENDPOINTS * 4;
/// Those of requests and durations, and others beside the Web Vitals.
const NAMES: u64 = 49;
const VITALS: [&str; 5] = ["lcp", "inp", "cls", "fcp", "ttfb"];
const PAGES: u64 = 20;
const SERIES: u64 = NAMES * OF_A_NAME + VITALS.len() as u64 * PAGES;
/// Points of a series in an hour of the day that is sent.
const POINTS: u64 = 60;
const DAYS: u64 = 30;
/// Points a second in the last hour.
const LATELY: u64 = 1000;
const POINTS_A_BATCH: usize = 5000;
/// How often each question is asked, and how many a second.
const OFTEN: (usize, f64) = (60, 10.0);
/// The same for those with long answers.
const SELDOM: (usize, f64) = (20, 1.0);

const ANSWER: &[Goal] = &[Goal::P95(30.0)];
const LONG: &[Goal] = &[];

/// What is asked.
const QUESTIONS: &[(&str, &str, &[Goal])] = &[
    ("dashboard of an hour", "/api/dashboard?period=1h", ANSWER),
    ("dashboard of a day", "/api/dashboard?period=24h", ANSWER),
    ("dashboard of 7 days", "/api/dashboard?period=7d", ANSWER),
    ("dashboard of 30 days", "/api/dashboard?period=30d", ANSWER),
    (
        "dashboard of a project, 30 days",
        "/api/dashboard?period=30d&project=shop",
        ANSWER,
    ),
    (
        "a series by the minute, an hour",
        "/api/metrics?name=http_request_duration_seconds&period=1h&labels=endpoint:/e7,method:GET,status:200",
        ANSWER,
    ),
    (
        "a series by the minute, a day",
        "/api/metrics?name=http_request_duration_seconds&period=24h&labels=endpoint:/e7,method:GET,status:200",
        ANSWER,
    ),
    (
        "a series by the hour, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d&labels=endpoint:/e7,method:GET,status:200",
        ANSWER,
    ),
    (
        "a name as a whole by the hour, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d&group_by=",
        ANSWER,
    ),
    (
        "an endpoint by the hour, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d&group_by=endpoint&labels=endpoint:/e7",
        ANSWER,
    ),
    (
        "p95 of 25 groups by the day, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d&step=1d&group_by=endpoint&agg=p95",
        ANSWER,
    ),
    (
        "p95 of 25 groups by the hour, a day",
        "/api/metrics?name=http_request_duration_seconds&period=24h&step=1h&group_by=endpoint&agg=p95",
        ANSWER,
    ),
    (
        "p95 of 25 groups by the hour, 7 days",
        "/api/metrics?name=http_request_duration_seconds&period=7d&group_by=endpoint&agg=p95",
        ANSWER,
    ),
    (
        "p95 of 25 groups by 6 hours, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d&step=6h&group_by=endpoint&agg=p95",
        ANSWER,
    ),
    (
        "p95 of 25 groups by the hour, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d&group_by=endpoint&agg=p95",
        ANSWER,
    ),
    (
        "rate of 25 groups by the hour, 30 days",
        "/api/metrics?name=http_requests_total&period=30d&group_by=endpoint&agg=rate",
        LONG,
    ),
    (
        "rate of the top 5 of 25 groups by the hour, 30 days",
        "/api/metrics?name=http_requests_total&period=30d&group_by=endpoint&agg=rate&limit=5&rest=1",
        LONG,
    ),
    (
        "all 100 series of a name by the hour, 30 days",
        "/api/metrics?name=http_request_duration_seconds&period=30d",
        LONG,
    ),
    ("names", "/api/metrics/names", ANSWER),
    (
        "labels of a name",
        "/api/metrics/labels?name=http_request_duration_seconds",
        ANSWER,
    ),
    (
        "values of a label",
        "/api/metrics/label-values?label=endpoint",
        ANSWER,
    ),
];

/// All of it. With a directory to keep the database in, one that is there is only asked.
pub(crate) async fn large(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let kept = options.keep.clone();
    let temporary = tempfile::tempdir()?;
    let directory = kept.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("metrics.db");
    if !path.exists() {
        fill(options, &path, report).await?;
    }
    let target = start(options, &path)?;
    for (name, path, goals) in QUESTIONS {
        ask(&target, name, path, goals, report).await?;
    }
    target.stop()
}

fn start(options: &Options, path: &Path) -> anyhow::Result<Target> {
    let more = [
        ("DATABASE_PATH", path.display().to_string()),
        ("AGGREGATION_INTERVAL", "5".to_owned()),
    ];
    Target::start(options, "metrics-collector", &more)
}

fn now_ms() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

/// A point of a series, without its time.
fn item(series: u64, numbers: &mut Numbers) -> String {
    // Durations of a few milliseconds to a few seconds, most of them short.
    let spread = numbers.below(1000) + 1;
    let value = (20 + series % 7 * 10) * spread / (1001 - spread / 2) + 3;
    let others = NAMES * OF_A_NAME;
    if series >= others {
        let (vital, page) = ((series - others) / PAGES, series % PAGES);
        let name = VITALS[vital as usize];
        return format!(
            r#"{{"name":"web_vitals_{name}","type":"histogram","value":{value},"labels":{{"source":"browser","page":"/p{page}"}},"project":"shop""#
        );
    }
    let (name, of_name) = (series / OF_A_NAME, series % OF_A_NAME);
    let (name, kind) = match name {
        0 => ("http_requests_total".to_owned(), "counter"),
        1 => ("http_request_duration_seconds".to_owned(), "histogram"),
        n => (
            format!("other_{n}"),
            ["counter", "gauge", "histogram"][n as usize % 3],
        ),
    };
    let method = ["GET", "POST"][(of_name / ENDPOINTS % 2) as usize];
    let status = ["200", "500"][(of_name / ENDPOINTS / 2) as usize];
    format!(
        r#"{{"name":"{name}","type":"{kind}","value":0.{value:03},"labels":{{"method":"{method}","endpoint":"/e{}","status":"{status}"}},"project":"shop""#,
        of_name % ENDPOINTS
    )
}

/// Sends one day and the last hour, has them rolled up, and copies the day.
async fn fill(options: &Options, path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let target = start(options, path)?;
    let today = now_ms()? / DAY_MS * DAY_MS;
    let mut numbers = Numbers::new(7);
    for hour in 0..24 {
        let mut batches = Batches::default();
        for series in 0..SERIES {
            for point in 0..POINTS {
                // All in few minutes, as their rows are not kept.
                let at = today - DAY_MS + hour * HOUR_MS + (point % 4) * 900_000 + point * 7;
                batches.add(&item(series, &mut numbers), at);
            }
        }
        send(&target, batches).await?;
    }
    let (mut batches, now) = (Batches::default(), now_ms()?);
    for point in 0..LATELY * 3600 {
        let series = numbers.below(SERIES);
        let at = now - HOUR_MS + point * 1000 / LATELY;
        batches.add(&item(series, &mut numbers), at);
        if batches.done.len() == 100 {
            send(&target, std::mem::take(&mut batches)).await?;
        }
    }
    send(&target, batches).await?;
    let mut conn = Connection::open(path)?;
    rolled_up(&conn, today).await?;
    target.stop()?;
    copy(&mut conn, today)?;
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, f64>(0));
    let bytes = count("SELECT sum(pgsize) FROM dbstat WHERE name = 'roll_hour'").ok();
    let rows = count("SELECT count(*) FROM roll_hour")?;
    report.add(Row {
        service: SERVICE.into(),
        load: format!("rows by the hour of {SERIES} series, {POINTS} points each"),
        per_second: rows,
        unit: "row",
        disk_bytes_per_op: bytes.map(|bytes| bytes / rows),
        ..Row::default()
    });
    Ok(())
}

/// Bodies of requests.
#[derive(Default)]
struct Batches {
    done: Vec<String>,
    open: String,
    points: usize,
}

impl Batches {
    fn add(&mut self, item: &str, at_ms: u64) {
        self.open.push(if self.points == 0 { '[' } else { ',' });
        self.open.push_str(item);
        // Writing to a String cannot fail.
        let _ = write!(self.open, r#","timestamp":{at_ms}}}"#);
        self.points += 1;
        if self.points == POINTS_A_BATCH {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.points > 0 {
            self.open.push(']');
            self.done.push(std::mem::take(&mut self.open));
            self.points = 0;
        }
    }
}

async fn send(target: &Target, mut batches: Batches) -> anyhow::Result<()> {
    batches.end();
    let headers = [("X-API-Key", target.key.as_str())];
    let requests: Vec<_> = batches
        .done
        .iter()
        .map(|body| load::post("/api/metrics", &headers, body))
        .collect();
    let pace = Pace {
        connections: 4,
        until: Until::Sent(requests.len()),
        rate: None,
    };
    let outcome = load::run(target.address, pace, &Requests::from(requests)).await?;
    ensure!(
        outcome.refused == 0,
        "{} batches were refused",
        outcome.refused
    );
    Ok(())
}

/// Waits until everything of yesterday is rolled up.
async fn rolled_up(conn: &Connection, today: u64) -> anyhow::Result<()> {
    let sql = "SELECT (SELECT count(*) FROM dirty_minute WHERE minute < ?2) + (SELECT count(*) FROM dirty_hour WHERE hour < ?1)
                    + (SELECT count(*) FROM dirty_day WHERE day < ?1)";
    let minutes = now_ms()? - 120_000;
    loop {
        let open: i64 = conn.query_row(sql, [today as i64, minutes as i64], |row| row.get(0))?;
        if open == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Copies yesterday's rows to the days before it.
fn copy(conn: &mut Connection, today: u64) -> anyhow::Result<()> {
    for (table, series) in [
        ("roll_hour", ", series"),
        ("total_hour", ""),
        ("roll_day", ", series"),
        ("total_day", ""),
    ] {
        let rest = "cnt, sum, min, max, last, last_at, p50, p95, p99, sk";
        // In the order of the key, which fills pages.
        let sql = format!(
            "INSERT INTO {table} (name_id, bucket{series}, {rest})
             WITH RECURSIVE back (n) AS (SELECT {DAYS} UNION ALL SELECT n - 1 FROM back WHERE n > 1)
             SELECT name_id, bucket - n * {DAY_MS}{series}, {rest} FROM {table}, back
             WHERE bucket >= ?1 AND bucket < ?2 ORDER BY 1, 2{}",
            if series.is_empty() { "" } else { ", 3" }
        );
        let transaction = conn.transaction()?;
        transaction.execute(&sql, [(today - DAY_MS) as i64, today as i64])?;
        transaction.commit()?;
    }
    Ok(())
}

async fn ask(
    target: &Target,
    name: &str,
    path: &str,
    goals: &[Goal],
    report: &mut Report,
) -> anyhow::Result<()> {
    let (times, a_second) = if goals.is_empty() { SELDOM } else { OFTEN };
    let request = load::get(path, &[("X-API-Key", &target.key)]);
    let mut phase = Phase::reading(SERVICE, name, "answer", 1, Duration::ZERO);
    phase.goals = goals;
    phase.pace = Pace {
        connections: 1,
        until: Until::Sent(times),
        rate: Some(a_second),
    };
    let row = target
        .measure(&phase, &Requests::from(request), 1.0)
        .await?;
    ensure!(row.refused == 0, "{name}: {} refused", row.refused);
    report.add(row);
    Ok(())
}
