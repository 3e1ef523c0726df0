//! Reads the pieces of a plan for some names or series.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, Row, Statement};

use super::blocks;
use super::ids::IdMap;
use super::plan::Piece;
use super::rows::{Reader, Sketches, columns_of, of_tier};
use super::{failed, series};
use crate::domain::range::Resolution;
use crate::domain::rollup::{Rollup, Total};

/// Selected series of a name up to which they are looked up one by one instead of reading all rows of the name.
const FEW_SERIES: usize = 4;

/// Rows that are summed up together get one group.
pub(crate) type Group = u32;

/// What to read.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// All series of each name, from the rows that hold them together.
    Totals(Vec<(i64, Group)>),
    /// Some series of some names.
    Series {
        names: Vec<i64>,
        groups: IdMap<Group>,
    },
}

impl Selection {
    /// The names that its series belong to.
    pub(super) fn names(&self) -> impl Iterator<Item = i64> {
        let (totals, names) = match self {
            Self::Totals(names) => (names.as_slice(), [].as_slice()),
            Self::Series { names, .. } => ([].as_slice(), names.as_slice()),
        };
        let of_totals = totals.iter().map(|&(name, _)| name);
        of_totals.chain(names.iter().copied())
    }

    /// The groups of all selected series.
    fn series(&self, conn: &Connection) -> rusqlite::Result<IdMap<Group>> {
        match self {
            Self::Series { groups, .. } => Ok(groups.clone()),
            Self::Totals(names) => {
                let mut groups = IdMap::default();
                for &(name, group) in names {
                    series::ids_of_name(conn, name, group, &mut groups)?;
                }
                Ok(groups)
            }
        }
    }
}

/// What the minutes hold that are read from their blocks, by series: of several scans over the same minutes only the first
/// reads them. Good for one state of the database.
pub(crate) struct Minutes {
    ids: Vec<i64>,
    /// Positions in `ids`.
    places: IdMap<Group>,
    sketches: Sketches,
    read: HashMap<(i64, i64, i64), Vec<(i64, Rollup)>>,
}

impl Minutes {
    /// About some series, and nothing else.
    pub(crate) fn of(series: impl Iterator<Item = i64>, sketches: Sketches) -> Self {
        let ids: Vec<i64> = series.collect();
        Self {
            places: ids.iter().copied().zip(0..).collect(),
            ids,
            sketches,
            read: HashMap::new(),
        }
    }

    /// What the series have in a part of a minute.
    fn rollups(
        &mut self,
        conn: &Connection,
        minute: i64,
        range: Range<i64>,
    ) -> Result<&[(i64, Rollup)], StoreError> {
        match self.read.entry((minute, range.start, range.end)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let found = blocks::rollups(conn, minute, range, &self.places, self.sketches)?;
                let of_series = found
                    .into_iter()
                    .filter_map(|(at, rollup)| Some((*self.ids.get(at as usize)?, rollup)));
                Ok(place.insert(of_series.collect()))
            }
        }
    }
}

/// A rollup that was found. What a row counted is not read before it is known what for.
pub(crate) enum Found<'a> {
    Row {
        reader: &'a mut Reader,
        row: &'a Row<'a>,
        /// Its first column.
        first: usize,
    },
    Rollup(&'a Rollup),
}

impl<'a> Found<'a> {
    fn rollup(self) -> Result<&'a Rollup, StoreError> {
        match self {
            Self::Row { reader, row, first } => reader.read(row, first),
            Self::Rollup(rollup) => Ok(rollup),
        }
    }

    /// A total of it alone.
    pub(crate) fn total(self) -> Result<Total, StoreError> {
        Ok(Total::from(self.rollup()?.clone()))
    }

    /// Adds it to a total.
    pub(crate) fn merge(self, sum: &mut Total) -> Result<(), StoreError> {
        match self {
            Self::Row { reader, row, first } => reader.merge(row, first, sum),
            Self::Rollup(rollup) => {
                sum.merge(rollup);
                Ok(())
            }
        }
    }

    /// Adds it to a total that may not be there yet.
    pub(crate) fn add_to(self, sum: &mut Option<Total>) -> Result<(), StoreError> {
        if let Some(sum) = sum {
            return self.merge(sum);
        }
        *sum = Some(self.total()?);
        Ok(())
    }

    /// Begins a total anew with it.
    pub(crate) fn begin(self, sum: &mut Total) -> Result<(), StoreError> {
        match self {
            Self::Row { reader, row, first } => reader.begin(row, first, sum),
            Self::Rollup(rollup) => {
                sum.begin(rollup);
                Ok(())
            }
        }
    }
}

