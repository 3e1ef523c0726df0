//! Rows of the original's tables, whatever they hold.

use monlight_shared::store::{Cells, StoreError};
use rusqlite::{Connection, Row};

use crate::domain::figures::Figures;
use crate::domain::metric::MetricType;
use crate::domain::timestamp;

/// A tier of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Minute,
    Hour,
}

impl Tier {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    const fn step_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}

/// A point that can be taken.
#[derive(Debug)]
pub(super) struct LegacyPoint {
    pub(super) at_ms: i64,
    pub(super) kind: MetricType,
    pub(super) project: Option<String>,
    /// As stored; empty for none.
    pub(super) labels: String,
    pub(super) value: f64,
}

/// A point that cannot.
#[derive(Debug)]
pub(super) struct Unreadable {
    at: Option<String>,
    kind: Option<String>,
    project: Option<String>,
    labels: String,
    value: Option<String>,
}

impl Unreadable {
    /// Keeps it as it stood there.
    pub(super) fn lay_aside(&self, conn: &Connection, name: &str) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "INSERT INTO set_aside (kind, at, project, name, type, labels, figures) VALUES ('point', ?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            &self.at,
            &self.project,
            name,
            &self.kind,
            &self.labels,
            &self.value,
        ))?;
        Ok(())
    }
}

/// A rollup row.
#[derive(Debug)]
pub(super) struct LegacyRollup {
    pub(super) tier: Tier,
    bucket: Option<String>,
    pub(super) project: Option<String>,
    /// As stored; empty for none.
    pub(super) labels: String,
    pub(super) figures: Figures,
}

impl LegacyRollup {
    fn from_row(row: &Row<'_>, tier: Tier) -> rusqlite::Result<Self> {
        let mut cells = Cells::of(row);
        let number = |column| Ok::<_, rusqlite::Error>(real(row, column)?.unwrap_or(f64::NAN));
        let percentiles = match (real(row, 6)?, real(row, 7)?, real(row, 8)?) {
            (Some(p50), Some(p95), Some(p99)) => Some([p50, p95, p99]),
            _ => None,
        };
        Ok(Self {
            tier,
            bucket: cells.text(0)?,
            labels: cells.text(1)?.unwrap_or_default(),
            figures: Figures {
                count: u64::try_from(cells.integer(2)?.unwrap_or(0)).unwrap_or(0),
                sum: number(3)?,
                min: number(4)?,
                max: number(5)?,
                percentiles,
            },
            project: cells.text(9)?,
        })
    }

    /// Keeps it as it stood there.
    pub(super) fn lay_aside(
        &self,
        conn: &Connection,
        tier: Tier,
        name: &str,
    ) -> rusqlite::Result<()> {
        let Figures {
            count,
            sum,
            min,
            max,
            ..
        } = self.figures;
        conn.prepare_cached(
            "INSERT INTO set_aside (kind, at, project, name, labels, figures) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            tier.as_str(),
            &self.bucket,
            &self.project,
            name,
            &self.labels,
            format!("{count} {sum} {min} {max}"),
        ))?;
        Ok(())
    }
}

fn real(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<f64>> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        _ => None,
    })
}

/// A file of the original.
pub(super) struct Source<'c> {
    conn: &'c Connection,
    points: String,
    rollups: Option<String>,
}

impl<'c> Source<'c> {
    pub(super) fn of(conn: &'c Connection) -> rusqlite::Result<Self> {
        let has = |table: &str, column: &str| {
            conn.query_row(
                "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
                [table, column],
                |row| row.get::<_, bool>(0),
            )
        };
        let project = |table: &str| {
            Ok::<_, rusqlite::Error>(if has(table, "project")? {
                "project"
            } else {
                "NULL"
            })
        };
        let rollups = if has("metrics_aggregated", "bucket")? {
            Some(format!(
                "SELECT bucket, labels, count, sum, min, max, p50, p95, p99, {} FROM metrics_aggregated
                 WHERE name = ?1 AND resolution = ?2 ORDER BY bucket, id",
                project("metrics_aggregated")?
            ))
        } else {
            None
        };
        Ok(Self {
            conn,
            points: format!(
                "SELECT timestamp, labels, value, type, {} FROM metrics_raw WHERE name = ?1 ORDER BY id",
                project("metrics_raw")?
            ),
            rollups,
        })
    }

