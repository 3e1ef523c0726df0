//! What a sender had counted already, packed for the disk: histograms of one import that fall into one minute.
//!
//! ```text
//! 2 · number of entries · (series id - the one before, ms in the minute, count, sum, least, greatest, last,
//!                          length of the sketch, sketch)…
//! ```
//!
//! Numbers are LEB128, figures have 8 bytes. Entries are sorted by series and time.

use super::block::{Damaged, Entry, bounded, read_varint, write_varint};
use super::rollup::{Point, Rollup};
use super::sketch::Sketch;

pub(super) const VERSION: u8 = 2;
const MINUTE_MS: u64 = 60_000;

/// Many points of a series that came as one: their rollup.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counted {
    /// Not negative.
    pub(crate) series: i64,
    /// Milliseconds since the start of the minute, below 60,000.
    pub(crate) offset_ms: u16,
    /// The time of its last point is relative to the start of the minute in a block, and to 1970 elsewhere.
    rollup: Rollup,
}

impl Counted {
    /// What was counted of a series at `minute` plus an offset below a minute.
    pub(crate) fn new(series: i64, offset_ms: u16, mut rollup: Rollup) -> Self {
        rollup.last.at_ms = i64::from(offset_ms);
        // A sender's counts do not say which values there were.
        rollup.exact = None;
        Self {
            series,
            offset_ms,
            rollup,
        }
    }

    /// The rollup, as that of a minute that starts at milliseconds since 1970.
    pub(crate) fn rollup_in(mut self, minute_ms: i64) -> Rollup {
        self.rollup.last.at_ms += minute_ms;
        self.rollup
    }
}

/// Packs what was counted in one minute; sorts it.
pub(crate) fn encode(entries: &mut [Counted]) -> Vec<u8> {
    entries.sort_by_key(|entry| (entry.series, entry.offset_ms));
    let mut out = vec![VERSION];
    write_varint(&mut out, entries.len() as u64);
    let mut previous = 0;
    for Counted {
        series,
        offset_ms,
        rollup,
    } in &*entries
    {
        write_varint(&mut out, (series - previous).cast_unsigned());
        previous = *series;
        write_varint(&mut out, u64::from(*offset_ms));
        write_varint(&mut out, rollup.count);
        for figure in [rollup.sum, rollup.min, rollup.max, rollup.last.value] {
            out.extend_from_slice(&figure.to_le_bytes());
        }
        let sketch = rollup.sketch.encode();
        write_varint(&mut out, sketch.len() as u64);
        out.extend_from_slice(&sketch);
    }
    out
}

/// As [`super::block::visit`], behind the version.
pub(super) fn visit(
    mut rest: &[u8],
    mut want: impl FnMut(i64, u64) -> bool,
    mut each: impl FnMut(Entry),
) -> Result<(), Damaged> {
    let mut series = 0_i64;
    for _ in 0..bounded(read_varint(&mut rest)?)? {
        series = series
            .checked_add_unsigned(read_varint(&mut rest)?)
            .ok_or(Damaged)?;
        let offset_ms = read_varint(&mut rest)?;
        if offset_ms >= MINUTE_MS {
            return Err(Damaged);
        }
        let count = read_varint(&mut rest)?;
        let mut figures = [0.0; 4];
        for figure in &mut figures {
            let (bytes, behind) = rest.split_first_chunk().ok_or(Damaged)?;
            *figure = f64::from_le_bytes(*bytes);
            rest = behind;
        }
        let [sum, min, max, last] = figures;
        let length = bounded(read_varint(&mut rest)?)?;
        let (sketch, behind) = rest.split_at_checked(length).ok_or(Damaged)?;
        rest = behind;
        if !want(series, 1) {
            continue;
        }
        let rollup = Rollup {
            count,
            sum,
            min,
            max,
            last: Point {
                at_ms: 0,
                value: last,
            },
            sketch: Sketch::decode(sketch).map_err(|_| Damaged)?,
            exact: None,
        };
        each(Entry::Counted(Counted::new(
            series,
            offset_ms as u16,
            rollup,
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::block;
    use super::*;
    use proptest::prelude::*;

    fn any_counted() -> impl Strategy<Value = Vec<Counted>> {
        let values = prop::collection::vec(-1e9..1e9, 1..20);
        prop::collection::vec((1_i64..50, 0_u16..60_000, values), 0..20).prop_map(|all| {
            all.into_iter()
                .filter_map(|(series, offset_ms, values)| {
                    let mut points: Vec<Point> = values
                        .into_iter()
                        .map(|value| Point { at_ms: 0, value })
                        .collect();
                    Some(Counted::new(series, offset_ms, Rollup::of(&mut points)?))
                })
                .collect()
        })
    }

    fn decode(bytes: &[u8], want: impl FnMut(i64, u64) -> bool) -> Result<Vec<Counted>, Damaged> {
        let mut found = Vec::new();
        block::visit(bytes, want, |entry| match entry {
            Entry::Counted(counted) => found.push(counted),
            Entry::Point(point) => panic!("{point:?}"),
        })?;
        Ok(found)
    }

    proptest! {
        #[test]
        fn everything_is_read_back(mut counted in any_counted()) {
            let bytes = encode(&mut counted);
            prop_assert_eq!(&decode(&bytes, |_, _| true).expect("is a block"), &counted);
            counted.retain(|one| one.series % 2 == 0);
            prop_assert_eq!(decode(&bytes, |series, _| series % 2 == 0).expect("is a block"), counted);
        }

        #[test]
        fn damage_is_noticed_or_harmless(mut counted in any_counted(), cut in any::<prop::sample::Index>(), flip in any::<(prop::sample::Index, u8)>()) {
            let mut bytes = encode(&mut counted);
            let _ = decode(&bytes[..cut.index(bytes.len())], |_, _| true);
            let place = flip.0.index(bytes.len() - 1) + 1;
            if place < bytes.len() {
                bytes[place] ^= flip.1;
            }
            let _ = decode(&bytes, |_, _| true);
        }
    }

    #[test]
    fn times_are_those_of_the_minute() {
        let rollup = Rollup::of_one(Point {
            at_ms: 7,
            value: 2.0,
        });
        let counted = Counted::new(1, 500, rollup);
        assert_eq!(counted.rollup_in(60_000).last.at_ms, 60_500);
    }
}
