//! Drives the release binaries on loopback and compares them with yardsticks of the same run.
//!
//! `make bench`, or `cargo run --release -p bench -- [--seconds N] [--service NAME] [--load TEXT] [--full] [--against URL --key KEY]`. Writes
//! `target/bench/report.json` and `target/bench/report.md`. The load generator shares the processors with the service, so
//! a figure is a lower bound; ratios to the yardsticks, which share them in the same way, carry further.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, opens bare databases and sleeps on purpose"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod errors;
mod errors_large;
mod load;
mod log_queries;
mod logs;
mod metrics_queries;
mod payload;
mod process;
mod relay;
mod report;
mod services;
mod target;
mod yardstick;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use load::Requests;
use process::{Process, cpu_seconds};
use report::{Report, Row};
use target::Phase;

const SERVICES: [&str; 8] = [
    "error-tracker",
    LARGE,
    "metrics-collector",
    metrics_queries::SERVICE,
    "log-viewer",
    log_queries::SERVICE,
    "browser-relay",
    relay::OUTAGE,
];

/// The error tracker with a large database: minutes and 2 GB of disk, so only when it is asked for.
const LARGE: &str = "error-tracker-large";

/// What was asked for on the command line.
#[derive(Clone)]
struct Options {
    /// Of each phase.
    time: Duration,
    /// Only this service.
    service: Option<String>,
    /// Only the loads whose names have this text in them, where a service's loads do not need each other.
    load: Option<String>,
    /// All of them, with the large database.
    full: bool,
    /// How many groups the large database has; five times as many reports.
    groups: u64,
    /// Where the large database of the error tracker or the metrics collector is kept, to ask it more questions later.
    keep: Option<PathBuf>,
    /// A running server instead of our own binaries, and its key.
    against: Option<(SocketAddr, String)>,
    /// Where the binaries are.
    binaries: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            time: Duration::from_secs(5),
            service: None,
            load: None,
            full: false,
            groups: 200_000,
            keep: None,
            against: None,
            binaries: "target/release".into(),
        };
        let (mut url, mut key) = (None, "bench-key".to_owned());
        while let Some(name) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{name} needs a value"))
            };
            match name.as_str() {
                "--seconds" => {
                    options.time = Duration::from_secs_f64(
                        value()?.parse().context("--seconds takes a number")?,
                    );
                }
                "--service" => options.service = Some(value()?),
                "--load" => options.load = Some(value()?),
                "--full" => options.full = true,
                "--groups" => {
                    options.groups = value()?.parse().context("--groups takes a number")?;
                }
                "--keep" => options.keep = Some(value()?.into()),
                "--against" => url = Some(value()?),
                "--key" => key = value()?,
                "--bin-dir" => options.binaries = value()?.into(),
                _ => bail!(
                    "unknown argument {name}; expected --seconds N, --service NAME, --load TEXT, --full, --groups N, --keep DIR, --bin-dir DIR, --against URL, --key KEY"
                ),
            }
        }
        if let Some(service) = &options.service
            && !SERVICES.contains(&service.as_str())
        {
            bail!("--service is one of {}", SERVICES.join(", "));
        }
        if let Some(url) = url {
            let authority = url
                .strip_prefix("http://")
                .context("--against takes an http:// address")?
                .trim_end_matches('/');
            let address = authority
                .to_socket_addrs()?
                .next()
                .context("--against: no such host")?;
            anyhow::ensure!(
                address.ip().is_loopback(),
                "--against: only servers on this machine are loaded"
            );
            anyhow::ensure!(
                options.service.is_some(),
                "--against needs --service, to know which load to send"
            );
            options.against = Some((address, key));
        }
        Ok(options)
    }

    fn wants(&self, service: &str) -> bool {
        match self.service.as_deref() {
            Some(wanted) => wanted == service,
            None => {
                self.full
                    || ![
                        LARGE,
                        metrics_queries::SERVICE,
                        log_queries::SERVICE,
                        relay::OUTAGE,
                    ]
                    .contains(&service)
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("yardstick") {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        return runtime.block_on(yardstick::serve_empty_route());
    }
    let options = Options::parse(std::env::args().skip(1))?;
    // One thread for the load: it must not take more than its share of a small machine.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report {
        seconds: options.time.as_secs_f64(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        rows: Vec::new(),
        only: options.load.clone(),
    };
    Report::print_head();
    if options.load.is_none() {
        yardsticks(options, &mut report).await?;
    }
    if options.wants("error-tracker") {
        errors::small(options, &mut report).await?;
    }
    if options.wants(LARGE) && options.against.is_none() {
        errors_large::large(options, &mut report).await?;
    }
    if options.wants("metrics-collector") {
        services::metrics_collector(options, &mut report).await?;
    }
    if options.wants(metrics_queries::SERVICE) && options.against.is_none() {
        metrics_queries::large(options, &mut report).await?;
    }
    if options.wants("log-viewer") && options.against.is_none() {
        logs::log_viewer(options, &mut report).await?;
    }
    if options.wants(log_queries::SERVICE) && options.against.is_none() {
        log_queries::large(options, &mut report).await?;
    }
    if options.wants("browser-relay") {
        relay::browser_relay(options, &mut report).await?;
    }
    if options.wants(relay::OUTAGE) && options.against.is_none() {
        relay::outage(options, &mut report).await?;
    }
    report.write(std::path::Path::new("target/bench"))?;
    println!("\nwritten to target/bench/report.json and target/bench/report.md");
    Ok(())
}

async fn yardsticks(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let server = Process::start(&std::env::current_exe()?, &["yardstick"], &[])?;
    let requests: Vec<_> = payload::reports(100)
        .iter()
        .map(|body| load::post("/", &[], body))
        .collect();
    let requests = Requests::from(requests);
    for (connections, name) in [
        (8, "empty axum route, 8 connections"),
        (64, "empty axum route, 64 connections"),
    ] {
        let before = cpu_seconds(server.id());
        let phase = Phase::reading("yardstick", name, "req", connections, options.time);
        let outcome = load::run(server.address, phase.pace, &requests).await?;
        let cpu = (cpu_seconds(server.id()) - before) * 1000.0 / outcome.accepted as f64;
        report.add(Row {
            cpu_s_per_1000: Some(cpu),
            ..phase.row(outcome, 1.0)
        });
    }
    drop(server);
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let lines = payload::log_messages(10_000);
    let figures = [
        (
            "bare commits of one 2 KB row",
            "commit",
            yardstick::bare_commits(&path("commits.db"), options.time)?,
        ),
        (
            "bare inserts, 500 a commit",
            "row",
            yardstick::bare_inserts(&path("rows.db"), 500, options.time)?,
        ),
        (
            "bare FTS5 inserts, 1000 a commit",
            "line",
            yardstick::bare_fts(&path("fts.db"), 1000, &lines, options.time)?,
        ),
    ];
    for (load, unit, per_second) in figures {
        report.add(Row {
            service: "yardstick".into(),
            load: load.into(),
            per_second,
            unit,
            ..Row::default()
        });
    }
    Ok(())
}
