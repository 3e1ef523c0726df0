//! Remembers which series a metric's bytes name, so that the usual metric costs one look-up and no SQL.
//!
//! The key is what the sender wrote: type, name, project and the labels' raw bytes. Label sets in different orders are
//! different keys of one series. Two generations bound the memory: when the young one is full it becomes the old one and
//! the old one is forgotten; what is still used moves over at its next look-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::metric::Item;

/// Entries of one generation.
const GENERATION_ENTRIES: usize = 16_384;
/// Key bytes of one generation.
const GENERATION_BYTES: usize = 3 * 1024 * 1024;
/// Longer keys are not remembered.
const LONGEST_KEY: usize = 8 * 1024;

/// The bounded memory of series ids.
#[derive(Default)]
pub(crate) struct Dictionary {
    generations: Mutex<Generations>,
    /// Raised whenever series are deleted: ids looked up before are worth nothing then.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Generations {
    epoch: u64,
    young: HashMap<Box<[u8]>, i64>,
    old: HashMap<Box<[u8]>, i64>,
    young_bytes: usize,
}

impl Dictionary {
    /// The state that looked-up ids belong to.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Makes all ids that were given out so far invalid.
    pub(crate) fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// The series of a key, when it is known in this epoch.
    pub(crate) fn find(&self, epoch: u64, key: &[u8]) -> Option<i64> {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !generations.is_of(epoch) {
            return None;
        }
        if let Some(&id) = generations.young.get(key) {
            return Some(id);
        }
        // Moved, not copied: a key takes its memory once.
        let (key, id) = generations.old.remove_entry(key)?;
        generations.insert(key, id);
        Some(id)
    }

    /// Remembers a series that was committed in this epoch.
    pub(crate) fn insert(&self, epoch: u64, key: Box<[u8]>, id: i64) {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if generations.is_of(epoch) && key.len() <= LONGEST_KEY {
            generations.insert(key, id);
        }
    }

    /// Keys that are remembered.
    pub(crate) fn len(&self) -> usize {
        let generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.young.len() + generations.old.len()
    }
}

impl Generations {
    /// Whether the memory can be used for this epoch; a newer epoch empties it.
    fn is_of(&mut self, epoch: u64) -> bool {
        if epoch > self.epoch {
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
        epoch == self.epoch
    }

    fn insert(&mut self, key: Box<[u8]>, id: i64) {
        if self.young.len() >= GENERATION_ENTRIES || self.young_bytes + key.len() > GENERATION_BYTES
        {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += key.len();
        self.young.insert(key, id);
    }
}

/// Writes the key of an item into `key`. Lengths go first, so that no two items share one.
pub(crate) fn write_key(item: &Item<'_>, key: &mut Vec<u8>) {
    key.clear();
    key.push(item.kind.code());
    key.extend_from_slice(&(item.name.len() as u32).to_le_bytes());
    key.extend_from_slice(item.name.as_bytes());
    let project = item.project.as_deref().unwrap_or_default();
    key.extend_from_slice(&(project.len() as u32).to_le_bytes());
    key.extend_from_slice(project.as_bytes());
    key.extend_from_slice(item.labels.unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Box<[u8]> {
        n.to_le_bytes().into()
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let dictionary = Dictionary::default();
        for n in 0..100_000 {
            dictionary.insert(0, key(n), n as i64);
            assert_eq!(dictionary.find(0, &key(0)), Some(0), "after {n}");
        }
        assert!(dictionary.len() <= 2 * GENERATION_ENTRIES);
        assert_eq!(dictionary.find(0, &key(99_999)), Some(99_999));
        assert_eq!(dictionary.find(0, &key(1)), None);
        let long: Box<[u8]> = vec![0; LONGEST_KEY + 1].into();
        dictionary.insert(0, long.clone(), 7);
        assert_eq!(dictionary.find(0, &long), None);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let dictionary = Dictionary::default();
        for n in 0..2000_usize {
            let mut key = vec![0; 8000];
            key[..8].copy_from_slice(&n.to_le_bytes());
            dictionary.insert(0, key.into(), 1);
        }
        assert!(dictionary.len() * 8000 <= 2 * GENERATION_BYTES);
    }

    #[test]
    fn a_new_epoch_forgets_everything() {
        let dictionary = Dictionary::default();
        dictionary.insert(dictionary.epoch(), key(1), 1);
        let before = dictionary.epoch();
        dictionary.forget_all();
        assert_eq!(dictionary.find(dictionary.epoch(), &key(1)), None);
        // An answer that comes late belongs to the epoch of its question.
        dictionary.insert(before, key(1), 1);
        assert_eq!(dictionary.find(dictionary.epoch(), &key(1)), None);
        assert_eq!(dictionary.find(before, &key(1)), None);
    }
}
