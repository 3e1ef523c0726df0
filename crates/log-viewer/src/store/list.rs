//! Finding entries.

use std::collections::HashMap;
use std::ops::ControlFlow;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, Row, params};

use super::counts;
use super::walk::{Pager, Scope, Snapshot};
use crate::domain::entry::{Entry, Level, Stream};
use crate::domain::filter::{Filter, Page};
use crate::domain::search::{self, Search};

/// Up to here the number of hits of a search is exact.
pub const EXACT_UP_TO: i64 = 10_000;

const MINUTE: i64 = 60_000_000_000;

/// One page of entries, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The ids of the entries, by time and then by id, descending.
    pub ids: Vec<i64>,
    /// How many entries the filter matches.
    pub total: i64,
    /// Whether `total` is that number, and not only a bound below it.
    pub total_exact: bool,
}

/// A filter in terms of the database.
pub(super) struct Plan {
    /// The dictionary's ids of the wanted container; `None` when all are wanted.
    pub(super) containers: Option<Vec<i64>>,
    /// What the index is asked.
    expression: Option<String>,
    /// Whether the index is asked for words, not only for filters.
    searches: bool,
    since: i64,
    until: i64,
}

impl Plan {
    /// `None` when nothing can match.
    fn new(conn: &Connection, filter: &Filter) -> Result<Option<Self>, StoreError> {
        let search = match &filter.search {
            None => None,
            Some(Search::Nothing) => return Ok(None),
            Some(Search::Expression(expression)) => Some(expression.as_str()),
        };
        if filter
            .levels
            .is_some_and(crate::domain::filter::Levels::is_empty)
        {
            return Ok(None);
        }
        let containers = match &filter.container {
            None => None,
            Some(name) => Some(counts::container_ids(conn, name)?),
        };
        if containers.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let plan = Self {
            expression: search::expression(search, filter.levels, containers.as_deref()),
            containers,
            searches: search.is_some(),
            since: filter.since_ns.unwrap_or(i64::MIN),
            until: filter.until_ns.unwrap_or(i64::MAX),
        };
        Ok((plan.since <= plan.until).then_some(plan))
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            expression: self.expression.as_deref(),
            since: self.since,
            until: self.until,
        }
    }

    fn is_timed(&self) -> bool {
        self.since > i64::MIN || self.until < i64::MAX
    }
}

/// One page of what a filter matches. Call it in a read job.
pub fn page(conn: &Connection, filter: &Filter, page: Page) -> Result<Listing, StoreError> {
    // Several statements, one state of the database.
    let _snapshot = conn.unchecked_transaction()?;
    let mut listing = Listing {
        total_exact: true,
        ..Listing::default()
    };
    let Some(plan) = Plan::new(conn, filter)? else {
        return Ok(listing);
    };
    let snapshot = Snapshot::take(conn)?;
    (listing.total, listing.total_exact) = total(conn, &snapshot, filter, &plan)?;
    if listing.total_exact && i64::from(page.offset) >= listing.total {
        return Ok(listing);
    }
    let mut pager = Pager::new(
        &snapshot,
        plan.scope(),
        page.offset as usize,
        page.limit as usize,
    );
    snapshot.walk(conn, plan.scope(), |at| pager.visit(at))?;
    listing.ids = pager.finish().into_iter().map(|at| at.id).collect();
    Ok(listing)
}

/// A piece of what a filter matches, in the order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Ids, ascending.
    pub ids: Vec<i64>,
    /// Every id up to this one has been looked at.
    pub up_to: i64,
    /// The smallest id that still exists.
    pub floor: i64,
}

/// What a filter matches among the ids above `after` up to `last`; at most `limit`.
pub fn after(
    conn: &Connection,
    filter: &Filter,
    after: i64,
    last: i64,
    limit: usize,
) -> Result<Piece, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let mut piece = Piece {
        ids: Vec::new(),
        up_to: last,
        floor: snapshot.floor,
    };
    let Some(plan) = Plan::new(conn, filter)? else {
        return Ok(piece);
    };
    let mut slots = snapshot.slots_in(snapshot.floor.max(after + 1), last);
    slots.reverse();
    for (n, low, high) in slots {
        let left = (limit + 1 - piece.ids.len()) as i64;
        let mut statement = match plan.expression {
            Some(_) => conn.prepare_cached(&format!(
                "SELECT rowid FROM f{n} WHERE f{n} MATCH ?4 AND rowid BETWEEN ?1 AND ?2 ORDER BY rowid LIMIT ?3"
            ))?,
            None => conn.prepare_cached(&format!(
                "SELECT id FROM e{n} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3"
            ))?,
        };
        let mut rows = match &plan.expression {
            Some(expression) => statement.query(params![low, high, left, expression])?,
            None => statement.query([low, high, left])?,
        };
        while let Some(row) = rows.next()? {
            piece.ids.push(row.get(0)?);
        }
        if piece.ids.len() > limit {
            break;
        }
    }
    if piece.ids.len() > limit {
        piece.ids.truncate(limit);
        piece.up_to = piece.ids.last().copied().unwrap_or(last);
    }
    Ok(piece)
}

