//! Numbers that are kept, not computed: totals by level and container, and per minute.

use std::collections::BTreeMap;

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::snapshot::Snapshot;
use crate::domain::entry::{Level, Stream};
use crate::domain::filter::Levels;

/// What `/api/stats` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many entries there are.
    pub total: i64,
    /// The earliest time of an entry, in nanoseconds since 1970.
    pub oldest_ns: Option<i64>,
    /// The latest time of an entry, in nanoseconds since 1970.
    pub newest_ns: Option<i64>,
    /// Entries per level; levels without any are not in it.
    pub by_level: BTreeMap<&'static str, i64>,
    /// Entries per name of a container.
    pub by_container: BTreeMap<String, i64>,
}

/// All totals. Call it in a read job.
pub fn stats(conn: &Connection) -> Result<Stats, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let mut stats = Stats {
        total: snapshot.len(),
        by_container: by_container(conn)?,
        ..Stats::default()
    };
    (stats.oldest_ns, stats.newest_ns) = span(conn, &snapshot)?;
    let mut statement = conn.prepare_cached("SELECT level, sum(n) FROM tally GROUP BY level")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        stats
            .by_level
            .insert(Level::from_code(row.get(0)?).name(), row.get(1)?);
    }
    Ok(stats)
}

/// How many entries there are, and the latest time of one.
pub fn newest(conn: &Connection) -> Result<(i64, Option<i64>), StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    Ok((snapshot.len(), span(conn, &snapshot)?.1))
}

/// A container with entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerCount {
    /// Its name.
    pub name: String,
    /// Its compose project, empty when it has none.
    pub project: String,
    /// Its compose service, empty when it has none.
    pub service: String,
    /// How many entries it has.
    pub count: i64,
}

/// Entries per container, by name. Those of one name are counted together, under the project and service of the last.
pub fn containers(conn: &Connection) -> Result<Vec<ContainerCount>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT c.name, c.project, c.service, sum(t.n) FROM tally AS t JOIN containers AS c ON c.id = t.container GROUP BY c.id ORDER BY c.name, c.id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(ContainerCount {
            name: row.get(0)?,
            project: row.get(1)?,
            service: row.get(2)?,
            count: row.get(3)?,
        })
    })?;
    let mut found: Vec<ContainerCount> = Vec::new();
    for container in rows {
        let container = container?;
        match found.last_mut() {
            Some(known) if known.name == container.name => {
                let count = known.count + container.count;
                *known = ContainerCount { count, ..container };
            }
            _ => found.push(container),
        }
    }
    Ok(found)
}

/// Entries per name of a container, by name.
fn by_container(conn: &Connection) -> Result<BTreeMap<String, i64>, StoreError> {
    let mut statement = conn
        .prepare_cached("SELECT c.name, sum(t.n) FROM tally AS t JOIN containers AS c ON c.id = t.container GROUP BY c.name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The earliest and the latest time of the entries that count.
pub(super) fn span(
    conn: &Connection,
    snapshot: &Snapshot,
) -> Result<(Option<i64>, Option<i64>), StoreError> {
    let mut span: Option<(i64, i64)> = None;
    let mut widen = |min: i64, max: i64| {
        let (low, high) = span.unwrap_or((min, max));
        span = Some((low.min(min), high.max(max)));
    };
    // The oldest block may hold entries that no longer count; the others are whole.
    let partial = snapshot.floor >> super::ring::FENCE_BITS;
    let mut partial_range = None;
    for fence in snapshot.blocks(i64::MIN, i64::MAX) {
        if fence.block == partial {
            partial_range = Some(snapshot.ids_of(fence).1);
        } else {
            widen(fence.min_time, fence.max_time);
        }
    }
    if let Some(last) = partial_range {
        for (n, low, high) in snapshot.slots_in(snapshot.floor, last) {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT min(time), max(time) FROM e{n} WHERE id BETWEEN ?1 AND ?2"
            ))?;
            let found: (Option<i64>, Option<i64>) =
                statement.query_row([low, high], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if let (Some(min), Some(max)) = found {
                widen(min, max);
            }
        }
    }
    Ok(span.map_or((None, None), |(low, high)| (Some(low), Some(high))))
}

/// What is asked of the counters.
#[derive(Clone, Copy)]
pub(super) struct Kept<'f> {
    /// The levels; `None` for all.
    pub(super) levels: Option<Levels>,
    /// The stream; `None` for both.
    pub(super) stream: Option<Stream>,
    /// The dictionary's ids of the containers; `None` for all.
    pub(super) containers: Option<&'f [i64]>,
}

impl Kept<'_> {
    /// All entries.
    pub(super) fn all(self, conn: &Connection) -> Result<i64, StoreError> {
        let mut statement =
            conn.prepare_cached("SELECT 0, container, level, stream, n FROM tally")?;
        let mut total = 0;
        self.each(statement.query([])?, |_, _, n| total += n)?;
        Ok(total)
    }

    /// The entries of the minutes from `first` to before `end`, counted since 1970.
    pub(super) fn minutes(
        self,
        conn: &Connection,
        first: i64,
        end: i64,
    ) -> Result<i64, StoreError> {
        let mut total = 0;
        self.each_hour(conn, first, end, |_, _, n| total += n)?;
        Ok(total)
    }

    /// The same, handed on by minute and level.
    pub(super) fn each_minute(
        self,
        conn: &Connection,
        first: i64,
        end: i64,
        take: impl FnMut(i64, Level, i64),
    ) -> Result<(), StoreError> {
        let mut statement = conn.prepare_cached(
            "SELECT minute, container, level, stream, n FROM hist WHERE minute >= ?1 AND minute < ?2",
        )?;
        self.each(statement.query([first, end])?, take)
    }

    /// The same, handed on by the first minute of each whole hour, and by minute at the ends.
    pub(super) fn each_hour(
        self,
        conn: &Connection,
        first: i64,
        end: i64,
        mut take: impl FnMut(i64, Level, i64),
    ) -> Result<(), StoreError> {
        let first_hour = first.div_euclid(60) + i64::from(first.rem_euclid(60) != 0);
        let end_hour = end.div_euclid(60);
        if first_hour >= end_hour {
            return self.each_minute(conn, first, end, take);
        }
        self.each_minute(conn, first, first_hour * 60, &mut take)?;
        let mut statement = conn.prepare_cached(
            "SELECT hour * 60, container, level, stream, n FROM hist_hour WHERE hour >= ?1 AND hour < ?2",
        )?;
        self.each(statement.query([first_hour, end_hour])?, &mut take)?;
        self.each_minute(conn, end_hour * 60, end, take)
    }

    fn each(
        self,
        mut rows: rusqlite::Rows<'_>,
        mut take: impl FnMut(i64, Level, i64),
    ) -> Result<(), StoreError> {
        while let Some(row) = rows.next()? {
            let (container, level) = (row.get(1)?, Level::from_code(row.get(2)?));
            let stream = Stream::from_code(row.get(3)?);
            let is_wanted = self.levels.is_none_or(|levels| levels.contains(level))
                && self.stream.is_none_or(|wanted| wanted == stream)
                && self.containers.is_none_or(|ids| ids.contains(&container));
            if is_wanted {
                take(row.get(0)?, level, row.get(4)?);
            }
        }
        Ok(())
    }
}
