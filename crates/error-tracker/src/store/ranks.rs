//! The order of lists by count and by users.
//!
//! An index on what changes with every report would be most of what a report costs. So the two orders follow copies of
//! the numbers, which are brought up to date in batches.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::id_set::IdSet;
use crate::domain::group::{Source, State};

/// Groups brought up to date in one job of the writer: two or three milliseconds.
pub const IN_SLICE: usize = 200;

/// The numbers of groups, ascending.
#[derive(Debug, Default)]
pub struct Stale(IdSet);

impl Stale {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In slices of [`IN_SLICE`], neighbours together: they share pages.
    pub fn slices(&self) -> Vec<Vec<i64>> {
        let ids: Vec<i64> = self.0.iter().collect();
        ids.chunks(IN_SLICE).map(<[i64]>::to_vec).collect()
    }
}

/// Finds the groups last seen at or after `since_ms` whose ranks are behind, and those that have none.
pub fn stale(conn: &Connection, since_ms: i64) -> Result<Stale, StoreError> {
    let mut ids = IdSet::default();
    let mut seen = conn.prepare_cached(
        "SELECT id FROM error_groups INDEXED BY error_groups_seen WHERE state = ?1 AND source = ?2 AND last_seen >= ?3
           AND (count_rank IS NOT count OR users_rank IS NOT users)",
    )?;
    for state in State::ALL {
        for source in Source::ALL {
            let mut rows = seen.query((*state as i64, *source as i64, since_ms))?;
            while let Some(row) = rows.next()? {
                ids.insert(row.get(0)?);
            }
        }
    }
    let mut unranked = conn.prepare_cached(
        "SELECT id FROM error_groups INDEXED BY error_groups_unranked WHERE count_rank IS NULL",
    )?;
    let mut rows = unranked.query([])?;
    while let Some(row) = rows.next()? {
        ids.insert(row.get(0)?);
    }
    Ok(Stale(ids))
}

/// Brings the ranks of some groups up to date.
pub fn refresh(conn: &Connection, ids: &[i64]) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "UPDATE error_groups SET count_rank = count, users_rank = users
         WHERE id = ?1 AND (count_rank IS NOT count OR users_rank IS NOT users)",
    )?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}
