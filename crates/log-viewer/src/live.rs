//! New entries on their way to the live tails.
//!
//! Batches are announced after their commit. Each is serialized once, whoever listens, and kept in a ring of
//! `BATCHES`: a client that is slower than that finds a gap and reads what it missed from the database. Nobody waits
//! for a slow client.

use std::sync::Arc;

use monlight_shared::metrics::{Counter, Registry};
use tokio::sync::broadcast;

use crate::domain::entry::{Entry, Level};
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
    /// In the order of their ids.
    pub entries: Vec<LiveEntry>,
}

/// An entry, ready to be sent.
#[derive(Debug)]
pub struct LiveEntry {
    /// The container's name.
    pub container: Arc<str>,
    /// How bad it is.
    pub level: Level,
    /// The entry as JSON, on one line.
    pub json: String,
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
    pub fn publish(&self, batch: &Batch, stored: &Stored) {
        if batch.entries.is_empty() || self.sender.receiver_count() == 0 {
            return;
        }
        let names: Vec<Arc<str>> = batch
            .containers
            .iter()
            .map(|container| container.name.as_str().into())
            .collect();
        let entries = stored
            .order
            .iter()
            .zip(stored.first_id..)
            .filter_map(|(index, id)| {
                let (container, entry) = batch.entries.get(*index)?;
                let container = names.get(*container)?;
                let level = entry.level;
                let entry = Entry {
                    id,
                    time_ns: entry.time_ns,
                    container: container.to_string(),
                    stream: entry.stream,
                    level,
                    message: entry.message.clone(),
                };
                Some(LiveEntry {
                    container: Arc::clone(container),
                    level,
                    json: json::entry(&entry),
                })
            })
            .collect();
        // An error only says that the last listener has just left.
        let _ = self.sender.send(Arc::new(LiveBatch {
            first_id: stored.first_id,
            entries,
        }));
    }
}
