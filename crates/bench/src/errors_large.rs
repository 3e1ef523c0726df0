//! The error tracker with many groups, 200,000 unless told otherwise, and five reports of each: does it still take reports
//! as fast, and do its pages open while it does?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};

use crate::Options;
use crate::errors::{Reports, SERVICE};
use crate::load::{self, Connection, Outcome, Pace, Requests, Until};
use crate::process::Process;
use crate::report::{Goal, Report, Row, thousands};
use crate::target::{Phase, Target};

const REPORTS_OF_A_GROUP: u64 = 5;
/// How often, and how many times, each page is asked for: as a busy dashboard, not as a load of its own.
const PAGES_A_SECOND: f64 = 75.0;
const PAGES: usize = 150;
/// Which page of the list is the one far down.
const DEEP: usize = 300;

const LIST: &[Goal] = &[Goal::P95(10.0)];
const SEARCH: &[Goal] = &[Goal::P95(30.0)];
const OTHER: &[Goal] = &[];

/// What is asked for while reports come in.
const READS: &[(&str, &str, &[Goal])] = &[
    ("list", "/api/errors", LIST),
    ("list of 200", "/api/errors?limit=200", LIST),
    ("list of a project", "/api/errors?project=shop-7", LIST),
    ("list of no project", "/api/errors?project=none", LIST),
    ("list of all states", "/api/errors?resolved=all", LIST),
    ("list of resolved", "/api/errors?state=resolved", LIST),
    ("list of browser errors", "/api/errors?source=browser", LIST),
    ("list of server errors", "/api/errors?source=server", LIST),
    ("list of a common level", "/api/errors?level=error", LIST),
    ("list of a level", "/api/errors?level=fatal", LIST),
    ("list of a release", "/api/errors?release=2026.3.12", LIST),
    ("list of no release", "/api/errors?release=none", LIST),
    (
        "list of an environment",
        "/api/errors?environment=staging",
        LIST,
    ),
    ("list of a host", "/api/errors?server_name=web-3", LIST),
    ("list of a tag", "/api/errors?tag=shard:7", LIST),
    (
        "list of three filters",
        "/api/errors?project=shop-7&environment=production&level=warning",
        LIST,
    ),
    ("list of a user", "/api/errors?user=00012345", LIST),
    (
        "list of a session",
        "/api/errors?session_id=s-00012345",
        LIST,
    ),
    ("list since 2020", "/api/errors?since=2020-01-01", LIST),
    ("list by first seen", "/api/errors?sort=first_seen", LIST),
    ("list by count", "/api/errors?sort=count", LIST),
    ("list by users", "/api/errors?sort=users", LIST),
    (
        "list of a project by count",
        "/api/errors?project=shop-7&sort=count",
        LIST,
    ),
    (
        "list of a level by count",
        "/api/errors?level=fatal&sort=count",
        LIST,
    ),
    ("list at offset 50,000", "/api/errors?offset=50000", LIST),
    ("list with sparklines", "/api/errors?sparkline=24h", LIST),
    ("search of one group", "/api/errors?search=00054321", SEARCH),
    (
        "search of a word of 1 in 8",
        "/api/errors?search=gateway",
        SEARCH,
    ),
    (
        "search of a word of all",
        "/api/errors?search=cannot",
        SEARCH,
    ),
    (
        "search of words",
        "/api/errors?search=gateway+checkout",
        SEARCH,
    ),
    (
        "search of a phrase",
        "/api/errors?search=%22cannot+be+paid%22",
        SEARCH,
    ),
    ("search of no group", "/api/errors?search=nowhere", SEARCH),
    (
        "search in a project",
        "/api/errors?search=gateway&project=shop-7",
        SEARCH,
    ),
    (
        "search by count",
        "/api/errors?search=gateway&sort=count",
        SEARCH,
    ),
    ("a group", "/api/errors/1000", OTHER),
    (
        "statistics of a group",
        "/api/errors/1000/stats?range=30d",
        OTHER,
    ),
    ("statistics", "/api/stats?range=24h", OTHER),
    ("facets", "/api/facets", OTHER),
    ("facets of a project", "/api/facets?project=shop-7", OTHER),
    ("projects", "/api/projects", OTHER),
];

