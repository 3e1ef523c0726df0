//! Finding entries.

use std::collections::HashMap;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use super::counts;
use super::plan::{self, Plan};
use super::scan::{Budget, Progress, Scan};
use super::snapshot::{Place, Snapshot};
use super::sweep::{Pager, Rank, Reads, Scope, Sweep};
use crate::domain::entry::{Entry, Level, Stream};
use crate::domain::filter::{Filter, Order, Page};
use crate::domain::matching::SecondPass;
use crate::domain::search;

/// Up to here the number of hits of a search is exact.
pub const EXACT_UP_TO: i64 = 10_000;

const MINUTE: i64 = 60_000_000_000;

/// How many entries a filter matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The number, or a bound below it.
    pub count: i64,
    /// Whether it is the number.
    pub is_exact: bool,
}

/// One page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The ids of the entries, in the order of the page.
    pub ids: Vec<i64>,
    /// Their times, in nanoseconds since 1970.
    pub times_ns: Vec<i64>,
    /// `None` for pages from a cursor.
    pub total: Option<Total>,
    /// The entry behind which to go on; `None` at the end of the list.
    pub next: Option<i64>,
    /// How far a second pass got; `None` without one.
    pub progress: Option<Progress>,
}

/// One page of what a filter matches. Call it in a read job.
pub fn page(
    conn: &Connection,
    filter: &Filter,
    page: Page,
    budget: &Budget,
) -> Result<Listing, StoreError> {
    // Several statements, one state of the database.
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let second_pass = SecondPass::new(filter);
    let mut listing = Listing {
        total: (!page.has_cursor()).then_some(Total {
            count: 0,
            is_exact: true,
        }),
        progress: second_pass.is_some().then_some(Progress {
            is_whole: true,
            ..Progress::default()
        }),
        ..Listing::default()
    };
    let Some(plan) = Plan::new(conn, filter)? else {
        return Ok(listing);
    };
    let Some(scope) = scope(conn, &snapshot, &plan, page)? else {
        return Ok(listing);
    };
    let sweep = Sweep::new(&snapshot, scope);
    // One more than the page tells whether there is another.
    let limit = page.limit as usize + 1;
    let pager = Pager::new(page.offset as usize, limit);
    let ranks = if let Some(pass) = second_pass {
        let most = if page.has_cursor() {
            0
        } else {
            EXACT_UP_TO + 1
        };
        let mut scan = Scan::new(pager, pass, scope.order, budget.clone(), most);
        sweep.run(conn, Reads::Messages, &mut scan)?;
        let progress = scan.progress()?;
        if let Some(total) = &mut listing.total {
            *total = Total {
                count: scan.found.min(EXACT_UP_TO),
                is_exact: progress.is_whole && scan.found <= EXACT_UP_TO,
            };
        }
        listing.next = progress.next;
        listing.progress = Some(progress);
        scan.pager.into_page()
    } else {
        if let Some(total) = &mut listing.total {
            *total = self::total(conn, &snapshot, filter, &plan)?;
            if total.is_exact && i64::from(page.offset) >= total.count {
                return Ok(listing);
            }
        }
        let mut pager = pager;
        sweep.run(conn, Reads::Times, &mut pager)?;
        pager.into_page()
    };
    listing.take(ranks, scope.order, page);
    Ok(listing)
}

impl Listing {
    fn take(&mut self, mut ranks: Vec<Rank>, order: Order, page: Page) {
        let has_more = ranks.len() > page.limit as usize;
        ranks.truncate(page.limit as usize);
        (self.ids, self.times_ns) = ranks
            .into_iter()
            .map(|rank| rank.at(order))
            .map(|at| (at.id, at.time))
            .unzip();
        if has_more {
            self.next = self.ids.last().copied();
        }
        if order != page.order {
            self.ids.reverse();
            self.times_ns.reverse();
        }
    }
}

