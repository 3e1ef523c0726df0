//! Rollup rows: one per series and bucket, one per name and bucket.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Point, Rollup, Total};

/// The columns of a rollup, all of them, in the order that [`Reader`] expects.
macro_rules! columns {
    () => {
        "cnt, sum, min, max, last, last_at, sk, p50, p95, p99"
    };
}
pub(crate) use columns;

/// The columns of a rollup that [`Reader`] looks at, in its order. Each takes a part of the time of a row, also when it is
/// null, as percentiles are above minutes.
pub(crate) const fn columns_of(tier: Resolution, sketches: Sketches) -> &'static [&'static str] {
    match (sketches, tier) {
        (Sketches::Never, _) => &["cnt", "sum", "min", "max", "last", "last_at"],
        (Sketches::Only, Resolution::Minute) => &["cnt", "min", "max", "sk", "p50", "p95", "p99"],
        (Sketches::Only, _) => &["cnt", "min", "max", "sk"],
        (_, Resolution::Minute) => &[
            "cnt", "sum", "min", "max", "last", "last_at", "sk", "p50", "p95", "p99",
        ],
        _ => &["cnt", "sum", "min", "max", "last", "last_at", "sk"],
    }
}

/// The text of a statement on the table of a tier: `roll` or `total`, put between the two other parts.
macro_rules! of_tier {
    ($tier:expr, $before:expr, $table:literal, $after:expr) => {
        match $tier {
            $crate::domain::range::Resolution::Minute => {
                concat!($before, $table, "_minute", $after)
            }
            $crate::domain::range::Resolution::Hour => concat!($before, $table, "_hour", $after),
            $crate::domain::range::Resolution::Day => concat!($before, $table, "_day", $after),
        }
    };
}
pub(crate) use of_tier;

/// Which row a rollup belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowKey {
    pub(crate) name_id: i64,
    pub(crate) bucket: i64,
    /// `None` is the total over the name's series.
    pub(crate) series: Option<i64>,
}

/// Whether sketches are worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sketches {
    /// Rows will be merged and asked for percentiles.
    Always,
    /// The same, and for nothing else but count, least and greatest value.
    Only,
    /// Percentiles come from the row where it has exact ones.
    UnlessExact,
    /// Nobody asks for percentiles.
    Never,
}

/// Reads rows of a tier one after the other into the same memory.
#[derive(Debug)]
pub(crate) struct Reader {
    sketches: Sketches,
    /// Coarser rows are merged, and so never know the percentiles of their points.
    may_be_exact: bool,
    rollup: Rollup,
}

impl Reader {
    pub(crate) fn new(tier: Resolution, sketches: Sketches) -> Self {
        let nothing = Point {
            at_ms: 0,
            value: 0.0,
        };
        Self {
            sketches,
            may_be_exact: tier == Resolution::Minute && sketches != Sketches::Never,
            rollup: Rollup::of_one(nothing),
        }
    }

    /// Reads the rollup whose columns start at `first`.
    pub(crate) fn read(&mut self, row: &Row<'_>, first: usize) -> Result<&Rollup, StoreError> {
        match self.read_stored(row, first)? {
            Some(sketch) => self.rollup.sketch.decode_into(sketch)?,
            None => self.rollup.sketch.clear(),
        }
        Ok(&self.rollup)
    }

    /// Adds the rollup whose columns start at `first` to a total.
    pub(super) fn merge(
        &mut self,
        row: &Row<'_>,
        first: usize,
        sum: &mut Total,
    ) -> Result<(), StoreError> {
        match self.read_stored(row, first)? {
            Some(sketch) => sum.merge_stored(self.bare(), sketch)?,
            None => sum.merge(self.bare()),
        }
        Ok(())
    }

    /// Begins a total anew with the rollup whose columns start at `first`.
    pub(super) fn begin(
        &mut self,
        row: &Row<'_>,
        first: usize,
        sum: &mut Total,
    ) -> Result<(), StoreError> {
        match self.read_stored(row, first)? {
            Some(sketch) => sum.begin_stored(self.bare(), sketch)?,
            None => sum.begin(self.bare()),
        }
        Ok(())
    }

    /// What was read, without its sketch.
    fn bare(&mut self) -> &Rollup {
        self.rollup.sketch.clear();
        &self.rollup
    }

