//! Sets of groups that are stored by a name: those of a session, a user or a facet, and those that a search finds.

use monlight_shared::search_text::SearchText;
use monlight_shared::store::StoreError;
use rusqlite::{Connection, Params};

use super::id_set::IdSet;
use super::page::Effort;
use super::plan::{Named, Plan};
use super::search;
use crate::domain::facet::FacetId;

/// The named sets of a plan, as far as they were taken.
#[derive(Default)]
pub(super) struct Sets<'f> {
    /// What is in all sets that were taken whole; `None` when there are none.
    wanted: Option<IdSet>,
    /// Everything but these, each whole.
    unwanted: Vec<IdSet>,
    /// Too large for a first look.
    open: Vec<Open<'f>>,
}

struct Open<'f> {
    named: Named<'f>,
    /// Some of its groups; `None` when none are known, or only what is not wanted.
    some: Option<IdSet>,
}

#[derive(Default)]
struct Taken {
    ids: IdSet,
    whole: bool,
    unwanted: bool,
}

impl Named<'_> {
    /// Takes the set whole if it is small enough for a first look, else a part of it, or nothing.
    fn look(&self, conn: &Connection, effort: Effort) -> Result<Taken, StoreError> {
        match self {
            Self::Search(_) => self.take(conn, effort.first_look_at_hits),
            Self::Facet(facet) if groups_of(conn, *facet)? > effort.first_look_at_facets as i64 => {
                Ok(Taken::default())
            }
            Self::Facet(_) => self.take(conn, usize::MAX),
            Self::Session(_) | Self::User(_) => self.take(conn, effort.first_look),
        }
    }

    /// Takes groups of this set until there are `most`.
    fn take(&self, conn: &Connection, most: usize) -> Result<Taken, StoreError> {
        let mut taken = Taken {
            ids: IdSet::default(),
            whole: true,
            unwanted: false,
        };
        let take = |id| {
            taken.whole = taken.ids.len() < most;
            if taken.whole {
                taken.ids.insert(id);
            }
            taken.whole
        };
        match self {
            Self::Session(session) => visit(conn, OF_SESSION, [session.as_bytes()], take)?,
            Self::User(user) => visit(conn, OF_USER, [user.get()], take)?,
            Self::Facet(facet) => visit(conn, OF_FACET, [facet.get()], take)?,
            Self::Search(text) => taken.unwanted = search::visit(conn, text, take)?,
        }
        Ok(taken)
    }
}

pub(super) const OF_SESSION: &str =
    "SELECT group_id FROM group_sessions WHERE session = ?1 ORDER BY group_id DESC";
pub(super) const OF_USER: &str =
    "SELECT group_id FROM group_users WHERE user = ?1 ORDER BY group_id DESC";
pub(super) const OF_FACET: &str =
    "SELECT group_id FROM group_facets WHERE facet = ?1 ORDER BY group_id DESC";

/// In all projects.
fn groups_of(conn: &Connection, facet: FacetId) -> Result<i64, StoreError> {
    let groups = conn
        .prepare_cached("SELECT coalesce(sum(groups), 0) FROM facets WHERE id = ?1")?
        .query_row([facet.get()], |row| row.get(0))?;
    Ok(groups)
}

fn visit(
    conn: &Connection,
    sql: &str,
    name: impl Params,
    mut visit: impl FnMut(i64) -> bool,
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(name)?;
    while let Some(row) = rows.next()? {
        if !visit(row.get(0)?) {
            break;
        }
    }
    Ok(())
}

