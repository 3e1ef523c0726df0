//! Holding the ring to its limits: entries, age, bytes.

use std::time::Duration;

use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;

use crate::store::keep::{self, Slice};
use crate::store::ring::{Limits, Stored};

/// How often entries that grew too old are looked for.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Slices of forgetting between two looks at the files.
const SLICES_IN_A_ROW: usize = 32;

/// How much is kept; whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many entries.
    pub entries: i64,
    /// Entries that are not older than this.
    pub age: Option<Duration>,
    /// A database of so many bytes.
    pub bytes: Option<u64>,
}

pub(super) struct Keeper {
    keep: Keep,
    /// Something may be beyond a limit.
    is_over: bool,
    /// When entries that grew too old were looked for last, as monotonic time.
    looked: Option<Duration>,
    entries: Gauge,
    dropped_for_entries: Counter,
    dropped_for_age: Counter,
    dropped_for_bytes: Counter,
}

impl Keeper {
    pub(super) fn new(keep: Keep, metrics: &Registry) -> Self {
        let dropped = |reason: &str| {
            metrics.counter(
                "monlight_log_entries_dropped_total",
                "Entries dropped because there were too many, they were too old, or the database was too large.",
                &[("reason", reason)],
            )
        };
        let limit = |limit: &str, value: i64| {
            metrics
                .gauge(
                    "monlight_log_keep_limit",
                    "How much is kept: entries, seconds, bytes. Limits that are not set are not there.",
                    &[("limit", limit)],
                )
                .set(value);
        };
        limit("entries", keep.entries);
        if let Some(age) = keep.age {
            limit("seconds", age.as_secs().cast_signed());
        }
        if let Some(bytes) = keep.bytes {
            limit("bytes", bytes.cast_signed());
        }
        Self {
            keep,
            is_over: true,
            looked: None,
            entries: metrics.gauge("monlight_log_entries", "Entries that are kept.", &[]),
            dropped_for_entries: dropped("entries"),
            dropped_for_age: dropped("age"),
            dropped_for_bytes: dropped("bytes"),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            entries: self.keep.entries,
            bytes: self.keep.bytes,
        }
    }

    /// The earliest time of an entry that is kept, in nanoseconds since 1970.
    pub(super) fn oldest_ns(&self, now_ns: i64) -> i64 {
        let age = self
            .keep
            .age
            .map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        age.map_or(i64::MIN, |age| now_ns.saturating_sub(age))
    }

    /// Entries that were too old when they came.
    pub(super) fn note_too_old(&self, count: usize) {
        self.dropped_for_age.add(count as u64);
    }

    pub(super) fn note(&mut self, stored: &Stored) {
        self.entries.set(stored.entries);
        self.dropped_for_entries
            .add(stored.forgotten.cast_unsigned());
        let displaced = match self.keep.bytes {
            Some(_) => &self.dropped_for_bytes,
            None => &self.dropped_for_entries,
        };
        displaced.add(stored.displaced.cast_unsigned());
        self.is_over |= stored.is_too_large;
    }

    /// Forgets what is beyond a limit. `true` when there is more to do.
    pub(super) fn run(&mut self, ctx: &Context, now_ns: i64) -> Result<bool, StoreError> {
        let now = ctx.clock.monotonic();
        let is_due = self
            .looked
            .is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY);
        if self.keep.age.is_some() && is_due {
            self.is_over = true;
        }
        if !self.is_over {
            return Ok(false);
        }
        self.looked = Some(now);
        let keep = self.keep;
        let mut left = SLICES_IN_A_ROW;
        let forgotten = in_slices(ctx, &mut left, move |conn| {
            keep::forget_excess(conn, keep.entries)
        })?;
        self.dropped_for_entries.add(forgotten);
        if keep.age.is_some() {
            let oldest_ns = self.oldest_ns(now_ns);
            let forgotten = in_slices(ctx, &mut left, move |conn| {
                keep::forget_older(conn, oldest_ns)
            })?;
            self.dropped_for_age.add(forgotten);
        }
        if let Some(bytes) = keep.bytes {
            let forgotten = in_slices(ctx, &mut left, move |conn| {
                keep::forget_oldest_slot(conn, bytes)
            })?;
            self.dropped_for_bytes.add(forgotten);
            in_slices(ctx, &mut left, move |conn| {
                Ok(Slice {
                    forgotten: 0,
                    has_more: keep::shrink(conn, bytes)?,
                })
            })?;
        }
        self.is_over = left == 0;
        self.entries.set(ctx.store.read_blocking(keep::entries)?);
        Ok(self.is_over)
    }
}

/// Runs a step on the upkeep lane while it has more to do and slices are left. How many entries went.
fn in_slices(
    ctx: &Context,
    left: &mut usize,
    step: impl Fn(&Connection) -> Result<Slice, StoreError> + Clone + Send + 'static,
) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    while *left > 0 {
        let slice = ctx.store.write_blocking(Lane::Upkeep, 0, step.clone())?;
        forgotten += slice.forgotten.cast_unsigned();
        if !slice.has_more {
            break;
        }
        *left -= 1;
    }
    Ok(forgotten)
}