/// Fills a database, measures ingest on it beside an empty one, then reads while reports come in.
///
/// With a directory to keep the database in, one that is there is only read.
pub(crate) async fn large(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let kept = options.keep.as_deref();
    let options = &Options {
        against: None,
        service: None,
        keep: None,
        ..options.clone()
    };
    let kept = database(kept)?;
    let known = kept.as_ref().is_some_and(|path| path.exists());
    let setting = kept.map(|path| ("DATABASE_PATH", path.to_string_lossy().into_owned()));
    let full = Target::start(options, SERVICE, setting.as_slice())?;
    let groups = options.groups;
    let all = Reports(&full).numbered(0, Some(groups));
    let size = format!("{} groups", thousands(groups as f64));
    let fastest = if known {
        in_all_groups(&full, options.time, 64, &all, &size, report).await?
    } else {
        fill(&full, options, &all, &size, report).await?;
        let empty = Target::start(options, SERVICE, &[])?;
        let fastest = ingest([&empty, &full], options.time, &all, &size, report).await?;
        empty.stop()?;
        fastest
    };
    settled(&full).await?;
    read(&full, &all, fastest / 2.0, report).await?;
    full.stop()
}

/// The database in the directory that is to be kept.
fn database(kept: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    kept.map(|directory| {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(directory.join("errors.db"))
    })
    .transpose()
}

async fn fill(
    target: &Target,
    options: &Options,
    all: &Requests,
    size: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let reports = options.groups * REPORTS_OF_A_GROUP;
    let mut phase = Phase::storing(
        SERVICE,
        format!(
            "{} reports of {size}, 64 connections",
            thousands(reports as f64)
        ),
        "report",
        64,
        options.time,
    );
    phase.pace.until = Until::Sent(reports as usize);
    let row = target.measure(&phase, all, 1.0).await?;
    ensure!(row.refused == 0, "{} reports were refused", row.refused);
    report.add(row);
    settled(target).await
}

