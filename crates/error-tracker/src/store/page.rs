//! Which groups a page of a list holds.
//!
//! What can be asked for combines in too many ways for one plan. A list takes the first of these that promises little
//! work:
//!
//! 1. *Few candidates.* A session, a user, a facet, a search, a project or a time names few groups: each is looked at,
//!    and they are sorted. Order and total are exact.
//! 2. *Only the index.* The index of the order holds all that is asked for, perhaps with sets of group numbers beside
//!    it (bits, made by reading other indices): it is walked, and no group is looked at.
//! 3. *Common things.* What most groups have is not worth a set: groups are looked at in the order of the list until
//!    the page is full.
//! 4. *Common, but not here.* When that takes too long, everything becomes a set, and it is 1 or 2 after all.

use std::cmp::Reverse;

use monlight_shared::store::StoreError;
use rusqlite::{CachedStatement, Connection};

use super::facets;
use super::plan::{Columns, Order, Plan};
use super::search::TextTest;
use super::sets::{self, Sets};
use crate::domain::cursor::Cursor;
use crate::domain::facet::FacetId;
use crate::domain::group::GroupId;
use crate::domain::query::ListQuery;

/// Totals are exact up to here, unless they are known anyway or take too long.
pub const COUNTED: i64 = 10_000;

/// What each way may cost before another one is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Groups of a named set up to which it is taken whole at first.
    pub(super) first_look: usize,
    /// The same for a search, which costs more a group.
    pub(super) first_look_at_hits: usize,
    /// The same for a facet, which single groups can be asked for as well.
    pub(super) first_look_at_facets: usize,
    /// Candidates that are looked at one by one.
    pub(super) few: usize,
    /// The same when the texts of each must be read.
    pub(super) few_texts: usize,
    /// Texts that are read before an index is asked that will not answer quickly.
    pub(super) probes: usize,
    /// Groups that are looked at in the order of a list.
    pub(super) looks: usize,
    /// Groups that are counted for a total.
    pub(super) counted: i64,
    /// The same when each must be looked for in sets.
    pub(super) counted_in_sets: i64,
    /// Entries of an index that are read for a total.
    pub(super) counting: i64,
    /// Groups of a facet that are looked at for a total.
    pub(super) counting_groups: i64,
}

/// Each of these takes one to five milliseconds.
const USUAL: Effort = Effort {
    first_look: 50_000,
    first_look_at_hits: 20_000,
    first_look_at_facets: 10_000,
    few: 4_000,
    few_texts: 300,
    probes: 150,
    looks: 1_500,
    counted: COUNTED,
    counted_in_sets: 1_000,
    counting: 40_000,
    counting_groups: 3_000,
};

/// Which groups a page holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many groups match on all pages, or at least how many.
    pub total: i64,
    /// Whether `total` is the number and not only a bound below it.
    pub total_exact: bool,
    /// Those of the page, in order.
    pub ids: Vec<GroupId>,
    /// The last of them, when there are more behind it.
    pub next: Option<Cursor>,
}

/// Finds the groups of a page. Call it in a transaction: it takes several statements.
pub(super) fn find(conn: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    find_with(conn, query, USUAL)
}

/// As [`find`], without a total.
pub(super) fn find_uncounted(conn: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let effort = Effort {
        counted: 0,
        counted_in_sets: 0,
        ..USUAL
    };
    find_with(conn, query, effort)
}

/// As [`find`], with bounds of one's own.
pub(super) fn find_with(
    conn: &Connection,
    query: &ListQuery,
    effort: Effort,
) -> Result<Page, StoreError> {
    let nothing = Page {
        total_exact: true,
        ..Page::default()
    };
    let Some(plan) = Plan::new(conn, &query.filter)? else {
        return Ok(nothing);
    };
    let groups = plan.groups(conn)?;
    if groups == 0 {
        return Ok(nothing);
    }
    let list = List {
        conn,
        plan: &plan,
        order: Order {
            sort: query.sort,
            after: query.after,
        },
        groups,
        limit: query.limit as usize,
        offset: query.offset as usize,
        effort,
    };
    list.page()
}

/// What was found, in order: sort key and number. One more than the page holds, if there are more.
type Found = Vec<(i64, i64)>;

struct List<'l> {
    conn: &'l Connection,
    plan: &'l Plan<'l>,
    order: Order,
    /// How many groups there are of its project, states and sources.
    groups: i64,
    limit: usize,
    offset: usize,
    effort: Effort,
}

