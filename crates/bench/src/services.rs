//! The loads of the metrics collector, the log viewer and the relay.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::Options;
use crate::load::{self, Connection, Requests};
use crate::payload;
use crate::process::{Process, bytes_in};
use crate::report::{Report, Row};
use crate::target::{EMPTY_ROUTES, KEY, Load, Phase, Target};

const POINTS: usize = 100;

/// Batches of 100 points over 1,000 series, then queries.
pub(crate) async fn metrics_collector(
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    let target = Target::start(options, "metrics-collector", &[])?;
    let headers = [("X-API-Key", target.key.as_str())];
    let requests: Vec<_> = payload::batches(200, POINTS, 1000)
        .iter()
        .map(|body| load::post("/api/metrics", &headers, body))
        .collect();
    let requests = Requests::from(requests);
    let load = Load {
        service: "metrics-collector",
        what: "batches of 100 points",
        unit: "point",
        requests: &requests,
        each: POINTS as f64,
        yardsticks: ["bare inserts, 500 a commit"; 2],
        goals: [&[], &[]],
    };
    load.run(&target, options.time, report).await?;
    let queries = Requests::from(vec![
        load::get(
            "/api/metrics?name=http_request_duration_seconds_7&period=1h",
            &headers,
        ),
        load::get("/api/metrics/names", &headers),
        load::get("/api/dashboard?period=1h", &headers),
    ]);
    let phase = Phase::reading(
        "metrics-collector",
        "queries and dashboard, 4 connections",
        "query",
        4,
        options.time,
    );
    report.add(target.measure(&phase, &queries, 1.0).await?);
    target.stop()
}

/// Two containers write as fast as the disk takes it; the time until the last line is searchable counts.
pub(crate) async fn log_viewer(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let lines = (options.time.as_secs_f64() * 40_000.0) as usize;
    let sources = tempfile::tempdir()?;
    let mut files = ["web", "worker"]
        .map(|name| container(sources.path(), name))
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
    let more = [
        ("LOG_SOURCES", sources.path().display().to_string()),
        ("MAX_ENTRIES", "1000000".to_owned()),
        ("POLL_INTERVAL", "1".to_owned()),
        ("TAIL_BUFFER", "all".to_owned()),
    ];
    let target = Target::start(options, "log-viewer", &more)?;
    let headers = [("X-API-Key", target.key.as_str())];
    let messages = payload::log_messages(10_000);
    let (cpu, started) = (target.cpu_seconds(), Instant::now());
    for n in 0..lines {
        let text = payload::docker_line(
            &messages[n % messages.len()],
            n as u64 / 1000,
            n as u64 % 1000 * 1_000_000,
        );
        let count = files.len();
        files[n % count].write_all(text.as_bytes())?;
    }
    for file in &mut files {
        file.flush()?;
    }
    let mut connection = Connection::open(target.address).await?;
    let stats = load::get("/api/stats", &headers);
    loop {
        let (status, body) = connection.exchange_for_body(&stats).await?;
        ensure!(status == 200, "GET /api/stats: {status}");
        let stored = serde_json::from_slice::<serde_json::Value>(body)?["total_logs"]
            .as_u64()
            .context("total_logs")?;
        if stored >= lines as u64 {
            ensure!(stored == lines as u64, "{stored} entries of {lines} lines");
            break;
        }
        ensure!(
            started.elapsed() < options.time * 30,
            "{stored} of {lines} lines after {:?}",
            started.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let elapsed = started.elapsed();
    report.add(Row {
        service: "log-viewer".into(),
        load: "lines of 195 bytes, written to searchable".into(),
        per_second: lines as f64 / elapsed.as_secs_f64(),
        unit: "line",
        cpu_s_per_1000: Some((target.cpu_seconds() - cpu) * 1000.0 / lines as f64),
        peak_rss_mb: target.process.as_ref().map(Process::peak_mb),
        disk_bytes_per_op: Some(bytes_in(target.directory.path()) as f64 / lines as f64),
        against: Some("bare FTS5 inserts, 1000 a commit".into()),
        ..Row::default()
    });
    let searches = [
        "/api/logs?search=gateway+timeout",
        "/api/logs?search=n%3D777",
        "/api/logs?level=%3E%3DERROR",
        "/api/logs?container=web",
        "/api/logs",
    ];
    let searches: Vec<_> = searches
        .iter()
        .map(|path| load::get(path, &headers))
        .collect();
    let searches = Requests::from(searches);
    let phase = Phase::reading(
        "log-viewer",
        "searches and lists, 2 connections",
        "query",
        2,
        options.time,
    );
    report.add(target.measure(&phase, &searches, 1.0).await?);
    target.stop()
}

fn container(sources: &Path, name: &str) -> anyhow::Result<std::io::BufWriter<std::fs::File>> {
    let id = format!("{name:0>32}");
    let directory = sources.join(&id);
    std::fs::create_dir(&directory)?;
    std::fs::write(
        directory.join("config.v2.json"),
        format!("{{\"ID\":\"{id}\",\"Name\":\"/{name}\"}}"),
    )?;
    Ok(std::io::BufWriter::new(std::fs::File::create(
        directory.join(format!("{id}-json.log")),
    )?))
}

/// Browser errors of 2 KB, forwarded to a real tracker.
pub(crate) async fn browser_relay(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let tracker = Target::start(
        &Options {
            against: None,
            service: None,
            binaries: options.binaries.clone(),
            ..*options
        },
        "error-tracker",
        &[],
    )?;
    let more = [
        ("ERROR_TRACKER_URL", format!("http://{}", tracker.address)),
        ("ERROR_TRACKER_API_KEY", KEY.to_owned()),
        (
            "METRICS_COLLECTOR_URL",
            format!("http://{}", tracker.address),
        ),
        ("METRICS_COLLECTOR_API_KEY", KEY.to_owned()),
        ("DSN_KEYS", format!("shop:{KEY}")),
    ];
    let target = Target::start(options, "browser-relay", &more)?;
    let headers = [("X-Monlight-Key", target.key.as_str())];
    let requests: Vec<_> = payload::browser_errors(1000)
        .iter()
        .map(|body| load::post("/api/browser/errors", &headers, body))
        .collect();
    let requests = Requests::from(requests);
    let load = Load {
        service: "browser-relay",
        what: "2 KB browser errors to the tracker",
        unit: "event",
        requests: &requests,
        each: 1.0,
        yardsticks: EMPTY_ROUTES,
        goals: [&[], &[]],
    };
    load.run(&target, options.time, report).await?;
    target.stop()?;
    tracker.stop()
}
