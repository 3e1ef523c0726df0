//! A filter in terms of the database: what the indices on the groups answer, and what names sets of groups.

use monlight_shared::search_text::SearchText;
use monlight_shared::store::StoreError;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::domain::cursor::Cursor;
use crate::domain::facet::FacetId;
use crate::domain::filter::{Filter, Search};
use crate::domain::group::{Source, State};
use crate::domain::query::Sort;
use crate::domain::session::SessionId;
use crate::domain::user::UserId;

/// See the module.
pub(super) struct Plan<'f> {
    pub(super) project: Option<i64>,
    states: &'f [State],
    sources: &'f [Source],
    /// Last seen within these, both included.
    since: i64,
    until: i64,
    /// A group must be in each of them.
    pub(super) sets: Vec<Named<'f>>,
}

/// A set of groups that is stored by its name.
#[derive(Clone, Copy)]
pub(super) enum Named<'f> {
    Session(SessionId),
    User(UserId),
    Facet(FacetId),
    Search(&'f SearchText),
}

impl<'f> Plan<'f> {
    /// `None` when nothing can match.
    pub(super) fn new(conn: &Connection, filter: &'f Filter) -> Result<Option<Self>, StoreError> {
        let project = match &filter.project {
            None => None,
            Some(name) => {
                let id = project_id(conn, name)?;
                if id.is_none() {
                    return Ok(None);
                }
                id
            }
        };
        let mut sets: Vec<Named<'f>> = Vec::new();
        sets.extend(filter.session.map(Named::Session));
        sets.extend(filter.user.map(Named::User));
        sets.extend(filter.facets.iter().copied().map(Named::Facet));
        match &filter.search {
            None => {}
            Some(Search::Nothing) => return Ok(None),
            Some(Search::For(search)) => sets.push(Named::Search(search)),
        }
        let plan = Self {
            project,
            states: filter
                .state
                .as_ref()
                .map_or(State::ALL, std::slice::from_ref),
            sources: filter
                .source
                .as_ref()
                .map_or(Source::ALL, std::slice::from_ref),
            since: filter.since_ms.unwrap_or(i64::MIN),
            until: filter.until_ms.unwrap_or(i64::MAX),
            sets,
        };
        Ok((plan.since <= plan.until).then_some(plan))
    }

    /// Whether it looks at times.
    pub(super) fn is_timed(&self) -> bool {
        self.since > i64::MIN || self.until < i64::MAX
    }

    /// Whether the index of this order answers all of it but the named sets.
    pub(super) fn is_covered_by(&self, sort: Sort) -> bool {
        sort == Sort::LastSeen || !self.is_timed() && self.sources.len() == Source::ALL.len()
    }

    /// How many groups there are of its project, states and sources, seen at whatever time.
    pub(super) fn groups(&self, conn: &Connection) -> Result<i64, StoreError> {
        let mut statement = conn.prepare_cached(match self.project {
            Some(_) => {
                "SELECT groups FROM group_counts WHERE project = ?1 AND state = ?2 AND source = ?3"
            }
            None => {
                "SELECT coalesce(sum(groups), 0) FROM group_counts WHERE ?1 IS NULL AND state = ?2 AND source = ?3"
            }
        })?;
        let mut groups = 0;
        for (state, source) in self.kinds() {
            let row = statement.query_row((self.project, state as i64, source as i64), |row| {
                row.get::<_, i64>(0)
            });
            groups += row.optional()?.unwrap_or(0);
        }
        Ok(groups)
    }

    fn kinds(&self) -> impl Iterator<Item = (State, Source)> {
        self.states
            .iter()
            .flat_map(|state| self.sources.iter().map(|source| (*state, *source)))
    }

    /// Whether a group with these columns matches, the named sets aside.
    pub(super) fn holds(&self, row: &Columns) -> bool {
        self.project.is_none_or(|project| project == row.project)
            && self.states.contains(&row.state)
            && self.sources.contains(&row.source)
            && (self.since..=self.until).contains(&row.last_seen)
    }

