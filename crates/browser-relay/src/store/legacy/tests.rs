//! Databases of the original, whole ones and damaged ones.

use std::path::{Path, PathBuf};

use monlight_shared::store::{Schema, Store};
use monlight_shared::testing::files::{self, connection, open_store};
use rusqlite::Connection;

use super::*;
use crate::domain::debug_id::DebugIds;
use crate::domain::deobfuscate::{deobfuscate, queries};
use crate::domain::key_settings::KeySettings;
use crate::domain::stack::Stack;
use crate::store::dsn_keys::{self, DsnKey};
use crate::store::{MIGRATIONS, source_maps, symbols};

const NOW_MS: i64 = 1_800_000_000_000;
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/legacy.db");
const ESBUILD: &str = include_str!("../../../tests/data/app.min.js.map");

/// The original's schema 3, empty.
const EMPTY: &str = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
    INSERT INTO _meta VALUES ('schema_version', '3');
    CREATE TABLE dsn_keys (
      id INTEGER PRIMARY KEY AUTOINCREMENT, public_key VARCHAR(64) NOT NULL UNIQUE, project VARCHAR(100) NOT NULL,
      created_at DATETIME NOT NULL DEFAULT '2026-01-02T03:04:05Z', active BOOLEAN NOT NULL DEFAULT 1);
    CREATE TABLE source_maps (
      id INTEGER PRIMARY KEY AUTOINCREMENT, project VARCHAR(100) NOT NULL, release VARCHAR(100) NOT NULL,
      file_url VARCHAR(500) NOT NULL, map_content TEXT NOT NULL,
      uploaded_at DATETIME NOT NULL DEFAULT '2026-01-02T03:04:05Z', UNIQUE (project, release, file_url));";

/// 2026-01-02T03:04:05Z
const WRITTEN_MS: i64 = 1_767_323_045_000;

struct Moved {
    store: Store,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn open(path: &Path) -> Store {
    let schema = Schema {
        migrations: &MIGRATIONS,
        take_over: Some(TAKE_OVER),
    };
    open_store(path, schema, NOW_MS)
}

impl Moved {
    /// A file of the original with these rows, taken over.
    fn with(fill: impl FnOnce(&Connection)) -> Self {
        Self::from_file(|path| {
            let conn = connection(path);
            conn.execute_batch(EMPTY).expect("a file of the original");
            fill(&conn);
        })
    }

    fn recorded() -> Self {
        Self::from_file(|path| {
            std::fs::copy(RECORDED, path).expect("copied");
        })
    }

    fn from_file(make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("browser-relay.db");
        make(&path);
        Self {
            store: open(&path),
            path,
            _dir: dir,
        }
    }

    fn keys(&self) -> Vec<DsnKey> {
        self.store.read_blocking(dsn_keys::list).expect("is read")
    }

    fn map_ids(&self) -> Vec<i64> {
        let (maps, _) = self
            .store
            .read_blocking(|conn| source_maps::list(conn, None, 1000, 0))
            .expect("is read");
        maps.iter().map(|map| map.id).collect()
    }

    fn number(&self, sql: &str) -> i64 {
        self.store
            .read_blocking(|conn| Ok(conn.query_row(sql, [], |row| row.get(0))?))
            .expect("is read")
    }

