//! The series behind `GET /api/metrics`, read a stretch of time at a time so that no answer has to be held as a whole.

use std::collections::BTreeMap;

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::ids::IdMap;
use super::plan::plan;
use super::rows::Sketches;
use super::scan::{Group, Selection, scan};
use super::series;
use crate::domain::labels;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::Rollup;

/// About how many rows are read at once.
const ROWS_AT_ONCE: usize = 4000;

/// A question about one metric.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    /// A complete label set in canonical form; `None` for any.
    pub(crate) labels: Option<String>,
    /// Labels by whose values series are merged; `None` keeps every label set apart.
    pub(crate) group_by: Option<Vec<String>>,
    pub(crate) resolution: Resolution,
    /// Buckets that start at this time or later, milliseconds since 1970.
    pub(crate) from_ms: i64,
    pub(crate) now_ms: i64,
}

/// A row's series, or the series that are merged in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Merged {
    pub(crate) kind: MetricType,
    /// The values of the labels that it is grouped by, in their order. Empty when it is not grouped.
    pub(crate) values: Vec<String>,
}

/// A question whose series are known.
#[derive(Debug)]
pub(crate) struct Prepared {
    selection: Selection,
    pub(crate) groups: Vec<Merged>,
    /// How many series are read: what this takes of memory goes with it.
    pub(crate) series_count: usize,
    sketches: Sketches,
    resolution: Resolution,
    /// First bucket.
    pub(crate) from: i64,
    /// The end of the last bucket.
    pub(crate) to: i64,
    /// How much time to read at once.
    pub(crate) step: i64,
}

/// One row of an answer.
#[derive(Clone, Debug)]
pub(crate) struct AnswerRow {
    pub(crate) bucket: i64,
    /// A position in [`Prepared::groups`].
    pub(crate) group: Group,
    pub(crate) rollup: Rollup,
}

/// Finds the series of a question and the stretch of time in which they have data.
pub(crate) fn prepare(conn: &Connection, question: &Question) -> Result<Prepared, StoreError> {
    let names = series::names_of(conn, &question.name, question.project.as_deref())?;
    let mut places: BTreeMap<Merged, Group> = BTreeMap::new();
    let mut place_of = |merged: Merged| -> Group {
        let next = places.len() as Group;
        *places.entry(merged).or_insert(next)
    };
    let totals = question.labels.is_none() && question.group_by.as_ref().is_some_and(Vec::is_empty);
    let mut series_count = 0;
    let selection = if totals {
        let names = names.iter().map(|name| {
            (
                name.id,
                place_of(Merged {
                    kind: name.kind,
                    values: Vec::new(),
                }),
            )
        });
        Selection::Totals(names.collect())
    } else {
        let mut of_series = IdMap::default();
        for name in &names {
            for (id, text) in series::of_name(conn, name.id, question.labels.as_deref())? {
                let merged = Merged {
                    kind: name.kind,
                    values: grouping(text, question.group_by.as_deref()),
                };
                of_series.insert(id, place_of(merged));
            }
        }
        series_count = of_series.len();
        Selection::Series {
            names: names.iter().map(|name| name.id).collect(),
            groups: of_series,
        }
    };
    let groups = in_order(places, question.group_by.is_some());
    let has_histogram = groups
        .iter()
        .any(|group| group.kind == MetricType::Histogram);
    let merges = totals || groups.len() < series_count;
    let sketches = match (
        has_histogram,
        merges || question.resolution != Resolution::Minute,
    ) {
        (false, _) => Sketches::Never,
        (true, true) => Sketches::Always,
        (true, false) => Sketches::UnlessExact,
    };
    let step_ms = question.resolution.step_ms();
    let earliest = earliest(conn, question.resolution, names.iter().map(|name| name.id))?;
    let to = question.resolution.bucket_of(question.now_ms) + step_ms;
    // The first bucket that starts within the period.
    let from = question
        .resolution
        .bucket_of(question.from_ms + step_ms - 1)
        .max(earliest.unwrap_or(to));
    let buckets = (ROWS_AT_ONCE / series_count.max(1)).clamp(1, 1500) as i64;
    Ok(Prepared {
        selection,
        groups,
        series_count,
        sketches,
        resolution: question.resolution,
        from,
        to,
        step: buckets * step_ms,
    })
}

/// The groups by their numbers. Without labels to group by nobody asks for the values, which may be megabytes.
fn in_order(places: BTreeMap<Merged, Group>, keeps_values: bool) -> Vec<Merged> {
    let mut numbered: Vec<(Group, Merged)> = places
        .into_iter()
        .map(|(Merged { kind, values }, group)| {
            let values = if keeps_values { values } else { Vec::new() };
            (group, Merged { kind, values })
        })
        .collect();
    numbered.sort_unstable_by_key(|(group, _)| *group);
    numbered.into_iter().map(|(_, merged)| merged).collect()
}

/// What tells a series from others: the values of the labels it is grouped by, or else its whole label set.
fn grouping(labels_text: String, group_by: Option<&[String]>) -> Vec<String> {
    let Some(group_by) = group_by else {
        return vec![labels_text];
    };
    let labels = labels::pairs(&labels_text);
    let find = |wanted: &String| {
        labels
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    group_by
        .iter()
        .map(|name| find(name).unwrap_or_default())
        .collect()
}

/// The first bucket in which any of the names can have data.
fn earliest(
    conn: &Connection,
    resolution: Resolution,
    names: impl Iterator<Item = i64>,
) -> Result<Option<i64>, StoreError> {
    let (rolled, dirty) = match resolution {
        Resolution::Minute => (
            "SELECT min(bucket) FROM total_minute WHERE name_id = ?1",
            "SELECT min(minute) FROM dirty_minute",
        ),
        Resolution::Hour => (
            "SELECT min(bucket) FROM total_hour WHERE name_id = ?1",
            "SELECT min(hour) FROM dirty_hour",
        ),
        Resolution::Day => (
            "SELECT min(bucket) FROM total_day WHERE name_id = ?1",
            "SELECT min(day) FROM dirty_day",
        ),
    };
    let mut earliest: Option<i64> = conn
        .prepare_cached(dirty)?
        .query_row([], |row| row.get(0))?;
    for name in names {
        let first: Option<i64> = conn
            .prepare_cached(rolled)?
            .query_row([name], |row| row.get(0))?;
        earliest = [earliest, first].into_iter().flatten().min();
    }
    Ok(earliest)
}

/// The rows of `from` to before `to`, by bucket and then group.
pub(crate) fn read(
    conn: &Connection,
    question: &Prepared,
    from: i64,
    to: i64,
) -> Result<Vec<AnswerRow>, StoreError> {
    let pieces = plan(conn, from, to.min(question.to), question.resolution)?;
    let mut rows: Vec<AnswerRow> = Vec::new();
    scan(
        conn,
        &pieces,
        &question.selection,
        question.sketches,
        |at, group, rollup| {
            rows.push(AnswerRow {
                bucket: question.resolution.bucket_of(at),
                group,
                rollup,
            });
        },
    )?;
    rows.sort_by_key(|row| (row.bucket, row.group));
    rows.dedup_by(|next, known| {
        let same = (next.bucket, next.group) == (known.bucket, known.group);
        if same {
            known.rollup.merge(&next.rollup);
        }
        same
    });
    Ok(rows)
}
