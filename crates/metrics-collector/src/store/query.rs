//! The series behind `GET /api/metrics`. Their rows are read by [`answer`](super::answer), a stretch of time at a time, so
//! that no answer has to be held as a whole.

use std::collections::BTreeMap;

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::ids::IdMap;
use super::rows::Sketches;
use super::scan::{Group, Selection};
use super::series;
use super::top::{self, Top};
use crate::domain::aggregate::Aggregate;
use crate::domain::label_filter::LabelFilter;
use crate::domain::labels;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;

/// About how many rows of an answer are read at once.
const ROWS_HELD: usize = 1500;
/// About how many stored rows are read at once: they take some of the time that a read may take.
const ROWS_READ: usize = 40_000;

/// A question about one metric.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    pub(crate) labels: LabelSets,
    /// Labels by whose values series are merged; `None` keeps every label set apart.
    pub(crate) group_by: Option<Vec<String>>,
    /// Figures that are wanted; empty for the usual ones.
    pub(crate) aggregates: Vec<Aggregate>,
    /// Only so many groups.
    pub(crate) limit: Option<Limit>,
    pub(crate) buckets: Buckets,
    pub(crate) now_ms: i64,
}

/// Which label sets a question is about.
#[derive(Clone, Debug)]
pub(crate) enum LabelSets {
    Any,
    /// A complete label set in canonical form.
    Exactly(String),
    /// Only together with labels to group by.
    Matching(LabelFilter),
}

impl LabelSets {
    /// Whether it takes the series of any labels.
    fn is_any(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(_) => false,
            Self::Matching(filter) => filter.is_empty(),
        }
    }
}

/// How many groups are shown: those with the greatest first figure over the whole time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) groups: usize,
    /// Whether what is left out is merged into one more group.
    pub(crate) rest: bool,
}

/// The buckets of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// The tier whose rows they are made of.
    pub(crate) tier: Resolution,
    /// Their length: a multiple of the tier's.
    pub(crate) step_ms: i64,
    /// They start at this time or later, milliseconds since 1970,
    pub(crate) from_ms: i64,
    /// and at this time or before.
    pub(crate) until_ms: i64,
}

impl Buckets {
    fn bucket_of(&self, at_ms: i64) -> i64 {
        at_ms - at_ms.rem_euclid(self.step_ms)
    }

    /// The first bucket and the end of the last one, of which there is at most the running one at `now_ms`.
    fn range(&self, now_ms: i64) -> (i64, i64) {
        let from = self.bucket_of(self.from_ms.saturating_add(self.step_ms - 1));
        let to = self.bucket_of(self.until_ms.min(now_ms)) + self.step_ms;
        (from, to)
    }
}

/// A row's series, or the series that are merged in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Merged {
    pub(crate) kind: MetricType,
    /// The values of the labels that it is grouped by, in their order. Empty when it is not grouped.
    pub(crate) values: Vec<String>,
    /// Everything that a limit left out.
    pub(crate) rest: bool,
    /// One of its series; 0 where nobody looked them up.
    pub(crate) series: i64,
}

impl Merged {
    pub(super) fn of(kind: MetricType, values: Vec<String>) -> Self {
        Self {
            kind,
            values,
            rest: false,
            series: 0,
        }
    }
}

/// A question whose series are known.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) selection: Selection,
    pub(crate) groups: Vec<Merged>,
    /// How many series are read: what this takes of memory goes with it.
    pub(crate) series_count: usize,
    /// What a limit has left out.
    pub(crate) top: Option<Top>,
    pub(super) sketches: Sketches,
    pub(super) buckets: Buckets,
    /// First bucket.
    pub(crate) from: i64,
    /// The end of the last bucket.
    pub(crate) to: i64,
    /// How much time to read at once.
    pub(crate) stretch: i64,
    now_ms: i64,
}

impl Prepared {
    /// Seconds of a bucket that are over; one at least.
    pub(crate) fn seconds_of(&self, bucket: i64) -> f64 {
        let over = (self.now_ms - bucket).clamp(1000, self.buckets.step_ms);
        over as f64 / 1000.0
    }

    /// Seconds of all buckets together that are over; one at least.
    pub(crate) fn seconds(&self) -> f64 {
        (self.to.min(self.now_ms) - self.from).max(1000) as f64 / 1000.0
    }
}

