//! Pages of groups, newest first.
//!
//! No list looks at more groups than it skips and shows. The two indices on `last_seen` are cut
//! into ranges by state and source (and project); a list that leaves one of them open reads all of
//! its ranges at once and merges them, which SQLite does for a compound select in index order.

use std::ops::ControlFlow;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::{GroupId, Source, State};
use crate::domain::query::ListQuery;

/// What a list shows of a group. Times are unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct GroupSummary<'r> {
    /// Its number.
    pub id: GroupId,
    /// Unique in its project.
    pub fingerprint: Fingerprint,
    /// Its name.
    pub project: &'r str,
    /// As first reported.
    pub exception_type: &'r str,
    /// As first reported, whole.
    pub message: &'r str,
    /// Reports so far.
    pub count: i64,
    /// When the first report came.
    pub first_seen: i64,
    /// When the newest report came.
    pub last_seen: i64,
    /// See [`State`].
    pub state: State,
    /// See [`Source`].
    pub source: Source,
}

/// Which groups a page holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many groups match on all pages.
    pub total: i64,
    /// Those of the page, in order.
    pub ids: Vec<GroupId>,
}

/// Finds the groups of a page and shows them to `visit` as [`summaries`] does, all as of one moment.
/// Answers the page and how many of its groups are done with.
pub fn read(
    conn: &Connection,
    query: &ListQuery,
    visit: impl FnMut(GroupSummary<'_>) -> ControlFlow<()>,
) -> Result<(Page, usize), StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let page = page(conn, query)?;
    let done = summaries(conn, &page.ids, visit)?;
    Ok((page, done))
}

fn page(conn: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let project = match &query.project {
        None => None,
        Some(name) => {
            let id: Option<i64> = conn
                .prepare_cached("SELECT id FROM projects WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            let Some(id) = id else {
                return Ok(Page::default());
            };
            Some(id)
        }
    };
    let session = query
        .session
        .as_ref()
        .map(|session| &session.as_bytes()[..]);
    let filter: [&dyn ToSql; 3] = [&project, &query.since_ms, &session];
    let total = conn
        .prepare_cached(&total_sql(query))?
        .query_row(&filter[..], |row| row.get(0))?;
    let mut statement = conn.prepare_cached(&page_sql(query))?;
    let all: [&dyn ToSql; 5] = [
        &project,
        &query.since_ms,
        &session,
        &query.limit,
        &query.offset,
    ];
    let ids = statement
        .query_map(&all[..], |row| Ok(GroupId::from_stored(row.get(0)?)))?
        .collect::<Result<_, _>>()?;
    Ok(Page { total, ids })
}

/// Shows `ids` in order until `visit` has seen enough, and answers how many of them are done with.
/// A group that was deleted meanwhile is left out.
pub fn summaries(
    conn: &Connection,
    ids: &[GroupId],
    mut visit: impl FnMut(GroupSummary<'_>) -> ControlFlow<()>,
) -> Result<usize, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT g.fingerprint, p.name, t.exception_type, t.message, g.count, g.first_seen, g.last_seen, g.state, g.source
         FROM error_groups g JOIN projects p ON p.id = g.project JOIN group_texts t ON t.group_id = g.id WHERE g.id = ?1",
    )?;
    for (position, id) in ids.iter().enumerate() {
        let mut rows = statement.query([id.get()])?;
        let Some(row) = rows.next()? else { continue };
        let text = |column| row.get_ref(column).and_then(|value| Ok(value.as_str()?));
        let summary = GroupSummary {
            id: *id,
            fingerprint: Fingerprint::from_bytes(row.get(0)?),
            project: text(1)?,
            exception_type: text(2)?,
            message: text(3)?,
            count: row.get(4)?,
            first_seen: row.get(5)?,
            last_seen: row.get(6)?,
            state: State::from_stored(row.get(7)?),
            source: Source::from_stored(row.get(8)?),
        };
        if visit(summary).is_break() {
            return Ok(position + 1);
        }
    }
    Ok(ids.len())
}

/// The names of all projects that have groups, in the order of their bytes.
pub fn projects(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT name FROM projects p
         WHERE EXISTS (SELECT 1 FROM group_counts c WHERE c.project = p.id AND c.groups > 0) ORDER BY name",
    )?;
    let names = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// Whether there are any groups: the cheapest question that needs the file.
pub fn any(conn: &Connection) -> Result<bool, StoreError> {
    let any = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM error_groups)")?
        .query_row([], |row| row.get(0))?;
    Ok(any)
}

/// How many groups are in `state`.
pub fn count(conn: &Connection, state: State) -> Result<i64, StoreError> {
    let count = conn.query_row(
        "SELECT coalesce(sum(groups), 0) FROM group_counts WHERE state = ?1",
        params![state as i64],
        |row| row.get(0),
    )?;
    Ok(count)
}

/// Parameters: project, since, session, limit, offset.
pub(super) fn page_sql(query: &ListQuery) -> String {
    let selects = if query.session.is_some() {
        of_session("g.id, g.last_seen", query)
    } else {
        let ranges: Vec<String> = ranges(query)
            .map(|range| {
                format!(
                    "SELECT id, last_seen FROM error_groups WHERE {}",
                    in_range(query, range)
                )
            })
            .collect();
        ranges.join(" UNION ALL ")
    };
    format!("{selects} ORDER BY last_seen DESC, id DESC LIMIT ?4 OFFSET ?5")
}

/// Parameters: project, since, session.
pub(super) fn total_sql(query: &ListQuery) -> String {
    if query.session.is_some() {
        return of_session("count(*)", query);
    }
    let counts: Vec<String> = ranges(query)
        .map(|range| match query.since_ms {
            Some(_) => format!(
                "(SELECT count(*) FROM error_groups WHERE {})",
                in_range(query, range)
            ),
            None => format!(
                "(SELECT coalesce(sum(groups), 0) FROM group_counts WHERE {})",
                in_range(query, range)
            ),
        })
        .collect();
    // The comparison is always true; it gives every form of the statement the same parameters.
    format!("SELECT {} WHERE ?3 IS NULL", counts.join(" + "))
}

fn ranges(query: &ListQuery) -> impl Iterator<Item = (State, Source)> {
    let states = query
        .state
        .as_ref()
        .map_or(State::ALL, std::slice::from_ref);
    let sources = query
        .source
        .as_ref()
        .map_or(Source::ALL, std::slice::from_ref);
    states
        .iter()
        .flat_map(|state| sources.iter().map(|source| (*state, *source)))
}

fn in_range(query: &ListQuery, (state, source): (State, Source)) -> String {
    let project = query.project.as_ref().map_or("", |_| "project = ?1 AND ");
    let since = query.since_ms.map_or("", |_| " AND last_seen >= ?2");
    format!(
        "{project}state = {} AND source = {}{since}",
        state as i64, source as i64
    )
}

/// The session leads: it names a handful of groups, whatever else is asked.
fn of_session(columns: &str, query: &ListQuery) -> String {
    let state = query.state.map_or(String::new(), |state| {
        format!(" AND g.state = {}", state as i64)
    });
    let source = query.source.map_or(String::new(), |source| {
        format!(" AND g.source = {}", source as i64)
    });
    format!(
        "SELECT {columns} FROM group_sessions s CROSS JOIN error_groups g ON g.id = s.group_id WHERE s.session = ?3
         AND (?1 IS NULL OR g.project = ?1) AND (?2 IS NULL OR g.last_seen >= ?2){state}{source}"
    )
}
