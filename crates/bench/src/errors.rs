//! The loads of the error tracker on a small database.

use std::time::Duration;

use crate::Options;
use crate::load::{self, NUMBER, Numbered, Prepared, Requests, THING};
use crate::payload;
use crate::report::{Goal, Report};
use crate::target::{EMPTY_ROUTES, Load, Phase, Target};

pub(crate) const SERVICE: &str = "error-tracker";

/// What makes reports for a target.
pub(crate) struct Reports<'t>(pub(crate) &'t Target);

impl Reports<'_> {
    fn post(&self, body: &str) -> Prepared {
        load::post("/api/errors", &[("X-API-Key", &self.0.key)], body)
    }

    /// Of 2 KB in 1,000 groups.
    pub(crate) fn short(&self) -> Requests {
        let reports = payload::reports(1000);
        Requests::Fixed(reports.iter().map(|body| self.post(body)).collect())
    }

    /// Of 2 KB, in so many groups behind the number `first`, or each in a group of its own.
    pub(crate) fn numbered(&self, first: u64, groups: Option<u64>) -> Requests {
        let templates = payload::numbered_reports(THING, NUMBER);
        let templates: Vec<_> = templates.iter().map(|body| self.post(body)).collect();
        Numbered::new(&templates, first, groups).into()
    }
}

/// 2 KB reports in 1,000 groups, 50 KB reports, reports that are all new, awkward ones, then lists.
pub(crate) async fn small(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let target = Target::start(options, SERVICE, &[])?;
    let reports = Reports(&target);
    let light = [Goal::P99(15.0), Goal::PeakMb(14.0)];
    let load = Load {
        service: SERVICE,
        what: "2 KB reports",
        unit: "report",
        requests: &reports.short(),
        each: 1.0,
        yardsticks: EMPTY_ROUTES,
        goals: [
            &[
                Goal::PerSecond(8_000.0),
                Goal::Ratio(0.06),
                light[0],
                light[1],
            ],
            &[
                Goal::PerSecond(25_000.0),
                Goal::Ratio(0.2),
                light[0],
                light[1],
            ],
        ],
    };
    load.run(&target, options.time, report).await?;

    let lists = [
        "/api/errors?limit=50",
        "/api/errors?project=shop-1&limit=50",
    ];
    let lists = lists.map(|path| load::get(path, &[("X-API-Key", &target.key)]));
    let phase = Phase::reading(
        SERVICE,
        "lists of 50, 8 connections",
        "list",
        8,
        options.time,
    );
    let lists = Requests::from(lists.to_vec());
    report.add(target.measure(&phase, &lists, 1.0).await?);

    let long = payload::long_reports(600);
    let long = Requests::Fixed(long.iter().map(|body| reports.post(body)).collect());
    let phase = Phase {
        goals: &[Goal::PerSecond(1_500.0)],
        ..Phase::storing(
            SERVICE,
            "50 KB reports, 64 connections",
            "report",
            64,
            options.time,
        )
    };
    report.add(target.measure(&phase, &long, 1.0).await?);

    let phase = Phase::storing(
        SERVICE,
        "every report a new group, 64 connections",
        "report",
        64,
        options.time,
    );
    report.add(
        target
            .measure(&phase, &reports.numbered(0, None), 1.0)
            .await?,
    );
    awkward(&reports, options.time / 5, report).await?;
    target.stop()
}

/// What the longest tracebacks cost: one after the other.
async fn awkward(reports: &Reports<'_>, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    for (name, body) in payload::awkward_reports() {
        let phase = Phase {
            goals: &[Goal::P95(5.0)],
            ..Phase::storing(
                SERVICE,
                format!("250 KB of {name}, 1 connection"),
                "report",
                1,
                time,
            )
        };
        let requests = Requests::from(reports.post(&body));
        report.add(reports.0.measure(&phase, &requests, 1.0).await?);
    }
    Ok(())
}
