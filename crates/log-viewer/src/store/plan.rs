//! A filter in terms of the database.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::snapshot::Snapshot;
use super::sweep::Scope;
use crate::domain::filter::{Filter, Order};
use crate::domain::names::is_listed;
use crate::domain::search::{self, Containers, Known, Search};

/// A container of the dictionary. Several may have one name.
pub(super) struct Container {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) project: String,
    pub(super) service: String,
}

/// The dictionary.
pub(super) fn dictionary(conn: &Connection) -> Result<Vec<Container>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT id, name, project, service FROM containers ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Container {
            id: row.get(0)?,
            name: row.get(1)?,
            project: row.get(2)?,
            service: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What a filter asks of the index, the counters and the times.
pub(super) struct Plan {
    /// The dictionary's ids of the wanted containers; `None` when all are wanted.
    pub(super) containers: Option<Vec<i64>>,
    /// What the index is asked; `None` when it need not be asked.
    pub(super) expression: Option<String>,
    /// The earliest and the latest time.
    pub(super) span: (i64, i64),
}

impl Plan {
    /// `None` when nothing can match.
    pub(super) fn new(conn: &Connection, filter: &Filter) -> Result<Option<Self>, StoreError> {
        if filter.is_empty() {
            return Ok(None);
        }
        let needs_names =
            filter.picks_containers() || matches!(filter.search, Some(Search::Text(_)));
        let known = if needs_names {
            dictionary(conn)?
        } else {
            Vec::new()
        };
        let ids = |takes: &dyn Fn(&Container) -> bool| -> Vec<i64> {
            let known = known.iter().filter(|container| takes(container));
            known.map(|container| container.id).collect()
        };
        let wants = |container: &Container| {
            filter.wants(&container.name, &container.project, &container.service)
        };
        let wanted = ids(&wants);
        if filter.picks_containers() && wanted.is_empty() {
            return Ok(None);
        }
        // The shorter list is the cheaper one: each container costs a look at every step.
        let picked = if wanted.len() == known.len() {
            None
        } else if wanted.len() * 2 > known.len() {
            Some(Containers::AllBut(ids(&|container| !wants(container))))
        } else {
            Some(Containers::Only(wanted.clone()))
        };
        let named = |what: &Known, list: &str| match what {
            Known::Container => ids(&|container| is_listed(list, &container.name)),
            Known::Project => ids(&|container| is_listed(list, &container.project)),
            Known::Service => ids(&|container| is_listed(list, &container.service)),
            Known::Levels(_) | Known::Stream(_) => Vec::new(),
        };
        Ok(Some(Self {
            expression: search::expression(filter, picked.as_ref(), named),
            containers: picked.map(|_| wanted),
            span: filter.span(),
        }))
    }

    /// All of it, in an order.
    pub(super) fn scope(&self, order: Order) -> Scope<'_> {
        Scope {
            expression: self.expression.as_deref(),
            since: self.span.0,
            until: self.span.1,
            above: None,
            below: None,
            last_id: i64::MAX,
            order,
        }
    }

    pub(super) fn is_timed(&self) -> bool {
        self.span != (i64::MIN, i64::MAX)
    }

    /// How many entries the index has in the span, counted up to `most`.
    pub(super) fn count(
        &self,
        conn: &Connection,
        snapshot: &Snapshot,
        most: i64,
    ) -> Result<i64, StoreError> {
        count(conn, snapshot, self.expression.as_deref(), self.span, most)
    }
}

/// More separate ranges of ids than this are counted entry by entry.
const MOST_RANGES: usize = 128;

/// How many entries of an expression, or all, lie in a span of times, counted up to `most`. Blocks that lie inside of it
/// as a whole are counted without a look at their entries.
pub(super) fn count(
    conn: &Connection,
    snapshot: &Snapshot,
    expression: Option<&str>,
    (since, until): (i64, i64),
    most: i64,
) -> Result<i64, StoreError> {
    if since > until {
        return Ok(0);
    }
    // First and last id, and whether all of them are inside.
    let mut ranges: Vec<(i64, i64, bool)> = Vec::new();
    for fence in snapshot.blocks(since, until) {
        let is_inside = since <= fence.min_time && fence.max_time <= until;
        let (first, last) = snapshot.ids_of(fence);
        match ranges.last_mut() {
            Some(range) if range.0 == last + 1 && range.2 == is_inside => range.0 = first,
            _ => ranges.push((first, last, is_inside)),
        }
    }
    if ranges.len() > MOST_RANGES
        && let (Some((_, last, _)), Some((first, _, _))) =
            (ranges.first().copied(), ranges.last().copied())
    {
        ranges = vec![(first, last, false)];
    }
    let mut total = 0;
    for (first, last, is_inside) in ranges {
        let left = most - total;
        total += match (expression, is_inside) {
            (None, true) => (last - first + 1).min(left),
            (Some(expression), true) => snapshot.count(conn, expression, (first, last), left)?,
            (_, false) => {
                snapshot.count_timed(conn, expression, (first, last), (since, until), left)?
            }
        };
        if total >= most {
            break;
        }
    }
    Ok(total)
}
