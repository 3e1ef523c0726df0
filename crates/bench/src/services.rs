//! The loads of the metrics collector.

use crate::Options;
use crate::load::{self, Requests};
use crate::payload;
use crate::report::Report;
use crate::target::{Load, Phase, Target};

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
