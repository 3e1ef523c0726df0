//! Visiting entries in the order of a list, and knowing when to stop.
//!
//! Ids follow arrival, lists follow time. The two nearly agree, and `fence` says how nearly: it holds the earliest and
//! latest time of every 1024 ids, a block. A sweep skips blocks that cannot hold what is asked for and takes the others
//! by the best time in them; an entry has its final place once no block that is left can hold a better one. Where ids
//! and times agree that is one walk through the ids; where a backlog was read between newer lines it goes back and forth.

use std::cmp::Reverse;
use std::ops::{ControlFlow, Range};

use monlight_shared::store::StoreError;
use rusqlite::{Connection, Row, params};

use super::snapshot::{At, Snapshot};
use crate::domain::filter::Order;

/// With an expression for the index, more separate ranges of ids than this are visited as one, in the order of ids: each
/// costs a query.
const MOST_STRETCHES: usize = 64;

/// Which entries a sweep visits, and in which order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// An expression for the index; `None` visits all.
    pub(super) expression: Option<&'a str>,
    /// The earliest time.
    pub(super) since: i64,
    /// The latest time.
    pub(super) until: i64,
    /// Only what is newer than this.
    pub(super) above: Option<At>,
    /// Only what is older than this.
    pub(super) below: Option<At>,
    /// Only ids up to this one.
    pub(super) last_id: i64,
    /// What comes first.
    pub(super) order: Order,
}

impl Scope<'_> {
    fn takes(&self, at: At) -> bool {
        (self.since..=self.until).contains(&at.time)
            && self.above.is_none_or(|above| at > above)
            && self.below.is_none_or(|below| at < below)
    }

    /// The span of times, bounds by entries included.
    fn span(&self) -> (i64, i64) {
        let since = self.above.map_or(i64::MIN, |above| above.time);
        let until = self.below.map_or(i64::MAX, |below| below.time);
        (self.since.max(since), self.until.min(until))
    }
}

/// An entry's place in the order of a sweep: the greater, the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(At);

impl Rank {
    pub(super) fn of(order: Order, at: At) -> Self {
        Self(match order {
            Order::Newest => at,
            // The complement turns the order round and knows no overflow.
            Order::Oldest => At {
                time: !at.time,
                id: !at.id,
            },
        })
    }

    pub(super) fn at(self, order: Order) -> At {
        Self::of(order, self.0).0
    }
}

/// What a sweep reads of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// Id and time.
    Times,
    /// The message without its colours too, as column 2, and the level, as column 3.
    Messages,
}

