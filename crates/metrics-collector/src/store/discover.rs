//! Which labels a metric has, and which values they take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use rusqlite::Connection;

use super::series;
use crate::domain::label_filter::LabelFilter;
use crate::domain::labels;

/// A metric, and the series of it that are meant.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// `None` for all metrics.
    pub(crate) name: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) filter: LabelFilter,
}

impl Scope {
    /// Calls `each` with the labels of every series that is meant; how many those are.
    fn for_each(
        &self,
        conn: &Connection,
        mut each: impl FnMut(Vec<(String, String)>),
    ) -> rusqlite::Result<usize> {
        let project = self.project.as_deref();
        let names = match &self.name {
            Some(name) => series::names_of(conn, name, project)?,
            None => series::names(conn, project)?,
        };
        let mut count = 0;
        for name in names {
            series::for_each_of_name(conn, name.id, |text| {
                let labels = labels::pairs(text);
                if self.filter.takes(&labels) {
                    count += 1;
                    each(labels);
                }
            })?;
        }
        Ok(count)
    }
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    /// Different values.
    pub(crate) values: usize,
    /// Series that have it.
    pub(crate) series: usize,
}

/// The labels by name, and the number of series.
pub(crate) fn label_names(
    conn: &Connection,
    scope: &Scope,
) -> rusqlite::Result<(Vec<Label>, usize)> {
    // Values are counted by their hashes: they may be megabytes, and nobody is shown them here.
    let hasher = RandomState::new();
    let mut found: BTreeMap<String, (HashSet<u64>, usize)> = BTreeMap::new();
    let series = scope.for_each(conn, |labels| {
        for (name, value) in labels {
            let (values, series) = found.entry(name).or_default();
            values.insert(hasher.hash_one(&value));
            *series += 1;
        }
    })?;
    let labels = found
        .into_iter()
        .map(|(name, (values, series))| Label {
            name,
            values: values.len(),
            series,
        })
        .collect();
    Ok((labels, series))
}

/// The values of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    /// Each with its number of series, the most first.
    pub(crate) values: Vec<(String, usize)>,
    /// How many there are, those that are left out included.
    pub(crate) total: usize,
}

/// The values of a label that contain a text, at most `limit` of them.
pub(crate) fn label_values(
    conn: &Connection,
    scope: &Scope,
    label: &str,
    containing: &str,
    limit: usize,
) -> rusqlite::Result<Values> {
    let mut found: HashMap<String, usize> = HashMap::new();
    scope.for_each(conn, |labels| {
        let value = labels
            .into_iter()
            .find(|(name, value)| name == label && value.contains(containing));
        if let Some((_, value)) = value {
            *found.entry(value).or_default() += 1;
        }
    })?;
    let total = found.len();
    let mut values: Vec<(String, usize)> = found.into_iter().collect();
    values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    values.truncate(limit);
    Ok(Values { values, total })
}