/// Finds the series of a question and the stretch of time in which they have data.
pub(crate) fn prepare(conn: &Connection, question: &Question) -> Result<Prepared, StoreError> {
    let names = series::names_of(conn, &question.name, question.project.as_deref())?;
    let found = Found::find(conn, question, &names)?;
    let sketches = sketches(question, &found);
    let Found {
        selection,
        groups,
        series_count,
    } = found;
    let buckets = question.buckets;
    let (from, to) = buckets.range(question.now_ms);
    let ids = names.iter().map(|name| name.id);
    let earliest = earliest(conn, buckets.tier, ids, i64::MIN)?;
    let from = from.max(earliest.map_or(to, |at| buckets.bucket_of(at)));
    let parts = (buckets.step_ms / buckets.tier.step_ms()).max(1) as usize;
    let by_rows = ROWS_READ / series_count.max(1) / parts;
    let at_once = by_rows.min(ROWS_HELD / groups.len().max(1)).clamp(1, 1500);
    let mut prepared = Prepared {
        selection,
        groups,
        series_count,
        top: None,
        sketches,
        buckets,
        from,
        to,
        stretch: at_once as i64 * buckets.step_ms,
        now_ms: question.now_ms,
    };
    if let Some(limit) = question.limit {
        top::keep(conn, &mut prepared, limit, &question.aggregates)?;
    }
    Ok(prepared)
}

/// The series of a question.
struct Found {
    selection: Selection,
    groups: Vec<Merged>,
    series_count: usize,
}

impl Found {
    fn find(
        conn: &Connection,
        question: &Question,
        names: &[series::MetricName],
    ) -> Result<Self, StoreError> {
        let all_together = question.group_by.as_ref().is_some_and(Vec::is_empty);
        if all_together && question.labels.is_any() {
            return Ok(Self::totals(names));
        }
        let exactly = match &question.labels {
            LabelSets::Exactly(labels) => Some(labels.as_str()),
            LabelSets::Any | LabelSets::Matching(_) => None,
        };
        let mut places: BTreeMap<Merged, (Group, i64)> = BTreeMap::new();
        let mut of_series = IdMap::default();
        for name in names {
            for (id, text) in series::of_name(conn, name.id, exactly)? {
                let Some(values) = values_of(question, text) else {
                    continue;
                };
                let next = places.len() as Group;
                let merged = Merged::of(name.kind, values);
                let (group, _) = *places.entry(merged).or_insert((next, id));
                of_series.insert(id, group);
            }
        }
        Ok(Self {
            series_count: of_series.len(),
            groups: in_order(places, question.group_by.is_some()),
            selection: Selection::Series {
                names: names.iter().map(|name| name.id).collect(),
                groups: of_series,
            },
        })
    }

    /// Everything of each type, from the rows that hold the series of a name together.
    fn totals(names: &[series::MetricName]) -> Self {
        let mut kinds: Vec<MetricType> = Vec::new();
        let mut of_names = Vec::with_capacity(names.len());
        for name in names {
            let known = kinds.iter().position(|&kind| kind == name.kind);
            let place = known.unwrap_or_else(|| {
                kinds.push(name.kind);
                kinds.len() - 1
            });
            of_names.push((name.id, place as Group));
        }
        Self {
            selection: Selection::Totals(of_names),
            groups: kinds
                .into_iter()
                .map(|kind| Merged::of(kind, Vec::new()))
                .collect(),
            series_count: 0,
        }
    }
}

/// The groups by their numbers. Without labels to group by nobody asks for the values, which may be megabytes.
fn in_order(places: BTreeMap<Merged, (Group, i64)>, keeps_values: bool) -> Vec<Merged> {
    let mut numbered: Vec<(Group, Merged)> = places
        .into_iter()
        .map(|(merged, (group, series))| {
            let values = if keeps_values {
                merged.values
            } else {
                Vec::new()
            };
            let merged = Merged {
                values,
                series,
                ..merged
            };
            (group, merged)
        })
        .collect();
    numbered.sort_unstable_by_key(|(group, _)| *group);
    numbered.into_iter().map(|(_, merged)| merged).collect()
}

/// What tells a series from others: the values of the labels that it is grouped by, or else its whole label set. `None`
/// when the question is not about it.
fn values_of(question: &Question, labels_text: String) -> Option<Vec<String>> {
    let Some(group_by) = &question.group_by else {
        return Some(vec![labels_text]);
    };
    let labels = labels::pairs(&labels_text);
    match &question.labels {
        LabelSets::Matching(filter) if !filter.takes(&labels) => None,
        _ => Some(grouping(labels, group_by)),
    }
}

/// The values of the labels that series are grouped by; a missing one is empty.
pub(super) fn grouping(labels: Vec<(String, String)>, group_by: &[String]) -> Vec<String> {
    let mut values = vec![String::new(); group_by.len()];
    for (name, value) in labels {
        if let Some(place) = group_by.iter().position(|wanted| *wanted == name) {
            values[place] = value;
        }
    }
    values
}

