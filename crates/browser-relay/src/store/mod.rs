//! What the relay keeps: DSN keys, decoded source maps, and events that wait.

pub(crate) mod dsn_keys;
pub(crate) mod legacy;
pub(crate) mod map_rows;
pub(crate) mod outbox;
pub(crate) mod source_maps;
pub(crate) mod symbols;

use monlight_shared::store::Migration;

pub(crate) static MIGRATIONS: [Migration; 3] = [
    Migration {
        version: 100,
        name: "keys and source maps",
        sql: include_str!("migrations/0100_init.sql"),
    },
    Migration {
        version: 101,
        name: "settings of keys",
        sql: include_str!("migrations/0101_key_settings.sql"),
    },
    Migration {
        version: 102,
        name: "outbox",
        sql: include_str!("migrations/0102_outbox.sql"),
    },
];

#[cfg(test)]
pub(crate) mod testing {
    use rusqlite::Connection;

    /// A database in memory with the current schema.
    pub(crate) fn database() -> Connection {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch("PRAGMA foreign_keys = ON")
            .expect("a pragma");
        for migration in &super::MIGRATIONS {
            conn.execute_batch(migration.sql).expect("the schema");
        }
        conn
    }
}