impl List<'_> {
    fn page(&self) -> Result<Page, StoreError> {
        if let Some(page) = self.probe()? {
            return Ok(page);
        }
        let sets = Sets::at_first_look(self.conn, self.plan, self.effort)?;
        let covered = self.plan.is_covered_by(self.order.sort);
        if let Some(few) = self.few_candidates(&sets, covered)? {
            return self.of_candidates(&few, &sets);
        }
        if covered && sets.are_whole() {
            let found = self.walk_index(&sets)?;
            return self.with_total(found, &sets);
        }
        if let Some(found) = self.walk_groups(&sets, self.effort)? {
            return self.with_total(found, &sets);
        }
        let sets = Sets::whole(self.conn, self.plan, !covered)?;
        match sets.wanted() {
            Some(few) if few.len() <= self.effort.few => {
                let few: Vec<i64> = few.iter().collect();
                self.of_candidates(&few, &sets)
            }
            _ => {
                let found = self.walk_index(&sets)?;
                self.with_total(found, &sets)
            }
        }
    }

    /// For the beginning of a word the index puts together all that it has of each word beginning so, however little is
    /// asked for. When the beginning is a common one, the first groups of the list tell.
    fn probe(&self) -> Result<Option<Page>, StoreError> {
        if !self.plan.has_slow_search() {
            return Ok(None);
        }
        let sets = Sets::unknown(&self.plan.sets);
        let effort = Effort {
            few_texts: self.effort.probes,
            ..self.effort
        };
        let found = self.walk_groups(&sets, effort)?;
        // A short walk to the end is the whole list.
        Ok(found.filter(|found| found.len() > self.limit).map(|found| {
            let total = self.bound(&found);
            self.cut(found, total, false)
        }))
    }

    /// The numbers of all groups that can match, if they are few.
    fn few_candidates(
        &self,
        sets: &Sets<'_>,
        covered: bool,
    ) -> Result<Option<Vec<i64>>, StoreError> {
        if !sets.open_can_be_tested() {
            return Ok(None);
        }
        let most = match sets.open_search() {
            Some(_) => self.effort.few_texts,
            None => self.effort.few,
        };
        if let Some(wanted) = sets.wanted().filter(|wanted| wanted.len() <= most) {
            return Ok(Some(wanted.iter().collect()));
        }
        let answered_by_index = covered && sets.are_none();
        let hopeless = !self.plan.is_timed() && self.groups > most as i64;
        if answered_by_index || hopeless {
            return Ok(None);
        }
        let mut few = Vec::new();
        let mut seen = 0;
        self.plan.visit(self.conn, |id| {
            seen += 1;
            if sets.contain(id) {
                few.push(id);
            }
            seen <= most
        })?;
        few.sort_unstable();
        Ok((seen <= most).then_some(few))
    }

    /// Looks at each of some groups, which are all that can match.
    fn of_candidates(&self, ids: &[i64], sets: &Sets<'_>) -> Result<Page, StoreError> {
        let mut look = self.look(sets)?;
        let mut found = Found::new();
        for id in ids {
            if let Some(key) = look.at(*id)? {
                found.push((key, *id));
            }
        }
        found.sort_unstable_by_key(|found| Reverse(*found));
        let total = found.len() as i64;
        let wanted = found
            .into_iter()
            .filter(|(key, id)| self.order.is_behind(*key, *id))
            .skip(self.offset)
            .take(self.limit + 1);
        Ok(self.cut(wanted.collect(), total, true))
    }

    fn look<'q>(&'q self, sets: &'q Sets<'q>) -> Result<Look<'q>, StoreError> {
        let statement = self.conn.prepare_cached(&format!(
            "SELECT id, {}{} FROM error_groups WHERE id = ?1",
            self.order.key(),
            Columns::BEHIND_KEY
        ))?;
        Ok(Look {
            statement,
            plan: self.plan,
            sets,
            test: OpenTest::new(self.conn, sets)?,
        })
    }

    /// Reads the index of the order, in which all is that matters besides the sets.
    fn walk_index(&self, sets: &Sets<'_>) -> Result<Found, StoreError> {
        let mut statement = self.plan.ordered(self.conn, self.order, false)?;
        let (limit, offset) = if sets.are_none() {
            (self.limit as i64 + 1, self.offset as i64)
        } else {
            (-1, 0)
        };
        let mut rows = statement.query(self.plan.parameters(self.order, limit, offset))?;
        let mut skip = if sets.are_none() { 0 } else { self.offset };
        let mut found = Found::new();
        while found.len() <= self.limit
            && let Some(row) = rows.next()?
        {
            let id = row.get(0)?;
            if !sets.contain(id) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
            } else {
                found.push((row.get(1)?, id));
            }
        }
        Ok(found)
    }

    /// Looks at groups in the order of the list. `None` when that would take too long.
    fn walk_groups(&self, sets: &Sets<'_>, effort: Effort) -> Result<Option<Found>, StoreError> {
        if !sets.open_can_be_tested() || self.offset + self.limit >= effort.looks {
            return Ok(None);
        }
        let mut statement = self.plan.ordered(self.conn, self.order, true)?;
        let mut rows = statement.query(self.plan.parameters(self.order, -1, 0))?;
        let mut test = OpenTest::new(self.conn, sets)?;
        let (mut skip, mut found, mut looks) = (self.offset, Found::new(), 0);
        while found.len() <= self.limit {
            let Some(row) = rows.next()? else {
                return Ok(Some(found));
            };
            looks += 1;
            if looks > effort.looks || test.texts_read > effort.few_texts {
                return Ok(None);
            }
            let id = row.get(0)?;
            let holds = sets.contain(id)
                && self.plan.holds(&Columns::behind_key(row)?)
                && test.holds(id, row)?;
            if holds && skip > 0 {
                skip -= 1;
            } else if holds {
                found.push((row.get(1)?, id));
            }
        }
        Ok(Some(found))
    }

    fn with_total(&self, found: Found, sets: &Sets<'_>) -> Result<Page, StoreError> {
        let (total, exact) = self.total(sets)?;
        let total = total.max(self.bound(&found));
        Ok(self.cut(found, total, exact))
    }

    /// How many groups match at least, as far as it is known how many stand before what was found.
    fn bound(&self, found: &Found) -> i64 {
        let before = match self.order.after {
            None if !found.is_empty() => self.offset,
            _ => 0,
        };
        (before + found.len()) as i64
    }

    fn total(&self, sets: &Sets<'_>) -> Result<(i64, bool), StoreError> {
        if sets.are_none() && !self.plan.is_timed() {
            return Ok((self.groups, true));
        }
        if let Some(facet) = sets.smallest_facet(self.conn)? {
            return self.total_of_facet(facet, sets);
        }
        let most = if sets.are_none() {
            self.effort.counted
        } else {
            self.effort.counted_in_sets
        };
        let (mut total, mut read, mut all) = (0, 0, true);
        self.plan.visit(self.conn, |id| {
            all = total < most && read < self.effort.counting;
            read += 1;
            total += i64::from(all && sets.surely_contain(id));
            all
        })?;
        Ok((total, all && sets.are_whole()))
    }

    /// Looks at the groups of one of the facets that were not taken, the newest first.
    fn total_of_facet(&self, facet: FacetId, sets: &Sets<'_>) -> Result<(i64, bool), StoreError> {
        let mut look = self.look(sets)?;
        let (mut total, mut looks) = (0, 0);
        let mut statement = self.conn.prepare_cached(sets::OF_FACET)?;
        let mut rows = statement.query([facet.get()])?;
        while let Some(row) = rows.next()? {
            if total >= self.effort.counted_in_sets || looks >= self.effort.counting_groups {
                return Ok((total, false));
            }
            looks += 1;
            total += i64::from(look.at(row.get(0)?)?.is_some());
        }
        Ok((total, true))
    }

    fn cut(&self, mut found: Found, total: i64, total_exact: bool) -> Page {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().filter(|_| more);
        Page {
            total,
            total_exact,
            next: last.map(|(key, id)| Cursor {
                sort: self.order.sort,
                key: *key,
                id: *id,
            }),
            ids: found
                .into_iter()
                .map(|(_, id)| GroupId::from_stored(id))
                .collect(),
        }
    }
}

