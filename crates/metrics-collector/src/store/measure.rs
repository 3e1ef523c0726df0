//! What a rule measures: its series by group, and what they have in a window.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::ids::IdMap;
use super::plan::plan;
use super::query::grouping;
use super::rows::Sketches;
use super::scan::{Group, Selection, scan};
use super::{HOUR_MS, series};
use crate::domain::label_filter::LabelFilter;
use crate::domain::labels;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::reading::{Measured, Reading, read};
use crate::domain::rollup::{Rollup, add_to};
use crate::domain::rule::{Measure, Rule};

/// Groups of a rule that are looked at.
pub(crate) const MOST_LOOKED_AT: usize = 1000;
/// A group counts as there, although it has no points, for so long after its last one.
const EXPECTED_MS: i64 = 24 * HOUR_MS;
/// When a series was last seen is known to the hour.
const SEEN_TO_MS: i64 = HOUR_MS;

/// The groups of a rule, in the same order for each of its measures.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The values of the labels that they are told apart by.
    pub(crate) keys: Vec<Vec<String>>,
    /// How many there are beyond the most.
    pub(crate) left_out: usize,
    measures: Vec<Series>,
}

/// The series of one measure.
#[derive(Debug)]
struct Series {
    kind: Option<MetricType>,
    selection: Selection,
    /// Whether a group has series that had points not long ago; by its number.
    known: Vec<bool>,
    sketches: Sketches,
}

impl Groups {
    /// Finds the series of a rule for a window that ends at a time. `first`: groups that must be among those looked at.
    pub(crate) fn find(
        conn: &Connection,
        rule: &Rule,
        first: &[Vec<String>],
        most: usize,
        end_ms: i64,
    ) -> Result<Self, StoreError> {
        let mut numbers = Numbers::new(most);
        if rule.group_by.is_empty() {
            numbers.of(Vec::new());
        }
        for key in first.iter().filter(|key| key.len() == rule.group_by.len()) {
            numbers.of(key.clone());
        }
        let expected_since = if rule.group_by.is_empty() {
            // All together are expected for as long as anything is known of them.
            i64::MIN
        } else {
            end_ms - rule.window_ms() - EXPECTED_MS - SEEN_TO_MS
        };
        let measures = rule
            .measures()
            .map(|measure| Series::find(conn, rule, measure, &mut numbers, expected_since))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            keys: numbers.keys,
            left_out: numbers.others.len(),
            measures,
        })
    }

    /// Whether it takes sketches to answer.
    pub(crate) fn needs_sketches(&self) -> bool {
        let mut measures = self.measures.iter();
        measures.any(|series| series.sketches != Sketches::Never)
    }

    /// What each group has in the window that ends at a time.
    pub(crate) fn readings(
        &self,
        conn: &Connection,
        rule: &Rule,
        end_ms: i64,
    ) -> Result<Vec<Reading>, StoreError> {
        let from_ms = end_ms - rule.window_ms();
        let mut of_measures = Vec::with_capacity(self.measures.len());
        for (place, series) in self.measures.iter().enumerate() {
            let now = self.sums(conn, series, from_ms, end_ms)?;
            // Only the query of a rule is compared with the window before.
            let before = if place == 0 && rule.compares() {
                self.sums(conn, series, from_ms - rule.window_ms(), from_ms)?
            } else {
                vec![None; now.len()]
            };
            let windows = now.into_iter().zip(before).enumerate();
            let measured =
                windows.map(|(group, (now, before))| self.measured(place, group, now, before));
            of_measures.push(measured.collect::<Vec<Measured>>());
        }
        let mut of_measures = of_measures.into_iter();
        let query = of_measures.next().unwrap_or_default();
        let denominator = of_measures.next();
        let below = |group: usize| denominator.as_ref().and_then(|list| list.get(group));
        let groups = query.iter().enumerate();
        Ok(groups
            .map(|(group, measured)| read(rule, measured, below(group)))
            .collect())
    }

    /// What is known of a group beside its windows. `place`: of the measure.
    pub(crate) fn measured(
        &self,
        place: usize,
        group: usize,
        now: Option<Rollup>,
        before: Option<Rollup>,
    ) -> Measured {
        let series = self.measures.get(place);
        Measured {
            kind: series.and_then(|series| series.kind),
            is_known: series
                .is_some_and(|series| series.known.get(group).is_some_and(|known| *known)),
            now,
            before,
        }
    }

    fn sums(
        &self,
        conn: &Connection,
        series: &Series,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Option<Rollup>>, StoreError> {
        let mut sums = vec![None; self.keys.len()];
        let pieces = plan(conn, from_ms, to_ms, Resolution::Day)?;
        scan(
            conn,
            &pieces,
            &series.selection,
            series.sketches,
            |_, group, rollup| {
                if let Some(sum) = sums.get_mut(group as usize) {
                    add_to(sum, rollup);
                }
            },
        )?;
        Ok(sums)
    }

    /// Calls `each` with what a measure has between two times: when, group, rollup; by the minute.
    pub(crate) fn by_the_minute(
        &self,
        conn: &Connection,
        place: usize,
        (from_ms, to_ms): (i64, i64),
        mut each: impl FnMut(i64, usize, &Rollup),
    ) -> Result<(), StoreError> {
        let Some(series) = self.measures.get(place) else {
            return Ok(());
        };
        let pieces = plan(conn, from_ms, to_ms, Resolution::Minute)?;
        scan(
            conn,
            &pieces,
            &series.selection,
            series.sketches,
            |at, group, rollup| {
                each(at, group as usize, rollup);
            },
        )
    }
}

