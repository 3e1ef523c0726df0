//! What the relay keeps: DSN keys, decoded source maps, and events that wait.

pub(crate) mod dsn_keys;
pub(crate) mod legacy;
pub(crate) mod map_rows;
pub(crate) mod outbox;
pub(crate) mod source_maps;
pub(crate) mod symbols;

use monlight_shared::store::Migration;

pub(crate) static MIGRATIONS: [Migration; 6] = [
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
    Migration {
        version: 103,
        name: "debug ids of source maps",
        sql: include_str!("migrations/0103_debug_ids.sql"),
    },
    Migration {
        version: 104,
        name: "ignored sources of maps",
        sql: include_str!("migrations/0104_ignored_sources.sql"),
    },
    Migration {
        version: 105,
        name: "dead events of the outbox",
        sql: include_str!("migrations/0105_dead_events.sql"),
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

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::MIGRATIONS;

    #[test]
    fn maps_survive_the_step_to_debug_ids() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        let step = |until: u32| {
            let upto = move |migration: &&super::Migration| migration.version == until;
            let migration = MIGRATIONS.iter().find(upto).unwrap();
            conn.execute_batch(migration.sql).unwrap();
        };
        (100..=102).for_each(step);
        let paths = ["/assets/app.js", "app.js?v=1/2", "/", "plain", "/a/b/"];
        for (id, path) in (1..).zip(paths) {
            conn.execute("INSERT INTO map_sets (begun_at) VALUES (1)", [])
                .unwrap();
            conn.execute(
                "INSERT INTO source_maps (project, release, file_url, path, map_set, lines, tokens, size_bytes, uploaded_at)
                 VALUES ('p', 'r', ?2, ?2, ?1, 1, 1, 1, 1)",
                rusqlite::params![id, path],
            )
            .unwrap();
        }
        conn.execute("DELETE FROM source_maps WHERE id = 5", [])
            .unwrap();
        step(103);
        let mut names = conn
            .prepare("SELECT id, path, file_name FROM source_maps ORDER BY id")
            .unwrap();
        let names = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let names: Vec<(i64, String, String)> = names.unwrap().map(Result::unwrap).collect();
        assert_eq!(names.len(), 4);
        for (id, path, name) in names {
            assert_eq!(path, paths[id as usize - 1]);
            assert_eq!(name, crate::domain::source_map::file_name(&path), "{path}");
        }
        conn.execute(
            "INSERT INTO source_maps (project, debug_id, map_set, lines, tokens, size_bytes, uploaded_at)
             VALUES ('p', 'x', 5, 1, 1, 1, 1)",
            [],
        )
        .unwrap();
        assert_eq!(conn.last_insert_rowid(), 6, "numbers are not given twice");
        let unnamed = conn.execute("UPDATE source_maps SET debug_id = NULL WHERE id = 6", []);
        assert!(unnamed.is_err());
    }
}
