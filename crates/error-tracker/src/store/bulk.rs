//! Does to many groups what can be done to one. Each call is one job for the writer: a slice of a few milliseconds.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::lifecycle::{self, Decided};
use super::merge::{self, Merged};
use super::{page, remove};
use crate::domain::bulk::Action;
use crate::domain::cursor::Cursor;
use crate::domain::filter::Filter;
use crate::domain::group::GroupId;
use crate::domain::query::{ListQuery, Sort};

/// What became of some groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// So many were there.
    pub matched: usize,
    /// So many are not as they were.
    pub changed: usize,
}

impl Done {
    /// Adds a slice.
    pub fn add(&mut self, slice: Self) {
        self.matched += slice.matched;
        self.changed += slice.changed;
    }
}

/// How many groups make a slice.
pub fn slice(action: &Action) -> usize {
    match action {
        Action::Resolve { .. } | Action::Reopen | Action::Ignore(_) => 50,
        Action::Delete => 25,
        // Each moves thousands of rows.
        Action::Merge { .. } => 1,
    }
}

/// Some groups that a filter leaves, `most` of them behind `after`, and where to go on. They come by their first reports,
/// the newest first: an order that neither changes nor reports upset.
pub fn some(
    conn: &Connection,
    filter: &Filter,
    after: Option<Cursor>,
    most: usize,
) -> Result<(Vec<GroupId>, Option<Cursor>), StoreError> {
    // All statements see the same state of the database.
    let _snapshot = conn.unchecked_transaction()?;
    let query = ListQuery {
        filter: filter.clone(),
        sort: Sort::FirstSeen,
        after,
        limit: most as u32,
        ..ListQuery::default()
    };
    let page = page::find(conn, &query)?;
    Ok((page.ids, page.next))
}

/// Does `action` to some groups. A merge needs the group that goes on.
pub fn apply(
    conn: &Connection,
    action: &Action,
    ids: &[GroupId],
    now_ms: i64,
) -> Result<Done, StoreError> {
    let mut done = Done::default();
    for id in ids {
        let decided = match action {
            Action::Resolve { in_release } => {
                lifecycle::resolve(conn, *id, in_release.as_deref(), now_ms)?
            }
            Action::Reopen => lifecycle::reopen(conn, *id, now_ms)?,
            Action::Ignore(until) => lifecycle::ignore(conn, *id, *until, now_ms)?,
            Action::Delete if remove::group(conn, *id)? => Decided::Now,
            Action::Merge { into: Some(into) } if into == id => Decided::Already,
            Action::Merge { into: Some(into) } => match merge::merge(conn, *into, *id, now_ms)? {
                Merged::Now => Decided::Now,
                Merged::Unknown(_) | Merged::OtherProject(_) => Decided::Unknown,
            },
            Action::Delete | Action::Merge { into: None } => Decided::Unknown,
        };
        done.add(Done {
            matched: usize::from(decided != Decided::Unknown),
            changed: usize::from(decided == Decided::Now),
        });
    }
    Ok(done)
}