/// Gives groups their numbers, up to a number of groups.
struct Numbers {
    most: usize,
    places: HashMap<Vec<String>, Group>,
    keys: Vec<Vec<String>>,
    /// Hashes of those that got none.
    others: HashSet<u64>,
    hasher: RandomState,
}

impl Numbers {
    fn new(most: usize) -> Self {
        Self {
            most,
            places: HashMap::new(),
            keys: Vec::new(),
            others: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    fn of(&mut self, key: Vec<String>) -> Option<Group> {
        if let Some(&known) = self.places.get(&key) {
            return Some(known);
        }
        if self.keys.len() >= self.most {
            self.others.insert(self.hasher.hash_one(&key));
            return None;
        }
        let group = self.keys.len() as Group;
        self.keys.push(key.clone());
        self.places.insert(key, group);
        Some(group)
    }
}

impl Series {
    /// Of a name with several types it is the one that was there first.
    fn find(
        conn: &Connection,
        rule: &Rule,
        measure: &Measure,
        numbers: &mut Numbers,
        expected_since: i64,
    ) -> Result<Self, StoreError> {
        let filter = measure.filter().map_err(StoreError::Job)?;
        let mut names = series::names_of(conn, &measure.name, rule.project.as_deref())?;
        let kind = names.first().map(|name| name.kind);
        names.retain(|name| Some(name.kind) == kind);
        let sketches = match measure.aggregate.percent() {
            None => Sketches::Never,
            Some(_) => Sketches::Always,
        };
        if rule.group_by.is_empty() && filter.is_empty() {
            let names: Vec<(i64, Group)> = names.iter().map(|name| (name.id, 0)).collect();
            return Ok(Self {
                kind,
                known: vec![!names.is_empty()],
                selection: Selection::Totals(names),
                sketches,
            });
        }
        let (mut groups, mut known) = (IdMap::default(), Vec::new());
        for name in &names {
            series::for_each_seen(conn, name.id, |id, labels_text, seen_ms| {
                let Some(group) = group_of(rule, &filter, labels_text, numbers) else {
                    return;
                };
                let place = group as usize;
                if known.len() <= place {
                    known.resize(place + 1, false);
                }
                known[place] |= seen_ms >= expected_since;
                groups.insert(id, group);
            })?;
        }
        Ok(Self {
            kind,
            selection: Selection::Series {
                names: names.iter().map(|name| name.id).collect(),
                groups,
            },
            known,
            sketches,
        })
    }
}

/// The group of a series; `None` when the rule is not about it, or has too many groups.
fn group_of(
    rule: &Rule,
    filter: &LabelFilter,
    labels_text: &str,
    numbers: &mut Numbers,
) -> Option<Group> {
    let labels = labels::pairs(labels_text);
    if !filter.takes(&labels) {
        return None;
    }
    numbers.of(grouping(labels, &rule.group_by))
}