impl<'f> Sets<'f> {
    /// Takes nothing of any set.
    pub(super) fn unknown(named: &[Named<'f>]) -> Self {
        let open = named.iter().map(|named| Open {
            named: *named,
            some: None,
        });
        Self {
            open: open.collect(),
            ..Self::default()
        }
    }

    /// Takes the small sets whole, and of the large ones a part.
    pub(super) fn at_first_look(
        conn: &Connection,
        plan: &Plan<'f>,
        effort: Effort,
    ) -> Result<Self, StoreError> {
        let mut sets = Self::default();
        for named in &plan.sets {
            sets.add(*named, named.look(conn, effort)?);
        }
        Ok(sets)
    }

    /// Takes all of them whole, and beside them, when `scope` says so, what the plan holds without them.
    pub(super) fn whole(
        conn: &Connection,
        plan: &Plan<'f>,
        scope: bool,
    ) -> Result<Self, StoreError> {
        let mut sets = Self::default();
        for named in &plan.sets {
            sets.add(*named, named.take(conn, usize::MAX)?);
        }
        if scope {
            let mut ids = IdSet::default();
            plan.visit(conn, |id| {
                if sets.contain(id) {
                    ids.insert(id);
                }
                true
            })?;
            sets.wanted = Some(ids);
        }
        Ok(sets)
    }

    fn add(&mut self, named: Named<'f>, taken: Taken) {
        match taken {
            Taken {
                whole: false,
                ids,
                unwanted,
            } => {
                let some = (!unwanted).then_some(ids);
                self.open.push(Open { named, some });
            }
            Taken {
                unwanted: true,
                ids,
                ..
            } => self.unwanted.push(ids),
            Taken { ids, .. } => {
                self.wanted = Some(match self.wanted.take() {
                    None => ids,
                    Some(before) => {
                        let (few, many) = if before.len() < ids.len() {
                            (before, ids)
                        } else {
                            (ids, before)
                        };
                        few.iter().filter(|id| many.contains(*id)).collect()
                    }
                });
            }
        }
    }

    /// What is in all sets that were taken whole; `None` when there are none.
    pub(super) fn wanted(&self) -> Option<&IdSet> {
        self.wanted.as_ref()
    }

    /// Whether a group is in all sets that were taken whole.
    pub(super) fn contain(&self, id: i64) -> bool {
        self.wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(id))
            && !self.unwanted.iter().any(|unwanted| unwanted.contains(id))
    }

    /// Whether a group is known to be in all sets, also in those of which only a part was taken.
    pub(super) fn surely_contain(&self, id: i64) -> bool {
        self.contain(id)
            && self
                .open
                .iter()
                .all(|open| open.some.as_ref().is_some_and(|some| some.contains(id)))
    }

    /// Whether all of them were taken whole.
    pub(super) fn are_whole(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether there is nothing to be in.
    pub(super) fn are_none(&self) -> bool {
        self.open.is_empty() && self.wanted.is_none() && self.unwanted.is_empty()
    }

    /// The facets that were not taken.
    pub(super) fn open_facets(&self) -> Vec<FacetId> {
        let facet = |open: &Open<'_>| match open.named {
            Named::Facet(facet) => Some(facet),
            _ => None,
        };
        self.open.iter().filter_map(facet).collect()
    }

    /// The smallest of the facets that were not taken, when nothing else was taken in part.
    pub(super) fn smallest_facet(&self, conn: &Connection) -> Result<Option<FacetId>, StoreError> {
        let facets = self.open_facets();
        if facets.len() < self.open.len() {
            return Ok(None);
        }
        let mut smallest = None;
        for facet in facets {
            let groups = groups_of(conn, facet)?;
            if smallest.is_none_or(|(least, _)| groups < least) {
                smallest = Some((groups, facet));
            }
        }
        Ok(smallest.map(|(_, facet)| facet))
    }

    /// The search of which only a part of the hits was taken.
    pub(super) fn open_search(&self) -> Option<&'f SearchText> {
        self.open.iter().find_map(|open| match open.named {
            Named::Search(search) => Some(search),
            _ => None,
        })
    }

    /// Whether a single group can be tested for the sets of which only a part was taken.
    pub(super) fn open_can_be_tested(&self) -> bool {
        let tested = |open: &Open<'_>| matches!(open.named, Named::Facet(_) | Named::Search(_));
        self.open.iter().all(tested)
    }
}
