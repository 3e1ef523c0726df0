//! The second pass: entries that the index finds are read and looked at, within bounds.
//!
//! A scan has a budget of entries and time. When it is spent the answer says so, and says from where to go on: the last
//! entry whose place in the list is certain. Entries behind that were looked at in vain and will be again.

use std::ops::ControlFlow;
use std::time::Duration;

use monlight_shared::clock::Clock;
use monlight_shared::store::StoreError;
use rusqlite::Row;

use super::snapshot::At;
use super::sweep::{Pager, Rank, Visit};
use crate::domain::filter::Order;
use crate::domain::matching::SecondPass;

/// What a scan may cost.
#[derive(Clone)]
pub struct Budget {
    /// Entries it looks at.
    pub entries: u64,
    /// The monotonic time at which it ends.
    pub until: Duration,
    /// The monotonic time at which it ends once it has found its page and only counts.
    pub count_until: Duration,
    /// Tells the time.
    pub clock: Clock,
}

impl Budget {
    /// Whether there is no more time.
    pub(super) fn is_over(&self) -> bool {
        self.clock.monotonic() > self.until
    }
}

/// How far a scan got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries that were looked at.
    pub entries: u64,
    /// Whether it ended before it had found a page or seen everything.
    pub is_incomplete: bool,
    /// Whether it has seen everything.
    pub is_whole: bool,
    /// The time up to which the list is certain, in nanoseconds since 1970.
    pub to_ns: Option<i64>,
    /// The entry behind which to go on, when it is incomplete.
    pub next: Option<i64>,
}

/// A [`Pager`] that looks at each entry.
pub(super) struct Scan {
    pub(super) pager: Pager,
    pass: SecondPass,
    budget: Budget,
    order: Order,
    /// Whether to go on counting when the page is full.
    counts: bool,
    /// Looked at, but something better may follow.
    unsettled: Vec<Rank>,
    last_settled: Option<Rank>,
    /// How many entries passed, settled or not.
    pub(super) found: i64,
    most: i64,
    progress: Progress,
}

impl Scan {
    /// `most` is up to where to count; 0 for a page without a total.
    pub(super) fn new(
        pager: Pager,
        pass: SecondPass,
        order: Order,
        budget: Budget,
        most: i64,
    ) -> Self {
        Self {
            pager,
            pass,
            budget,
            order,
            counts: most > 0,
            unsettled: Vec::new(),
            last_settled: None,
            found: 0,
            most,
            progress: Progress::default(),
        }
    }

    /// How far it got, after the sweep.
    ///
    /// # Errors
    /// [`StoreError::Deadline`] when it got nowhere.
    pub(super) fn progress(&self) -> Result<Progress, StoreError> {
        let mut progress = self.progress;
        let last = self.last_settled.map(|rank| rank.at(self.order));
        progress.is_incomplete = !progress.is_whole && !self.pager.is_full();
        progress.to_ns = last.map(|at| at.time);
        if progress.is_incomplete {
            let At { id, .. } = last.ok_or(StoreError::Deadline)?;
            progress.next = Some(id);
        }
        Ok(progress)
    }

    /// Whether it may look at more, asked where it can stop.
    fn goes_on(&self) -> bool {
        let spent = self.progress.entries >= self.budget.entries;
        if self.pager.is_full() {
            let now = self.budget.clock.monotonic();
            return self.counts
                && !spent
                && self.found < self.most
                && now <= self.budget.count_until;
        }
        // Before anything is certain there is no place to go on from.
        self.last_settled.is_none() || !spent && !self.budget.is_over()
    }
}

impl Visit for Scan {
    fn row(&mut self, rank: Rank, row: &Row<'_>) -> Result<ControlFlow<()>, StoreError> {
        self.progress.entries += 1;
        self.unsettled.push(rank);
        let message = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
        let budget = &self.budget;
        match self.pass.matches(message, || budget.is_over()) {
            Some(true) => {
                self.found += 1;
                self.pager.add(rank);
            }
            Some(false) => {}
            None => return Ok(ControlFlow::Break(())),
        }
        // Most entries take a microsecond; a look at the clock for each would take a tenth of that.
        if self.progress.entries.is_multiple_of(32) && budget.is_over() && !self.pager.is_full() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn settle(&mut self, rest: Option<Rank>) -> Result<ControlFlow<()>, StoreError> {
        self.pager.settle(rest);
        let settled = self
            .unsettled
            .extract_if(.., |rank| rest.is_none_or(|rest| *rank > rest))
            .min();
        self.last_settled = settled.or(self.last_settled);
        if rest.is_none() {
            self.progress.is_whole = true;
            return Ok(ControlFlow::Break(()));
        }
        Ok(if self.goes_on() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    }
}
