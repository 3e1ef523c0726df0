//! The figures, as a Markdown table and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// One line of the report.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    /// `error-tracker` and so on, or `yardstick`.
    pub service: String,
    /// What was done.
    pub load: String,
    /// Operations a second: reports, points, lines, answers.
    pub per_second: f64,
    /// What one operation is.
    pub unit: &'static str,
    /// Median latency in ms, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 95th percentile in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// 99th percentile in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Processor seconds of the service for 1,000 operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_s_per_1000: Option<f64>,
    /// The same of others that worked for the same requests, the load generator among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpu_beside_s_per_1000: Vec<(&'static str, f64)>,
    /// Peak resident memory of the service in MB, in this phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// Bytes on disk for each operation stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes_per_op: Option<f64>,
    /// Rate divided by that of the named load of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Requests answered with another status than 2xx.
    pub refused: u64,
    /// What it should reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Goal>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// So many operations a second.
    PerSecond(f64),
    /// At least so much of what it is compared with.
    Ratio(f64),
    /// The 95th percentile below so many milliseconds.
    P95(f64),
    /// The 99th percentile below.
    P99(f64),
    /// Peak resident memory below so many MB.
    PeakMb(f64),
    /// Less than so many seconds of processor time for 1,000 operations.
    Cpu(f64),
}

impl Goal {
    /// Whether a line reaches it, and how it is written.
    fn judge(self, row: &Row) -> (bool, String) {
        let below = |value: Option<f64>, goal: f64| value.is_some_and(|value| value < goal);
        let above = |value: Option<f64>, goal: f64| value.is_some_and(|value| value >= goal);
        match self {
            Self::PerSecond(goal) => (
                above(Some(row.per_second), goal),
                format!("≥ {}/s", thousands(goal)),
            ),
            Self::Ratio(goal) => (above(row.ratio, goal), format!("ratio ≥ {goal}")),
            Self::P95(goal) => (below(row.p95_ms, goal), format!("p95 < {goal} ms")),
            Self::P99(goal) => (below(row.p99_ms, goal), format!("p99 < {goal} ms")),
            Self::PeakMb(goal) => (below(row.peak_rss_mb, goal), format!("RSS < {goal} MB")),
            Self::Cpu(goal) => (
                below(row.cpu_s_per_1000, goal),
                format!("CPU < {goal} s/1000"),
            ),
        }
    }
}

/// All lines of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Seconds of each phase.
    pub seconds: f64,
    /// Processors of the machine.
    pub processors: usize,
    /// In the order of measuring.
    pub rows: Vec<Row>,
    /// The text that the names of loads must have in them.
    #[serde(skip)]
    pub only: Option<String>,
}

impl Report {
    /// Whether this load was asked for.
    pub(crate) fn wants(&self, load: &str) -> bool {
        self.only.as_ref().is_none_or(|text| load.contains(text))
    }

    /// The rate of a load that was measured before.
    fn rate_of(&self, load: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.load == load);
        row.map(|row| row.per_second)
    }

    /// Adds a line, compares it with what it is measured against, and prints it.
    pub(crate) fn add(&mut self, mut row: Row) {
        let against = row.against.as_deref();
        row.ratio = against
            .and_then(|load| self.rate_of(load))
            .map(|rate| row.per_second / rate);
        println!("{}", line(&row));
        self.rows.push(row);
    }

    /// Prints the head of the table that [`Report::add`] goes on with.
    pub(crate) fn print_head() {
        print!("{HEAD}");
    }

    /// Writes `report.json` and `report.md`.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        std::fs::write(
            directory.join("report.json"),
            serde_json::to_string_pretty(self)? + "\n",
        )?;
        let mut table = format!(
            "{} s for each phase, {} processors shared by service and load generator. Ratios hold within a run; absolute figures belong to the machine.\n\n{HEAD}",
            self.seconds, self.processors
        );
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{}", line(row));
        }
        std::fs::write(directory.join("report.md"), table)?;
        Ok(())
    }
}

const HEAD: &str = "| service | load | per second | p50 ms | p95 ms | p99 ms | CPU s/1000 | beside it | peak RSS MB | disk B/op | ratio | refused | goals |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

fn line(row: &Row) -> String {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let ratio = match (row.ratio, &row.against) {
        (Some(ratio), Some(against)) => format!("{ratio:.3} of {against}"),
        _ => "–".to_owned(),
    };
    let beside = row.cpu_beside_s_per_1000.iter();
    let beside: Vec<_> = beside
        .map(|(name, cpu)| format!("{name} {cpu:.4}"))
        .collect();
    let goals = row.goals.iter().map(|goal| {
        let (reached, text) = goal.judge(row);
        format!("{text} {}", if reached { "✓" } else { "**missed**" })
    });
    let goals = goals.collect::<Vec<_>>().join(", ");
    format!(
        "| {} | {} | {} {} | {} | {} | {} | {} | {} | {} | {} | {ratio} | {} | {goals} |",
        row.service,
        row.load,
        thousands(row.per_second),
        row.unit,
        number(row.p50_ms, 2),
        number(row.p95_ms, 2),
        number(row.p99_ms, 2),
        number(row.cpu_s_per_1000, 4),
        beside.join(", "),
        number(row.peak_rss_mb, 1),
        number(row.disk_bytes_per_op, 1),
        row.refused,
    )
}

/// 1234567.8 as `1,234,568`.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
