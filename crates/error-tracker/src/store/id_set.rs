//! Many numbers of groups in little memory.

use std::collections::BTreeMap;

/// Numbers in one block, as bits.
const BLOCK_BITS: u32 = 10;
const WORDS: usize = 1 << (BLOCK_BITS - 6);

/// A set of group numbers: two bits for each that is there or might be, as long as the numbers lie close together.
#[derive(Debug, Default)]
pub(super) struct IdSet {
    blocks: BTreeMap<i64, [u64; WORDS]>,
    len: usize,
}

impl IdSet {
    pub(super) fn insert(&mut self, id: i64) {
        let (block, word, bit) = place(id);
        let words = self.blocks.entry(block).or_insert([0; WORDS]);
        if let Some(word) = words.get_mut(word) {
            self.len += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        let (block, word, bit) = place(id);
        let words = self.blocks.get(&block);
        words
            .and_then(|words| words.get(word))
            .is_some_and(|word| word & bit != 0)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.blocks.iter().flat_map(|(block, words)| {
            let ids = (0_i64..).zip(words).flat_map(|(index, word)| {
                let set = (0..64).filter(move |bit| word >> bit & 1 == 1);
                set.map(move |bit| index * 64 + bit)
            });
            ids.map(move |id| (block << BLOCK_BITS) + id)
        })
    }
}

/// Block, word in it, bit in that.
fn place(id: i64) -> (i64, usize, u64) {
    let word = (id >> 6) as usize & (WORDS - 1);
    (id >> BLOCK_BITS, word, 1 << (id & 63))
}

impl FromIterator<i64> for IdSet {
    fn from_iter<I: IntoIterator<Item = i64>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(ids in prop::collection::vec(prop_oneof![0..3_000_i64, any::<i64>()], 0..200), other: i64) {
            let model: BTreeSet<i64> = ids.iter().copied().collect();
            let set: IdSet = ids.iter().copied().collect();
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(ids.iter().all(|id| set.contains(*id)));
            prop_assert_eq!(set.contains(other), model.contains(&other));
        }
    }
}