/// Calls `each` with every rollup of the pieces: the start of its minute or hour, its group, and what was counted.
pub(crate) fn scan(
    conn: &Connection,
    pieces: &[Piece],
    selection: &Selection,
    sketches: Sketches,
    each: impl FnMut(i64, Group, &Rollup),
) -> Result<(), StoreError> {
    scan_with(conn, pieces, selection, sketches, None, each)
}

/// As [`scan`], with what is known of the selected series in minutes that are read from their blocks.
pub(crate) fn scan_with(
    conn: &Connection,
    pieces: &[Piece],
    selection: &Selection,
    sketches: Sketches,
    known: Option<&mut Minutes>,
    mut each: impl FnMut(i64, Group, &Rollup),
) -> Result<(), StoreError> {
    find(
        conn,
        pieces,
        selection,
        sketches,
        known,
        |at, group, found| {
            each(at, group, found.rollup()?);
            Ok(())
        },
    )
}

/// As [`scan_with`], for `each` to say what a rollup is added to.
pub(crate) fn find(
    conn: &Connection,
    pieces: &[Piece],
    selection: &Selection,
    sketches: Sketches,
    mut known: Option<&mut Minutes>,
    mut each: impl FnMut(i64, Group, Found<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut in_blocks = None;
    for &piece in pieces {
        match piece {
            Piece::Rows { tier, from, to } => match selection {
                Selection::Totals(names) => {
                    totals(conn, tier, names, (from, to), sketches, &mut each)?;
                }
                Selection::Series { names, groups } => {
                    let range = (from, to);
                    if groups.len() <= FEW_SERIES {
                        few_series(conn, tier, groups, range, sketches, &mut each)?;
                    } else {
                        all_rows(conn, tier, names, groups, range, sketches, &mut each)?;
                    }
                }
            },
            Piece::Blocks {
                minute,
                since,
                until,
            } => {
                let groups = match &mut in_blocks {
                    Some(groups) => groups,
                    None => in_blocks.insert(selection.series(conn)?),
                };
                if groups.is_empty() {
                    continue;
                }
                let range = since..until;
                let Some(known) = &mut known else {
                    for (group, rollup) in blocks::rollups(conn, minute, range, groups, sketches)? {
                        each(minute, group, Found::Rollup(&rollup))?;
                    }
                    continue;
                };
                for (series, rollup) in known.rollups(conn, minute, range)? {
                    if let Some(&group) = groups.get(series) {
                        each(minute, group, Found::Rollup(rollup))?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn totals(
    conn: &Connection,
    tier: Resolution,
    names: &[(i64, Group)],
    (from, to): (i64, i64),
    sketches: Sketches,
    each: &mut impl FnMut(i64, Group, Found<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT bucket, {} FROM total_{} WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3 ORDER BY bucket",
        columns_of(tier, sketches).join(", "),
        tier.as_str(),
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut reader = Reader::new(tier, sketches);
    for &(name, group) in names {
        let mut rows = statement.query((name, from, to))?;
        while let Some(row) = rows.next()? {
            let found = Found::Row {
                reader: &mut reader,
                row,
                first: 1,
            };
            each(row.get(0)?, group, found)?;
        }
    }
    Ok(())
}

/// Reads all rows of the names and passes over those of other series.
fn all_rows(
    conn: &Connection,
    tier: Resolution,
    names: &[i64],
    groups: &IdMap<Group>,
    (from, to): (i64, i64),
    sketches: Sketches,
    each: &mut impl FnMut(i64, Group, Found<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT bucket, series, {} FROM roll_{}
         WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3 ORDER BY bucket, series",
        columns_of(tier, sketches).join(", "),
        tier.as_str(),
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut reader = Reader::new(tier, sketches);
    for name in names {
        let mut rows = statement.query((name, from, to))?;
        while let Some(row) = rows.next()? {
            if let Some(&group) = groups.get(&row.get(1)?) {
                let found = Found::Row {
                    reader: &mut reader,
                    row,
                    first: 2,
                };
                each(row.get(0)?, group, found)?;
            }
        }
    }
    Ok(())
}

/// Looks each series up in each bucket that its name has.
fn few_series(
    conn: &Connection,
    tier: Resolution,
    groups: &IdMap<Group>,
    (from, to): (i64, i64),
    sketches: Sketches,
    each: &mut impl FnMut(i64, Group, Found<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (columns, tier_name) = (columns_of(tier, sketches).join(", roll."), tier.as_str());
    let sql = format!(
        "SELECT roll.bucket, roll.{columns} FROM series
         JOIN total_{tier_name} AS t ON t.name_id = series.name_id AND t.bucket >= ?2 AND t.bucket < ?3
         CROSS JOIN roll_{tier_name} AS roll
             ON roll.name_id = t.name_id AND roll.bucket = t.bucket AND roll.series = ?1
         WHERE series.id = ?1 ORDER BY t.bucket"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut reader = Reader::new(tier, sketches);
    let mut read =
        |statement: &mut Statement<'_>, series: i64, group: Group| -> Result<(), StoreError> {
            let mut rows = statement.query((series, from, to))?;
            while let Some(row) = rows.next()? {
                let found = Found::Row {
                    reader: &mut reader,
                    row,
                    first: 1,
                };
                each(row.get(0)?, group, found)?;
            }
            Ok(())
        };
    for (&series, &group) in groups {
        read(&mut statement, series, group)?;
    }
    Ok(())
}

/// Count and sum of the requests of some names that failed, by bucket; `series` are those of them.
pub(crate) fn failed_over_time(
    conn: &Connection,
    pieces: &[Piece],
    (names, series): (&[i64], IdMap<Group>),
    known: &mut Minutes,
    mut each: impl FnMut(i64, f64, f64),
) -> Result<(), StoreError> {
    let mut in_blocks = Vec::new();
    for &piece in pieces {
        match piece {
            Piece::Rows { tier, from, to } => {
                for &name in names {
                    failed::each(conn, tier, name, (from, to), &mut each)?;
                }
            }
            Piece::Blocks { .. } => in_blocks.push(piece),
        }
    }
    let selection = Selection::Series {
        names: names.to_vec(),
        groups: series,
    };
    scan_with(
        conn,
        &in_blocks,
        &selection,
        Sketches::Never,
        Some(known),
        |minute, _, rollup| each(minute, rollup.count as f64, rollup.sum),
    )
}

/// Count and sum of each name over the pieces, in the order of `names`.
pub(crate) fn sums(
    conn: &Connection,
    pieces: &[Piece],
    names: &[i64],
) -> Result<Vec<(u64, f64)>, StoreError> {
    let mut sums = vec![(0_u64, 0.0_f64); names.len()];
    let mut add = |place: usize, count: u64, sum: f64| {
        if let Some(total) = sums.get_mut(place) {
            total.0 += count;
            total.1 = (total.1 + sum).clamp(f64::MIN, f64::MAX);
        }
    };
    let by_name: Vec<(i64, Group)> = names
        .iter()
        .zip(0..)
        .map(|(&name, place)| (name, place))
        .collect();
    let (rows, in_blocks): (Vec<Piece>, Vec<Piece>) = pieces
        .iter()
        .partition(|piece| matches!(piece, Piece::Rows { .. }));
    for piece in rows {
        let Piece::Rows { tier, from, to } = piece else {
            continue;
        };
        // A sum beyond the largest double is NULL or infinite in SQL, so it is made here.
        let mut statement = conn.prepare_cached(of_tier!(
            tier,
            "SELECT cnt, sum FROM ",
            "total",
            " WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3"
        ))?;
        for (place, &name) in names.iter().enumerate() {
            let mut rows = statement.query((name, from, to))?;
            while let Some(row) = rows.next()? {
                let count: i64 = row.get(0)?;
                add(place, count.cast_unsigned(), row.get(1)?);
            }
        }
    }
    scan(
        conn,
        &in_blocks,
        &Selection::Totals(by_name),
        Sketches::Never,
        |_, group, rollup| {
            add(group as usize, rollup.count, rollup.sum);
        },
    )?;
    Ok(sums)
}
