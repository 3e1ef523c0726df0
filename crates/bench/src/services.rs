//! The loads, one function a service.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::Options;
use crate::load::{self, Connection, Outcome, Prepared};
use crate::payload;
use crate::process::{Process, bytes_in};
use crate::report::{Report, Row};

const KEY: &str = "bench-key";
const POINTS: usize = 100;

/// The server under load: our own binary, or the one that was named.
struct Target {
    address: SocketAddr,
    key: String,
    process: Option<Process>,
    directory: TempDir,
}

impl Target {
    fn start(
        options: &Options,
        service: &str,
        more: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        if let Some((address, key)) = &options.against {
            return Ok(Self {
                address: *address,
                key: key.clone(),
                process: None,
                directory,
            });
        }
        let mut env = environment(directory.path(), service);
        env.extend_from_slice(more);
        let process = Process::start(&options.binaries.join(service), &[], &env)?;
        Ok(Self {
            address: process.address,
            key: KEY.to_owned(),
            process: Some(process),
            directory,
        })
    }

    fn cpu_seconds(&self) -> f64 {
        self.process.as_ref().map_or(f64::NAN, Process::cpu_seconds)
    }

    fn stop(self) -> anyhow::Result<()> {
        self.process.map_or(Ok(()), Process::stop)
    }

    /// One phase: measures, and makes a row of what was seen. `each` is how many operations a request stands for.
    async fn measure(
        &self,
        name: &Phase<'_>,
        requests: &[Prepared],
        each: f64,
    ) -> anyhow::Result<Row> {
        let (cpu, disk) = (self.cpu_seconds(), bytes_in(self.directory.path()));
        let mut outcome: Outcome = match name.rate {
            None => load::closed(self.address, name.connections, name.time, requests).await?,
            Some(rate) => {
                load::open(self.address, name.connections, name.time, requests, rate).await?
            }
        };
        let operations = outcome.accepted as f64 * each;
        let written = bytes_in(self.directory.path()) as f64 - disk as f64;
        Ok(Row {
            service: name.service.into(),
            load: name.load.clone(),
            per_second: outcome.rate() * each,
            unit: name.unit,
            p50_ms: Some(outcome.quantile_ms(0.5)),
            p99_ms: Some(outcome.quantile_ms(0.99)),
            cpu_s_per_1000: self
                .process
                .is_some()
                .then(|| (self.cpu_seconds() - cpu) * 1000.0 / operations),
            peak_rss_mb: self.process.as_ref().map(Process::peak_mb),
            disk_bytes_per_op: (self.process.is_some() && name.stores)
                .then_some(written / operations),
            against: name.against,
            refused: outcome.refused,
            ..Row::default()
        })
    }
}

struct Phase<'a> {
    service: &'a str,
    load: String,
    unit: &'static str,
    connections: usize,
    time: Duration,
    rate: Option<f64>,
    against: Option<&'static str>,
    stores: bool,
}

fn environment(directory: &Path, service: &str) -> Vec<(&'static str, String)> {
    vec![
        ("API_KEY", KEY.to_owned()),
        ("ADMIN_API_KEY", KEY.to_owned()),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", "0".to_owned()),
        ("RATE_LIMIT", "0".to_owned()),
        (
            "DATABASE_PATH",
            directory
                .join(format!("{service}.db"))
                .display()
                .to_string(),
        ),
    ]
}

/// A kind of request that is sent at several widths.
struct Load<'a> {
    service: &'a str,
    what: &'a str,
    unit: &'static str,
    requests: &'a [Prepared],
    /// Operations in one request.
    each: f64,
    /// What the closed loops at 8 and at 64 connections are compared with.
    yardsticks: [&'static str; 2],
}

impl Load<'_> {
    fn phase(&self, load: String, connections: usize, time: Duration) -> Phase<'_> {
        Phase {
            service: self.service,
            load,
            unit: self.unit,
            connections,
            time,
            rate: None,
            against: None,
            stores: true,
        }
    }

    /// Closed loops at two widths, then an open loop at half the wider one's rate: latency without overload.
    async fn run(
        &self,
        target: &Target,
        time: Duration,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut fastest = 0.0;
        for (connections, yardstick) in [8, 64].into_iter().zip(self.yardsticks) {
            let mut phase = self.phase(
                format!("{}, {connections} connections", self.what),
                connections,
                time,
            );
            phase.against = Some(yardstick);
            let row = target.measure(&phase, self.requests, self.each).await?;
            fastest = row.per_second;
            report.add(row);
        }
        let mut phase = self.phase(
            format!("{}, open loop at half that rate", self.what),
            64,
            time,
        );
        phase.rate = Some(fastest / self.each / 2.0);
        report.add(target.measure(&phase, self.requests, self.each).await?);
        Ok(())
    }
}

const EMPTY_ROUTES: [&str; 2] = [
    "empty axum route, 8 connections",
    "empty axum route, 64 connections",
];

/// 2 KB reports in 1,000 groups, then lists.
pub(crate) async fn error_tracker(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let target = Target::start(options, "error-tracker", &[])?;
    let headers = [("X-API-Key", target.key.as_str())];
    let requests: Vec<_> = payload::reports(1000)
        .iter()
        .map(|body| load::post("/api/errors", &headers, body))
        .collect();
    let load = Load {
        service: "error-tracker",
        what: "2 KB reports",
        unit: "report",
        requests: &requests,
        each: 1.0,
        yardsticks: EMPTY_ROUTES,
    };
    load.run(&target, options.time, report).await?;
    let lists = [
        load::get("/api/errors?limit=50", &headers),
        load::get("/api/errors?project=shop-1&limit=50", &headers),
    ];
    let phase = Phase {
        service: "error-tracker",
        load: "lists of 50, 8 connections".into(),
        unit: "list",
        connections: 8,
        time: options.time,
        rate: None,
        against: None,
        stores: false,
    };
    report.add(target.measure(&phase, &lists, 1.0).await?);
    target.stop()
}

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
    let load = Load {
        service: "metrics-collector",
        what: "batches of 100 points",
        unit: "point",
        requests: &requests,
        each: POINTS as f64,
        yardsticks: ["bare inserts, 500 a commit"; 2],
    };
    load.run(&target, options.time, report).await?;
    let queries = [
        load::get(
            "/api/metrics?name=http_request_duration_seconds_7&period=1h",
            &headers,
        ),
        load::get("/api/metrics/names", &headers),
        load::get("/api/dashboard?period=1h", &headers),
    ];
    let phase = Phase {
        service: "metrics-collector",
        load: "queries and dashboard, 4 connections".into(),
        unit: "query",
        connections: 4,
        time: options.time,
        rate: None,
        against: None,
        stores: false,
    };
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
        against: Some("bare FTS5 inserts, 1000 a commit"),
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
    let phase = Phase {
        service: "log-viewer",
        load: "searches and lists, 2 connections".into(),
        unit: "query",
        connections: 2,
        time: options.time,
        rate: None,
        against: None,
        stores: false,
    };
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
    let load = Load {
        service: "browser-relay",
        what: "2 KB browser errors to the tracker",
        unit: "event",
        requests: &requests,
        each: 1.0,
        yardsticks: EMPTY_ROUTES,
    };
    load.run(&target, options.time, report).await?;
    target.stop()?;
    tracker.stop()
}
