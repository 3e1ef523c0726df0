//! Where errors are kept. Each function is one job for the writer or for a read connection; what it
//! answers when something is not there is part of its result, never a fault.

use monlight_shared::store::Migration;

pub mod alerts;
pub mod bulk;
mod comeback;
pub mod detail;
pub mod facet_list;
mod facets;
mod history;
mod id_set;
pub mod legacy;
pub mod lifecycle;
pub mod list;
pub mod merge;
mod page;
mod plan;
pub mod ranks;
pub mod record;
pub mod remove;
pub mod retention;
pub mod search;
mod seen_by;
mod sets;
pub mod stats;

/// The steps of the schema.
pub static MIGRATIONS: &[Migration] = &[
    Migration {
        version: 100,
        name: "groups, occurrences, hours, sessions",
        sql: include_str!("migrations/0100_init.sql"),
    },
    Migration {
        version: 101,
        name: "keys, facets, users, decisions, search; texts and hours apart from the groups",
        sql: include_str!("migrations/0101_life_cycle.sql"),
    },
    Migration {
        version: 102,
        name: "alerts",
        sql: monlight_shared::notify::outbox::SCHEMA,
    },
    Migration {
        version: 103,
        name: "reports and groups counted by when they were new",
        sql: include_str!("migrations/0103_new_since.sql"),
    },
    Migration {
        version: 104,
        name: "keys of reports that were taken",
        sql: monlight_shared::idempotency::SCHEMA,
    },
    Migration {
        version: 105,
        name: "names of reports that were taken",
        sql: monlight_shared::idempotency::NAMES,
    },
];

/// The slots of a group's occurrences are these numbers apart: five for the newest, one for the first, two to spare.
const SLOTS: i64 = 8;
/// Where a group's first report is kept once it is none of the newest.
const FIRST_SLOT: i64 = 7;

const HOUR_MS: i64 = 3_600_000;
/// For how many hours the reports of a group are counted hour by hour, the running one included.
const KEPT_HOURS: i64 = 30 * 24;

#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod tests;
