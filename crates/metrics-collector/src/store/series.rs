//! Projects, names and series: found or made on the way in, listed on the way out.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::ids::IdMap;
use crate::domain::metric::MetricType;

/// What stands for everything above a limit: a label, a name, a project.
pub(crate) const OVERFLOW: &str = "__overflow__";
/// The labels of a series that stands for those without a place.
pub(super) const OVERFLOW_LABELS: &str = r#"{"__overflow__":"true"}"#;
/// Projects that are told apart; more are counted as one called `__overflow__`.
pub(crate) const MAX_PROJECTS: i64 = 1000;

/// A series that the dictionary does not know.
#[derive(Clone, Debug)]
pub(crate) struct NewSeries {
    /// Empty for none.
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) kind: MetricType,
    /// Canonical.
    pub(crate) labels: String,
}

/// Where the points of a [`NewSeries`] go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// It was there before.
    Known(i64),
    /// It was made.
    Made(i64),
    /// Its project is full: this is the overflow series.
    Overflow(i64),
}

impl Resolved {
    pub(crate) const fn id(self) -> i64 {
        match self {
            Self::Known(id) | Self::Made(id) | Self::Overflow(id) => id,
        }
    }
}

/// How many series a project and a name may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) per_project: i64,
    pub(crate) per_name: i64,
}

/// Finds a series or makes it, unless its project or its name has too many already.
pub(crate) fn resolve(
    conn: &Connection,
    new: &NewSeries,
    bounds: Bounds,
    now_ms: i64,
) -> rusqlite::Result<Resolved> {
    if let Some(id) = find(conn, new)? {
        return Ok(Resolved::Known(id));
    }
    let (project, count) = project(conn, &new.project)?;
    let known = find_name(conn, project, &new.name, new.kind)?;
    // The project may be the one that overflowing projects share, and have it already.
    if let Some((name, _)) = known
        && let Some(id) = find_series(conn, name, &new.labels)?
    {
        return Ok(Resolved::Overflow(id));
    }
    let of_name = known.map_or(0, |(_, count)| count);
    if count < bounds.per_project && of_name < bounds.per_name {
        let name = name(conn, project, &new.name, new.kind)?;
        let id = make(conn, project, name, &new.labels, now_ms)?;
        return Ok(Resolved::Made(id));
    }
    let name = match known {
        Some((name, _)) => name,
        None => name(conn, project, OVERFLOW, new.kind)?,
    };
    let known = find_series(conn, name, OVERFLOW_LABELS)?;
    let id = known.map_or_else(|| make(conn, project, name, OVERFLOW_LABELS, now_ms), Ok)?;
    Ok(Resolved::Overflow(id))
}

fn find(conn: &Connection, new: &NewSeries) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT series.id FROM project
         JOIN name ON name.project = project.id AND name.name = ?2 AND name.type = ?3
         JOIN series ON series.name_id = name.id AND series.labels = ?4
         WHERE project.name = ?1",
    )?
    .query_row(
        (&new.project, &new.name, new.kind.code(), &new.labels),
        |row| row.get(0),
    )
    .optional()
}

/// A project's id and number of series.
fn project(conn: &Connection, name: &str) -> rusqlite::Result<(i64, i64)> {
    let find = |name: &str| {
        conn.prepare_cached("SELECT id, series FROM project WHERE name = ?1")?
            .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    };
    if let Some(found) = find(name)? {
        return Ok(found);
    }
    let projects: i64 = conn
        .prepare_cached("SELECT count(*) FROM project")?
        .query_row([], |row| row.get(0))?;
    let name = if projects < MAX_PROJECTS || name.is_empty() {
        name
    } else {
        OVERFLOW
    };
    if let Some(found) = find(name)? {
        return Ok(found);
    }
    conn.prepare_cached("INSERT INTO project (name) VALUES (?1)")?
        .execute([name])?;
    Ok((conn.last_insert_rowid(), 0))
}

/// A name's id and number of series.
fn find_name(
    conn: &Connection,
    project: i64,
    name: &str,
    kind: MetricType,
) -> rusqlite::Result<Option<(i64, i64)>> {
    conn.prepare_cached(
        "SELECT id, series FROM name WHERE project = ?1 AND name = ?2 AND type = ?3",
    )?
    .query_row((project, name, kind.code()), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .optional()
}

fn name(conn: &Connection, project: i64, name: &str, kind: MetricType) -> rusqlite::Result<i64> {
    if let Some((id, _)) = find_name(conn, project, name, kind)? {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO name (project, name, type) VALUES (?1, ?2, ?3)")?
        .execute((project, name, kind.code()))?;
    Ok(conn.last_insert_rowid())
}

fn find_series(conn: &Connection, name: i64, labels: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM series WHERE name_id = ?1 AND labels = ?2")?
        .query_row((name, labels), |row| row.get(0))
        .optional()
}

fn make(
    conn: &Connection,
    project: i64,
    name: i64,
    labels: &str,
    now_ms: i64,
) -> rusqlite::Result<i64> {
    conn.prepare_cached("INSERT INTO series (name_id, labels, last_seen) VALUES (?1, ?2, ?3)")?
        .execute((name, labels, now_ms))?;
    let id = conn.last_insert_rowid();
    conn.prepare_cached("UPDATE project SET series = series + 1 WHERE id = ?1")?
        .execute([project])?;
    conn.prepare_cached("UPDATE name SET series = series + 1 WHERE id = ?1")?
        .execute([name])?;
    Ok(id)
}

/// How many series there are.
pub(crate) fn count(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT ifnull(sum(series), 0) FROM project", [], |row| {
        row.get(0)
    })
}

