//! Raw points: written once per batch and minute, read back a minute at a time.

use std::cell::Cell;
use std::ops::Range;

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::MINUTE_MS;
use super::ids::IdMap;
use super::rows::Sketches;
use crate::domain::block::{self, BlockPoint, Entry};
use crate::domain::counted_block::{self, Counted};
use crate::domain::rollup::{Point, Rollup, Total};

/// Bits of a block's id below the minute.
const SEQUENCE_BITS: u32 = 28;
/// Points of a minute that are held to be sorted; beyond them percentiles of an unfinished minute come from sketches.
const POINTS_HELD: usize = 50_000;

/// First and last id that blocks of a minute can have.
pub(crate) const fn ids_of(minute_ms: i64) -> (i64, i64) {
    let first = (minute_ms / MINUTE_MS) << SEQUENCE_BITS;
    (first, first | ((1 << SEQUENCE_BITS) - 1))
}

/// The minute of a block, in milliseconds since 1970.
pub(crate) const fn minute_of(id: i64) -> i64 {
    (id >> SEQUENCE_BITS) * MINUTE_MS
}

/// Stores points of one minute; sorts them.
pub(crate) fn insert(
    conn: &Connection,
    minute_ms: i64,
    points: &mut [BlockPoint],
) -> Result<(), StoreError> {
    let data = block::encode(points);
    insert_data(conn, minute_ms, points.len(), &data)
}

/// Stores what senders had counted in one minute; sorts it.
pub(crate) fn insert_counted(
    conn: &Connection,
    minute_ms: i64,
    counted: &mut [Counted],
) -> Result<(), StoreError> {
    let data = counted_block::encode(counted);
    insert_data(conn, minute_ms, counted.len(), &data)
}

fn insert_data(
    conn: &Connection,
    minute_ms: i64,
    entries: usize,
    data: &[u8],
) -> Result<(), StoreError> {
    let (first, last) = ids_of(minute_ms);
    let newest: Option<i64> = conn
        .prepare_cached("SELECT max(id) FROM block WHERE id BETWEEN ?1 AND ?2")?
        .query_row([first, last], |row| row.get(0))?;
    let id = newest.map_or(first, |id| id + 1);
    if id > last {
        return Err(StoreError::Job(
            "a minute cannot hold more than 268 million batches".to_owned(),
        ));
    }
    conn.prepare_cached("INSERT INTO block (id, n, data) VALUES (?1, ?2, ?3)")?
        .execute((id, entries as i64, data))?;
    Ok(())
}

/// Calls `each` with the data of every block of a minute, up to and including the one called `last`.
pub(crate) fn for_each(
    conn: &Connection,
    minute_ms: i64,
    last: Option<i64>,
    mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (first, end) = ids_of(minute_ms);
    let mut statement = conn.prepare_cached("SELECT data FROM block WHERE id BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query([first, last.unwrap_or(end)])?;
    while let Some(row) = rows.next()? {
        let data = row
            .get_ref(0)?
            .as_blob()
            .map_err(|fault| StoreError::Job(fault.to_string()))?;
        each(data)?;
    }
    Ok(())
}

/// How many points the blocks of a minute hold.
pub(crate) fn count(conn: &Connection, minute_ms: i64) -> rusqlite::Result<i64> {
    let (first, last) = ids_of(minute_ms);
    conn.prepare_cached("SELECT ifnull(sum(n), 0) FROM block WHERE id BETWEEN ?1 AND ?2")?
        .query_row([first, last], |row| row.get(0))
}

/// The rollups of some series over the part of a minute that lies in `range`, milliseconds since 1970. Series with the
/// same group are summed up together. Groups are small numbers.
pub(crate) fn rollups(
    conn: &Connection,
    minute_ms: i64,
    range: Range<i64>,
    groups: &IdMap<u32>,
    sketches: Sketches,
) -> Result<Vec<(u32, Rollup)>, StoreError> {
    let mut fold = Fold::new(sketches);
    for_each(conn, minute_ms, None, |data| {
        // Set by the one closure, read by the other.
        let group = Cell::new(0);
        block::visit(
            data,
            |series, _| {
                let wanted = groups.get(&series);
                group.set(wanted.copied().unwrap_or_default());
                wanted.is_some()
            },
            |entry| match entry {
                Entry::Point(BlockPoint {
                    offset_ms,
                    value,
                    series: _,
                }) => {
                    let at_ms = minute_ms + i64::from(offset_ms);
                    if range.contains(&at_ms) {
                        fold.add(group.get(), Point { at_ms, value });
                    }
                }
                Entry::Counted(counted) => {
                    if range.contains(&(minute_ms + i64::from(counted.offset_ms))) {
                        fold.merge(group.get(), counted.rollup_in(minute_ms));
                    }
                }
            },
        )?;
        Ok(())
    })?;
    Ok(fold.finish())
}

/// Points by group. Those that percentiles are wanted of are held until there are too many of them.
struct Fold {
    groups: Vec<Slot>,
    held: usize,
    percentiles: bool,
}

#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Held(Vec<Point>),
    Summed(Box<Total>),
}

