//! What the series of requests that failed have together, by name and bucket: kept beside the totals, so that an error rate
//! over weeks need not be summed up from the rows of all series.
//!
//! Which series those are the database knows: the column `failed` follows from the label `status`.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::rows::of_tier;
use crate::domain::range::Resolution;

/// Sums up the rows of a bucket anew. To be called after they were written, in the same transaction as their total.
pub(super) fn sum_up(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    bucket: i64,
) -> rusqlite::Result<()> {
    let (count, sum): (Option<i64>, Option<f64>) = conn
        .prepare_cached(of_tier!(
            tier,
            "SELECT sum(cnt), sum(sum) FROM ",
            "roll",
            " WHERE name_id = ?1 AND bucket = ?2 AND series IN (SELECT id FROM series WHERE name_id = ?1 AND failed)"
        ))?
        .query_row((name_id, bucket), |row| Ok((row.get(0)?, row.get(1)?)))?;
    match count {
        None => Ok(()),
        Some(count) => write(conn, tier, (name_id, bucket), count, sum.unwrap_or(0.0)),
    }
}

/// Adds points of a series to those of its bucket, if they are of requests that failed.
pub(super) fn add(
    conn: &Connection,
    tier: Resolution,
    (name_id, series): (i64, i64),
    bucket: i64,
    (count, sum): (u64, f64),
) -> rusqlite::Result<()> {
    let failed: bool = conn
        .prepare_cached("SELECT failed FROM series WHERE id = ?1")?
        .query_row([series], |row| row.get(0))?;
    if !failed {
        return Ok(());
    }
    let known: Option<(i64, f64)> = conn
        .prepare_cached(of_tier!(
            tier,
            "SELECT cnt, sum FROM ",
            "failed",
            " WHERE name_id = ?1 AND bucket = ?2"
        ))?
        .query_row((name_id, bucket), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (known_count, known_sum) = known.unwrap_or_default();
    let count = known_count.saturating_add_unsigned(count);
    write(conn, tier, (name_id, bucket), count, known_sum + sum)
}

/// A sum beyond the largest double is held there.
fn write(
    conn: &Connection,
    tier: Resolution,
    (name_id, bucket): (i64, i64),
    count: i64,
    sum: f64,
) -> rusqlite::Result<()> {
    let sum = sum.clamp(f64::MIN, f64::MAX);
    conn.prepare_cached(of_tier!(
        tier,
        "INSERT OR REPLACE INTO ",
        "failed",
        " (name_id, bucket, cnt, sum) VALUES (?1, ?2, ?3, ?4)"
    ))?
    .execute((name_id, bucket, count, sum))?;
    Ok(())
}

/// Calls `each` with the count and sum of every bucket of a name.
pub(super) fn each(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    (from, to): (i64, i64),
    mut each: impl FnMut(i64, f64, f64),
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(of_tier!(
        tier,
        "SELECT bucket, cnt, sum FROM ",
        "failed",
        " WHERE name_id = ?1 AND bucket >= ?2 AND bucket < ?3"
    ))?;
    let mut rows = statement.query((name_id, from, to))?;
    while let Some(row) = rows.next()? {
        let count: i64 = row.get(1)?;
        each(row.get(0)?, count as f64, row.get(2)?);
    }
    Ok(())
}

/// Deletes what a bucket of a name has.
pub(super) fn delete(
    conn: &Connection,
    tier: Resolution,
    name_id: i64,
    bucket: i64,
) -> rusqlite::Result<usize> {
    conn.prepare_cached(of_tier!(
        tier,
        "DELETE FROM ",
        "failed",
        " WHERE name_id = ?1 AND bucket = ?2"
    ))?
    .execute([name_id, bucket])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::labels;
    use crate::store::MIGRATIONS;

    const NAMES: &str = "INSERT INTO project (id, name) VALUES (1, '');
        INSERT INTO name (id, project, name, type) VALUES (1, 1, 'a', 0), (2, 1, 'b', 0);";

    #[track_caller]
    fn check_series(labels: &str, failed: bool) {
        let conn = crate::store::rebuild::tests::database();
        conn.execute_batch(NAMES).expect("inserts");
        conn.execute(
            "INSERT INTO series (name_id, labels, last_seen) VALUES (1, ?1, 0)",
            [labels],
        )
        .expect("inserts");
        let found: bool = conn
            .query_row("SELECT failed FROM series", [], |row| row.get(0))
            .expect("reads");
        assert_eq!(found, failed, "{labels}");
        let status_begins_with_5 = labels::pairs(labels)
            .iter()
            .any(|(name, value)| name == "status" && value.starts_with('5'));
        assert_eq!(status_begins_with_5, failed, "{labels}");
    }

    #[test]
    fn series_are_known_by_their_status() {
        check_series("", false);
        check_series(r#"{"status":"500"}"#, true);
        check_series(r#"{"a":"b","status":"5xx","z":""}"#, true);
        check_series(r#"{"status":"200"}"#, false);
        check_series(r#"{"status":"404","z":"500"}"#, false);
        check_series(r#"{"Status":"500"}"#, false);
        check_series(r#"{"grpc_status":"5"}"#, false);
        check_series(r#"{"a":"\",\"status\":\"500"}"#, false);
        check_series(r#"{"a\",\"status":"500"}"#, false);
        check_series(r#"{"{\"status":"500"}"#, false);
    }

    #[test]
    fn rows_that_were_there_before_are_summed_up() {
        let conn = Connection::open_in_memory().expect("opens");
        let before = MIGRATIONS.iter().filter(|one| one.version < 122);
        for migration in before {
            conn.execute_batch(migration.sql).expect("migrates");
        }
        conn.execute_batch(NAMES).expect("inserts");
        conn.execute_batch(
            r#"INSERT INTO series (id, name_id, labels, last_seen) VALUES
                (1, 1, '{"status":"500"}', 0), (2, 1, '{"status":"200"}', 0), (3, 1, '{"status":"503"}', 0), (4, 2, '{"status":"599"}', 0);
             INSERT INTO roll_hour (name_id, bucket, series, cnt, sum, min, max, last, last_at, sk) VALUES
                (1, 0, 1, 2, 3.0, 0, 0, 0, 0, x''), (1, 0, 2, 9, 9.0, 0, 0, 0, 0, x''), (1, 0, 3, 1, 0.5, 0, 0, 0, 0, x''),
                (1, 3600000, 2, 9, 9.0, 0, 0, 0, 0, x''), (2, 0, 4, 2, 1.7e308, 0, 0, 0, 0, x'');
             INSERT INTO roll_day (name_id, bucket, series, cnt, sum, min, max, last, last_at, sk) VALUES
                (2, 0, 4, 2, 1.7e308, 0, 0, 0, 0, x''), (2, 0, 5, 2, 1.7e308, 0, 0, 0, 0, x'');
             INSERT INTO series (id, name_id, labels, last_seen) VALUES (5, 2, '{"a":"b","status":"599"}', 0);"#,
        )
        .expect("inserts");
        let new = MIGRATIONS.iter().find(|one| one.version == 122);
        conn.execute_batch(new.expect("is there").sql)
            .expect("migrates");
        let all = |tier, name| {
            let mut all = Vec::new();
            each(&conn, tier, name, (0, i64::MAX), |at, count, sum| {
                all.push((at, count, sum));
            })
            .expect("reads");
            all
        };
        assert_eq!(all(Resolution::Minute, 1), []);
        assert_eq!(all(Resolution::Hour, 1), [(0, 3.0, 3.5)]);
        assert_eq!(all(Resolution::Hour, 2), [(0, 2.0, 1.7e308)]);
        assert_eq!(all(Resolution::Day, 2), [(0, 4.0, f64::MAX)]);
    }
}