/// The greatest id that was given, 0 when there was none yet.
pub fn last_id(conn: &Connection) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached("SELECT next_id - 1 FROM ring")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// How many entries a filter matches, and whether that is exact.
fn total(
    conn: &Connection,
    snapshot: &Snapshot,
    filter: &Filter,
    plan: &Plan,
) -> Result<(i64, bool), StoreError> {
    if plan.searches {
        let most = EXACT_UP_TO + 1;
        let found = match &plan.expression {
            Some(expression) if !plan.is_timed() => snapshot.count(conn, expression, most)?,
            _ => count_by_walk(conn, snapshot, plan.scope(), most)?,
        };
        return Ok((found.min(EXACT_UP_TO), found <= EXACT_UP_TO));
    }
    if !plan.is_timed() {
        return Ok((
            counts::tally(conn, filter.levels, plan.containers.as_deref())?,
            true,
        ));
    }
    // Whole minutes from the counters, the two at the edges by looking.
    let first_minute =
        plan.since.div_euclid(MINUTE) + i64::from(plan.since.rem_euclid(MINUTE) != 0);
    let end_minute = plan
        .until
        .checked_add(1)
        .map_or(i64::MAX / MINUTE, |end| end.div_euclid(MINUTE));
    if first_minute >= end_minute {
        return Ok((count_by_walk(conn, snapshot, plan.scope(), i64::MAX)?, true));
    }
    let whole = counts::minutes(
        conn,
        filter.levels,
        plan.containers.as_deref(),
        first_minute,
        end_minute,
    )?;
    let before = Scope {
        until: (first_minute * MINUTE).saturating_sub(1),
        ..plan.scope()
    };
    let behind = Scope {
        since: end_minute * MINUTE,
        ..plan.scope()
    };
    let mut total = whole;
    for edge in [before, behind] {
        if edge.since <= edge.until {
            total += count_by_walk(conn, snapshot, edge, i64::MAX)?;
        }
    }
    Ok((total, true))
}

fn count_by_walk(
    conn: &Connection,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    most: i64,
) -> Result<i64, StoreError> {
    let mut count = 0;
    snapshot.walk(conn, scope, |_| {
        count += 1;
        if count < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(count)
}

/// The entries of the first of these ids, in the given order, and how many ids that were: as many as have about
/// `most_bytes` of text, at least one. Ids that are gone by now are passed over.
pub fn entries(
    conn: &Connection,
    ids: &[i64],
    most_bytes: usize,
) -> Result<(Vec<Entry>, usize), StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let names = counts::container_names(conn)?;
    let slots = snapshot.slots_in(snapshot.floor, snapshot.next_id - 1);
    let mut found = Vec::new();
    let mut bytes = 0;
    for (index, id) in ids.iter().enumerate() {
        if bytes >= most_bytes {
            return Ok((found, index));
        }
        let Some((n, _, _)) = slots
            .iter()
            .find(|(_, low, high)| (low..=high).contains(&id))
        else {
            continue;
        };
        let mut statement = conn.prepare_cached(&format!(
            "SELECT id, time, container, stream, level, message FROM e{n} WHERE id = ?1"
        ))?;
        let entry = statement.query_row([id], |row| entry(row, &names))?;
        bytes += entry.message.len();
        found.push(entry);
    }
    Ok((found, ids.len()))
}

fn entry(row: &Row<'_>, names: &HashMap<i64, String>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        time_ns: row.get(1)?,
        container: names
            .get(&row.get::<_, i64>(2)?)
            .cloned()
            .unwrap_or_default(),
        stream: Stream::from_code(row.get(3)?),
        level: Level::from_code(row.get(4)?),
        message: row.get(5)?,
    })
}