/// Waits until the tracker has indexed what it was sent: that is work of the load before.
pub(crate) async fn settled(target: &Target) -> anyhow::Result<()> {
    let mut connection = Connection::open(target.address).await?;
    let metrics = load::get("/metrics", &[("X-API-Key", &target.key)]);
    let mut last = None;
    loop {
        let (status, body) = connection.exchange_for_body(&metrics).await?;
        ensure!(status == 200, "GET /metrics: {status}");
        let commits = value(std::str::from_utf8(body)?, "monlight_store_commits_total");
        // A service without clients commits now and then, but not without end.
        if last.is_some_and(|last| commits - last < 5.0) {
            return Ok(());
        }
        last = Some(commits);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// The sum over all lines of a metric.
pub(crate) fn value(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Measures both in turn, so that a noisy minute hits both. Answers the highest rate over all groups of the full one.
async fn ingest(
    [empty, full]: [&Target; 2],
    time: Duration,
    all: &Requests,
    size: &str,
    report: &mut Report,
) -> anyhow::Result<f64> {
    let mut fastest = 0.0;
    for connections in [8, 64] {
        let kinds = [
            (
                "2 KB reports in 1,000 groups",
                [Reports(empty).short(), Reports(full).short()],
            ),
            (
                "every report a new group",
                [empty, full]
                    .map(|target| Reports(target).numbered(10_000_000 * connections, None)),
            ),
        ];
        for (what, requests) in kinds {
            let reference = format!("{what}, {connections} connections, empty database");
            let names = [
                reference.clone(),
                format!("{what}, {connections} connections, {size}"),
            ];
            for (place, target) in [empty, full].into_iter().enumerate() {
                let beside_empty = place == 1;
                let phase = Phase {
                    against: beside_empty.then_some(&*reference),
                    goals: if beside_empty {
                        &[Goal::Ratio(0.8)]
                    } else {
                        &[]
                    },
                    ..Phase::storing(
                        SERVICE,
                        &*names[place],
                        "report",
                        connections as usize,
                        time,
                    )
                };
                report.add(target.measure(&phase, &requests[place], 1.0).await?);
            }
        }
        let connections = connections as usize;
        fastest = in_all_groups(full, time, connections, all, size, report).await?;
    }
    Ok(fastest)
}

/// Measures reports of all groups, and answers how many it takes in a second.
async fn in_all_groups(
    target: &Target,
    time: Duration,
    connections: usize,
    all: &Requests,
    size: &str,
    report: &mut Report,
) -> anyhow::Result<f64> {
    let name = format!("2 KB reports in all {size}, {connections} connections");
    let phase = Phase::storing(SERVICE, name, "report", connections, time);
    let row = target.measure(&phase, all, 1.0).await?;
    let rate = row.per_second;
    report.add(row);
    Ok(rate)
}

/// Asks for each page while reports of all groups come in at a steady rate.
async fn read(
    target: &Target,
    reports: &Requests,
    rate: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let headers = [("X-API-Key", &*target.key)];
    let mut reads: Vec<_> = READS
        .iter()
        .map(|(name, path, goals)| (*name, load::get(path, &headers), *goals))
        .collect();
    let minute_ago = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 60;
    let lately = format!("/api/errors?since={minute_ago}&resolved=all");
    reads.push((
        "list since a minute ago",
        load::get(&lately, &headers),
        LIST,
    ));
    let deep = deep_cursor(target).await?;
    reads.push(("list, page 300 by cursor", load::get(&deep, &headers), LIST));
    let each = Duration::from_secs_f64(PAGES as f64 / PAGES_A_SECOND);
    let beside = Pace {
        connections: 64,
        until: Until::Elapsed(each * reads.len() as u32),
        rate: Some(rate),
    };
    let (address, requests) = (target.address, reports.clone());
    let ingest = tokio::spawn(async move { load::run(address, beside, &requests).await });
    for (name, request, goals) in reads {
        let mut phase = Phase::reading(
            SERVICE,
            format!("{name}, while reports come in"),
            "answer",
            1,
            each,
        );
        phase.goals = goals;
        phase.pace.rate = Some(PAGES_A_SECOND);
        if let Some(process) = &target.process {
            process.reset_peak()?;
        }
        let outcome = alone(address, phase.pace, request.into()).await?;
        report.add(Row {
            peak_rss_mb: target.process.as_ref().map(Process::peak_mb),
            ..phase.row(outcome, 1.0)
        });
    }
    let outcome = ingest.await??;
    let mut phase = Phase::storing(
        SERVICE,
        "2 KB reports at half the highest rate, while pages are read",
        "report",
        64,
        each,
    );
    phase.goals = &[];
    report.add(phase.row(outcome, 1.0));
    Ok(())
}

/// Sends a load from a thread of its own, so that it does not wait behind another load's answers.
async fn alone(target: SocketAddr, pace: Pace, requests: Requests) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(load::run(target, pace, &requests))
    })
    .await?
}

/// The path of a page far down the list, reached page by page, or of the last one.
async fn deep_cursor(target: &Target) -> anyhow::Result<String> {
    let mut connection = Connection::open(target.address).await?;
    let mut path = "/api/errors".to_owned();
    for _ in 1..DEEP {
        let request = load::get(&path, &[("X-API-Key", &target.key)]);
        let (status, body) = connection.exchange_for_body(&request).await?;
        ensure!(status == 200, "GET {path}: {status}");
        let answer: serde_json::Value = serde_json::from_slice(body).context("a list")?;
        let Some(cursor) = answer["next_cursor"].as_str() else {
            break;
        };
        ensure!(
            cursor
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)),
            "a cursor that has to be encoded: {cursor}"
        );
        path = format!("/api/errors?cursor={cursor}");
    }
    Ok(path)
}
