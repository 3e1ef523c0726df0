//! How full the collector is.

use rusqlite::Connection;

use super::rebuild;
use super::removal;
use super::series::OVERFLOW_LABELS;
use super::watermark::Watermark;
use crate::domain::metric::MetricType;

/// Projects, and series of what overflowed, in one answer.
const MOST_LISTED: i64 = 1000;

/// What is stored.
#[derive(Debug)]
pub(crate) struct Stats {
    /// By name, each with its number of series.
    pub(crate) projects: Vec<(String, u64)>,
    /// The names that have more label sets than they may have, or stand for those that have no place.
    pub(crate) overflowing: Vec<Overflowing>,
    /// Rows of the original's file that were left out.
    pub(crate) set_aside: u64,
    /// Names that were removed by hand and are not gone for good.
    pub(crate) removed: usize,
    /// Minutes, hours and days that are open or wait for the rollup.
    pub(crate) backlog: u64,
    /// The newest minute closed by the rollup.
    pub(crate) last_rolled: Option<i64>,
}

/// A name whose series `__overflow__` counts what has no place of its own.
#[derive(Debug)]
pub(crate) struct Overflowing {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) kind: MetricType,
    pub(crate) series: u64,
}

/// Reads them.
pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Stats> {
    let unsigned = |count: i64| count.unsigned_abs();
    let projects = conn
        .prepare_cached("SELECT name, series FROM project WHERE series > 0 ORDER BY name LIMIT ?1")?
        .query_map([MOST_LISTED], |row| {
            Ok((row.get(0)?, unsigned(row.get(1)?)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let overflowing = conn
        .prepare_cached(
            "SELECT project.name, name.name, name.type, name.series FROM name
             JOIN series ON series.name_id = name.id AND series.labels = ?1
             JOIN project ON project.id = name.project
             WHERE name.removed IS NULL
             ORDER BY name.series DESC, name.name LIMIT ?2",
        )?
        .query_map((OVERFLOW_LABELS, MOST_LISTED), |row| {
            Ok(Overflowing {
                project: row.get(0)?,
                name: row.get(1)?,
                kind: MetricType::from_code(row.get(2)?).unwrap_or(MetricType::Gauge),
                series: unsigned(row.get(3)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let set_aside: i64 = conn
        .prepare_cached("SELECT count(*) FROM set_aside")?
        .query_row([], |row| row.get(0))?;
    Ok(Stats {
        projects,
        overflowing,
        set_aside: unsigned(set_aside),
        removed: removal::removed(conn)?.len(),
        backlog: unsigned(rebuild::backlog(conn)?),
        last_rolled: Watermark::LastRolled.read(conn)?,
    })
}
