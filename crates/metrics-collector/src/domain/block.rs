//! What came in, packed for the disk: the points of one batch that fall into one minute, or what a sender had counted
//! already ([`super::counted_block`]).
//!
//! ```text
//! 1 · number of series · (series id - the one before, points)… · (ms - the point before)… · values, 8 bytes each
//! ```
//!
//! Numbers are LEB128. Series are sorted by id and the points of a series by time, so both are small differences. A reader
//! that wants few of the series skips the others without looking at their values.

use super::counted_block::{self, Counted};

const VERSION: u8 = 1;
/// More series in one block than any batch can hold are a sign of damage.
const MAX_COUNT: u64 = 1 << 24;

/// A point of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlockPoint {
    /// Not negative.
    pub(crate) series: i64,
    /// Milliseconds since the start of the minute, below 60,000.
    pub(crate) offset_ms: u16,
    pub(crate) value: f64,
}

/// What a block holds of a series.
#[derive(Debug)]
pub(crate) enum Entry {
    Point(BlockPoint),
    /// Many points that are not known one by one.
    Counted(Counted),
}

/// Stored bytes that no block was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored block of points is damaged")]
pub(crate) struct Damaged;

/// Packs points of one minute; sorts them.
pub(crate) fn encode(points: &mut [BlockPoint]) -> Vec<u8> {
    points.sort_unstable_by_key(|point| (point.series, point.offset_ms));
    let mut out = Vec::with_capacity(16 + points.len() * 13);
    out.push(VERSION);
    let groups = || points.chunk_by(|a, b| a.series == b.series);
    write_varint(&mut out, groups().count() as u64);
    let mut previous = 0;
    for group in groups() {
        write_varint(&mut out, (group[0].series - previous).cast_unsigned());
        write_varint(&mut out, group.len() as u64);
        previous = group[0].series;
    }
    for group in groups() {
        let mut previous = 0;
        for point in group {
            write_varint(&mut out, u64::from(point.offset_ms - previous));
            previous = point.offset_ms;
        }
    }
    for point in &*points {
        out.extend_from_slice(&point.value.to_le_bytes());
    }
    out
}

/// Calls `each` for every entry of the series that `want` says yes to. `want` hears the id and the number of entries.
pub(crate) fn visit(
    block: &[u8],
    mut want: impl FnMut(i64, u64) -> bool,
    mut each: impl FnMut(Entry),
) -> Result<(), Damaged> {
    let (&version, mut directory) = block.split_first().ok_or(Damaged)?;
    match version {
        VERSION => {}
        counted_block::VERSION => return counted_block::visit(directory, want, each),
        _ => return Err(Damaged),
    }
    let series_count = bounded(read_varint(&mut directory)?)?;
    let mut times = directory;
    let mut total = 0;
    for _ in 0..series_count {
        read_varint(&mut times)?;
        total += bounded(read_varint(&mut times)?)?;
    }
    let values_at = times
        .len()
        .checked_sub(total.checked_mul(8).ok_or(Damaged)?)
        .ok_or(Damaged)?;
    let (mut times, mut values) = times.split_at(values_at);
    let mut series = 0_i64;
    for _ in 0..series_count {
        series = series
            .checked_add_unsigned(read_varint(&mut directory)?)
            .ok_or(Damaged)?;
        let count = bounded(read_varint(&mut directory)?)?;
        let wanted = want(series, count as u64);
        let (mine, rest) = values.split_at_checked(count * 8).ok_or(Damaged)?;
        values = rest;
        if !wanted {
            skip_varints(&mut times, count)?;
            continue;
        }
        let mut offset_ms = 0_u16;
        for value in mine.chunks_exact(8) {
            let step = u16::try_from(read_varint(&mut times)?).map_err(|_| Damaged)?;
            offset_ms = offset_ms.checked_add(step).ok_or(Damaged)?;
            let value = f64::from_le_bytes(value.try_into().map_err(|_| Damaged)?);
            each(Entry::Point(BlockPoint {
                series,
                offset_ms,
                value,
            }));
        }
    }
    Ok(())
}

pub(super) fn bounded(count: u64) -> Result<usize, Damaged> {
    if count > MAX_COUNT {
        Err(Damaged)
    } else {
        usize::try_from(count).map_err(|_| Damaged)
    }
}

pub(super) fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Passes over some numbers without reading them: each ends with the first byte whose highest bit is not set.
fn skip_varints(bytes: &mut &[u8], count: usize) -> Result<(), Damaged> {
    let mut left = count;
    let ends = bytes.iter().position(|&byte| {
        left -= usize::from(byte < 0x80);
        left == 0
    });
    if count > 0 {
        *bytes = bytes.get(ends.ok_or(Damaged)? + 1..).ok_or(Damaged)?;
    }
    Ok(())
}

pub(super) fn read_varint(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(n);
        }
    }
    Err(Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(block: &[u8]) -> Vec<BlockPoint> {
        let mut points = Vec::new();
        visit(block, |_, _| true, |entry| points.push(point(entry))).expect("is a block");
        points
    }

    fn point(entry: Entry) -> BlockPoint {
        match entry {
            Entry::Point(point) => point,
            Entry::Counted(counted) => panic!("{counted:?}"),
        }
    }

    fn any_points() -> impl Strategy<Value = Vec<BlockPoint>> {
        let series = prop_oneof![1_i64..20, 1_i64..1_000_000, Just(i64::from(u32::MAX))];
        prop::collection::vec((series, 0_u16..60_000, -1e300..1e300), 0..200).prop_map(|points| {
            points
                .into_iter()
                .map(|(series, offset_ms, value)| BlockPoint {
                    series,
                    offset_ms,
                    value,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_point_is_read_back(mut points in any_points()) {
            let block = encode(&mut points);
            prop_assert_eq!(decode(&block), points);
        }

        #[test]
        fn unwanted_series_are_skipped(mut points in any_points()) {
            let block = encode(&mut points);
            let mut seen = Vec::new();
            let mut counted = 0;
            visit(&block, |series, count| { counted += count; series % 2 == 0 }, |entry| seen.push(point(entry))).expect("is a block");
            points.retain(|point| point.series % 2 == 0);
            prop_assert_eq!(seen, points);
            prop_assert_eq!(counted as usize, decode(&block).len());
        }

        #[test]
        fn damage_is_noticed_or_harmless(mut points in any_points(), cut in any::<prop::sample::Index>(), flip in any::<(prop::sample::Index, u8)>()) {
            let mut block = encode(&mut points);
            let _ = visit(&block[..cut.index(block.len())], |_, _| true, |_| {});
            let place = flip.0.index(block.len());
            block[place] ^= flip.1;
            let _ = visit(&block, |_, _| true, |_| {});
        }
    }

    #[test]
    fn a_batch_of_a_hundred_points_is_small() {
        let mut points: Vec<BlockPoint> = (0..100)
            .map(|n| BlockPoint {
                series: 5000 + n * 9,
                offset_ms: 30_000,
                value: 0.1,
            })
            .collect();
        assert!(encode(&mut points).len() <= 1320);
    }
}
