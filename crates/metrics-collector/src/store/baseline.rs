//! What the totals of imported series were when they were last read.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::HOUR_MS;
use super::retention::SERIES_A_SLICE;
use crate::domain::buckets::Buckets;
use crate::domain::change::{Known, Totals};

/// One that stands for itself is forgotten with its series; those that share one are forgotten so long after they were
/// last read, so that they make room for others.
pub(crate) const KEEP_SHARED_MS: i64 = 24 * HOUR_MS;

/// What was noted of a series, or of one that it stands for.
pub(super) fn find(conn: &Connection, series: i64, key: &str) -> Result<Option<Known>, StoreError> {
    let row = conn
        .prepare_cached(
            "SELECT at, created, total, cnt, below FROM baseline WHERE series = ?1 AND key = ?2",
        )?
        .query_row((series, key), |row| {
            let at_ms: i64 = row.get(0)?;
            let created_ms: Option<i64> = row.get(1)?;
            let total: Option<f64> = row.get(2)?;
            let count: Option<i64> = row.get(3)?;
            let below = row.get_ref(4)?.as_blob_or_null()?.map(decode);
            Ok((at_ms, created_ms, total, count, below))
        })
        .optional()?;
    Ok(row.map(|(at_ms, created_ms, total, count, below)| Known {
        at_ms,
        created_ms,
        totals: match (count, below) {
            (Some(count), Some(below)) => {
                Totals::Buckets(Buckets::new(count.cast_unsigned(), total, below))
            }
            _ => Totals::Number(total.unwrap_or_default()),
        },
    }))
}

/// Notes what was read, in place of what was noted before.
pub(super) fn write(
    conn: &Connection,
    series: i64,
    key: &str,
    known: &Known,
) -> rusqlite::Result<()> {
    let (total, count, below) = match &known.totals {
        Totals::Number(total) => (Some(*total), None, None),
        Totals::Buckets(Buckets { count, sum, below }) => {
            (*sum, Some(count.cast_signed()), Some(encode(below)))
        }
    };
    conn.prepare_cached(
        "INSERT OR REPLACE INTO baseline (series, key, at, created, total, cnt, below) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![series, key, known.at_ms, known.created_ms, total, count, below])?;
    Ok(())
}

/// Notes that nothing has changed, so that neither this nor the series is forgotten.
pub(super) fn touch(
    conn: &Connection,
    series: i64,
    key: &str,
    known: &Known,
) -> rusqlite::Result<()> {
    write(conn, series, key, known)?;
    conn.prepare_cached(
        "UPDATE series SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2 - 3600000",
    )?
    .execute([series, known.at_ms])?;
    Ok(())
}

/// How many stand for no series of their own.
pub(crate) fn count_shared(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT count(*) FROM baseline WHERE key <> ''")?
        .query_row([], |row| row.get(0))
}

/// Deletes some that share a series and were last read before a time; how many.
pub(crate) fn forget_shared(conn: &Connection, before: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM baseline WHERE (series, key) IN
         (SELECT series, key FROM baseline WHERE key <> '' AND at < ?1 LIMIT ?2)",
    )?
    .execute([before, SERIES_A_SLICE])
}

fn encode(below: &[(f64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(below.len() * 16);
    for (limit, number) in below {
        bytes.extend_from_slice(&limit.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Vec<(f64, u64)> {
    let (pairs, _) = bytes.as_chunks::<16>();
    let pair = |pair: &[u8; 16]| {
        let (limit, number) = pair.split_first_chunk::<8>()?;
        Some((
            f64::from_le_bytes(*limit),
            u64::from_le_bytes(*number.first_chunk()?),
        ))
    };
    pairs.iter().filter_map(pair).collect()
}
