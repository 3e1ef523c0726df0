//! Which groups of a question have the greatest figure, so that a limit shows those.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::ids::IdMap;
use super::plan::{Piece, plan};
use super::query::{Limit, Merged, Prepared};
use super::rows::Sketches;
use super::scan::{self, Group, Minutes, Selection};
use crate::domain::aggregate::Aggregate;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Rollup, Total};

/// Groups whose sketches are held at the same time; more are gone through in passes.
const SKETCHES_HELD: usize = 1000;

/// What a limit has left of the groups.
#[derive(Debug)]
pub(crate) struct Top {
    /// Groups with data.
    pub(crate) groups: usize,
    /// Those that are not shown apart.
    pub(crate) left_out: usize,
    /// Points of those.
    pub(crate) left_out_points: u64,
    /// Each group that is shown, over the whole time: the greatest first, the rest at the end.
    pub(crate) totals: Vec<Rollup>,
}

/// A group over the whole time.
struct Ranked {
    group: Group,
    figure: f64,
    points: u64,
}

/// Keeps the groups with the greatest first figure, or the most points where none is asked for.
pub(super) fn keep(
    conn: &Connection,
    prepared: &mut Prepared,
    limit: Limit,
    aggregates: &[Aggregate],
) -> Result<(), StoreError> {
    let by = aggregates.first().copied().unwrap_or(Aggregate::Count);
    let pieces = plan(conn, prepared.from, prepared.to, Resolution::Day)?;
    let mut open = open_minutes(prepared);
    let mut ranked = rank(conn, prepared, &pieces, by, open.as_mut())?;
    let groups = ranked.len();
    let hidden = ranked.split_off(limit.groups.min(groups));
    let with_rest = limit.rest && !hidden.is_empty();
    let mut shown: Vec<Merged> = ranked
        .iter()
        .filter_map(|one| prepared.groups.get(one.group as usize).cloned())
        .collect();
    if with_rest {
        shown.extend(rest(&hidden, &prepared.groups));
    }
    let mut places: IdMap<Group> = ranked
        .iter()
        .zip(0..)
        .map(|(one, place)| (i64::from(one.group), place))
        .collect();
    if with_rest {
        let place = ranked.len() as Group;
        places.extend(hidden.iter().map(|one| (i64::from(one.group), place)));
    }
    prepared.selection = moved(&prepared.selection, &places);
    prepared.groups = shown;
    let mut totals: Vec<Option<Rollup>> = vec![None; prepared.groups.len()];
    // Nobody is shown a percentile of a counter unless it is asked for, but there are few groups left.
    let (selection, always) = (&prepared.selection, Sketches::Always);
    sum(conn, &pieces, selection, always, open.as_mut(), &mut totals)?;
    prepared.top = Some(Top {
        groups,
        left_out: hidden.len(),
        left_out_points: hidden.iter().map(|one| one.points).sum(),
        totals: totals.into_iter().flatten().collect(),
    });
    Ok(())
}

/// What few series have in minutes that are not rolled up, as they are read twice.
fn open_minutes(prepared: &Prepared) -> Option<Minutes> {
    match &prepared.selection {
        Selection::Series { groups, .. } if groups.len() <= SKETCHES_HELD => {
            Some(Minutes::of(groups.keys().copied(), Sketches::Always))
        }
        _ => None,
    }
}

/// One group for all that are hidden. Of several types it is a histogram: its figures are those of any numbers.
fn rest(hidden: &[Ranked], groups: &[Merged]) -> Option<Merged> {
    let mut kinds = hidden
        .iter()
        .filter_map(|one| Some(groups.get(one.group as usize)?.kind));
    let first = kinds.next()?;
    let kind = if kinds.all(|kind| kind == first) {
        first
    } else {
        MetricType::Histogram
    };
    Some(Merged {
        rest: true,
        ..Merged::of(kind, Vec::new())
    })
}

/// All groups with data, the greatest first; equal ones in the order of their labels.
fn rank(
    conn: &Connection,
    prepared: &Prepared,
    pieces: &[Piece],
    by: Aggregate,
    mut open: Option<&mut Minutes>,
) -> Result<Vec<Ranked>, StoreError> {
    let count = prepared.groups.len();
    let (sketches, at_once) = match by.percent() {
        Some(_) => (Sketches::Always, SKETCHES_HELD),
        None => (Sketches::Never, count.max(1)),
    };
    let mut ranked = Vec::new();
    for first in (0..count).step_by(at_once) {
        let mut sums: Vec<Option<Rollup>> = vec![None; at_once.min(count - first)];
        let places: IdMap<Group> = (first..first + sums.len())
            .zip(0..)
            .map(|(group, place)| (group as i64, place))
            .collect();
        let part = moved(&prepared.selection, &places);
        let open = open.as_deref_mut();
        sum(conn, pieces, &part, sketches, open, &mut sums)?;
        for (group, rollup) in (first..).zip(sums) {
            let (Some(merged), Some(rollup)) = (prepared.groups.get(group), rollup) else {
                continue;
            };
            ranked.push(Ranked {
                group: group as Group,
                figure: by.of(&rollup, merged.kind, prepared.seconds()),
                points: rollup.count,
            });
        }
    }
    ranked.sort_by(|a, b| {
        b.figure.total_cmp(&a.figure).then_with(|| {
            prepared
                .groups
                .get(a.group as usize)
                .cmp(&prepared.groups.get(b.group as usize))
        })
    });
    Ok(ranked)
}

/// What a selection has over all pieces, by group.
fn sum(
    conn: &Connection,
    pieces: &[Piece],
    selection: &Selection,
    sketches: Sketches,
    open: Option<&mut Minutes>,
    sums: &mut [Option<Rollup>],
) -> Result<(), StoreError> {
    let mut totals: Vec<Option<Total>> = vec![None; sums.len()];
    let add = |_, group: Group, found: scan::Found<'_>| match totals.get_mut(group as usize) {
        Some(total) => found.add_to(total),
        None => Ok(()),
    };
    scan::find(conn, pieces, selection, sketches, open, add)?;
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = total.map(Total::finish);
    }
    Ok(())
}

/// A selection with other numbers for its groups, and without those that get none.
fn moved(selection: &Selection, places: &IdMap<Group>) -> Selection {
    let place = |group: Group| places.get(&i64::from(group)).copied();
    match selection {
        Selection::Totals(names) => Selection::Totals(
            names
                .iter()
                .filter_map(|&(name, group)| Some((name, place(group)?)))
                .collect(),
        ),
        Selection::Series { names, groups } => Selection::Series {
            names: names.clone(),
            groups: groups
                .iter()
                .filter_map(|(&series, &group)| Some((series, place(group)?)))
                .collect(),
        },
    }
}
