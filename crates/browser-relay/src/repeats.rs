//! Events that pages send again because no answer reached them.
//!
//! A page gives an event an id and repeats it with the event. Which idempotency key an id got is remembered, so that the
//! repetition goes on with the same key, and the service behind knows whether it has the event already. This is memory only:
//! a page that repeats an event across a restart of the relay may have it counted twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use monlight_shared::idempotency::Key;
use monlight_shared::metrics::{Counter, Gauge, Registry};

use crate::domain::event::EventId;
use crate::telemetry::EventKind;

/// Ids that are remembered; the oldest go first. 2 MB, which is not more after millions of events.
const MOST_IDS: usize = 25_000;
/// A map that is more than half full when removed names have used up its places grows.
const ROOM: usize = 2 * MOST_IDS;

/// The ids of the latest events.
pub(crate) struct Repeats {
    known: Mutex<Known>,
    shown: Gauge,
    repeated: Counter,
}

/// An id counts for its DSN key only, so that no site can touch the events of another.
type Name = (EventKind, i64, EventId);

struct Known {
    /// By the hashes of their names, which nobody outside can aim at: their secret is new with each start.
    keys: HashMap<u64, Key>,
    /// Of the hashes, the oldest first.
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl Repeats {
    pub(crate) fn new(metrics: &Registry) -> Self {
        metrics
            .gauge(
                "monlight_relay_event_ids_max",
                "The most ids of events that are remembered.",
                &[],
            )
            .set(MOST_IDS as i64);
        Self {
            known: Mutex::new(Known {
                keys: HashMap::with_capacity(ROOM),
                order: VecDeque::with_capacity(MOST_IDS),
                hasher: RandomState::new(),
            }),
            shown: metrics.gauge(
                "monlight_relay_event_ids",
                "Ids of events that would be noticed if they were sent again.",
                &[],
            ),
            repeated: metrics.counter(
                "monlight_relay_events_repeated_total",
                "Events that pages have sent again.",
                &[],
            ),
        }
    }

    /// The idempotency key of an event that came with this DSN key: that of its first attempt, else a new one.
    pub(crate) fn key(
        &self,
        kind: EventKind,
        key_id: i64,
        id: Option<EventId>,
        new_key: impl FnOnce() -> Key,
    ) -> Key {
        let Some(id) = id else { return new_key() };
        let name: Name = (kind, key_id, id);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = known.hasher.hash_one(name);
        if let Some(key) = known.keys.get(&name) {
            self.repeated.inc();
            return *key;
        }
        if known.order.len() == MOST_IDS
            && let Some(oldest) = known.order.pop_front()
        {
            known.keys.remove(&oldest);
        }
        let key = new_key();
        known.keys.insert(name, key);
        known.order.push_back(name);
        self.shown.set(known.order.len() as i64);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Option<EventId> {
        EventId::parse(&format!("{number:032x}"))
    }

    fn key(number: usize) -> Key {
        Key::new(number as i64, 0, 0)
    }

    #[test]
    fn a_repetition_has_the_key_of_the_first_attempt() {
        let repeats = Repeats::new(&Registry::default());
        assert_eq!(repeats.key(EventKind::Error, 1, id(1), || key(1)), key(1));
        assert_eq!(repeats.key(EventKind::Error, 1, id(1), || key(2)), key(1));
        assert_eq!(repeats.key(EventKind::Error, 1, id(2), || key(3)), key(3));
        assert_eq!(
            repeats.key(EventKind::Error, 2, id(1), || key(4)),
            key(4),
            "of another site"
        );
        assert_eq!(repeats.key(EventKind::Error, 1, None, || key(5)), key(5));
        assert_eq!(repeats.key(EventKind::Error, 1, None, || key(6)), key(6));
        assert_eq!(repeats.key(EventKind::Metrics, 1, id(1), || key(7)), key(7));
        assert_eq!((repeats.shown.get(), repeats.repeated.get()), (4, 1));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let repeats = Repeats::new(&Registry::default());
        let room = || {
            let known = repeats.known.lock().expect("no panic");
            (known.keys.capacity(), known.order.capacity())
        };
        let (at_first, last) = (room(), 9 * MOST_IDS);
        for number in 0..=last {
            repeats.key(EventKind::Error, 1, id(number), || key(number));
        }
        assert_eq!(repeats.shown.get(), MOST_IDS as i64);
        assert!(room() <= at_first, "{:?}", room());
        let oldest = last + 1 - MOST_IDS;
        let again = repeats.key(EventKind::Error, 1, id(oldest), || key(0));
        assert_eq!(again, key(oldest));
        let again = repeats.key(EventKind::Error, 1, id(oldest - 1), || key(0));
        assert_eq!(again, key(0), "forgotten");
    }
}
