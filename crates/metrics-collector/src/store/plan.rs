//! Splits a stretch of time into pieces that can be answered from one kind of data each.
//!
//! A rollup row is used only where it shows everything that was accepted. Minutes that are open, not rolled up yet or
//! touched by a late point are read from their blocks; hours with such minutes are read by the minute, and days with such
//! hours by the hour. So an answer never misses a point, whatever the rollup is doing.

use rusqlite::Connection;

use super::MINUTE_MS;
use super::watermark::Watermark;
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
    /// The blocks of one minute, points from `since` to before `until`.
    Blocks { minute: i64, since: i64, until: i64 },
}

impl Piece {
    /// What of it lies in `from` to before `to`, which are the limits of minutes and of buckets of its tier.
    pub(super) fn within(&self, from: i64, to: i64) -> Option<Self> {
        match *self {
            Self::Rows {
                tier,
                from: first,
                to: end,
            } => {
                let (from, to) = (first.max(from), end.min(to));
                (from < to).then_some(Self::Rows { tier, from, to })
            }
            Self::Blocks { minute, .. } => (from..to).contains(&minute).then_some(*self),
        }
    }
}

/// The pieces of `from` to before `to`.
///
/// Complete buckets of the coarsest tier come from its rows; parts of them, and those that are not rolled up, come from
/// the next finer one. Where the finer rows, or the points, of a bucket that begins before `from` are gone already, the
/// whole bucket counts; where those of the last one are gone, none of it. So stretches that follow each other count
/// everything once.
pub(crate) fn plan(
    conn: &Connection,
    from: i64,
    to: i64,
    coarsest: Resolution,
) -> rusqlite::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    split(conn, coarsest, from, to, &mut pieces)?;
    Ok(pieces)
}

fn split(
    conn: &Connection,
    tier: Resolution,
    from: i64,
    to: i64,
    pieces: &mut Vec<Piece>,
) -> rusqlite::Result<()> {
    let Some(finer) = tier.finer() else {
        return by_the_minute(conn, from, to, pieces);
    };
    let mut from = from;
    let first = tier.bucket_of(from);
    if first < from {
        if first < floor_of(finer).read_floor(conn)? {
            from = first;
        } else {
            let next = first + tier.step_ms();
            split(conn, finer, from, next.min(to), pieces)?;
            from = next;
        }
    }
    let end = tier.bucket_of(to);
    while from < end {
        let dirty = rows(conn, tier, from, end, pieces)?;
        from = dirty.unwrap_or(end);
        if dirty.is_some() {
            split(conn, finer, from, from + tier.step_ms(), pieces)?;
            from += tier.step_ms();
        }
    }
    if from < to {
        split(conn, finer, from, to, pieces)?;
    }
    Ok(())
}

/// The mark before which a tier has no rows.
const fn floor_of(tier: Resolution) -> Watermark {
    match tier {
        Resolution::Minute => Watermark::MinuteFloor,
        Resolution::Hour | Resolution::Day => Watermark::HourFloor,
    }
}

fn by_the_minute(
    conn: &Connection,
    from: i64,
    to: i64,
    pieces: &mut Vec<Piece>,
) -> rusqlite::Result<()> {
    let tier = Resolution::Minute;
    let has_points =
        |minute| Ok::<_, rusqlite::Error>(minute >= Watermark::RawFloor.read_floor(conn)?);
    let mut from = from;
    let first = tier.bucket_of(from);
    if first < from && from < to {
        if has_points(first)? {
            let until = to.min(first + MINUTE_MS);
            pieces.push(Piece::Blocks {
                minute: first,
                since: from,
                until,
            });
            from = first + MINUTE_MS;
        } else {
            from = first;
        }
    }
    let end = tier.bucket_of(to);
    while from < end {
        let dirty = rows(conn, tier, from, end, pieces)?;
        from = dirty.unwrap_or(end);
        if dirty.is_some() {
            let until = from + MINUTE_MS;
            pieces.push(Piece::Blocks {
                minute: from,
                since: from,
                until,
            });
            from = until;
        }
    }
    if from < to && has_points(end)? {
        pieces.push(Piece::Blocks {
            minute: end,
            since: end,
            until: to,
        });
    }
    Ok(())
}

/// Adds the rows from `from` up to the first bucket that has to be answered from finer data; which one that is.
fn rows(
    conn: &Connection,
    tier: Resolution,
    from: i64,
    end: i64,
    pieces: &mut Vec<Piece>,
) -> rusqlite::Result<Option<i64>> {
    let sql = match tier {
        Resolution::Minute => {
            "SELECT min(minute) FROM dirty_minute WHERE minute >= ?1 AND minute < ?2"
        }
        Resolution::Hour => "SELECT min(hour) FROM dirty_hour WHERE hour >= ?1 AND hour < ?2",
        Resolution::Day => "SELECT min(day) FROM dirty_day WHERE day >= ?1 AND day < ?2",
    };
    let dirty: Option<i64> = conn
        .prepare_cached(sql)?
        .query_row([from, end], |row| row.get(0))?;
    let to = dirty.unwrap_or(end);
    if from < to {
        pieces.push(Piece::Rows { tier, from, to });
    }
    Ok(dirty)
}
