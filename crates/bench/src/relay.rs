//! The loads of the relay: errors whose frames are mapped, into a real tracker; batches of metrics, into a real collector;
//! errors while large source maps are uploaded; and what an outage has kept.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Options;
use crate::errors_large::value;
use crate::load::{self, Connection, Pace, Prepared, Requests, Until};
use crate::payload;
use crate::process::Process;
use crate::report::{Goal, Report, Row};
use crate::target::{EMPTY_ROUTES, KEY, Load, Phase, Target};

const SERVICE: &str = "browser-relay";
/// The largest map that is taken, and how many are uploaded at once.
const MAP_BYTES: usize = 5 * 1024 * 1024;
const UPLOADS: usize = 4;
/// The outbox after an outage of an hour at 50 errors a second: some minutes and 1 GB of disk, so only when it is asked for.
pub(crate) const OUTAGE: &str = "browser-relay-outage";
const OUTAGE_ERRORS: usize = 50 * 3600;
/// What the container may have.
const MEMORY: Goal = Goal::PeakMb(30.0);

/// The relay with the two services behind it.
struct Stack {
    relay: Target,
    behind: Vec<Target>,
}

impl Stack {
    fn start(options: &Options) -> anyhow::Result<Self> {
        let own = Options {
            against: None,
            service: None,
            ..options.clone()
        };
        let tracker = Target::start(&own, "error-tracker", &[])?;
        let collector = Target::start(&own, "metrics-collector", &[])?;
        let more = [
            ("ERROR_TRACKER_URL", format!("http://{}", tracker.address)),
            ("ERROR_TRACKER_API_KEY", KEY.to_owned()),
            (
                "METRICS_COLLECTOR_URL",
                format!("http://{}", collector.address),
            ),
            ("METRICS_COLLECTOR_API_KEY", KEY.to_owned()),
            ("DSN_KEYS", format!("shop:{KEY}")),
        ];
        let mut relay = Target::start(options, SERVICE, &more)?;
        let names = ["error-tracker", "metrics-collector"];
        let behind = vec![tracker, collector];
        for (name, target) in names.into_iter().zip(&behind) {
            let process = target.process.as_ref();
            relay
                .beside
                .extend(process.map(|process| (name, process.id())));
        }
        Ok(Self { relay, behind })
    }

    fn stop(self) -> anyhow::Result<()> {
        self.relay.stop()?;
        self.behind.into_iter().try_for_each(Target::stop)
    }

    /// Posts that a page makes.
    fn posts(&self, path: &str, bodies: &[String]) -> Requests {
        let headers = [("X-Monlight-Key", self.relay.key.as_str())];
        let posts = bodies.iter().map(|body| load::post(path, &headers, body));
        Requests::from(posts.collect::<Vec<_>>())
    }

    fn upload(&self, file: &str) -> Prepared {
        let map = payload::source_map(MAP_BYTES);
        let body = serde_json::json!({"project": "shop", "release": "bench", "file_url": file, "map_content": map});
        load::post(
            "/api/source-maps",
            &[("X-API-Key", &self.relay.key)],
            &body.to_string(),
        )
    }
}

/// Browser errors of 2 KB with three mapped frames each, batches of 10 metrics, then errors beside uploads.
pub(crate) async fn browser_relay(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let stack = Stack::start(options)?;
    let first = Requests::from(stack.upload("/assets/app.min.js"));
    let mut phase = Phase::storing(SERVICE, "a source map of 5 MiB", "map", 1, options.time);
    phase.pace.until = Until::Sent(3);
    phase.goals = &[Goal::P99(1000.0), MEMORY];
    report.add(stack.relay.measure(&phase, &first, 1.0).await?);

    let errors = stack.posts("/api/browser/errors", &payload::browser_errors(1000));
    let wide = [Goal::PerSecond(6_000.0), Goal::P99(40.0), MEMORY];
    let load = Load {
        service: SERVICE,
        what: "2 KB errors with three mapped frames",
        unit: "event",
        requests: &errors,
        each: 1.0,
        yardsticks: EMPTY_ROUTES,
        goals: [&[MEMORY], &wide],
    };
    load.run(&stack.relay, options.time, report).await?;

    // Relay and tracker work side by side, so a few requests more keep both processors busy.
    let name = "these errors, 96 connections";
    if report.wants(name) {
        let mut phase = Phase::storing(SERVICE, name, "event", 96, options.time);
        phase.goals = &[Goal::PerSecond(6_000.0), Goal::P99(40.0), MEMORY];
        report.add(stack.relay.measure(&phase, &errors, 1.0).await?);
    }

    let name = "batches of 10 metrics, 64 connections";
    if report.wants(name) {
        let batches = stack.posts("/api/browser/metrics", &payload::browser_batches(500));
        let mut phase = Phase::storing(SERVICE, name, "batch", 64, options.time);
        phase.goals = &[Goal::PerSecond(3_000.0), MEMORY];
        report.add(stack.relay.measure(&phase, &batches, 1.0).await?);
    }

    beside_uploads(options, &stack, &errors, report).await?;
    stack.stop()
}