    fn readable(&self, project: &str, release: &str, stack: &str) -> String {
        let stack = Stack::parse(stack);
        let outcomes = self
            .store
            .read_blocking(|conn| {
                symbols::look_up(
                    conn,
                    project,
                    Some(release),
                    queries(&stack, &DebugIds::default()),
                )
            })
            .expect("is read");
        deobfuscate(&stack, &outcomes).0
    }
}

/// Everything a file holds.
fn dump(path: &Path) -> String {
    files::dump(path, "")
}

#[test]
fn keys_and_maps_of_the_recorded_file() {
    let moved = Moved::recorded();
    let keys: Vec<_> = moved
        .keys()
        .into_iter()
        .map(|key| (key.id, key.public_key, key.project, key.active))
        .collect();
    let key =
        |id, key: &str, project: &str, active| (id, key.to_owned(), project.to_owned(), active);
    assert_eq!(
        keys,
        [
            key(1, "0123456789abcdef0123456789abcdef", "shop", true),
            key(2, "fedcba9876543210fedcba9876543210", "blog", false),
            key(3, "3c1b2a0cce39406743263eaf7d7837a8", "docs", true),
        ]
    );
    assert_eq!(moved.keys()[0].created_at, 1_795_315_103_000);
    assert_eq!(moved.map_ids(), [1]);
    let stack = "E\n    at o (https://shop.example/assets/app.min.js:1:1)";
    assert_ne!(moved.readable("shop", "1.0.0", stack), stack);
    assert_eq!(moved.readable("blog", "1.0.0", stack), stack);
}

#[test]
fn a_second_start_changes_nothing() {
    let moved = Moved::recorded();
    moved.store.close();
    let copy = moved.path.with_extension("db.original");
    let (first, first_copy) = (dump(&moved.path), std::fs::read(&copy).expect("a copy"));
    open(&moved.path).close();
    assert!(dump(&moved.path) == first);
    assert!(std::fs::read(&copy).expect("a copy") == first_copy);
    assert_eq!(dump(&copy), dump(Path::new(RECORDED)));
}

#[test]
fn a_map_that_cannot_be_decoded_is_left_out_whole() {
    let half = ESBUILD.replacen("\"mappings\": \"", "\"mappings\": \"AAAA;!", 1);
    assert_ne!(half, ESBUILD);
    let moved = Moved::with(|conn| {
        let insert = |file: &str, map: &dyn rusqlite::ToSql| {
            conn.execute(
                "INSERT INTO source_maps (project, release, file_url, map_content) VALUES ('web', '1', ?1, ?2)",
                params![file, map],
            )
            .expect("inserted");
        };
        insert("/broken.js", &half);
        insert("/no-json.js", &"no map");
        insert("/bytes.js", &b"\xff\xfe".as_slice());
        insert("/number.js", &5);
        insert("/v2.js", &r#"{"version":2,"sources":[],"mappings":""}"#);
        insert("/huge.js", &" ".repeat(LARGEST_MAP as usize + 1));
        insert("/assets/app.min.js", &ESBUILD);
        insert("/bytes-of-a-map.js", &ESBUILD.as_bytes());
    });
    assert_eq!(moved.map_ids(), [7, 8]);
    assert_eq!(moved.number("SELECT count(*) FROM map_sets"), 2);
    for table in [
        "map_block",
        "map_source",
        "map_names",
        "map_content",
        "map_function",
    ] {
        let strays = format!(
            "SELECT count(*) FROM {table} WHERE map_set NOT IN (SELECT map_set FROM source_maps)"
        );
        assert_eq!(moved.number(&strays), 0, "{table}");
    }
    let stacks: Vec<String> =
        serde_json::from_str(include_str!("../../../tests/data/app.min.stacks.json"))
            .expect("stacks");
    let readable = moved.readable("web", "1", &stacks[0]);
    assert!(
        readable.contains("at lineTotal (../src/cart.ts:23:16)"),
        "{readable}"
    );
    assert_eq!(
        moved.number("SELECT max(uploaded_at) FROM source_maps"),
        WRITTEN_MS
    );
}

#[test]
fn keys_that_could_never_work_are_left_out() {
    let long = "p".repeat(101);
    let moved = Moved::with(|conn| {
        for (id, key, project) in [
            (1, "good", "web"),
            (2, "", "web"),
            (3, "has blank", "web"),
            (4, "no-project", ""),
            (5, "long-project", long.as_str()),
            (-6, "negative", "web"),
            (7, &"k".repeat(129), "web"),
            (8, "a:colon", "web"),
        ] {
            conn.execute(
                "INSERT INTO dsn_keys (id, public_key, project) VALUES (?1, ?2, ?3)",
                params![id, key, project],
            )
            .expect("inserted");
        }
        conn.execute_batch(
            "INSERT INTO dsn_keys VALUES (9, 'odd', 'web', 'yesterday', 2);
             INSERT INTO dsn_keys VALUES (10, x'676f6f64', 'web', '2026-01-02 03:04:05', 1);
             UPDATE sqlite_sequence SET seq = 40 WHERE name = 'dsn_keys';",
        )
        .expect("inserted");
    });
    let keys: Vec<_> = moved
        .keys()
        .into_iter()
        .map(|key| (key.id, key.active, key.created_at))
        .collect();
    assert_eq!(
        keys,
        [
            (1, true, WRITTEN_MS),
            (8, true, WRITTEN_MS),
            (9, false, NOW_MS)
        ]
    );
    let created = moved
        .store
        .write_blocking(monlight_shared::store::Lane::Ingest, 0, |conn| {
            dsn_keys::create(conn, "new", "web", &KeySettings::default(), 1)
        })
        .expect("written")
        .expect("room");
    assert_eq!(created.id, 41);
}

#[test]
fn the_first_schema_has_no_maps() {
    let moved = Moved::from_file(|path| {
        let conn = connection(path);
        conn.execute_batch(EMPTY).expect("made");
        conn.execute_batch(
            "DROP TABLE source_maps; UPDATE _meta SET value = '1';
             INSERT INTO dsn_keys (public_key, project) VALUES ('k', 'web');",
        )
        .expect("older");
    });
    assert_eq!(moved.keys().len(), 1);
    assert_eq!(moved.map_ids(), [0_i64; 0]);
}
