//! Removes a metric with all that is known of it.
//!
//! One short job hides its names: no answer and no new point finds them any more, and a metric of that name begins anew. What
//! they leave may be millions of rows, which are deleted some at a time, also after a restart.
//!
//! Raw points lie packed with those of other series. So the series stay, without their labels, until the last block that may
//! hold a point of them is deleted: a minute that is rolled up until then makes rows of a name that nobody sees, which are
//! deleted again, and no new series gets a number that is in a block. Only the task of the rollup deletes them, so that none
//! of its rows come later than the last look.

use rusqlite::{Connection, OptionalExtension as _};

use super::watermark::Watermark;
use super::{blocks, series};

/// Names that wait for their end; so many may be removed at a time, and each holds its series.
pub(crate) const MOST_REMOVED: i64 = 10_000;
/// Rows deleted in one job.
const ROWS_A_SLICE: usize = 500;
/// The minute of a name without blocks.
const NO_BLOCKS: i64 = i64::MIN;

macro_rules! delete_rows {
    ($table:literal, $columns:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $columns,
            ") IN (SELECT ",
            $columns,
            " FROM ",
            $table,
            " WHERE name_id = ?1 LIMIT ?2)"
        )
    };
}

/// What became of a metric that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// There is none.
    Unknown,
    /// Too many wait for their end already.
    Full,
    /// It is gone for everybody, with so many series.
    Series(i64),
}

/// Hides the names of a metric, in one project or in all. The caller has to make the dictionary forget its series in the same
/// job.
pub(crate) fn hide(
    conn: &Connection,
    metric: &str,
    project: Option<&str>,
) -> rusqlite::Result<Hidden> {
    let names = series::names_of(conn, metric, project)?;
    if names.is_empty() {
        return Ok(Hidden::Unknown);
    }
    let waiting = removed(conn)?.len() + names.len();
    if waiting > MOST_REMOVED as usize {
        return Ok(Hidden::Full);
    }
    let last_block: Option<i64> =
        conn.query_row("SELECT max(id) FROM block", [], |row| row.get(0))?;
    let last_minute = last_block.map_or(NO_BLOCKS, blocks::minute_of);
    let mut all = 0;
    for name in names {
        let (project, count): (i64, i64) = conn
            .prepare_cached("SELECT project, series FROM name WHERE id = ?1")?
            .query_row([name.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        conn.prepare_cached("UPDATE project SET series = series - ?2 WHERE id = ?1")?
            .execute((project, count))?;
        // Longer than any name can be, so that the name is free again.
        conn.prepare_cached("UPDATE name SET name = ?2, removed = ?3 WHERE id = ?1")?
            .execute((name.id, format!("{:0>220}", name.id), last_minute))?;
        all += count;
    }
    Ok(Hidden::Series(all))
}

/// The names that wait for their end.
pub(crate) fn removed(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT id FROM name WHERE removed IS NOT NULL ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Whether there is something to do for a removed name.
pub(crate) fn has_work(conn: &Connection, name_id: i64) -> rusqlite::Result<bool> {
    let has_rows: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM roll_minute WHERE name_id = ?1) OR EXISTS (SELECT 1 FROM total_minute WHERE name_id = ?1)
                 OR EXISTS (SELECT 1 FROM roll_hour WHERE name_id = ?1) OR EXISTS (SELECT 1 FROM total_hour WHERE name_id = ?1)
                 OR EXISTS (SELECT 1 FROM roll_day WHERE name_id = ?1) OR EXISTS (SELECT 1 FROM total_day WHERE name_id = ?1)",
        )?
        .query_row([name_id], |row| row.get(0))?;
    Ok(has_rows || !labelled(conn, name_id, 1)?.is_empty() || is_over(conn, name_id)?)
}

/// What a slice has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) rows: usize,
    pub(crate) series: usize,
}

/// Deletes some of what a removed name has left; at last the name itself.
pub(crate) fn slice(conn: &Connection, name_id: i64) -> rusqlite::Result<Slice> {
    let rows = delete_rows(conn, name_id)?;
    let mut slice = Slice { rows, series: 0 };
    if rows > 0 {
        return Ok(slice);
    }
    let labelled = labelled(conn, name_id, ROWS_A_SLICE)?;
    for id in &labelled {
        conn.prepare_cached("UPDATE series SET labels = CAST(id AS TEXT) WHERE id = ?1")?
            .execute([id])?;
        conn.prepare_cached("DELETE FROM baseline WHERE series = ?1")?
            .execute([id])?;
    }
    if !labelled.is_empty() || !is_over(conn, name_id)? {
        return Ok(slice);
    }
    slice.series = conn
        .prepare_cached(
            "DELETE FROM series WHERE id IN (SELECT id FROM series WHERE name_id = ?1 LIMIT ?2)",
        )?
        .execute((name_id, ROWS_A_SLICE as i64))?;
    if slice.series < ROWS_A_SLICE {
        let project: i64 = conn
            .prepare_cached("DELETE FROM name WHERE id = ?1 RETURNING project")?
            .query_row([name_id], |row| row.get(0))?;
        conn.prepare_cached(
            "DELETE FROM project WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM name WHERE project = ?1)",
        )?
        .execute([project])?;
    }
    Ok(slice)
}

