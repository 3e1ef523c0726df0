//! The order of lists by count and by users.
//!
//! An index on what changes with every report would be most of what a report costs. So the two orders follow copies of
//! the numbers, which are brought up to date in batches: those of the groups that were reported lately, the ones with
//! the most reports first, because these are at the top of lists.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use crate::domain::group::Recorded;

/// Groups that are remembered between two rounds; of more than that, all groups have to be looked at.
const MOST_CHANGED: usize = 8_192;
/// Groups that are looked at in one read: some milliseconds.
const LOOKED_AT: usize = 20_000;

/// The groups that were reported since they were last put in order.
#[derive(Debug, Default)]
pub struct Changed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Reports of each group.
    groups: HashMap<i64, i64>,
    /// Whether there were more.
    missed: bool,
}

impl Changed {
    /// One more report was stored, or is about to be.
    pub fn note(&self, recorded: Recorded) {
        let (Recorded::Incremented { id, count } | Recorded::Reopened { id, count }) = recorded
        else {
            // A new group begins in the right place.
            return;
        };
        let mut state = self.lock();
        if state.groups.len() < MOST_CHANGED || state.groups.contains_key(&id.get()) {
            state.groups.insert(id.get(), count);
        } else {
            state.missed = true;
        }
    }

    /// Takes those with the most reports, `most` at most, ascending by number: neighbours share pages.
    pub fn take(&self, most: usize) -> Vec<i64> {
        let mut state = self.lock();
        let mut groups: Vec<(i64, i64)> = state
            .groups
            .iter()
            .map(|(id, count)| (*count, *id))
            .collect();
        if groups.len() > most {
            groups.select_nth_unstable_by(most, |a, b| b.cmp(a));
            groups.truncate(most);
        }
        let mut ids: Vec<i64> = groups.into_iter().map(|(_, id)| id).collect();
        for id in &ids {
            state.groups.remove(id);
        }
        ids.sort_unstable();
        ids
    }

    /// How many are waiting.
    pub fn len(&self) -> usize {
        self.lock().groups.len()
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether groups were left out since this was last asked.
    pub fn has_missed(&self) -> bool {
        std::mem::take(&mut self.lock().missed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Groups that are not in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Their numbers, ascending.
    pub ids: Vec<i64>,
    /// All up to this one were looked at; `None`: all there are.
    pub up_to: Option<i64>,
}

/// Looks at some groups above `after`, for `most` that are not in their place.
pub fn stale_above(conn: &Connection, after: i64, most: usize) -> Result<Stale, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, count_rank IS NOT count OR users_rank IS NOT users FROM error_groups WHERE id > ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([after])?;
    let mut stale = Stale::default();
    for _ in 0..LOOKED_AT {
        let Some(row) = rows.next()? else {
            stale.up_to = None;
            break;
        };
        let id = row.get(0)?;
        stale.up_to = Some(id);
        if row.get(1)? {
            stale.ids.push(id);
        }
        if stale.ids.len() >= most {
            break;
        }
    }
    Ok(stale)
}

/// Puts some groups in their place.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::group::GroupId;

    fn note(changed: &Changed, id: i64, count: i64) {
        let id = GroupId::from_stored(id);
        changed.note(Recorded::Incremented { id, count });
    }

    #[test]
    fn the_greatest_are_taken_first_and_each_once() {
        let changed = Changed::default();
        for (id, count) in [(5, 10), (1, 30), (9, 20), (5, 40)] {
            note(&changed, id, count);
        }
        let id = GroupId::from_stored(7);
        changed.note(Recorded::Created { id });
        changed.note(Recorded::Reopened { id, count: 2 });
        assert_eq!(changed.len(), 4);
        assert_eq!(changed.take(2), [1, 5]);
        assert_eq!(changed.take(1), [9]);
        assert_eq!(changed.take(5), [7]);
        assert!(changed.is_empty() && changed.take(5).is_empty());
    }

    #[test]
    fn more_than_can_be_remembered_is_noticed() {
        let changed = Changed::default();
        for id in 0..MOST_CHANGED as i64 {
            note(&changed, id, 2);
        }
        note(&changed, 3, 4);
        assert!(!changed.has_missed());
        note(&changed, -1, 9);
        assert!(changed.has_missed());
        assert!(!changed.has_missed());
        assert_eq!(changed.len(), MOST_CHANGED);
    }
}