/// The projects' names, bytewise ascending; points without a project are nobody's.
pub(crate) fn projects(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached("SELECT name FROM project WHERE name <> '' AND series > 0 ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// A metric's name in one project.
#[derive(Clone, Debug)]
pub(crate) struct MetricName {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) kind: MetricType,
}

fn read_name(row: &Row<'_>) -> rusqlite::Result<MetricName> {
    let code: u8 = row.get(2)?;
    Ok(MetricName {
        id: row.get(0)?,
        name: row.get(1)?,
        // Only the three codes are ever written.
        kind: MetricType::from_code(code).unwrap_or(MetricType::Gauge),
    })
}

/// All names, or those of one project; by name, then type, then project.
pub(crate) fn names(conn: &Connection, project: Option<&str>) -> rusqlite::Result<Vec<MetricName>> {
    match project {
        None => conn
            .prepare_cached("SELECT id, name, type FROM name WHERE removed IS NULL ORDER BY name, type, id")?
            .query_map([], read_name)?
            .collect(),
        Some(project) => conn
            .prepare_cached(
                "SELECT id, name, type FROM name
                 WHERE project = (SELECT id FROM project WHERE name = ?1) AND removed IS NULL ORDER BY name, type",
            )?
            .query_map([project], read_name)?
            .collect(),
    }
}

/// The names of one metric: one per type and, without a project, per project.
pub(crate) fn names_of(
    conn: &Connection,
    metric: &str,
    project: Option<&str>,
) -> rusqlite::Result<Vec<MetricName>> {
    conn.prepare_cached(
        "SELECT id, name, type FROM name
         WHERE name = ?1 AND removed IS NULL AND (?2 IS NULL OR project = (SELECT id FROM project WHERE name = ?2)) ORDER BY id",
    )?
    .query_map((metric, project), read_name)?
    .collect()
}

/// The series of a name: id and canonical labels, oldest first.
pub(crate) fn of_name(
    conn: &Connection,
    name: i64,
    labels: Option<&str>,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    match labels {
        None => conn
            .prepare_cached("SELECT id, labels FROM series WHERE name_id = ?1 ORDER BY id")?
            .query_map([name], pair)?
            .collect(),
        Some(labels) => conn
            .prepare_cached("SELECT id, labels FROM series WHERE name_id = ?1 AND labels = ?2")?
            .query_map((name, labels), pair)?
            .collect(),
    }
}

/// Calls `each` with the canonical labels of every series of a name.
pub(crate) fn for_each_of_name(
    conn: &Connection,
    name: i64,
    mut each: impl FnMut(&str),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("SELECT labels FROM series WHERE name_id = ?1")?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        each(row.get_ref(0)?.as_str()?);
    }
    Ok(())
}

/// Calls `each` with every series of a name: id, canonical labels, and when it was last seen, milliseconds since 1970.
pub(crate) fn for_each_seen(
    conn: &Connection,
    name: i64,
    mut each: impl FnMut(i64, &str, i64),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT id, labels, last_seen FROM series WHERE name_id = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, row.get_ref(1)?.as_str()?, row.get(2)?);
    }
    Ok(())
}

/// The canonical labels of some series.
pub(crate) fn label_sets(conn: &Connection, ids: &[i64]) -> rusqlite::Result<HashMap<i64, String>> {
    let mut statement = conn.prepare_cached("SELECT labels FROM series WHERE id = ?1")?;
    let mut found = HashMap::with_capacity(ids.len());
    for &id in ids {
        let labels = statement.query_row([id], |row| row.get(0)).optional()?;
        found.extend(labels.map(|labels| (id, labels)));
    }
    Ok(found)
}

/// The ids of a name's series, each with `value`, into `map`.
pub(crate) fn ids_of_name<T: Copy>(
    conn: &Connection,
    name: i64,
    value: T,
    map: &mut IdMap<T>,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("SELECT id FROM series WHERE name_id = ?1")?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        map.insert(row.get(0)?, value);
    }
    Ok(())
}