/// What a page is picked from; `None` when that is nothing. From a single cursor on it goes away from it.
fn scope<'p>(
    conn: &Connection,
    snapshot: &Snapshot,
    plan: &'p Plan,
    page: Page,
) -> Result<Option<Scope<'p>>, StoreError> {
    let mut scope = plan.scope(match (page.before, page.after) {
        (Some(_), None) => Order::Newest,
        (None, Some(_)) => Order::Oldest,
        _ => page.order,
    });
    scope.last_id = page.last_id;
    let place = |id: Option<i64>| id.map(|id| snapshot.place(conn, id)).transpose();
    match place(page.before)? {
        Some(Place::Gone) => return Ok(None),
        Some(Place::Here(at)) => scope.below = Some(at),
        Some(Place::Ahead) | None => {}
    }
    match place(page.after)? {
        Some(Place::Ahead) => return Ok(None),
        Some(Place::Here(at)) => scope.above = Some(at),
        Some(Place::Gone) | None => {}
    }
    Ok(Some(scope))
}

/// The neighbours of an entry, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The ids of older ones.
    pub before: Vec<i64>,
    /// The ids of newer ones.
    pub after: Vec<i64>,
}

/// What a filter matches around an entry: at most `before` older and `after` newer ones. `None` when the entry is not
/// there.
pub fn around(
    conn: &Connection,
    filter: &Filter,
    id: i64,
    (before, after): (u32, u32),
) -> Result<Option<Around>, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let Place::Here(at) = snapshot.place(conn, id)? else {
        return Ok(None);
    };
    let Some(plan) = Plan::new(conn, filter)? else {
        return Ok(Some(Around::default()));
    };
    let pick = |scope: Scope<'_>, limit: u32| -> Result<Vec<i64>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut pager = Pager::new(0, limit as usize);
        Sweep::new(&snapshot, scope).run(conn, Reads::Times, &mut pager)?;
        let ranks = pager.into_page().into_iter();
        Ok(ranks.map(|rank| rank.at(scope.order).id).collect())
    };
    let older = Scope {
        below: Some(at),
        ..plan.scope(Order::Newest)
    };
    let newer = Scope {
        above: Some(at),
        ..plan.scope(Order::Oldest)
    };
    let mut around = Around {
        before: pick(older, before)?,
        after: pick(newer, after)?,
    };
    around.before.reverse();
    Ok(Some(around))
}

