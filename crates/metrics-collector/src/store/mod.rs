//! SQL. Knows the domain, nothing of HTTP.
//!
//! [`ingest`] writes points as [`blocks`], [`import`] what exposed totals have grown by since their [`baseline`], [`rebuild`] turns them into [`rows`] per minute, [`coarse`] those into hours
//! and days, [`failed`] sums up those of requests that failed, [`retention`] deletes what is old. A question is split by [`plan`] into pieces that are read by [`scan`]: rows where they are complete,
//! blocks where they are not, so that an answer never misses what was accepted; [`answer`] sums up its rows. [`series`] and [`dictionary`] name things.
//! [`measure`] reads what [`rules`] watch. [`removal`] removes a metric by hand.

pub(crate) mod dictionary;
pub(crate) mod series;
pub(crate) mod stats;

pub(crate) mod blocks;
mod ids;
pub(crate) mod ingest;

pub(crate) mod baseline;
pub(crate) mod import;

pub(crate) mod coarse;
pub(crate) mod failed;
pub(crate) mod rebuild;
pub(crate) mod retention;
pub(crate) mod rows;
pub(crate) mod watermark;

pub(crate) mod answer;
pub(crate) mod plan;
pub(crate) mod scan;

pub(crate) mod dashboard;
pub(crate) mod discover;
pub(crate) mod health;
pub(crate) mod legacy;
pub(crate) mod measure;
pub(crate) mod query;
pub(crate) mod removal;
pub(crate) mod requests;
pub(crate) mod rule_alerts;
pub(crate) mod rule_ends;
pub(crate) mod rule_preview;
pub(crate) mod rules;
pub(crate) mod top;

use monlight_shared::store::{Migration, StoreError};
use rusqlite::Connection;

use crate::domain::{block, sketch};

/// The steps of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 100,
        name: "series, blocks of points, rollups",
        sql: include_str!("migrations/0100_init.sql"),
    },
    Migration {
        version: 101,
        name: "rollups by the day",
        sql: include_str!("migrations/0101_days.sql"),
    },
    Migration {
        version: 102,
        name: "series of a name",
        sql: include_str!("migrations/0102_bounds.sql"),
    },
    Migration {
        version: 103,
        name: "what a take-over has set aside",
        sql: include_str!("migrations/0103_set_aside.sql"),
    },
    Migration {
        version: 104,
        name: "keys of batches that were taken",
        sql: monlight_shared::idempotency::SCHEMA,
    },
    Migration {
        version: 105,
        name: "alerts",
        sql: monlight_shared::notify::outbox::SCHEMA,
    },
    Migration {
        version: 106,
        name: "rules that watch metrics",
        sql: include_str!("migrations/0106_rules.sql"),
    },
    Migration {
        version: 108,
        name: "what imported totals were",
        sql: include_str!("migrations/0108_baselines.sql"),
    },
    Migration {
        version: 120,
        name: "ends that wait for the end of quiet hours",
        sql: include_str!("migrations/0120_alert_ends.sql"),
    },
    Migration {
        version: 121,
        name: "names that were removed",
        sql: include_str!("migrations/0121_removed.sql"),
    },
    Migration {
        version: 122,
        name: "sums of requests that failed",
        sql: include_str!("migrations/0122_failed.sql"),
    },
    Migration {
        version: 123,
        name: "names of batches that were taken",
        sql: monlight_shared::idempotency::NAMES,
    },
];

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// Runs several reads on one state of the database.
pub(crate) fn snapshot<T>(
    conn: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = conn.unchecked_transaction()?;
    let result = read(&transaction);
    // It only read, so there is nothing to commit.
    drop(transaction);
    result
}

impl From<block::Damaged> for StoreError {
    fn from(fault: block::Damaged) -> Self {
        Self::Job(fault.to_string())
    }
}

impl From<sketch::Damaged> for StoreError {
    fn from(fault: sketch::Damaged) -> Self {
        Self::Job(fault.to_string())
    }
}
