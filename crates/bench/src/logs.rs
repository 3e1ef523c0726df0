//! The loads of the log viewer: two containers that write as fast as the disk takes it, and fifty that are silent.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::Options;
use crate::load::{self, Connection, Prepared, Requests};
use crate::payload;
use crate::process::{Process, bytes_in};
use crate::report::{Goal, Report, Row};
use crate::target::{Phase, Target};

const SERVICE: &str = "log-viewer";
/// Lines for each second that a phase should take.
const LINES_A_SECOND: f64 = 40_000.0;
/// A ring that is full soon.
const SMALL_RING: usize = 100_000;
const GOALS: [Goal; 3] = [
    Goal::PerSecond(60_000.0),
    Goal::Ratio(0.5),
    Goal::PeakMb(16.0),
];

/// Ingest with room in the ring and with the ring full, searches, and doing nothing.
pub(crate) async fn log_viewer(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let lines = (options.time.as_secs_f64() * LINES_A_SECOND) as usize;
    let mut ingest = Ingest::start(options, 1_000_000)?;
    let row = ingest.run("lines of 195 bytes, written to searchable", lines);
    report.add(row.await?);
    let searches = Requests::from(ingest.searches());
    let phase = Phase::reading(
        SERVICE,
        "searches and lists, 2 connections",
        "query",
        2,
        options.time,
    );
    report.add(ingest.target.measure(&phase, &searches, 1.0).await?);
    ingest.target.stop()?;

    let mut ingest = Ingest::start(options, SMALL_RING)?;
    ingest.run("", SMALL_RING + SMALL_RING / 5).await?;
    let row = ingest.run("the same with the ring full (100,000 entries)", lines);
    report.add(row.await?);
    ingest.target.stop()?;
    idle(options, report).await
}

/// A log viewer and the files of two containers.
struct Ingest {
    target: Target,
    files: Vec<BufWriter<File>>,
    written: usize,
    stats: Prepared,
    _sources: TempDir,
}

impl Ingest {
    fn start(options: &Options, max_entries: usize) -> anyhow::Result<Self> {
        let sources = tempfile::tempdir()?;
        let files = ["web", "worker"]
            .map(|name| container(sources.path(), name))
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        let target = Target::start(options, SERVICE, &settings(sources.path(), max_entries))?;
        let headers = [("X-API-Key", target.key.as_str())];
        let stats = load::get("/metrics", &headers);
        Ok(Self {
            target,
            files,
            written: 0,
            stats,
            _sources: sources,
        })
    }

    /// Writes so many lines; the time until the last of them is stored, and thereby searchable, counts.
    async fn run(&mut self, load: &str, lines: usize) -> anyhow::Result<Row> {
        let messages = payload::log_messages(10_000);
        if let Some(process) = &self.target.process {
            process.reset_peak()?;
        }
        let (cpu, started) = (self.target.cpu_seconds(), Instant::now());
        let count = self.files.len();
        for n in self.written..self.written + lines {
            let text = payload::docker_line(
                &messages[n % messages.len()],
                n as u64 / 1000,
                n as u64 % 1000 * 1_000_000,
            );
            self.files[n % count].write_all(text.as_bytes())?;
        }
        for file in &mut self.files {
            file.flush()?;
        }
        self.written += lines;
        let most = Duration::from_secs_f64(30.0 * lines as f64 / LINES_A_SECOND);
        self.wait(started, most).await?;
        let elapsed = started.elapsed();
        Ok(Row {
            service: SERVICE.into(),
            load: load.into(),
            per_second: lines as f64 / elapsed.as_secs_f64(),
            unit: "line",
            cpu_s_per_1000: Some((self.target.cpu_seconds() - cpu) * 1000.0 / lines as f64),
            peak_rss_mb: self.target.process.as_ref().map(Process::peak_mb),
            disk_bytes_per_op: Some(bytes_in(&self.target.directory) as f64 / self.written as f64),
            against: Some("bare FTS5 inserts, 1000 a commit".into()),
            goals: GOALS.to_vec(),
            ..Row::default()
        })
    }

    /// Until all that was written is stored.
    async fn wait(&self, started: Instant, most: Duration) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.target.address).await?;
        loop {
            let (status, body) = connection.exchange_for_body(&self.stats).await?;
            ensure!(status == 200, "GET /metrics: {status}");
            let text = std::str::from_utf8(body)?;
            let stored: usize = text
                .lines()
                .find_map(|line| line.strip_prefix("monlight_log_entries_stored_total "))
                .context("monlight_log_entries_stored_total")?
                .parse()?;
            let written = self.written;
            ensure!(stored <= written, "{stored} entries of {written} lines");
            if stored == written {
                return Ok(());
            }
            ensure!(
                started.elapsed() < most,
                "{stored} of {written} lines after {:?}",
                started.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn searches(&self) -> Vec<Prepared> {
        let headers = [("X-API-Key", self.target.key.as_str())];
        [
            "/api/logs?search=gateway+timeout",
            "/api/logs?search=n%3D777",
            "/api/logs?level=%3E%3DERROR",
            "/api/logs?container=web",
            "/api/logs",
        ]
        .iter()
        .map(|path| load::get(path, &headers))
        .collect()
    }
}

/// Fifty containers that print nothing: what looking after them costs. An operation is a second.
async fn idle(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let sources = tempfile::tempdir()?;
    for n in 0..50 {
        let mut file = container(sources.path(), &format!("silent{n}"))?;
        file.write_all(payload::docker_line("started", n, 0).as_bytes())?;
        file.flush()?;
    }
    // The interval that people have, not the one of the other loads.
    let mut settings = settings(sources.path(), SMALL_RING);
    settings.retain(|(name, _)| *name != "POLL_INTERVAL");
    let target = Target::start(options, SERVICE, &settings)?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let time = options.time.max(Duration::from_secs(10));
    let cpu = target.cpu_seconds();
    tokio::time::sleep(time).await;
    let used = target.cpu_seconds() - cpu;
    report.add(Row {
        service: SERVICE.into(),
        load: "idle, 50 containers".into(),
        per_second: 1.0,
        unit: "second",
        cpu_s_per_1000: Some(used * 1000.0 / time.as_secs_f64()),
        peak_rss_mb: target.process.as_ref().map(Process::peak_mb),
        // One per cent of a core.
        goals: vec![Goal::Cpu(10.0)],
        ..Row::default()
    });
    target.stop()
}

fn settings(sources: &Path, max_entries: usize) -> Vec<(&'static str, String)> {
    vec![
        ("LOG_SOURCES", sources.display().to_string()),
        ("MAX_ENTRIES", max_entries.to_string()),
        ("POLL_INTERVAL", "1".to_owned()),
        ("TAIL_BUFFER", "all".to_owned()),
    ]
}

fn container(sources: &Path, name: &str) -> anyhow::Result<BufWriter<File>> {
    let id = format!("{name:0>32}");
    let directory = sources.join(&id);
    std::fs::create_dir(&directory)?;
    std::fs::write(
        directory.join("config.v2.json"),
        format!("{{\"ID\":\"{id}\",\"Name\":\"/{name}\"}}"),
    )?;
    Ok(BufWriter::new(File::create(
        directory.join(format!("{id}-json.log")),
    )?))
}
