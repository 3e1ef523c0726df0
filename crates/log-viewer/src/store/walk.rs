//! Visiting entries from the newest id to the oldest, and knowing when to stop.
//!
//! Ids follow arrival, lists follow time. The two nearly agree, and `fence` says how nearly: it holds the earliest and
//! latest time of every 1024 ids. A walk skips blocks that cannot hold what is asked for; a page is complete once no
//! block that is left can hold anything newer than its last entry.

use std::ops::ControlFlow;

use monlight_shared::store::StoreError;
use rusqlite::{CachedStatement, Connection, Row, params};

use super::ring::FENCE_BITS;

/// More separate ranges than this are visited as one.
const MOST_RANGES: usize = 64;

/// The state of the ring that one query sees. Take it in the transaction of the query.
pub(super) struct Snapshot {
    /// The first id that counts.
    pub(super) floor: i64,
    /// The id that the next entry will get.
    pub(super) next_id: i64,
    /// Slot number, first and last id; newest first.
    slots: Vec<(i64, i64, i64)>,
    /// Newest first.
    fences: Vec<Fence>,
}

#[derive(Clone, Copy)]
pub(super) struct Fence {
    pub(super) block: i64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
}

/// An id and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) time: i64,
    pub(super) id: i64,
}

/// Which entries a walk visits.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// An expression for the index; `None` visits all.
    pub(super) expression: Option<&'a str>,
    /// The earliest time.
    pub(super) since: i64,
    /// The latest time.
    pub(super) until: i64,
}

