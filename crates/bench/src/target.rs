//! A server under load, and the phases of a load.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::Options;
use crate::load::{self, Outcome, Pace, Requests, Until};
use crate::process::{Process, bytes_in, cpu_seconds};
use crate::report::{Goal, Report, Row};

/// What our own binaries are given as key.
pub(crate) const KEY: &str = "bench-key";

/// The server under load: our own binary, or the one that was named.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) process: Option<Process>,
    /// Others that work for the same requests, by name and process.
    pub(crate) beside: Vec<(&'static str, u32)>,
    /// Where its database is.
    pub(crate) directory: PathBuf,
    /// Removes the directory in the end, unless the database is elsewhere.
    _temporary: TempDir,
}

impl Target {
    /// Starts `service` with the usual settings and `more`.
    pub(crate) fn start(
        options: &Options,
        service: &str,
        more: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        let directory = temporary.path().to_owned();
        if let Some((address, key)) = &options.against {
            return Ok(Self {
                address: *address,
                key: key.clone(),
                process: None,
                beside: Vec::new(),
                directory,
                _temporary: temporary,
            });
        }
        let mut env = environment(&directory, service);
        env.extend_from_slice(more);
        let database = env.iter().rfind(|(name, _)| *name == "DATABASE_PATH");
        let directory = database
            .and_then(|(_, path)| Some(Path::new(path).parent()?.to_owned()))
            .unwrap_or(directory);
        let process = Process::start(&options.binaries.join(service), &[], &env)?;
        Ok(Self {
            address: process.address,
            key: KEY.to_owned(),
            process: Some(process),
            beside: vec![("load", std::process::id())],
            directory,
            _temporary: temporary,
        })
    }

    /// Seconds of processor time so far; not a number for a server that was named.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.process
            .as_ref()
            .map_or(f64::NAN, |process| cpu_seconds(process.id()))
    }

    /// Ends our own binary in order.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.process.map_or(Ok(()), Process::stop)
    }

    /// One phase: measures, and makes a row of what was seen. `each` is how many operations a request stands for.
    pub(crate) async fn measure(
        &self,
        phase: &Phase<'_>,
        requests: &Requests,
        each: f64,
    ) -> anyhow::Result<Row> {
        if let Some(process) = &self.process {
            process.reset_peak()?;
        }
        let (cpu, disk) = (self.cpu_seconds(), bytes_in(&self.directory));
        let beside = self.beside.iter();
        let beside: Vec<_> = beside
            .map(|(name, id)| (*name, *id, cpu_seconds(*id)))
            .collect();
        let outcome = load::run(self.address, phase.pace, requests).await?;
        let operations = outcome.accepted as f64 * each;
        let per_1000 =
            |(name, id, before)| (name, (cpu_seconds(id) - before) * 1000.0 / operations);
        let written = bytes_in(&self.directory) as f64 - disk as f64;
        Ok(Row {
            cpu_s_per_1000: self
                .process
                .is_some()
                .then(|| (self.cpu_seconds() - cpu) * 1000.0 / operations),
            cpu_beside_s_per_1000: beside.into_iter().map(per_1000).collect(),
            peak_rss_mb: self.process.as_ref().map(Process::peak_mb),
            disk_bytes_per_op: (self.process.is_some() && phase.stores)
                .then_some(written / operations),
            ..phase.row(outcome, each)
        })
    }
}

/// A load that is sent for some time.
pub(crate) struct Phase<'a> {
    pub(crate) service: &'a str,
    pub(crate) load: String,
    pub(crate) unit: &'static str,
    pub(crate) pace: Pace,
    /// The load it is compared with.
    pub(crate) against: Option<&'a str>,
    /// Whether it makes the database grow.
    pub(crate) stores: bool,
    pub(crate) goals: &'a [Goal],
}

impl<'a> Phase<'a> {
    /// Requests that store something, in a closed loop.
    pub(crate) fn storing(
        service: &'a str,
        load: impl Into<String>,
        unit: &'static str,
        connections: usize,
        time: Duration,
    ) -> Self {
        Self {
            service,
            load: load.into(),
            unit,
            pace: Pace {
                connections,
                until: Until::Elapsed(time),
                rate: None,
            },
            against: None,
            stores: true,
            goals: &[],
        }
    }

    /// Requests that only read, in a closed loop.
    pub(crate) fn reading(
        service: &'a str,
        load: impl Into<String>,
        unit: &'static str,
        connections: usize,
        time: Duration,
    ) -> Self {
        Self {
            stores: false,
            ..Self::storing(service, load, unit, connections, time)
        }
    }

    /// The line of what a client saw.
    pub(crate) fn row(&self, mut outcome: Outcome, each: f64) -> Row {
        Row {
            service: self.service.into(),
            load: self.load.clone(),
            per_second: outcome.rate() * each,
            unit: self.unit,
            p50_ms: Some(outcome.quantile_ms(0.5)),
            p95_ms: Some(outcome.quantile_ms(0.95)),
            p99_ms: Some(outcome.quantile_ms(0.99)),
            against: self.against.map(str::to_owned),
            refused: outcome.refused,
            goals: self.goals.to_vec(),
            ..Row::default()
        }
    }
}

/// Memory settings are those of the images.
fn environment(directory: &Path, service: &str) -> Vec<(&'static str, String)> {
    vec![
        ("API_KEY", KEY.to_owned()),
        ("ADMIN_API_KEY", KEY.to_owned()),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", "0".to_owned()),
        ("RATE_LIMIT", "0".to_owned()),
        ("MALLOC_ARENA_MAX", "1".to_owned()),
        ("MALLOC_MMAP_THRESHOLD_", "131072".to_owned()),
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
pub(crate) struct Load<'a> {
    pub(crate) service: &'a str,
    pub(crate) what: &'a str,
    pub(crate) unit: &'static str,
    pub(crate) requests: &'a Requests,
    /// Operations in one request.
    pub(crate) each: f64,
    /// What the closed loops at 8 and at 64 connections are compared with.
    pub(crate) yardsticks: [&'static str; 2],
    /// What the closed loops should reach.
    pub(crate) goals: [&'a [Goal]; 2],
}

impl Load<'_> {
    /// Closed loops at two widths, then an open loop at half the wider one's rate: latency without overload.
    pub(crate) async fn run(
        &self,
        target: &Target,
        time: Duration,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut fastest = 0.0;
        let widths = [8, 64].into_iter().zip(self.yardsticks).zip(self.goals);
        for ((connections, yardstick), goals) in widths {
            let name = format!("{}, {connections} connections", self.what);
            if !report.wants(&name) {
                continue;
            }
            let phase = Phase {
                against: Some(yardstick),
                goals,
                ..Phase::storing(self.service, name, self.unit, connections, time)
            };
            let row = target.measure(&phase, self.requests, self.each).await?;
            fastest = row.per_second;
            report.add(row);
        }
        let name = format!("{}, open loop at half that rate", self.what);
        if fastest == 0.0 || !report.wants(&name) {
            return Ok(());
        }
        let mut phase = Phase::storing(self.service, name, self.unit, 64, time);
        phase.pace.rate = Some(fastest / self.each / 2.0);
        report.add(target.measure(&phase, self.requests, self.each).await?);
        Ok(())
    }
}

/// The yardsticks of a POST at 8 and at 64 connections.
pub(crate) const EMPTY_ROUTES: [&str; 2] = [
    "empty axum route, 8 connections",
    "empty axum route, 64 connections",
];
