//! The loads of the metrics collector and the relay.

use crate::Options;
use crate::load::{self, Requests};
use crate::payload;
use crate::report::Report;
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

/// Browser errors of 2 KB, forwarded to a real tracker.
pub(crate) async fn browser_relay(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let tracker = Target::start(
        &Options {
            against: None,
            service: None,
            ..options.clone()
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