/// What FTS5 has against an expression of its own language; `None` when it understands it.
pub fn fault_of_raw(conn: &Connection, raw: &str) -> Result<Option<String>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT rowid FROM f0 WHERE f0 MATCH ?1 LIMIT 1")?;
    // By itself, so that no bracket in it closes one of ours, and as it will be used, which some commands cannot.
    for expression in [raw, &search::confined(raw)] {
        match statement.query_row([expression], |_| Ok(())).optional() {
            Ok(_) => {}
            Err(rusqlite::Error::SqliteFailure(code, Some(text)))
                if code.code == ErrorCode::Unknown =>
            {
                return Ok(Some(text));
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(None)
}

/// How many entries a filter matches, as far as the index and the counters know it.
fn total(
    conn: &Connection,
    snapshot: &Snapshot,
    filter: &Filter,
    plan: &Plan,
) -> Result<Total, StoreError> {
    if filter.asks_for_text() {
        let most = EXACT_UP_TO + 1;
        let found = match &plan.expression {
            Some(expression) if !plan.is_timed() => {
                snapshot.count(conn, expression, (0, i64::MAX), most)?
            }
            _ => plan.count(conn, snapshot, most)?,
        };
        return Ok(Total {
            count: found.min(EXACT_UP_TO),
            is_exact: found <= EXACT_UP_TO,
        });
    }
    let kept = counts::Kept {
        levels: filter.levels,
        stream: filter.stream,
        containers: plan.containers.as_deref(),
    };
    let count = if plan.is_timed() {
        timed_total(conn, snapshot, plan, kept)?
    } else {
        kept.all(conn)?
    };
    Ok(Total {
        count,
        is_exact: true,
    })
}

/// Whole minutes from the counters, the two at the edges by looking.
fn timed_total(
    conn: &Connection,
    snapshot: &Snapshot,
    plan: &Plan,
    kept: counts::Kept<'_>,
) -> Result<i64, StoreError> {
    let (since, until) = plan.span;
    let first_minute = since.div_euclid(MINUTE) + i64::from(since.rem_euclid(MINUTE) != 0);
    let end_minute = until
        .checked_add(1)
        .map_or(i64::MAX / MINUTE, |end| end.div_euclid(MINUTE));
    if first_minute >= end_minute {
        return plan.count(conn, snapshot, i64::MAX);
    }
    let look = |span| plan::count(conn, snapshot, plan.expression.as_deref(), span, i64::MAX);
    Ok(kept.minutes(conn, first_minute, end_minute)?
        + look((since, (first_minute * MINUTE).saturating_sub(1)))?
        + look((end_minute * MINUTE, until))?)
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
    /// Entries that there was no time to look at.
    pub missed: i64,
}

/// Entries that a second pass looks at for one piece.
const LOOKED_AT: usize = 2000;

/// What a filter matches among the ids above `after` up to `last`; at most `limit`. Times are not looked at. `is_over`
/// says when there is no more time.
pub fn after(
    conn: &Connection,
    filter: &Filter,
    (after, last): (i64, i64),
    limit: usize,
    is_over: impl Fn() -> bool,
) -> Result<Piece, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let mut piece = Piece {
        ids: Vec::new(),
        up_to: last,
        floor: snapshot.floor,
        missed: 0,
    };
    let Some(plan) = Plan::new(conn, filter)? else {
        return Ok(piece);
    };
    let mut second_pass = SecondPass::new(filter);
    let most = if second_pass.is_some() {
        LOOKED_AT
    } else {
        limit
    };
    let mut looked_at = 0;
    let mut slots: Vec<_> = snapshot.slots_in(after + 1, last).collect();
    slots.reverse();
    for (n, low, high) in slots {
        let columns = if second_pass.is_some() {
            "e.id, coalesce(e.plain, e.message)"
        } else {
            "e.id"
        };
        let mut statement = match plan.expression {
            Some(_) => conn.prepare_cached(&format!(
                "SELECT {columns} FROM f{n} CROSS JOIN e{n} AS e ON e.id = f{n}.rowid
                 WHERE f{n} MATCH ?3 AND f{n}.rowid BETWEEN ?1 AND ?2 ORDER BY f{n}.rowid"
            ))?,
            None => conn.prepare_cached(&format!(
                "SELECT {columns} FROM e{n} AS e WHERE e.id BETWEEN ?1 AND ?2 ORDER BY e.id"
            ))?,
        };
        let mut rows = match &plan.expression {
            Some(expression) => statement.query(params![low, high, expression])?,
            None => statement.query([low, high])?,
        };
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if looked_at == most || piece.ids.len() == limit {
                piece.up_to = id - 1;
                return Ok(piece);
            }
            looked_at += 1;
            let passes = match &mut second_pass {
                None => Some(true),
                Some(pass) => {
                    let message = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                    pass.matches(message, &is_over).filter(|_| !is_over())
                }
            };
            match passes {
                Some(true) => piece.ids.push(id),
                Some(false) => {}
                None => {
                    piece.missed = last - id + 1;
                    return Ok(piece);
                }
            }
        }
    }
    Ok(piece)
}

/// The greatest id that was given, 0 when there was none yet.
pub fn last_id(conn: &Connection) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached("SELECT next_id - 1 FROM ring")?;
    Ok(statement.query_row([], |row| row.get(0))?)
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
    let names: HashMap<i64, String> = plan::dictionary(conn)?
        .into_iter()
        .map(|container| (container.id, container.name))
        .collect();
    let slots: Vec<_> = snapshot.slots_in(0, i64::MAX).collect();
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

/// Project and service of an entry's container; empty when it has none.
pub fn origin(conn: &Connection, id: i64) -> Result<(String, String), StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let snapshot = Snapshot::take(conn)?;
    let Some((n, _, _)) = snapshot.slots_in(id, id).next() else {
        return Ok(Default::default());
    };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT c.project, c.service FROM e{n} AS e JOIN containers AS c ON c.id = e.container WHERE e.id = ?1"
    ))?;
    let found = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?.unwrap_or_default())
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