fn delete_rows(conn: &Connection, name_id: i64) -> rusqlite::Result<usize> {
    let mut deleted = 0;
    for sql in [
        delete_rows!("roll_minute", "name_id, bucket, series"),
        delete_rows!("roll_hour", "name_id, bucket, series"),
        delete_rows!("roll_day", "name_id, bucket, series"),
        delete_rows!("failed_minute", "name_id, bucket"),
        delete_rows!("failed_hour", "name_id, bucket"),
        delete_rows!("failed_day", "name_id, bucket"),
        delete_rows!("total_minute", "name_id, bucket"),
        delete_rows!("total_hour", "name_id, bucket"),
        delete_rows!("total_day", "name_id, bucket"),
    ] {
        let most = ROWS_A_SLICE - deleted;
        deleted += conn.prepare_cached(sql)?.execute((name_id, most as i64))?;
        if deleted == ROWS_A_SLICE {
            break;
        }
    }
    Ok(deleted)
}

/// Some of the series of a name that have their labels yet: none, or an object of JSON.
fn labelled(conn: &Connection, name_id: i64, most: usize) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT id FROM series WHERE name_id = ?1 AND labels = ''
         UNION ALL SELECT id FROM series WHERE name_id = ?1 AND labels >= '{' LIMIT ?2",
    )?
    .query_map((name_id, most as i64), |row| row.get(0))?
    .collect()
}

/// Whether no block can hold a point of a removed name any more.
fn is_over(conn: &Connection, name_id: i64) -> rusqlite::Result<bool> {
    let last_minute: Option<i64> = conn
        .prepare_cached("SELECT removed FROM name WHERE id = ?1 AND removed IS NOT NULL")?
        .query_row([name_id], |row| row.get(0))
        .optional()?;
    let floor = Watermark::RawFloor.read_floor(conn)?;
    Ok(last_minute.is_some_and(|minute| minute == NO_BLOCKS || minute < floor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rebuild::tests::{MINUTE, database, post};

    #[test]
    fn so_many_may_wait_and_no_more() {
        let conn = database();
        post(&conn, MINUTE);
        let metric: String = conn
            .query_row("SELECT name FROM name", [], |row| row.get(0))
            .expect("a name");
        conn.execute(
            "INSERT INTO name (project, name, type, removed)
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT ?1)
             SELECT project.id, 'gone ' || n, 0, 0 FROM n JOIN project",
            [MOST_REMOVED],
        )
        .expect("inserts");
        assert_eq!(hide(&conn, &metric, None), Ok(Hidden::Full));
        conn.execute("DELETE FROM name WHERE name = 'gone 7'", [])
            .expect("deletes");
        assert_eq!(hide(&conn, "other", None), Ok(Hidden::Unknown));
        assert_eq!(hide(&conn, &metric, None), Ok(Hidden::Series(1)));
        assert_eq!(hide(&conn, &metric, None), Ok(Hidden::Unknown));
    }

    #[test]
    fn a_name_stays_as_long_as_a_block_may_hold_its_points() {
        let conn = database();
        post(&conn, MINUTE);
        let (name_id, metric): (i64, String) = conn
            .query_row("SELECT id, name FROM name", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("a name");
        hide(&conn, &metric, None).expect("hides");
        assert!(has_work(&conn, name_id).expect("asks"), "labels");
        slice(&conn, name_id).expect("deletes");
        assert!(!has_work(&conn, name_id).expect("asks"));
        Watermark::RawFloor.raise(&conn, MINUTE).expect("raises");
        assert!(!has_work(&conn, name_id).expect("asks"));
        Watermark::RawFloor
            .raise(&conn, MINUTE + 1)
            .expect("raises");
        assert!(has_work(&conn, name_id).expect("asks"));
        let last = slice(&conn, name_id).expect("deletes");
        assert_eq!(last, Slice { rows: 0, series: 1 });
        assert!(!has_work(&conn, name_id).expect("asks"));
        assert_eq!(removed(&conn).expect("reads"), [0_i64; 0]);
    }
}