    /// Reads everything but the sketch; that in its stored form, where it is wanted.
    fn read_stored<'r>(
        &mut self,
        row: &'r Row<'_>,
        first: usize,
    ) -> Result<Option<&'r [u8]>, StoreError> {
        let rollup = &mut self.rollup;
        let count: i64 = row.get(first)?;
        rollup.count = count.cast_unsigned();
        let sketch_at = if self.sketches == Sketches::Only {
            rollup.min = row.get(first + 1)?;
            rollup.max = row.get(first + 2)?;
            first + 3
        } else {
            rollup.sum = row.get(first + 1)?;
            rollup.min = row.get(first + 2)?;
            rollup.max = row.get(first + 3)?;
            rollup.last = Point {
                value: row.get(first + 4)?,
                at_ms: row.get(first + 5)?,
            };
            first + 6
        };
        rollup.exact = None;
        if self.may_be_exact {
            let percentiles: [Option<f64>; 3] = [
                row.get(sketch_at + 1)?,
                row.get(sketch_at + 2)?,
                row.get(sketch_at + 3)?,
            ];
            if let [Some(p50), Some(p95), Some(p99)] = percentiles {
                rollup.exact = Some([p50, p95, p99]);
            }
        }
        let wanted = match self.sketches {
            Sketches::Always | Sketches::Only => true,
            Sketches::UnlessExact => rollup.exact.is_none(),
            Sketches::Never => false,
        };
        if !wanted {
            return Ok(None);
        }
        let sketch = row.get_ref(sketch_at)?.as_blob();
        Ok(Some(
            sketch.map_err(|fault| StoreError::Job(fault.to_string()))?,
        ))
    }
}

/// The row of a key, complete.
pub(crate) fn find(
    conn: &Connection,
    tier: Resolution,
    key: RowKey,
) -> Result<Option<Rollup>, StoreError> {
    let sql = match key.series {
        Some(_) => of_tier!(
            tier,
            concat!("SELECT ", columns!(), " FROM "),
            "roll",
            " WHERE name_id = ?1 AND bucket = ?2 AND series = ?3"
        ),
        None => of_tier!(
            tier,
            concat!("SELECT ", columns!(), " FROM "),
            "total",
            " WHERE name_id = ?1 AND bucket = ?2 AND ?3 IS NULL"
        ),
    };
    conn.prepare_cached(sql)?
        .query_row((key.name_id, key.bucket, key.series), |row| {
            Ok(Reader::new(tier, Sketches::Always).read(row, 0).cloned())
        })
        .optional()?
        .transpose()
}

/// Writes a row, in place of the one that is there. Exact percentiles are kept for histograms only: nobody is shown
/// those of others.
pub(crate) fn write(
    conn: &Connection,
    tier: Resolution,
    key: RowKey,
    kind: MetricType,
    rollup: &Rollup,
) -> rusqlite::Result<()> {
    let exact = rollup.exact.filter(|_| kind == MetricType::Histogram);
    let [p50, p95, p99] = exact.map_or([None; 3], |exact| exact.map(Some));
    let Rollup {
        count,
        sum,
        min,
        max,
        last,
        sketch,
        exact: _,
    } = rollup;
    let sql = match key.series {
        Some(_) => of_tier!(
            tier,
            "INSERT OR REPLACE INTO ",
            "roll",
            concat!(
                " (name_id, bucket, ",
                columns!(),
                ", series) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            )
        ),
        None => of_tier!(
            tier,
            "INSERT OR REPLACE INTO ",
            "total",
            concat!(
                " (name_id, bucket, ",
                columns!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
            )
        ),
    };
    let (count, sketch) = (count.cast_signed(), sketch.encode());
    let mut statement = conn.prepare_cached(sql)?;
    let (name_id, bucket) = (key.name_id, key.bucket);
    let (last, last_at) = (last.value, last.at_ms);
    match key.series {
        Some(series) => statement.execute(params![
            name_id, bucket, count, sum, min, max, last, last_at, sketch, p50, p95, p99, series
        ])?,
        None => statement.execute(params![
            name_id, bucket, count, sum, min, max, last, last_at, sketch, p50, p95, p99
        ])?,
    };
    Ok(())
}

/// Adds a rollup to the row of a key.
pub(crate) fn merge(
    conn: &Connection,
    tier: Resolution,
    key: RowKey,
    kind: MetricType,
    part: &Rollup,
) -> Result<(), StoreError> {
    match find(conn, tier, key)? {
        None => write(conn, tier, key, kind, part)?,
        Some(mut known) => {
            known.merge(part);
            write(conn, tier, key, kind, &known)?;
        }
    }
    Ok(())
}
