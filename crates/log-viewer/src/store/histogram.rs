//! How many entries there are per part of time and level.
//!
//! Whole minutes come from the counters. What those do not know is counted in the index: blocks whose times lie in one
//! part are counted as ranges of ids, without a look at their entries; of a block on a border the times are read. A
//! second pass reads messages. Both have a budget and begin with the newest entries.

use std::collections::HashMap;
use std::ops::ControlFlow;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, Row, params};

use super::counts::{self, Kept};
use super::plan::Plan;
use super::scan::Budget;
use super::snapshot::Snapshot;
use super::sweep::{Rank, Reads, Sweep, Visit, sql};
use crate::domain::buckets::{Buckets, Cut};
use crate::domain::entry::Level;
use crate::domain::filter::{Filter, Levels, Order};
use crate::domain::matching::SecondPass;
use crate::domain::search::{ALL, of_level};

const MINUTE: i64 = 60_000_000_000;
const LEVELS: usize = Level::ALL.len();

/// Entries of one part of time, by the numbers of the levels.
pub type Counts = [i64; LEVELS];

/// What [`histogram`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The parts; `None` when there is nothing to cut.
    pub buckets: Option<Buckets>,
    /// One of each part.
    pub counts: Vec<Counts>,
    /// When there was not time for all: the time down to which everything was counted, in nanoseconds since 1970.
    pub counted_from_ns: Option<i64>,
}

/// Why there is no histogram.
#[derive(Debug)]
pub enum Fault {
    /// It would have so many parts.
    TooMany(i64),
    /// The database.
    Store(StoreError),
}

impl<E: Into<StoreError>> From<E> for Fault {
    fn from(fault: E) -> Self {
        Self::Store(fault.into())
    }
}

/// Counts what a filter matches. Without bounds in the filter, the times of the oldest and the newest entry are the
/// bounds. Call it in a read job.
pub fn histogram(
    conn: &Connection,
    filter: &Filter,
    cut: Cut,
    budget: &Budget,
) -> Result<Histogram, Fault> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let (oldest, newest) = counts::span(conn, &snapshot)?;
    let (since, until) = (filter.since_ns.or(oldest), filter.until_ns.or(newest));
    let buckets = match since.zip(until) {
        Some((since, until)) if since <= until => {
            Some(Buckets::new(since, until, cut).map_err(Fault::TooMany)?)
        }
        _ => None,
    };
    let mut histogram = Histogram {
        buckets,
        counts: vec![[0; LEVELS]; buckets.map_or(0, |buckets| buckets.count)],
        counted_from_ns: None,
    };
    let (Some(buckets), Some(plan)) = (buckets, Plan::new(conn, filter)?) else {
        return Ok(histogram);
    };
    let mut counting = Counting {
        conn,
        snapshot: &snapshot,
        plan: &plan,
        levels: filter.levels,
        buckets,
        budget,
        counts: &mut histogram.counts,
    };
    histogram.counted_from_ns = if let Some(pass) = SecondPass::new(filter) {
        counting.by_scan(pass)?
    } else if filter.asks_for_text() || buckets.seconds % 60 != 0 {
        counting.by_index(plan.span)?
    } else {
        counting.by_minutes(filter)?
    };
    Ok(histogram)
}

/// More changes between parts of time than this within a block are not followed by queries for ranges of ids.
const MOST_RUNS: usize = 4;

/// Ids that follow each other and lie in one part of time.
#[derive(Clone, Copy)]
struct Run {
    first: i64,
    last: i64,
    bucket: usize,
}

/// Who is counted: all of an expression, and each level but one, which has what is left.
struct Asked {
    all: Option<String>,
    others: Vec<(Level, String)>,
    rest: Level,
}

impl Asked {
    fn new(plan: &Plan, levels: Option<Levels>) -> Self {
        let mut levels: Vec<Level> = match levels {
            Some(levels) => levels.iter().collect(),
            None => Level::ALL.to_vec(),
        };
        // INFO is the most common one.
        let at = levels.iter().position(|level| *level == Level::Info);
        let rest = levels.remove(at.unwrap_or(0));
        let all = plan.expression.clone();
        Self {
            others: levels
                .into_iter()
                .map(|level| (level, of_level(all.as_deref(), level)))
                .collect(),
            all,
            rest,
        }
    }
}

