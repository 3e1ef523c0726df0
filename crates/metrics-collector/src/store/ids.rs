//! Maps by row id, looked up once per series of every block.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are row ids. They are counted up by the database, so no sender can make them collide.
pub(crate) type IdMap<V> = HashMap<i64, V, BuildHasherDefault<IdHasher>>;

/// Multiplies by 2^64 divided by the golden ratio, which spreads numbers that follow each other (D. Knuth, "The Art of
/// Computer Programming", volume 3, section 6.4).
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_i64(&mut self, id: i64) {
        self.write_u64(id.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        // The table looks at the lowest and the highest bits; the good ones are at the top.
        self.0 ^ (self.0 >> 32)
    }
}