/// Takes what a sweep finds.
pub(super) trait Visit {
    /// An entry of the scope. `Break` ends the sweep at once, as if there were nothing more to come.
    fn row(&mut self, rank: Rank, row: &Row<'_>) -> Result<ControlFlow<()>, StoreError>;

    /// All that comes from here on ranks below `rest`; without one nothing comes. `Break` ends the sweep.
    fn settle(&mut self, rest: Option<Rank>) -> Result<ControlFlow<()>, StoreError>;
}

struct Block {
    first: i64,
    last: i64,
    /// The best that can be in it.
    best: Rank,
    /// The best that can be in the blocks behind it.
    rest: Option<Rank>,
}

/// The way through the blocks of a scope.
pub(super) struct Sweep<'a> {
    snapshot: &'a Snapshot,
    scope: Scope<'a>,
    /// In the order of the visit.
    blocks: Vec<Block>,
    /// Blocks whose ids follow each other and that are read by one query.
    stretches: Vec<Range<usize>>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, scope: Scope<'a>) -> Self {
        let (since, until) = scope.span();
        let mut blocks: Vec<Block> = snapshot
            .blocks(since, until)
            .filter_map(|fence| {
                let (first, last) = snapshot.ids_of(fence);
                let last = last.min(scope.last_id);
                let best = match scope.order {
                    Order::Newest => At {
                        time: fence.max_time,
                        id: last,
                    },
                    Order::Oldest => At {
                        time: fence.min_time,
                        id: first,
                    },
                };
                (first <= last).then_some(Block {
                    first,
                    last,
                    best: Rank::of(scope.order, best),
                    rest: None,
                })
            })
            .collect();
        blocks.sort_by_key(|block| Reverse(block.best));
        let mut stretches = stretches(&blocks, scope.order);
        if scope.expression.is_some() && stretches.len() > MOST_STRETCHES {
            let by_id = |id| Reverse(Rank::of(scope.order, At { time: 0, id }));
            blocks.sort_by_key(|block| by_id(block.first));
            stretches = std::iter::once(0..blocks.len()).collect();
        }
        let mut rest = None;
        for block in blocks.iter_mut().rev() {
            block.rest = rest;
            rest = rest.max(Some(block.best));
        }
        Self {
            snapshot,
            scope,
            blocks,
            stretches,
        }
    }

    pub(super) fn run(
        &self,
        conn: &Connection,
        reads: Reads,
        visit: &mut impl Visit,
    ) -> Result<(), StoreError> {
        for stretch in &self.stretches {
            if self
                .run_stretch(conn, reads, stretch.clone(), visit)?
                .is_break()
            {
                return Ok(());
            }
            let rest = stretch
                .end
                .checked_sub(1)
                .and_then(|last| self.blocks.get(last)?.rest);
            if rest.is_some() && visit.settle(rest)?.is_break() {
                return Ok(());
            }
        }
        visit.settle(None).map(drop)
    }

    fn run_stretch(
        &self,
        conn: &Connection,
        reads: Reads,
        stretch: Range<usize>,
        visit: &mut impl Visit,
    ) -> Result<ControlFlow<()>, StoreError> {
        let Some(blocks) = self.blocks.get(stretch) else {
            return Ok(ControlFlow::Continue(()));
        };
        let first = blocks.iter().map(|block| block.first).min().unwrap_or(0);
        let last = blocks.iter().map(|block| block.last).max().unwrap_or(-1);
        let order = self.scope.order;
        let mut blocks = blocks.iter().peekable();
        let mut slots: Vec<_> = self.snapshot.slots_in(first, last).collect();
        if order == Order::Oldest {
            slots.reverse();
        }
        for (n, low, high) in slots {
            let mut statement =
                conn.prepare_cached(&sql(n, self.scope.expression, reads, order))?;
            let mut rows = match self.scope.expression {
                Some(expression) => statement.query(params![low, high, expression])?,
                None => statement.query([low, high])?,
            };
            while let Some(row) = rows.next()? {
                let at = At {
                    id: row.get(0)?,
                    time: row.get(1)?,
                };
                let is_behind = |block: &&&Block| match order {
                    Order::Newest => at.id < block.first,
                    Order::Oldest => at.id > block.last,
                };
                let mut done = None;
                while let Some(block) = blocks.next_if(|block| is_behind(&block)) {
                    done = Some(block.rest);
                }
                if let Some(rest) = done
                    && visit.settle(rest)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
                // Between the blocks of a stretch there may be some that are out of the span.
                let is_inside = blocks
                    .peek()
                    .is_some_and(|block| (block.first..=block.last).contains(&at.id));
                if is_inside
                    && self.scope.takes(at)
                    && visit.row(Rank::of(order, at), row)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn stretches(blocks: &[Block], order: Order) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    let mut before: Option<&Block> = None;
    for (index, block) in blocks.iter().enumerate() {
        let follows = before.is_some_and(|before| match order {
            Order::Newest => block.last + 1 == before.first,
            Order::Oldest => before.last + 1 == block.first,
        });
        match stretches.last_mut() {
            Some(stretch) if follows => stretch.end = index + 1,
            _ => stretches.push(index..index + 1),
        }
        before = Some(block);
    }
    stretches
}

/// What a query over one slot asks.
pub(super) fn sql(n: i64, expression: Option<&str>, reads: Reads, order: Order) -> String {
    let columns = match reads {
        Reads::Times => "e.id, e.time",
        Reads::Messages => "e.id, e.time, coalesce(e.plain, e.message), e.level",
    };
    let direction = match order {
        Order::Newest => "DESC",
        Order::Oldest => "ASC",
    };
    match expression {
        Some(_) => format!(
            "SELECT {columns} FROM f{n} CROSS JOIN e{n} AS e ON e.id = f{n}.rowid
             WHERE f{n} MATCH ?3 AND f{n}.rowid BETWEEN ?1 AND ?2 ORDER BY f{n}.rowid {direction}"
        ),
        None => format!(
            "SELECT {columns} FROM e{n} AS e WHERE e.id BETWEEN ?1 AND ?2 ORDER BY e.id {direction}"
        ),
    }
}

/// Picks a page out of a sweep.
pub(super) struct Pager {
    /// Visited, but something better may follow.
    waiting: Vec<Rank>,
    /// How many entries still stand before the page.
    skip: usize,
    limit: usize,
    page: Vec<Rank>,
}

impl Pager {
    pub(super) fn new(offset: usize, limit: usize) -> Self {
        Self {
            waiting: Vec::new(),
            skip: offset,
            limit,
            page: Vec::new(),
        }
    }

    /// Another entry that belongs to the list.
    pub(super) fn add(&mut self, rank: Rank) {
        self.waiting.push(rank);
        let wanted = self.skip + self.limit - self.page.len();
        if self.waiting.len() > 2 * wanted + 4096 {
            self.waiting.select_nth_unstable_by(wanted, |a, b| b.cmp(a));
            self.waiting.truncate(wanted);
        }
    }

    /// Moves what nothing better can follow to the page.
    pub(super) fn settle(&mut self, rest: Option<Rank>) {
        let mut settled: Vec<Rank> = match rest {
            None => std::mem::take(&mut self.waiting),
            Some(rest) => self.waiting.extract_if(.., |rank| *rank > rest).collect(),
        };
        settled.sort_unstable_by(|a, b| b.cmp(a));
        let skipped = self.skip.min(settled.len());
        self.skip -= skipped;
        let room = self.limit - self.page.len();
        self.page
            .extend(settled.into_iter().skip(skipped).take(room));
    }

    pub(super) fn is_full(&self) -> bool {
        self.page.len() >= self.limit
    }

    /// The page, after the sweep.
    pub(super) fn into_page(self) -> Vec<Rank> {
        self.page
    }
}

impl Visit for Pager {
    fn row(&mut self, rank: Rank, _: &Row<'_>) -> Result<ControlFlow<()>, StoreError> {
        self.add(rank);
        Ok(ControlFlow::Continue(()))
    }

    fn settle(&mut self, rest: Option<Rank>) -> Result<ControlFlow<()>, StoreError> {
        Self::settle(self, rest);
        Ok(if self.is_full() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}