/// Whether rows have to be read with their sketches.
fn sketches(question: &Question, found: &Found) -> Sketches {
    let Buckets { tier, step_ms, .. } = question.buckets;
    let of_sketch = question.aggregates.iter().any(|one| one.needs_sketch());
    let of_any = question
        .aggregates
        .iter()
        .any(|one| one.percent().is_some());
    // Rows with figures of choice have no percentiles but those that are asked for.
    let usual = question.aggregates.is_empty() || question.group_by.is_none();
    let of_percentiles = |one: &Aggregate| {
        matches!(one, Aggregate::Count | Aggregate::Min | Aggregate::Max) || one.percent().is_some()
    };
    let histograms = || {
        found
            .groups
            .iter()
            .any(|group| group.kind == MetricType::Histogram)
    };
    let merges = matches!(found.selection, Selection::Totals(_))
        || found.groups.len() < found.series_count
        || question.limit.is_some_and(|limit| limit.rest);
    let one_row_each = tier == Resolution::Minute && tier.step_ms() == step_ms && !merges;
    let wanted = of_any || usual && histograms();
    if !wanted {
        Sketches::Never
    } else if one_row_each && !of_sketch {
        Sketches::UnlessExact
    } else if !usual && question.aggregates.iter().all(of_percentiles) {
        Sketches::Only
    } else {
        Sketches::Always
    }
}

/// The first bucket, at a time or later, in which any of the names can have data.
pub(super) fn earliest(
    conn: &Connection,
    resolution: Resolution,
    names: impl Iterator<Item = i64>,
    from: i64,
) -> Result<Option<i64>, StoreError> {
    let (rolled, dirty) = match resolution {
        Resolution::Minute => (
            "SELECT min(bucket) FROM total_minute WHERE name_id = ?1 AND bucket >= ?2",
            "SELECT min(minute) FROM dirty_minute WHERE minute >= ?1",
        ),
        Resolution::Hour => (
            "SELECT min(bucket) FROM total_hour WHERE name_id = ?1 AND bucket >= ?2",
            "SELECT min(hour) FROM dirty_hour WHERE hour >= ?1",
        ),
        Resolution::Day => (
            "SELECT min(bucket) FROM total_day WHERE name_id = ?1 AND bucket >= ?2",
            "SELECT min(day) FROM dirty_day WHERE day >= ?1",
        ),
    };
    let mut earliest: Option<i64> = conn
        .prepare_cached(dirty)?
        .query_row([from], |row| row.get(0))?;
    for name in names {
        let first: Option<i64> = conn
            .prepare_cached(rolled)?
            .query_row([name, from], |row| row.get(0))?;
        earliest = [earliest, first].into_iter().flatten().min();
    }
    Ok(earliest)
}

/// Where to go on reading at a time behind which there was nothing: where its names have data again. Points may be as old
/// as the year 1, and all the time between them and today is not gone through in stretches.
pub(crate) fn skip(conn: &Connection, question: &Prepared, from: i64) -> Result<i64, StoreError> {
    let Buckets { tier, .. } = question.buckets;
    let next = earliest(conn, tier, question.selection.names(), from)?;
    let bucket = next.map_or(question.to, |at| question.buckets.bucket_of(at));
    Ok(bucket.clamp(from, question.to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MINUTE_MS;
    use crate::store::rebuild::tests::{MINUTE, database, post};

    #[test]
    fn the_time_between_a_point_of_the_year_1_and_today_is_skipped() {
        const YEAR_1: i64 = -62_135_596_800_000;
        let conn = database();
        for at in [YEAR_1, MINUTE, MINUTE + 9 * MINUTE_MS] {
            post(&conn, at);
        }
        let question = Question {
            name: "n".to_owned(),
            project: None,
            labels: LabelSets::Any,
            group_by: None,
            aggregates: Vec::new(),
            limit: None,
            buckets: Buckets {
                tier: Resolution::Minute,
                step_ms: 5 * MINUTE_MS,
                from_ms: i64::MIN / 2,
                until_ms: MINUTE + 20 * MINUTE_MS,
            },
            now_ms: MINUTE + 20 * MINUTE_MS,
        };
        let prepared = prepare(&conn, &question).expect("prepares");
        assert_eq!(prepared.from, YEAR_1);
        let next = |from| skip(&conn, &prepared, from).expect("asks");
        assert_eq!(next(YEAR_1), YEAR_1);
        assert_eq!(next(YEAR_1 + 5 * MINUTE_MS), MINUTE);
        assert_eq!(next(MINUTE), MINUTE);
        assert_eq!(next(MINUTE + 5 * MINUTE_MS), MINUTE + 5 * MINUTE_MS);
        assert_eq!(next(MINUTE + 10 * MINUTE_MS), prepared.to);
        assert_eq!(next(prepared.to), prepared.to);
    }
}