struct Counting<'a> {
    conn: &'a Connection,
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    levels: Option<Levels>,
    buckets: Buckets,
    budget: &'a Budget,
    counts: &'a mut Vec<Counts>,
}

impl Counting<'_> {
    fn add(&mut self, bucket: usize, level: Level, n: i64) {
        if let Some(counts) = self.counts.get_mut(bucket)
            && let Some(count) = counts.get_mut(level as usize)
        {
            *count += n;
        }
    }

    /// Whole minutes from the counters, those that a bound cuts by a look.
    fn by_minutes(&mut self, filter: &Filter) -> Result<Option<i64>, StoreError> {
        let (since, until) = self.plan.span;
        let first_minute = since.div_euclid(MINUTE) + i64::from(since.rem_euclid(MINUTE) != 0);
        let end_minute = until
            .checked_add(1)
            .map_or(i64::MAX / MINUTE, |end| end.div_euclid(MINUTE));
        if first_minute >= end_minute {
            return self.by_index((since, until));
        }
        let kept = Kept {
            levels: filter.levels,
            stream: filter.stream,
            containers: self.plan.containers.as_deref(),
        };
        let conn = self.conn;
        let has_whole_hours = self.buckets.seconds % 3600 == 0;
        let take = |minute: i64, level, n| {
            if let Some(bucket) = self.buckets.of(minute.saturating_mul(MINUTE)) {
                self.add(bucket, level, n);
            }
        };
        if has_whole_hours {
            kept.each_hour(conn, first_minute, end_minute, take)?;
        } else {
            kept.each_minute(conn, first_minute, end_minute, take)?;
        }
        let behind = self.by_index((end_minute * MINUTE, until))?;
        let before = self.by_index((since, (first_minute * MINUTE).saturating_sub(1)))?;
        Ok(behind.or(before))
    }

    /// Counts in the index, newest blocks first.
    fn by_index(&mut self, (since, until): (i64, i64)) -> Result<Option<i64>, StoreError> {
        if since > until {
            return Ok(None);
        }
        let asked = Asked::new(self.plan, self.levels);
        let mut open: Option<Run> = None;
        for fence in self.snapshot.blocks(since, until) {
            if self.budget.is_over() {
                return Ok(Some(fence.max_time));
            }
            let (first, last) = self.snapshot.ids_of(fence);
            let bucket = self.buckets.of(fence.min_time);
            let is_inside = since <= fence.min_time && fence.max_time <= until;
            if let Some(bucket) = bucket
                && is_inside
                && self.buckets.of(fence.max_time) == Some(bucket)
            {
                let run = Run {
                    first,
                    last,
                    bucket,
                };
                self.extend(&mut open, run, &asked)?;
                continue;
            }
            let (ids, runs) = self.look_at_times((first, last), (since, until))?;
            if runs.len() <= MOST_RUNS {
                for run in runs {
                    self.extend(&mut open, run, &asked)?;
                }
            } else {
                self.count_ids(&ids, (first, last), &asked)?;
            }
        }
        if let Some(run) = open {
            self.count_run(run, &asked)?;
        }
        Ok(None)
    }

    /// Makes the open run longer, or counts it and opens another.
    fn extend(
        &mut self,
        open: &mut Option<Run>,
        run: Run,
        asked: &Asked,
    ) -> Result<(), StoreError> {
        match open {
            Some(before) if before.bucket == run.bucket && before.first == run.last + 1 => {
                before.first = run.first;
            }
            _ => {
                if let Some(done) = open.replace(run) {
                    self.count_run(done, asked)?;
                }
            }
        }
        Ok(())
    }

    fn count_run(&mut self, run: Run, asked: &Asked) -> Result<(), StoreError> {
        let ids = (run.first, run.last);
        let mut left = match &asked.all {
            None => run.last - run.first + 1,
            Some(all) => self.snapshot.count(self.conn, all, ids, i64::MAX)?,
        };
        for (level, expression) in &asked.others {
            if left == 0 {
                break;
            }
            let n = self.snapshot.count(self.conn, expression, ids, left)?;
            self.add(run.bucket, *level, n);
            left -= n;
        }
        self.add(run.bucket, asked.rest, left);
        Ok(())
    }

    /// The part of time of each id of a block, and the same as runs; newest first.
    fn look_at_times(
        &self,
        (first, last): (i64, i64),
        (since, until): (i64, i64),
    ) -> Result<(HashMap<i64, usize>, Vec<Run>), StoreError> {
        let (mut ids, mut runs) = (HashMap::new(), Vec::<Run>::new());
        for (n, low, high) in self.snapshot.slots_in(first, last) {
            let mut statement =
                self.conn
                    .prepare_cached(&sql(n, None, Reads::Times, Order::Newest))?;
            let mut rows = statement.query([low, high])?;
            while let Some(row) = rows.next()? {
                let (id, time): (i64, i64) = (row.get(0)?, row.get(1)?);
                let bucket = self.buckets.of(time);
                let Some(bucket) = bucket.filter(|_| (since..=until).contains(&time)) else {
                    continue;
                };
                ids.insert(id, bucket);
                match runs.last_mut() {
                    Some(run) if run.bucket == bucket && run.first == id + 1 => run.first = id,
                    _ => runs.push(Run {
                        first: id,
                        last: id,
                        bucket,
                    }),
                }
            }
        }
        Ok((ids, runs))
    }

    /// Counts a block whose parts of time are mixed.
    fn count_ids(
        &mut self,
        ids: &HashMap<i64, usize>,
        range: (i64, i64),
        asked: &Asked,
    ) -> Result<(), StoreError> {
        let all = asked.all.as_deref().unwrap_or(ALL);
        let found = self.ids_of(all, range)?;
        for bucket in found.iter().filter_map(|id| ids.get(id)) {
            self.add(*bucket, asked.rest, 1);
        }
        for (level, expression) in &asked.others {
            let found = self.ids_of(expression, range)?;
            for bucket in found.iter().filter_map(|id| ids.get(id)) {
                self.add(*bucket, *level, 1);
                self.add(*bucket, asked.rest, -1);
            }
        }
        Ok(())
    }

    fn ids_of(&self, expression: &str, (first, last): (i64, i64)) -> Result<Vec<i64>, StoreError> {
        let mut ids = Vec::new();
        for (n, low, high) in self.snapshot.slots_in(first, last) {
            let mut statement = self.conn.prepare_cached(&format!(
                "SELECT rowid FROM f{n} WHERE f{n} MATCH ?3 AND rowid BETWEEN ?1 AND ?2"
            ))?;
            let mut rows = statement.query(params![low, high, expression])?;
            while let Some(row) = rows.next()? {
                ids.push(row.get(0)?);
            }
        }
        Ok(ids)
    }

    /// Looks at each message.
    fn by_scan(&mut self, pass: SecondPass) -> Result<Option<i64>, StoreError> {
        let sweep = Sweep::new(self.snapshot, self.plan.scope(Order::Newest));
        let conn = self.conn;
        let mut scan = Scan {
            pass,
            counting: self,
            counted_from: None,
        };
        sweep.run(conn, Reads::Messages, &mut scan)?;
        Ok(scan.counted_from)
    }
}

struct Scan<'a, 'b> {
    pass: SecondPass,
    counting: &'a mut Counting<'b>,
    /// Set when there was no time for all.
    counted_from: Option<i64>,
}

impl Visit for Scan<'_, '_> {
    fn row(&mut self, rank: Rank, row: &Row<'_>) -> Result<ControlFlow<()>, StoreError> {
        let message = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
        let time = rank.at(Order::Newest).time;
        let budget = self.counting.budget;
        match self.pass.matches(message, || budget.is_over()) {
            Some(true) => {
                if let Some(bucket) = self.counting.buckets.of(time) {
                    self.counting.add(bucket, Level::from_code(row.get(3)?), 1);
                }
            }
            Some(false) => {}
            None => {
                self.counted_from = Some(time);
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn settle(&mut self, rest: Option<Rank>) -> Result<ControlFlow<()>, StoreError> {
        if let Some(rest) = rest
            && self.counting.budget.is_over()
        {
            self.counted_from = Some(rest.at(Order::Newest).time);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }
}