    /// The names of all metrics, bytewise ascending.
    pub(super) fn names(&self) -> rusqlite::Result<Vec<String>> {
        self.conn
            .prepare(&format!(
                "{} WHERE typeof(name) = 'text' AND name <> '' ORDER BY name",
                self.all_names()
            ))?
            .query_map([], |row| Ok(Cells::of(row).text(0)?.unwrap_or_default()))?
            .collect()
    }

    /// Rows whose name is none.
    pub(super) fn nameless(&self) -> rusqlite::Result<u64> {
        let count = |table: &str| {
            self.conn.query_row(
                &format!("SELECT count(*) FROM {table} WHERE typeof(name) <> 'text' OR name = ''"),
                [],
                |row| row.get::<_, i64>(0),
            )
        };
        let rollups = match self.rollups {
            Some(_) => count("metrics_aggregated")?,
            None => 0,
        };
        Ok((count("metrics_raw")? + rollups).unsigned_abs())
    }

    fn all_names(&self) -> &'static str {
        if self.rollups.is_some() {
            "SELECT name FROM (SELECT name FROM metrics_raw UNION SELECT name FROM metrics_aggregated)"
        } else {
            "SELECT name FROM (SELECT DISTINCT name FROM metrics_raw)"
        }
    }

    /// Calls `each` with every point of a metric, in the order they came.
    pub(super) fn points(
        &self,
        name: &str,
        now_ms: i64,
        mut each: impl FnMut(Result<LegacyPoint, Unreadable>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare_cached(&self.points)?;
        let mut rows = statement.query([name])?;
        while let Some(row) = rows.next()? {
            let mut cells = Cells::of(row);
            let (at, kind) = (cells.text(0)?, cells.text(3)?);
            let at_ms = at
                .as_deref()
                .and_then(|text| timestamp::stored(text, now_ms));
            let value = real(row, 2)?.filter(|value| value.is_finite());
            let labels = cells.text(1)?.unwrap_or_default();
            let project = cells.text(4)?;
            let known = kind.as_deref().and_then(MetricType::parse);
            each(match (at_ms, known, value) {
                (Some(at_ms), Some(kind), Some(value)) => Ok(LegacyPoint {
                    at_ms,
                    kind,
                    project,
                    labels,
                    value,
                }),
                _ => Err(Unreadable {
                    at,
                    kind,
                    project,
                    labels,
                    value: cells.text(2)?,
                }),
            })?;
        }
        Ok(())
    }

    /// Calls `each` with the sound rows of every bucket of a metric: its start, and `None` with those whose start cannot
    /// be read or whose figures are impossible.
    pub(super) fn rollups(
        &self,
        name: &str,
        tier: Tier,
        now_ms: i64,
        mut each: impl FnMut(Option<i64>, Vec<LegacyRollup>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(sql) = &self.rollups else {
            return Ok(());
        };
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([name, tier.as_str()])?;
        let mut of_bucket: Vec<LegacyRollup> = Vec::new();
        let mut current: Option<i64> = None;
        while let Some(row) = rows.next()? {
            let rollup = LegacyRollup::from_row(row, tier)?;
            let bucket = rollup
                .bucket
                .as_deref()
                .and_then(|text| timestamp::stored(text, now_ms))
                .filter(|at| at.rem_euclid(tier.step_ms()) == 0);
            if bucket.is_none() || !rollup.figures.are_sound() {
                each(None, vec![rollup])?;
                continue;
            }
            if bucket != current && !of_bucket.is_empty() {
                each(current, std::mem::take(&mut of_bucket))?;
            }
            current = bucket;
            of_bucket.push(rollup);
        }
        if !of_bucket.is_empty() {
            each(current, of_bucket)?;
        }
        Ok(())
    }
}
