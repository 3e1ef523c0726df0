//! Reports over time.

use std::cmp::Reverse;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use super::list::over_time;
use super::plan::project_id;
use super::{HOUR_MS, KEPT_HOURS, facets, seen_by};
use crate::domain::facet::FacetKind;
use crate::domain::group::{GroupId, Source, State};
use crate::domain::window::Window;

/// Which reports are counted.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Exact name.
    pub project: Option<String>,
    /// See [`Source`].
    pub source: Option<Source>,
}

/// Reports of many groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reports in each part of the window of groups that were new or came back in it, from then on.
    pub new: Vec<i64>,
    /// All other reports in each part.
    pub known: Vec<i64>,
    /// New and other reports of the window before, as far as reports are still counted by the hour there.
    pub before: Option<(i64, i64)>,
    /// How many groups there are in each state, in the order of [`State::ALL`].
    pub groups: [i64; 3],
    /// How many of the open groups were new or came back in the window.
    pub fresh_groups: i64,
}

/// Counts the reports in a window, as of `now_ms`.
pub fn of_all(
    conn: &Connection,
    scope: &Scope,
    window: Window,
    now_ms: i64,
) -> Result<Stats, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let mut stats = Stats {
        new: window.zeros(),
        known: window.zeros(),
        ..Stats::default()
    };
    let project = match &scope.project {
        None => None,
        Some(name) => match project_id(conn, name)? {
            None => return Ok(stats),
            id => id,
        },
    };
    let scope = (project, scope.source.map(|source| source as i64));
    let before = window.before();
    let is_kept = before.first_hour > now_ms.div_euclid(HOUR_MS) - KEPT_HOURS;
    let since = if is_kept { before } else { window };
    let mut known_before = before.zeros();
    let mut new_before = before.zeros();
    for_hours(
        conn,
        scope,
        (since.first_hour, window.end_hour()),
        |hour, new_since, count| {
            let is_new = |window: Window| window.part(new_since).is_some();
            let parts = if is_new(window) {
                &mut stats.new
            } else {
                &mut stats.known
            };
            add(parts, window, hour, count);
            let parts = if is_new(before) {
                &mut new_before
            } else {
                &mut known_before
            };
            add(parts, before, hour, count);
        },
    )?;
    stats.before = is_kept.then(|| (new_before.iter().sum(), known_before.iter().sum()));
    stats.fresh_groups = fresh_groups(conn, scope, window)?;
    for (groups, state) in stats.groups.iter_mut().zip(State::ALL) {
        *groups = groups_in(conn, scope, *state)?;
    }
    Ok(stats)
}

/// Number of a project, number of a source.
type ScopeIds = (Option<i64>, Option<i64>);

fn add(parts: &mut [i64], window: Window, hour: i64, count: i64) {
    if let Some(part) = window.part(hour).and_then(|part| parts.get_mut(part)) {
        *part += count;
    }
}

pub(super) const HOURS: &str =
    "SELECT hour, new_since, count FROM project_hours WHERE hour >= ?1 AND hour < ?2
       AND (?3 IS NULL OR project = ?3) AND (?4 IS NULL OR source = ?4)";

fn for_hours(
    conn: &Connection,
    (project, source): ScopeIds,
    (first_hour, end_hour): (i64, i64),
    mut visit: impl FnMut(i64, i64, i64),
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(HOURS)?;
    let mut rows = statement.query(params![first_hour, end_hour, project, source])?;
    while let Some(row) = rows.next()? {
        visit(row.get(0)?, row.get(1)?, row.get(2)?);
    }
    Ok(())
}

fn groups_in(
    conn: &Connection,
    (project, source): ScopeIds,
    state: State,
) -> Result<i64, StoreError> {
    let groups = conn
        .prepare_cached(
            "SELECT coalesce(sum(groups), 0) FROM group_counts WHERE state = ?1
               AND (?2 IS NULL OR project = ?2) AND (?3 IS NULL OR source = ?3)",
        )?
        .query_row(params![state as i64, project, source], |row| row.get(0))?;
    Ok(groups)
}

fn fresh_groups(
    conn: &Connection,
    (project, source): ScopeIds,
    window: Window,
) -> Result<i64, StoreError> {
    let groups = conn
        .prepare_cached(
            "SELECT coalesce(sum(groups), 0) FROM fresh_groups WHERE hour >= ?1 AND hour < ?2
               AND (?3 IS NULL OR project = ?3) AND (?4 IS NULL OR source = ?4)",
        )?
        .query_row(
            params![window.first_hour, window.end_hour(), project, source],
            |row| row.get(0),
        )?;
    Ok(groups)
}

/// Reports of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// In each part of the window.
    pub parts: Vec<i64>,
    /// Different users, ever.
    pub users: i64,
    /// Whether that is their number and not an estimate.
    pub users_exact: bool,
    /// What its newest reports named: kind, value, when its project named that first (unix milliseconds). By kind, the
    /// newest value first.
    pub facets: Vec<(FacetKind, String, i64)>,
}

/// Counts the reports of a group; `None` when there is none with this number.
pub fn of_group(
    conn: &Connection,
    id: GroupId,
    window: Window,
) -> Result<Option<GroupStats>, StoreError> {
    type Found = (i64, i64, i64, i64, Vec<u8>);
    let _snapshot = conn.unchecked_transaction()?;
    let found: Option<Found> = conn
        .prepare_cached(
            "SELECT project, users, hour, hour_count, coalesce(facets, x'') FROM error_groups WHERE id = ?1",
        )?
        .query_row([id.get()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((project, users, hour, hour_count, list)) = found else {
        return Ok(None);
    };
    Ok(Some(GroupStats {
        parts: over_time(conn, id, (hour, hour_count), window)?,
        users,
        users_exact: !seen_by::is_estimated(conn, id.get())?,
        facets: facets_in(conn, project, &list)?,
    }))
}

/// The facets of a group's list.
pub(super) fn facets_in(
    conn: &Connection,
    project: i64,
    list: &[u8],
) -> Result<Vec<(FacetKind, String, i64)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT kind, value, first_seen FROM facets WHERE id = ?1 AND project = ?2",
    )?;
    let mut facets = Vec::new();
    for id in facets::ids(list) {
        let facet = statement.query_row((i64::from_be_bytes(id), project), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        if let Some((kind, value, first_seen)) = facet.optional()?
            && let Some(kind) = FacetKind::from_stored(kind)
        {
            facets.push((kind, value, first_seen));
        }
    }
    facets.sort_by_key(|(kind, _, first_seen)| (*kind, Reverse(*first_seen)));
    Ok(facets)
}