    /// Visits the numbers of all groups that match, the named sets aside, until `visit` says `false`. Reads nothing but
    /// an index.
    pub(super) fn visit(
        &self,
        conn: &Connection,
        mut visit: impl FnMut(i64) -> bool,
    ) -> Result<(), StoreError> {
        let mut statement = conn.prepare_cached(self.visit_sql())?;
        for (state, source) in self.kinds() {
            let mut rows = statement.query(params![
                self.project,
                self.since,
                self.until,
                state as i64,
                source as i64
            ])?;
            while let Some(row) = rows.next()? {
                if !visit(row.get(0)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn visit_sql(&self) -> &'static str {
        match self.project {
            Some(_) => {
                "SELECT id FROM error_groups INDEXED BY error_groups_project_seen WHERE project = ?1
                 AND state = ?4 AND source = ?5 AND last_seen >= ?2 AND last_seen <= ?3"
            }
            None => {
                "SELECT id FROM error_groups INDEXED BY error_groups_seen WHERE ?1 IS NULL
                 AND state = ?4 AND source = ?5 AND last_seen >= ?2 AND last_seen <= ?3"
            }
        }
    }

    /// Opens the groups in an order, those of its project and states; of its sources and times only when the order is
    /// by last_seen. The statement answers number and sort key, and with `whole` what [`Columns::behind_key`] reads.
    pub(super) fn ordered<'c>(
        &self,
        conn: &'c Connection,
        order: Order,
        whole: bool,
    ) -> Result<CachedStatement<'c>, StoreError> {
        Ok(conn.prepare_cached(&self.ordered_sql(order, whole))?)
    }

    /// The parameters of [`Plan::ordered`]. A negative `limit` is none.
    pub(super) fn parameters(&self, order: Order, limit: i64, offset: i64) -> [Option<i64>; 7] {
        [
            self.project,
            Some(self.since),
            Some(self.until),
            order.after.map(|cursor| cursor.key),
            order.after.map(|cursor| cursor.id),
            Some(limit),
            Some(offset),
        ]
    }

    pub(super) fn ordered_sql(&self, order: Order, whole: bool) -> String {
        let (key, index) = order.column_and_index(self.project.is_some());
        let columns = if whole { Columns::BEHIND_KEY } else { "" };
        let project = self.project.map_or("", |_| "project = ?1 AND ");
        let mut ranges: Vec<String> = if order.sort == Sort::LastSeen {
            let time = if self.is_timed() {
                " AND last_seen >= ?2 AND last_seen <= ?3"
            } else {
                ""
            };
            self.kinds()
                .map(|(state, source)| {
                    format!(
                        "{project}state = {} AND source = {}{time}",
                        state as i64, source as i64
                    )
                })
                .collect()
        } else {
            self.states
                .iter()
                .map(|state| format!("{project}state = {} AND {key} IS NOT NULL", *state as i64))
                .collect()
        };
        if order.after.is_some() {
            ranges = ranges
                .iter()
                .flat_map(|range| {
                    let behind = order.behind(key).into_iter();
                    behind.map(move |behind| format!("{range}{behind}"))
                })
                .collect();
        }
        let selects: Vec<String> = ranges
            .iter()
            .map(|range| {
                format!("SELECT id, {key} AS key{columns} FROM error_groups INDEXED BY {index} WHERE {range}")
            })
            .collect();
        format!(
            "{} ORDER BY key DESC, id DESC LIMIT ?6 OFFSET ?7",
            selects.join(" UNION ALL ")
        )
    }
}

/// The order of a list and where in it to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) sort: Sort,
    pub(super) after: Option<Cursor>,
}

impl Order {
    /// The sort key of a group by itself. Ranks are a little old, but they are what the index has.
    pub(super) fn key(self) -> &'static str {
        match self.sort {
            Sort::LastSeen => "last_seen",
            Sort::FirstSeen => "first_seen",
            Sort::Count => "coalesce(count_rank, count)",
            Sort::Users => "coalesce(users_rank, users)",
        }
    }

    fn column_and_index(self, of_project: bool) -> (&'static str, &'static str) {
        match (self.sort, of_project) {
            (Sort::LastSeen, false) => ("last_seen", "error_groups_seen"),
            (Sort::LastSeen, true) => ("last_seen", "error_groups_project_seen"),
            (Sort::FirstSeen, false) => ("first_seen", "error_groups_first"),
            (Sort::FirstSeen, true) => ("first_seen", "error_groups_project_first"),
            (Sort::Count, false) => ("count_rank", "error_groups_count"),
            (Sort::Count, true) => ("count_rank", "error_groups_project_count"),
            (Sort::Users, false) => ("users_rank", "error_groups_users"),
            (Sort::Users, true) => ("users_rank", "error_groups_project_users"),
        }
    }

    /// Whether a group comes behind the cursor.
    pub(super) fn is_behind(self, key: i64, id: i64) -> bool {
        self.after
            .is_none_or(|cursor| (key, id) < (cursor.key, cursor.id))
    }

    /// The same for one range of an index, which may fall in two. Times are nearly unique, but half of all groups may
    /// have the same count, and those would be stepped over one by one.
    fn behind(self, key: &str) -> Vec<String> {
        match self.sort {
            Sort::LastSeen | Sort::FirstSeen => {
                vec![format!(" AND {key} <= ?4 AND ({key}, id) < (?4, ?5)")]
            }
            Sort::Count | Sort::Users => vec![
                format!(" AND {key} < ?4"),
                format!(" AND {key} = ?4 AND id < ?5"),
            ],
        }
    }
}

/// What of a group's row a filter looks at.
pub(super) struct Columns {
    project: i64,
    state: State,
    source: Source,
    last_seen: i64,
}

impl Columns {
    /// As columns of a select.
    pub(super) const BEHIND_KEY: &'static str = ", project, state, source, last_seen, facets";
    /// Where the group's facets are.
    pub(super) const FACETS: usize = 6;

    /// Of a row whose first two columns are number and sort key.
    pub(super) fn behind_key(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            project: row.get(2)?,
            state: State::from_stored(row.get(3)?),
            source: Source::from_stored(row.get(4)?),
            last_seen: row.get(5)?,
        })
    }
}

/// The number of a project.
pub(super) fn project_id(conn: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let id = conn
        .prepare_cached("SELECT id FROM projects WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(id)
}
