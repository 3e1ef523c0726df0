//! The values that lists can be filtered by.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::plan::project_id;
use crate::domain::facet::FacetKind;

/// How many values of each kind are listed, those of the most groups.
pub const LISTED: usize = 100;

/// A value and in how many groups it was named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// How many groups.
    pub groups: i64,
    /// Compared the other way round: of values with as many groups the first by name comes first.
    name: Reverse<String>,
}

impl Value {
    /// As reported; a tag as `key:value`.
    pub fn name(&self) -> &str {
        &self.name.0
    }
}

/// The values of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Those of the most groups first.
    pub listed: Vec<Value>,
    /// How many there are, the listed ones included.
    pub total: usize,
}

pub(super) const OF_PROJECT: &str =
    "SELECT kind, value, groups FROM facets INDEXED BY facets_of WHERE project = ?1 AND groups > 0";
pub(super) const OF_ALL: &str = "SELECT kind, value, sum(groups) AS groups FROM facets WHERE ?1 IS NULL GROUP BY id HAVING groups > 0";

/// Lists the values of each kind, of one project or of all.
pub fn values(
    conn: &Connection,
    project: Option<&str>,
) -> Result<BTreeMap<FacetKind, Values>, StoreError> {
    let _snapshot = conn.unchecked_transaction()?;
    let mut found: BTreeMap<FacetKind, (usize, BinaryHeap<Reverse<Value>>)> = BTreeMap::new();
    let (sql, project) = match project {
        None => (OF_ALL, None),
        Some(name) => match project_id(conn, name)? {
            None => return Ok(BTreeMap::new()),
            id => (OF_PROJECT, id),
        },
    };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([project])?;
    while let Some(row) = rows.next()? {
        let Some(kind) = FacetKind::from_stored(row.get(0)?) else {
            continue;
        };
        let (total, most) = found.entry(kind).or_default();
        *total += 1;
        let groups: i64 = row.get(2)?;
        let least = most.peek().map(|Reverse(value)| value.groups);
        if most.len() < LISTED || least.is_some_and(|least| least <= groups) {
            most.push(Reverse(Value {
                groups,
                name: Reverse(row.get(1)?),
            }));
        }
        if most.len() > LISTED {
            most.pop();
        }
    }
    let values = found.into_iter().map(|(kind, (total, most))| {
        let listed = most.into_sorted_vec();
        let listed = listed.into_iter().map(|Reverse(value)| value).collect();
        (kind, Values { listed, total })
    });
    Ok(values.collect())
}