/// Looks at single groups.
struct Look<'q> {
    statement: CachedStatement<'q>,
    plan: &'q Plan<'q>,
    sets: &'q Sets<'q>,
    test: OpenTest<'q, 'q>,
}

impl Look<'_> {
    /// The sort key of a group that matches.
    fn at(&mut self, id: i64) -> Result<Option<i64>, StoreError> {
        if !self.sets.contain(id) {
            return Ok(None);
        }
        let mut rows = self.statement.query([id])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let holds = self.plan.holds(&Columns::behind_key(row)?) && self.test.holds(id, row)?;
        Ok(holds.then(|| row.get(1)).transpose()?)
    }
}

/// Whether single groups are in the sets of which only a part was taken.
struct OpenTest<'c, 'f> {
    facets: Vec<FacetId>,
    texts: Option<TextTest<'c, 'f>>,
    texts_read: usize,
}

impl<'c, 'f> OpenTest<'c, 'f> {
    fn new(conn: &'c Connection, sets: &Sets<'f>) -> Result<Self, StoreError> {
        let texts = sets.open_search();
        Ok(Self {
            facets: sets.open_facets(),
            texts: texts.map(|text| TextTest::new(conn, text)).transpose()?,
            texts_read: 0,
        })
    }

    /// `row` is the group's, with the columns of [`Columns::BEHIND_KEY`].
    fn holds(&mut self, id: i64, row: &rusqlite::Row<'_>) -> Result<bool, StoreError> {
        if !self.facets.is_empty() {
            let list = row.get_ref(Columns::FACETS)?.as_bytes_or_null();
            let list = list.map_err(rusqlite::Error::from)?.unwrap_or_default();
            if !self
                .facets
                .iter()
                .all(|facet| facets::ids(list).any(|id| id == facet.bytes()))
            {
                return Ok(false);
            }
        }
        let Some(texts) = &mut self.texts else {
            return Ok(true);
        };
        self.texts_read += 1;
        texts.matches(id)
    }
}
