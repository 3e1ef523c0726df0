//! New entries on their way to the live tails.
//!
//! Batches are announced after their commit. Each entry is serialized once, when the first client wants it, and the batch
//! kept in a ring of `BATCHES`: a client that is slower than that finds a gap and reads what it missed from the database. Nobody waits
//! for a slow client.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use monlight_shared::http::sse::Event;
use monlight_shared::metrics::{Counter, Registry};
use tokio::sync::broadcast;

use crate::domain::entry::Entry;
use crate::domain::matching::Seen;
use crate::json;
use crate::store::ring::{Batch, Stored};

/// Batches that wait for slow clients. One holds at most about 1000 entries or 256 KiB of text, unless a single entry is
/// larger.
const BATCHES: usize = 16;

/// Entries of one commit. Their ids follow each other without gaps.
#[derive(Debug)]
pub struct LiveBatch {
    /// Of the first entry.
    pub first_id: i64,
    batch: Arc<Batch>,
    /// Indexes into the batch, in the order of ids.
    order: Vec<usize>,
    /// Each entry as an event, made when the first client wants it.
    events: Vec<OnceLock<Bytes>>,
}

impl LiveBatch {
    /// The greatest id in it.
    pub fn last_id(&self) -> i64 {
        self.first_id + self.order.len() as i64 - 1
    }

    /// Its entries as filters see them, in the order of ids, each with its place.
    pub fn entries(&self) -> impl Iterator<Item = (usize, Seen<'_>)> {
        let seen = |index: usize| {
            let (container, entry) = self.batch.entries.get(index)?;
            let container = self.batch.containers.get(*container)?;
            Some(Seen {
                container: &container.name,
                project: &container.project,
                service: &container.service,
                stream: entry.stream,
                level: entry.level,
                message: &entry.message,
                fields: entry.fields.as_deref(),
            })
        };
        self.order
            .iter()
            .enumerate()
            .filter_map(move |(place, index)| Some((place, seen(*index)?)))
    }

    /// The entry at a place as a server-sent event.
    pub fn event(&self, place: usize) -> Option<Bytes> {
        let event = self.events.get(place)?;
        if let Some(event) = event.get() {
            return Some(event.clone());
        }
        let (container, new) = self.batch.entries.get(*self.order.get(place)?)?;
        let entry = Entry {
            id: self.first_id + place as i64,
            time_ns: new.time_ns,
            container: self.batch.containers.get(*container)?.name.clone(),
            stream: new.stream,
            level: new.level,
            message: new.message.clone(),
        };
        Some(event.get_or_init(|| log_event(&entry)).clone())
    }
}

/// An entry as a server-sent event.
pub fn log_event(entry: &Entry) -> Bytes {
    let event = Event::data(json::entry(entry)).named("log");
    Bytes::from(event.with_id(entry.id.to_string()).encode())
}

/// Where commits are announced. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    sender: broadcast::Sender<Arc<LiveBatch>>,
    /// Batches that a client was too slow for.
    pub skipped: Counter,
}

impl Hub {
    /// A hub without listeners.
    pub fn new(metrics: &Registry) -> Self {
        let skipped = metrics.counter(
            "monlight_log_tail_batches_skipped_total",
            "Batches that a live tail was too slow for and had to read from the database.",
            &[],
        );
        Self {
            sender: broadcast::Sender::new(BATCHES),
            skipped,
        }
    }

    /// Hears of everything that is published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LiveBatch>> {
        self.sender.subscribe()
    }

    /// Announces a batch that was stored. Costs nothing when nobody listens.
    pub fn publish(&self, batch: &Arc<Batch>, stored: &Stored) {
        if batch.entries.is_empty() || self.sender.receiver_count() == 0 {
            return;
        }
        // An error only says that the last listener has just left.
        let _ = self.sender.send(Arc::new(LiveBatch {
            first_id: stored.first_id,
            batch: Arc::clone(batch),
            order: stored.order.clone(),
            events: stored.order.iter().map(|_| OnceLock::new()).collect(),
        }));
    }
}
