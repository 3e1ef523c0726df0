//! The figures of `GET /health`.

use rusqlite::Connection;

use super::watermark::Watermark;
use super::{MINUTE_MS, blocks};
use crate::domain::range::Resolution;

const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// What the service has done lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Points whose time lies in the last 24 hours.
    pub(crate) received_24h: i64,
    /// The newest minute closed by the rollup.
    pub(crate) last_rolled: Option<i64>,
}

/// Counts. Minutes that are not rolled up are counted block by block.
pub(crate) fn figures(conn: &Connection, now_ms: i64) -> rusqlite::Result<Figures> {
    let since = Resolution::Minute.bucket_of(now_ms - DAY_MS);
    let mut received_24h: i64 = conn
        .prepare_cached(
            "SELECT ifnull(sum(n), 0) FROM received
             WHERE minute >= ?1 AND minute NOT IN (SELECT minute FROM dirty_minute)",
        )?
        .query_row([since], |row| row.get(0))?;
    let dirty: Vec<i64> = conn
        .prepare_cached("SELECT minute FROM dirty_minute WHERE minute >= ?1")?
        .query_map([since], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for minute in dirty {
        received_24h += blocks::count(conn, minute)?;
    }
    Ok(Figures {
        received_24h,
        last_rolled: Watermark::LastRolled.read(conn)?,
    })
}
