//! What one query sees of the ring.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use super::ring::FENCE_BITS;

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

/// The span of times of the ids of a block.
#[derive(Clone, Copy, Debug)]
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

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is gone: older than all that is kept.
    Gone,
    /// It is there.
    Here(At),
    /// It was never given.
    Ahead,
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

    /// The blocks that may hold times of a span, newest first.
    pub(super) fn blocks(&self, since: i64, until: i64) -> impl Iterator<Item = Fence> + '_ {
        self.fences
            .iter()
            .copied()
            .filter(move |fence| fence.max_time >= since && fence.min_time <= until)
    }

    /// The ids of a block that count, first and last.
    pub(super) fn ids_of(&self, fence: Fence) -> (i64, i64) {
        (
            (fence.block << FENCE_BITS).max(self.floor),
            (((fence.block + 1) << FENCE_BITS) - 1).min(self.next_id - 1),
        )
    }

    /// The slots that hold ids of a range, and which of them; newest first.
    pub(super) fn slots_in(
        &self,
        first: i64,
        last: i64,
    ) -> impl DoubleEndedIterator<Item = (i64, i64, i64)> + '_ {
        let (first, last) = (first.max(self.floor), last.min(self.next_id - 1));
        self.slots
            .iter()
            .map(move |(n, low, high)| (*n, first.max(*low), last.min(*high)))
            .filter(|(_, low, high)| low <= high)
    }

    /// Where an id stands.
    pub(super) fn place(&self, conn: &Connection, id: i64) -> Result<Place, StoreError> {
        if id >= self.next_id {
            return Ok(Place::Ahead);
        }
        let Some((n, _, _)) = self.slots_in(id, id).next() else {
            return Ok(Place::Gone);
        };
        let time = conn
            .prepare_cached(&format!("SELECT time FROM e{n} WHERE id = ?1"))?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(time.map_or(Place::Gone, |time| Place::Here(At { time, id })))
    }

    /// How many entries the index has for an expression among the ids of a range, counted up to `most`. Times are not
    /// looked at.
    pub(super) fn count(
        &self,
        conn: &Connection,
        expression: &str,
        (first, last): (i64, i64),
        most: i64,
    ) -> Result<i64, StoreError> {
        let mut total = 0;
        for (n, low, high) in self.slots_in(first, last) {
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

    /// The same, of the times of a span only; of all entries without an expression.
    pub(super) fn count_timed(
        &self,
        conn: &Connection,
        expression: Option<&str>,
        (first, last): (i64, i64),
        (since, until): (i64, i64),
        most: i64,
    ) -> Result<i64, StoreError> {
        let mut total = 0;
        for (n, low, high) in self.slots_in(first, last) {
            let from = match expression {
                Some(_) => format!(
                    "f{n} CROSS JOIN e{n} AS e ON e.id = f{n}.rowid WHERE f{n} MATCH ?6 AND f{n}.rowid"
                ),
                None => format!("e{n} AS e WHERE e.id"),
            };
            let mut statement = conn.prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM {from} BETWEEN ?1 AND ?2 AND e.time BETWEEN ?3 AND ?4 LIMIT ?5)"
            ))?;
            let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            let left = most - total;
            total += match expression {
                Some(text) => {
                    statement.query_row(params![low, high, since, until, left, text], count)?
                }
                None => statement.query_row(params![low, high, since, until, left], count)?,
            };
            if total >= most {
                break;
            }
        }
        Ok(total)
    }
}