/// The full load of errors, while four maps at a time are uploaded again and again.
async fn beside_uploads(
    options: &Options,
    stack: &Stack,
    errors: &Requests,
    report: &mut Report,
) -> anyhow::Result<()> {
    let name = "these errors, 64 connections, while four maps of 5 MiB are uploaded";
    if !report.wants(name) {
        return Ok(());
    }
    let files = (0..UPLOADS).map(|n| stack.upload(&format!("/assets/chunk-{n}.js")));
    let uploads = Requests::from(files.collect::<Vec<_>>());
    let mut phase = Phase::storing(SERVICE, name, "event", 64, options.time);
    phase.goals = &[MEMORY];
    let pace = Pace {
        connections: UPLOADS,
        until: Until::Elapsed(options.time),
        rate: None,
    };
    let (row, uploaded) = tokio::join!(
        stack.relay.measure(&phase, errors, 1.0),
        load::run(stack.relay.address, pace, &uploads),
    );
    let uploaded = uploaded?;
    ensure!(
        uploaded.accepted >= UPLOADS as u64 && uploaded.refused == 0,
        "{} maps were taken and {} refused",
        uploaded.accepted,
        uploaded.refused
    );
    let mut row = row?;
    let _ = write!(row.load, " ({} taken)", uploaded.accepted);
    report.add(row);
    Ok(())
}

/// Errors come in while the tracker is away; then it comes back, and takes them all.
pub(crate) async fn outage(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    // Free a moment ago: the relay must know the address before the tracker is there.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let more = [
        ("ERROR_TRACKER_URL", format!("http://{address}")),
        ("ERROR_TRACKER_API_KEY", KEY.to_owned()),
        ("METRICS_COLLECTOR_URL", format!("http://{address}")),
        ("METRICS_COLLECTOR_API_KEY", KEY.to_owned()),
        ("DSN_KEYS", format!("shop:{KEY}")),
    ];
    let relay = Target::start(options, SERVICE, &more)?;
    let headers = [("X-Monlight-Key", KEY)];
    let bodies = payload::browser_errors(1000);
    let posts = bodies
        .iter()
        .map(|body| load::post("/api/browser/errors", &headers, body));
    let errors = Requests::from(posts.collect::<Vec<_>>());
    let mut phase = Phase::storing(
        OUTAGE,
        "errors that are kept, 64 connections",
        "event",
        64,
        options.time,
    );
    phase.pace.until = Until::Sent(OUTAGE_ERRORS);
    phase.goals = &[MEMORY];
    let row = relay.measure(&phase, &errors, 1.0).await?;
    ensure!(row.refused == 0, "{} errors were not kept", row.refused);
    report.add(row);

    if let Some(process) = &relay.process {
        process.reset_peak()?;
    }
    let tracker = Target::start(
        options,
        "error-tracker",
        &[("PORT", address.port().to_string())],
    )?;
    let began = Instant::now();
    let kept = "monlight_relay_outbox_events{";
    while gauge(&relay, kept).await? > 0.0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let elapsed = began.elapsed().as_secs_f64();
    let taken = gauge(&tracker, "monlight_error_reports_total").await?;
    ensure!(
        taken == OUTAGE_ERRORS as f64,
        "{taken} of {OUTAGE_ERRORS} errors have arrived"
    );
    report.add(Row {
        service: OUTAGE.into(),
        load: format!("{OUTAGE_ERRORS} kept errors are delivered, in {elapsed:.0} s"),
        per_second: taken / elapsed,
        unit: "event",
        peak_rss_mb: relay.process.as_ref().map(Process::peak_mb),
        // All in less than a minute.
        goals: vec![Goal::PerSecond(OUTAGE_ERRORS as f64 / 60.0), MEMORY],
        ..Row::default()
    });
    relay.stop()?;
    tracker.stop()
}

/// The sum over all lines of a metric that a service shows.
async fn gauge(target: &Target, name: &str) -> anyhow::Result<f64> {
    let mut connection = Connection::open(target.address).await?;
    let metrics = load::get("/metrics", &[("X-API-Key", &target.key)]);
    let (status, body) = connection.exchange_for_body(&metrics).await?;
    ensure!(status == 200, "GET /metrics: {status}");
    Ok(value(std::str::from_utf8(body)?, name))
}
