//! Entries, their index and their counters; cursors.
//!
//! ```text
//! append ─▶ e0 … e9 (rows)  f0 … f9 (index)   used in turn; the oldest pair is emptied whole
//!        ─▶ fence (times per 1024 ids)  tally, hist (counts)  cursors, open_entries      all in one transaction
//! list, histogram ─▶ plan (filter ─▶ expression) ─▶ sweep (blocks by time) ─▶ scan (messages, when the index is not enough)
//! ```
//!
//! Invariants: ids ascend without gaps and are never used twice; entries `ring.floor … ring.next_id - 1` exist and count,
//! nothing else does; the counters agree with them; an entry and the cursor behind it are stored together or not at all.

pub mod counts;
pub mod cursors;
pub mod histogram;
pub mod keep;
pub mod legacy;
pub mod list;
mod plan;
pub mod ring;
pub mod rule_alerts;
pub mod rules;
pub mod scan;
mod snapshot;
mod sweep;

use monlight_shared::store::Migration;

/// The steps of the schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 100,
        name: "entries in ten slots, counters, cursors",
        sql: include_str!("migrations/0100_init.sql"),
    },
    Migration {
        version: 101,
        name: "fields of structured lines in the index",
        sql: include_str!("migrations/0101_fields.sql"),
    },
    Migration {
        version: 102,
        name: "cursors in compressed files",
        sql: include_str!("migrations/0102_compressed.sql"),
    },
    Migration {
        version: 103,
        name: "the size of slots",
        sql: include_str!("migrations/0103_keep.sql"),
    },
    Migration {
        version: 110,
        name: "counts per hour",
        sql: include_str!("migrations/0110_hours.sql"),
    },
    Migration {
        version: 111,
        name: "cursors of the original",
        sql: include_str!("migrations/0111_original.sql"),
    },
    Migration {
        version: 112,
        name: "alerts",
        sql: monlight_shared::notify::outbox::SCHEMA,
    },
    Migration {
        version: 113,
        name: "rules that watch what arrives",
        sql: include_str!("migrations/0113_rules.sql"),
    },
    Migration {
        version: 114,
        name: "the newest entries of rules",
        sql: include_str!("migrations/0114_rule_newest.sql"),
    },
];

/// How many pairs of row and index tables there are.
pub const SLOTS: i64 = 10;
