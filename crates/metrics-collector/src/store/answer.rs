//! The rows of an answer. What counts for a row is summed up for a few buckets at a time and in the same memory, and only
//! its figures are kept.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::plan::{Piece, plan};
use super::query::Prepared;
use super::scan::{Found, Group, find};
use crate::domain::aggregate::Aggregate;
use crate::domain::metric::MetricType;
use crate::domain::rollup::Total;

/// Rows that are summed up at once, where a bucket has no more: as many as a core has room for close by.
const SUMMED_AT_ONCE: usize = 64;
/// Groups whose memory is kept from one bucket to the next at most: that of a group is a few kilobytes.
const MOST_KEPT: usize = 1000;

/// A figure of each row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) figure: Aggregate,
    /// Whether it was asked for: other percentiles than those of histograms are there only then.
    pub(crate) asked: bool,
}

impl Wanted {
    fn of(self, total: &Total, kind: MetricType, seconds: f64) -> Option<f64> {
        let has = self.asked || kind == MetricType::Histogram || self.figure.percent().is_none();
        has.then(|| self.figure.of_total(total, kind, seconds))
    }
}

/// One row of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerRow {
    pub(crate) bucket: i64,
    /// A position in [`Prepared::groups`].
    pub(crate) group: Group,
    /// Points.
    pub(crate) count: u64,
}

/// Rows by bucket and then group.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<AnswerRow>,
    /// Those of the first row, in the order in which they are wanted, then those of the next.
    pub(crate) figures: Vec<Option<f64>>,
}

/// The rows of `from` to before `to`.
pub(crate) fn read(
    conn: &Connection,
    question: &Prepared,
    wanted: &[Wanted],
    from: i64,
    to: i64,
) -> Result<Answer, StoreError> {
    let to = to.min(question.to);
    let pieces = plan(conn, from, to, question.buckets.tier)?;
    let mut answer = Answer::default();
    let mut grid = Grid::of(question);
    let mut from = from;
    while from < to {
        let until = grid.begin(from).min(to);
        let some: Vec<Piece> = pieces
            .iter()
            .filter_map(|piece| piece.within(from, until))
            .collect();
        let (selection, sketches) = (&question.selection, question.sketches);
        find(
            conn,
            &some,
            selection,
            sketches,
            None,
            |at, group, found| grid.add(at, group, found),
        )?;
        grid.end(question, wanted, &mut answer);
        from = until;
    }
    Ok(answer)
}

/// A place for each group and each of a few buckets.
struct Grid {
    /// How many groups there are.
    width: usize,
    step_ms: i64,
    /// First bucket.
    from: i64,
    places: Vec<Place>,
}

#[derive(Default)]
struct Place {
    has_data: bool,
    /// Of these or of former buckets.
    total: Option<Box<Total>>,
}

impl Grid {
    fn of(question: &Prepared) -> Self {
        let width = question.groups.len();
        let buckets = SUMMED_AT_ONCE / width.max(1);
        let mut places = Vec::new();
        places.resize_with(buckets.max(1) * width, Place::default);
        Self {
            width,
            step_ms: question.buckets.step_ms,
            from: question.from,
            places,
        }
    }

    /// Begins with a bucket; the end of the last one that there is room for.
    fn begin(&mut self, from: i64) -> i64 {
        self.from = from;
        let buckets = self.places.len() / self.width.max(1);
        from.saturating_add(self.step_ms.saturating_mul(buckets.max(1) as i64))
    }

    fn add(&mut self, at: i64, group: Group, found: Found<'_>) -> Result<(), StoreError> {
        let bucket = (at - self.from).div_euclid(self.step_ms);
        let bucket = usize::try_from(bucket).unwrap_or(usize::MAX);
        let place = bucket.saturating_mul(self.width) + group as usize;
        let Some(place) = self.places.get_mut(place) else {
            return Ok(());
        };
        match &mut place.total {
            Some(total) if place.has_data => found.merge(total)?,
            Some(total) => found.begin(total)?,
            None => place.total = Some(Box::new(found.total()?)),
        }
        place.has_data = true;
        Ok(())
    }

    /// Hands the figures over.
    fn end(&mut self, question: &Prepared, wanted: &[Wanted], answer: &mut Answer) {
        let groups = (0..).zip(&question.groups).cycle();
        for ((nth, place), (group, merged)) in self.places.iter_mut().enumerate().zip(groups) {
            if !std::mem::take(&mut place.has_data) {
                continue;
            }
            let Some(total) = &place.total else {
                continue;
            };
            let bucket = self.from + (nth / self.width) as i64 * self.step_ms;
            answer.rows.push(AnswerRow {
                bucket,
                group,
                count: total.counted().count,
            });
            let seconds = question.seconds_of(bucket);
            let figures = wanted.iter().map(|one| one.of(total, merged.kind, seconds));
            answer.figures.extend(figures);
            if self.width > MOST_KEPT {
                place.total = None;
            }
        }
    }
}