impl Snapshot {
    pub(super) fn take(conn: &Connection) -> Result<Self, StoreError> {
        let (floor, next_id) = conn
            .prepare_cached("SELECT floor, next_id FROM ring")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let slots = conn
            .prepare_cached(
                "SELECT n, first_id, last_id FROM slot WHERE last_id >= ?1 ORDER BY first_id DESC",
            )?
            .query_map([floor], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let fences = conn
            .prepare_cached(
                "SELECT block, min_time, max_time FROM fence WHERE block >= ?1 ORDER BY block DESC",
            )?
            .query_map([floor >> FENCE_BITS], |row| {
                Ok(Fence {
                    block: row.get(0)?,
                    min_time: row.get(1)?,
                    max_time: row.get(2)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(Self {
            floor,
            next_id,
            slots,
            fences,
        })
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> i64 {
        self.next_id - self.floor
    }

    /// The blocks that may hold times of the scope, newest first.
    pub(super) fn blocks(&self, since: i64, until: i64) -> impl Iterator<Item = Fence> + '_ {
        self.fences
            .iter()
            .copied()
            .filter(move |fence| fence.max_time >= since && fence.min_time <= until)
    }

    /// The same as ranges of ids, first and last, newest first.
    fn ranges(&self, since: i64, until: i64) -> Vec<(i64, i64)> {
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for fence in self.blocks(since, until) {
            let first = (fence.block << FENCE_BITS).max(self.floor);
            let last = (((fence.block + 1) << FENCE_BITS) - 1).min(self.next_id - 1);
            match ranges.last_mut() {
                Some(range) if range.0 == last + 1 => range.0 = first,
                _ => ranges.push((first, last)),
            }
        }
        if ranges.len() > MOST_RANGES
            && let (Some((_, last)), Some((first, _))) =
                (ranges.first().copied(), ranges.last().copied())
        {
            return vec![(first, last)];
        }
        ranges
    }

    /// Visits the entries of the scope, greatest id first.
    pub(super) fn walk(
        &self,
        conn: &Connection,
        scope: Scope<'_>,
        mut visit: impl FnMut(At) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for (first, last) in self.ranges(scope.since, scope.until) {
            for (n, low, high) in self.slots_in(first, last) {
                let mut statement = match scope.expression {
                    Some(_) => conn.prepare_cached(&format!(
                        "SELECT e.id, e.time FROM f{n} CROSS JOIN e{n} AS e ON e.id = f{n}.rowid
                         WHERE f{n} MATCH ?3 AND f{n}.rowid BETWEEN ?1 AND ?2 ORDER BY f{n}.rowid DESC"
                    ))?,
                    None => conn.prepare_cached(&format!(
                        "SELECT id, time FROM e{n} WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC"
                    ))?,
                };
                let mut rows = query(&mut statement, low, high, scope.expression)?;
                while let Some(row) = rows.next()? {
                    let at = at(row)?;
                    if (scope.since..=scope.until).contains(&at.time) && visit(at).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// How many entries the index has for an expression, counted up to `most`. Times are not looked at.
    pub(super) fn count(
        &self,
        conn: &Connection,
        expression: &str,
        most: i64,
    ) -> Result<i64, StoreError> {
        let mut total = 0;
        for (n, low, high) in self.slots_in(self.floor, self.next_id - 1) {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM f{n} WHERE f{n} MATCH ?3 AND rowid BETWEEN ?1 AND ?2 LIMIT ?4)"
            ))?;
            total += statement.query_row(params![low, high, expression, most - total], |row| {
                row.get::<_, i64>(0)
            })?;
            if total >= most {
                break;
            }
        }
        Ok(total)
    }

    /// The slots that hold ids of a range, and which of them; newest first.
    pub(super) fn slots_in(&self, first: i64, last: i64) -> Vec<(i64, i64, i64)> {
        self.slots
            .iter()
            .map(|(n, low, high)| (*n, first.max(*low), last.min(*high)))
            .filter(|(_, low, high)| low <= high)
            .collect()
    }
}

fn query<'s>(
    statement: &'s mut CachedStatement<'_>,
    low: i64,
    high: i64,
    expression: Option<&str>,
) -> rusqlite::Result<rusqlite::Rows<'s>> {
    match expression {
        Some(expression) => statement.query(params![low, high, expression]),
        None => statement.query([low, high]),
    }
}

fn at(row: &Row<'_>) -> rusqlite::Result<At> {
    Ok(At {
        id: row.get(0)?,
        time: row.get(1)?,
    })
}

/// Picks a page out of a walk: entries by time and id, newest first.
pub(super) struct Pager {
    /// For each block of the walk, newest first: the latest time in it and in all older ones.
    bounds: Vec<(i64, i64)>,
    block: usize,
    /// The block of the entry visited last.
    last_block: Option<i64>,
    /// Visited, but something newer may follow.
    waiting: Vec<At>,
    /// How many entries still stand before the page.
    skip: usize,
    limit: usize,
    page: Vec<At>,
}

impl Pager {
    pub(super) fn new(snapshot: &Snapshot, scope: Scope<'_>, offset: usize, limit: usize) -> Self {
        let mut bounds: Vec<(i64, i64)> = snapshot
            .blocks(scope.since, scope.until)
            .map(|fence| (fence.block, fence.max_time))
            .collect();
        let mut latest = i64::MIN;
        for (_, max_time) in bounds.iter_mut().rev() {
            latest = latest.max(*max_time);
            *max_time = latest;
        }
        Self {
            bounds,
            block: 0,
            last_block: None,
            waiting: Vec::new(),
            skip: offset,
            limit,
            page: Vec::new(),
        }
    }

    pub(super) fn visit(&mut self, at: At) -> ControlFlow<()> {
        let block = at.id >> FENCE_BITS;
        let mut bound = None;
        while let Some((known, latest)) = self.bounds.get(self.block)
            && *known >= block
        {
            bound = Some(*latest);
            if *known == block {
                break;
            }
            self.block += 1;
        }
        // `bound` is what this entry and all that follow cannot exceed.
        if let Some(bound) = bound
            && self
                .last_block
                .replace(block)
                .is_some_and(|last| last != block)
        {
            self.settle(bound);
            if self.page.len() >= self.limit {
                return ControlFlow::Break(());
            }
        }
        self.waiting.push(at);
        let wanted = self.skip + self.limit - self.page.len();
        if self.waiting.len() > 2 * wanted + 4096 {
            self.waiting.select_nth_unstable_by(wanted, |a, b| b.cmp(a));
            self.waiting.truncate(wanted);
        }
        ControlFlow::Continue(())
    }

    /// Moves what nothing newer can follow to the page.
    fn settle(&mut self, bound: i64) {
        let mut settled: Vec<At> = self
            .waiting
            .iter()
            .copied()
            .filter(|at| at.time >= bound)
            .collect();
        self.waiting.retain(|at| at.time < bound);
        settled.sort_unstable_by(|a, b| b.cmp(a));
        let skipped = self.skip.min(settled.len());
        self.skip -= skipped;
        let room = self.limit - self.page.len();
        self.page
            .extend(settled.into_iter().skip(skipped).take(room));
    }

    /// The page, after the walk.
    pub(super) fn finish(mut self) -> Vec<At> {
        self.settle(i64::MIN);
        self.page
    }
}
