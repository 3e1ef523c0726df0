//! Splits a stretch of time into pieces that can be answered from one kind of data each.
//!
//! A rollup row is used only where it shows everything that was accepted. Minutes that are open, not rolled up yet or
//! touched by a late point are read from their blocks; hours with such minutes are read by the minute. So an answer
//! never misses a point, whatever the rollup is doing.

use rusqlite::Connection;

use super::watermark::Watermark;
use super::{HOUR_MS, MINUTE_MS};
use crate::domain::range::Resolution;

/// A part of a stretch of time, and where its data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Rows of a tier, `from` to before `to`.
    Rows {
        tier: Resolution,
        from: i64,
        to: i64,
    },
    /// The blocks of one minute, points from `since` on.
    Blocks { minute: i64, since: i64 },
}

/// The pieces of `from` to before `to`, in order of time.
///
/// With [`Resolution::Hour`] complete hours come from hour rows; parts of hours, and hours that are not rolled up, come
/// by the minute. Where the minutes of the first hour are gone already, the whole hour counts; where the points of the
/// first minute are gone, the whole minute.
pub(crate) fn plan(
    conn: &Connection,
    from: i64,
    to: i64,
    coarsest: Resolution,
) -> rusqlite::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    if from >= to {
        return Ok(pieces);
    }
    if coarsest == Resolution::Minute {
        by_the_minute(conn, from, to, &mut pieces)?;
        return Ok(pieces);
    }
    let minute_floor = Watermark::MinuteFloor.read_floor(conn)?;
    let mut from = from;
    let first_hour = Resolution::Hour.bucket_of(from);
    if first_hour < from {
        if first_hour < minute_floor {
            from = first_hour;
        } else {
            let next = first_hour + HOUR_MS;
            by_the_minute(conn, from, next.min(to), &mut pieces)?;
            from = next;
        }
    }
    let last_hour = Resolution::Hour.bucket_of(to);
    while from < last_hour {
        let dirty = next_dirty(
            conn,
            "SELECT min(hour) FROM dirty_hour WHERE hour >= ?1 AND hour < ?2",
            from,
            last_hour,
        )?;
        let end = dirty.unwrap_or(last_hour);
        if from < end {
            pieces.push(Piece::Rows {
                tier: Resolution::Hour,
                from,
                to: end,
            });
        }
        from = end;
        if dirty.is_some() {
            by_the_minute(conn, from, from + HOUR_MS, &mut pieces)?;
            from += HOUR_MS;
        }
    }
    if from < to {
        by_the_minute(conn, from, to, &mut pieces)?;
    }
    Ok(pieces)
}

fn by_the_minute(
    conn: &Connection,
    from: i64,
    to: i64,
    pieces: &mut Vec<Piece>,
) -> rusqlite::Result<()> {
    let mut from = from;
    let first_minute = Resolution::Minute.bucket_of(from);
    if first_minute < from {
        if first_minute >= Watermark::RawFloor.read_floor(conn)? {
            pieces.push(Piece::Blocks {
                minute: first_minute,
                since: from,
            });
            from = first_minute + MINUTE_MS;
        } else {
            from = first_minute;
        }
    }
    while from < to {
        let dirty = next_dirty(
            conn,
            "SELECT min(minute) FROM dirty_minute WHERE minute >= ?1 AND minute < ?2",
            from,
            to,
        )?;
        let end = dirty.unwrap_or(to);
        if from < end {
            pieces.push(Piece::Rows {
                tier: Resolution::Minute,
                from,
                to: end,
            });
        }
        from = end;
        if dirty.is_some() {
            pieces.push(Piece::Blocks {
                minute: from,
                since: from,
            });
            from += MINUTE_MS;
        }
    }
    Ok(())
}

fn next_dirty(conn: &Connection, sql: &str, from: i64, to: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(sql)?
        .query_row([from, to], |row| row.get(0))
}
