//! Where errors are kept. Each function is one job for the writer or for a read connection; what it
//! answers when something is not there is part of its result, never a fault.

use monlight_shared::store::Migration;

pub mod detail;
pub mod list;
pub mod record;
pub mod retention;

/// The steps of the schema.
pub static MIGRATIONS: &[Migration] = &[Migration {
    version: 100,
    name: "groups, occurrences, hours, sessions",
    sql: include_str!("migrations/0100_init.sql"),
}];

/// The slots of a group's occurrences are these numbers apart, more than are used, so that a later
/// version can keep others beside the newest.
const SLOTS: i64 = 8;

const HOUR_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests;