impl Fold {
    fn new(sketches: Sketches) -> Self {
        Self {
            groups: Vec::new(),
            held: 0,
            percentiles: sketches != Sketches::Never,
        }
    }

    fn slot(&mut self, group: u32) -> &mut Slot {
        let place = group as usize;
        if place >= self.groups.len() {
            self.groups.resize_with(place + 1, Slot::default);
        }
        &mut self.groups[place]
    }

    fn merge(&mut self, group: u32, rollup: Rollup) {
        let slot = self.slot(group);
        let merged = match std::mem::take(slot) {
            Slot::Empty => Total::from(rollup),
            Slot::Held(mut points) => match Rollup::of(&mut points) {
                Some(mut known) => {
                    known.merge(&rollup);
                    self.held -= points.len();
                    Total::from(known)
                }
                None => Total::from(rollup),
            },
            Slot::Summed(mut known) => {
                known.merge(&rollup);
                *known
            }
        };
        *self.slot(group) = Slot::Summed(Box::new(merged));
    }

    fn add(&mut self, group: u32, point: Point) {
        let percentiles = self.percentiles;
        match self.slot(group) {
            Slot::Summed(sum) => sum.add(point, percentiles),
            slot @ Slot::Empty if !percentiles => {
                let sum = Total::from(Rollup::without_sketch(point));
                *slot = Slot::Summed(Box::new(sum));
            }
            slot @ Slot::Empty => {
                *slot = Slot::Held(vec![point]);
                self.held += 1;
            }
            Slot::Held(points) => {
                points.push(point);
                self.held += 1;
                if self.held > POINTS_HELD {
                    self.sum_up();
                }
            }
        }
    }

    fn sum_up(&mut self) {
        for slot in &mut self.groups {
            if let Slot::Held(points) = slot
                && let Some((first, others)) = points.split_first()
            {
                let mut sum = Total::from(Rollup::of_one(*first));
                for point in others {
                    sum.add(*point, true);
                }
                *slot = Slot::Summed(Box::new(sum));
            }
        }
        self.held = 0;
    }

    fn finish(self) -> Vec<(u32, Rollup)> {
        let summed = self
            .groups
            .into_iter()
            .zip(0..)
            .filter_map(|(slot, group)| match slot {
                Slot::Empty => None,
                Slot::Held(mut points) => Some((group, Rollup::of(&mut points)?)),
                Slot::Summed(sum) => Some((group, sum.finish())),
            });
        summed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_minutes() {
        let (first, last) = ids_of(60_000);
        assert_eq!((first, last), (1 << 28, (2 << 28) - 1));
        assert_eq!(ids_of(0), (0, (1 << 28) - 1));
        assert_eq!(ids_of(-60_000), (-(1 << 28), -1));
        assert_eq!([first, last].map(minute_of), [60_000; 2]);
        assert_eq!(minute_of(-1), -60_000);
    }

    #[test]
    fn too_many_points_are_summed_up_on_the_way() {
        let mut fold = Fold::new(Sketches::Always);
        let points = POINTS_HELD as i64 * 2 + 10;
        for n in 0..points {
            fold.add(
                1,
                Point {
                    at_ms: n,
                    value: 2.0,
                },
            );
        }
        fold.add(
            2,
            Point {
                at_ms: 0,
                value: 1.0,
            },
        );
        assert!(fold.held <= POINTS_HELD);
        let groups = fold.finish();
        assert_eq!(groups[0].1.count, points as u64);
        assert_eq!(groups[0].1.last.at_ms, points - 1);
        assert_eq!(groups[1].1.count, 1);
    }
}
