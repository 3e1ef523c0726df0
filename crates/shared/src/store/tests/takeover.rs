//! Files of an original service: what becomes of them, and what is left when it goes wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rusqlite::ErrorCode;
use rusqlite::types::Value;

use super::*;

/// The original's tables, with the rows 1 to 50 in the file and 51 to 60 only in its write-ahead log.
const ORIGINAL: &str = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
    INSERT INTO _meta VALUES ('schema_version', '4');
    CREATE TABLE item (name VARCHAR(10) NOT NULL, text TEXT);
    CREATE INDEX item_name ON item (name);
    CREATE VIEW somebodys_own AS SELECT name FROM item;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50)
      INSERT INTO item SELECT 'n' || i, hex(zeroblob(500)) FROM n;";
const LATER: &str = "WITH RECURSIVE n(i) AS (SELECT 51 UNION ALL SELECT i + 1 FROM n LIMIT 10)
      INSERT INTO item SELECT 'n' || i, hex(zeroblob(500)) FROM n;";

fn copy_items(import: &Import<'_>) -> Result<TakenOver, StoreError> {
    let mut names = import
        .from
        .prepare("SELECT name FROM item ORDER BY rowid")?;
    let mut names = names.query([])?;
    let mut taken = TakenOver::default();
    let mut count = 0;
    while let Some(row) = names.next()? {
        let name: String = row.get(0)?;
        if name == "n7" {
            taken.remark(|| "n7 is bad luck".to_owned());
            continue;
        }
        import
            .into
            .prepare_cached("INSERT INTO item (text) VALUES (?1)")?
            .execute([name])?;
        count += 1;
    }
    assert_eq!((import.version, import.now_ms > 0), (4, true));
    taken.taken = format!("{count} items");
    Ok(taken)
}

/// Takes over with `import`.
fn schema(import: fn(&Import<'_>) -> Result<TakenOver, StoreError>) -> Schema {
    Schema {
        migrations: &MIGRATIONS,
        take_over: Some(TakeOver {
            table: "item",
            oldest: 2,
            newest: 4,
            import,
        }),
    }
}

/// A directory with `test.db` as an original that was killed has left it.
struct Legacy {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Legacy {
    fn new(pragmas: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let (alive, path) = (dir.path().join("alive.db"), dir.path().join("test.db"));
        let conn = database(&alive);
        conn.execute_batch(pragmas).expect("set");
        conn.execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;")
            .expect("set");
        conn.execute_batch(ORIGINAL).expect("filled");
        conn.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
            .expect("folded");
        conn.execute_batch(LATER).expect("filled");
        for suffix in ["", "-wal"] {
            let (from, to) = (
                open::with_suffix(&alive, suffix),
                open::with_suffix(&path, suffix),
            );
            std::fs::copy(from, to).expect("copied");
        }
        drop(conn);
        std::fs::remove_file(alive).expect("removed");
        Self { dir, path }
    }

    fn open(&self, schema: Schema) -> Result<Store, OpenError> {
        Store::open(
            &self.path,
            schema,
            QueueLimits::default(),
            Clock::system(),
            &Registry::default(),
        )
    }

    #[track_caller]
    fn refused(&self, schema: Schema) -> String {
        self.open(schema).err().expect("refused").to_string()
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.dir.path()).expect("readable");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        };
        entries.map(name).collect()
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes it over for good.
    #[track_caller]
    fn taken_over(&self) {
        let store = self.open(schema(copy_items)).expect("taken over");
        let names = store.read_blocking(texts).expect("read");
        assert_eq!(names.len(), 59);
        assert_eq!(
            (&*names[0], &*names[6], &*names[58]),
            ("n1", "n8", "n60"),
            "{names:?}"
        );
        store.close();
    }
}

/// A connection of another program to a file that may not be there yet.
fn database(path: &Path) -> Connection {
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    drop(file.expect("is there"));
    open::open_backup_target(path).expect("opens")
}

/// Everything a database holds, readable.
fn dump(path: &Path) -> String {
    let conn = database(path);
    let mut out = String::new();
    let mut tables = conn
        .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name, sql")
        .expect("a database");
    let tables = tables
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
        })
        .expect("a schema");
    for table in tables {
        let (name, sql) = table.expect("a name");
        writeln!(out, "{name}: {sql:?}").expect("written");
        if !sql.is_some_and(|sql| sql.starts_with("CREATE TABLE")) {
            continue;
        }
        let mut rows = conn
            .prepare(&format!("SELECT * FROM \"{name}\""))
            .expect("a table");
        let columns = rows.column_count();
        let mut rows = rows.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                let value: Value = row.get(column).expect("a value");
                write!(out, "{value:?} ").expect("written");
            }
            out.push('\n');
        }
    }
    out
}

#[test]
fn everything_is_taken_over_and_a_copy_stays() {
    for pragmas in [
        "",
        "PRAGMA page_size=1024",
        "PRAGMA page_size=65536; PRAGMA auto_vacuum=FULL",
    ] {
        let legacy = Legacy::new(pragmas);
        std::fs::set_permissions(&legacy.path, std::fs::Permissions::from_mode(0o640))
            .expect("set");
        let inode = |legacy: &Legacy| std::fs::metadata(&legacy.path).expect("is there").ino();
        let before = inode(&legacy);
        legacy.taken_over();
        assert_eq!(inode(&legacy), before, "another file");
        assert_eq!(
            legacy.files(),
            ["test.db", "test.db.original"].map(str::to_owned).into()
        );
        let mode = |name| {
            std::fs::metadata(legacy.beside(name))
                .expect("is there")
                .mode()
                & 0o777
        };
        assert_eq!((mode("test.db"), mode("test.db.original")), (0o640, 0o600));
        let pragma = |name: &str| -> i64 {
            database(&legacy.path)
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
                .expect("known")
        };
        assert_eq!(
            (pragma("page_size"), pragma("auto_vacuum")),
            (4096, 2),
            "as our own new files"
        );
        assert_eq!(
            dump(&legacy.beside("test.db.original")),
            dump(&Legacy::new(pragmas).path)
        );
    }
}

#[test]
fn a_second_start_changes_nothing() {
    let legacy = Legacy::new("");
    legacy.taken_over();
    let state = || {
        (
            dump(&legacy.path),
            std::fs::read(legacy.beside("test.db.original")).expect("is there"),
        )
    };
    let before = state();
    legacy.taken_over();
    assert!(state() == before);
    assert_eq!(legacy.files().len(), 2, "{:?}", legacy.files());
}

#[test]
fn a_copy_that_is_there_is_kept_and_made_again_only_for_another_file() {
    let legacy = Legacy::new("");
    legacy.taken_over();
    let first = std::fs::read(legacy.beside("test.db.original")).expect("is there");
    // The operator goes back, and starts us again.
    std::fs::copy(legacy.beside("test.db.original"), &legacy.path).expect("copied");
    legacy.taken_over();
    assert_eq!(legacy.files().len(), 2, "{:?}", legacy.files());
    // The operator goes back, the original adds something, and we are started again.
    std::fs::copy(legacy.beside("test.db.original"), &legacy.path).expect("copied");
    database(&legacy.path)
        .execute_batch("UPDATE item SET text = 'other' WHERE name = 'n60'")
        .expect("changed");
    let other = dump(&legacy.path);
    legacy.taken_over();
    assert!(std::fs::read(legacy.beside("test.db.original")).expect("is there") == first);
    assert_eq!(dump(&legacy.beside("test.db.original-2")), other);
    assert_eq!(legacy.files().len(), 3, "{:?}", legacy.files());
}

/// Fails with `import`, which must change nothing; then succeeds.
#[track_caller]
fn check_failing(import: fn(&Import<'_>) -> Result<TakenOver, StoreError>, expected: &[&str]) {
    let legacy = Legacy::new("");
    let before = dump(&Legacy::new("").path);
    for _ in 0..2 {
        let refused = legacy.refused(schema(import));
        for part in expected {
            assert!(refused.contains(part), "{refused}");
        }
        assert_eq!(
            legacy.files(),
            ["test.db", "test.db.original"].map(str::to_owned).into()
        );
        assert!(dump(&legacy.path) == before, "the file was changed");
        assert!(dump(&legacy.beside("test.db.original")) == before);
    }
    legacy.taken_over();
    assert_eq!(legacy.files().len(), 2, "{:?}", legacy.files());
}

#[test]
fn an_import_that_fails_leaves_the_file_as_it_was() {
    check_failing(
        |import| {
            copy_items(import)?;
            import
                .into
                .execute_batch("INSERT INTO nowhere VALUES (1)")?;
            Ok(TakenOver::default())
        },
        &[
            "DATABASE_PATH",
            "importing its rows failed",
            "nowhere",
            "it keeps what it holds",
        ],
    );
}

/// It was copied and then said to be damaged.
#[test]
fn a_file_of_another_service_is_named_and_left_alone() {
    let legacy = Legacy::new("");
    database(&legacy.path)
        .execute_batch("ALTER TABLE item RENAME TO log_entries")
        .expect("renamed");
    let refused = legacy.refused(schema(copy_items));
    assert!(
        refused.contains("was written by the original log-viewer"),
        "{refused}"
    );
    assert!(!legacy.beside("test.db.original").exists());
}

#[test]
fn a_disk_that_is_full_in_the_middle_leaves_the_file_as_it_was() {
    // The page limit makes SQLite answer as on a full disk.
    check_failing(
        |import| {
            import
                .into
                .query_row("PRAGMA max_page_count=10", [], |_| Ok(()))?;
            let more = "INSERT INTO item (text) VALUES (hex(randomblob(50000)))";
            import.into.execute_batch(more)?;
            copy_items(import)
        },
        &["importing its rows failed", "full", "free space"],
    );
    check_failing(
        |import| {
            let more = "INSERT INTO item (text) VALUES (hex(randomblob(500000)))";
            import.into.execute_batch(more)?;
            import
                .from
                .query_row("PRAGMA max_page_count=40", [], |_| Ok(()))?;
            copy_items(import)
        },
        &["replacing its content failed", "full", "free space"],
    );
}

#[test]
fn what_an_unfinished_attempt_has_left_is_removed() {
    let legacy = Legacy::new("");
    let leave = || std::fs::write(legacy.beside("test.db.taking-over"), "half").expect("written");
    leave();
    legacy.taken_over();
    assert_eq!(legacy.files().len(), 2, "{:?}", legacy.files());
    leave();
    legacy.taken_over();
    assert_eq!(legacy.files().len(), 2, "{:?}", legacy.files());
}

#[test]
fn a_copy_that_cannot_be_written_stops_it() {
    let legacy = Legacy::new("");
    let before = dump(&Legacy::new("").path);
    let in_the_way = legacy.beside("test.db.original.unfinished");
    std::fs::create_dir(&in_the_way).expect("made");
    let refused = legacy.refused(schema(copy_items));
    assert!(refused.contains("copying it failed"), "{refused}");
    assert!(refused.contains("test.db.original.unfinished"), "{refused}");
    assert!(dump(&legacy.path) == before);
    std::fs::remove_dir(in_the_way).expect("removed");
    legacy.taken_over();
}

#[test]
fn a_file_that_another_program_has_open_is_left_alone() {
    let legacy = Legacy::new("");
    let original = database(&legacy.path);
    let count = || -> i64 {
        original
            .query_row("SELECT count(*) FROM item", [], |row| row.get(0))
            .expect("read")
    };
    assert_eq!(count(), 60);
    let refused = legacy.refused(schema(copy_items));
    assert!(refused.contains("in use by another program"), "{refused}");
    assert_eq!(count(), 60);
    original
        .execute_batch("INSERT INTO item VALUES ('n61', '')")
        .expect("goes on");
    drop(original);
    let store = legacy.open(schema(copy_items)).expect("taken over");
    assert_eq!(store.read_blocking(texts).expect("read").len(), 60);
}

#[test]
fn nobody_gets_in_while_it_runs() {
    fn try_to_get_in(import: &Import<'_>) -> Result<TakenOver, StoreError> {
        let path = import.from.path().expect("a file");
        let other = open::open_backup_target(Path::new(path))?;
        other.busy_timeout(Duration::ZERO)?;
        for statement in ["SELECT * FROM item", "INSERT INTO item VALUES ('late', '')"] {
            let refused = other.execute_batch(statement).expect_err("locked");
            assert_eq!(
                refused.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy),
                "{statement}"
            );
        }
        copy_items(import)
    }
    let legacy = Legacy::new("");
    legacy.open(schema(try_to_get_in)).expect("taken over");
}

#[track_caller]
fn check_left_alone(sql: &str, expected: &str) {
    let legacy = Legacy::new("");
    let conn = database(&legacy.path);
    conn.execute_batch(sql).expect("prepared");
    drop(conn);
    let before = std::fs::read(&legacy.path).expect("readable");
    let refused = legacy.refused(schema(copy_items));
    assert!(refused.contains(expected), "{refused}");
    assert!(std::fs::read(&legacy.path).expect("readable") == before);
    assert_eq!(legacy.files().len(), 1, "{:?}", legacy.files());
}

#[test]
fn versions_that_are_not_known_are_left_alone() {
    check_left_alone(
        "UPDATE _meta SET value = '5'",
        "(schema version 5), this program takes over 2 to 4",
    );
    check_left_alone(
        "UPDATE _meta SET value = '1'",
        "(schema version 1), this program takes over 2 to 4",
    );
    check_left_alone(
        "UPDATE _meta SET value = 'four'",
        "tables of another program",
    );
}

#[test]
fn a_damaged_file_is_left_alone() {
    let legacy = Legacy::new("");
    let conn = database(&legacy.path);
    conn.execute_batch("PRAGMA journal_mode=DELETE")
        .expect("folded");
    drop(conn);
    let mut bytes = std::fs::read(&legacy.path).expect("readable");
    for page in bytes.chunks_mut(4096).skip(4) {
        page[..100].fill(0xff);
    }
    std::fs::write(&legacy.path, &bytes).expect("written");
    let refused = legacy.refused(schema(copy_items));
    assert!(refused.contains("malformed"), "{refused}");
    assert!(refused.contains("an undamaged file"), "{refused}");
    let kept = std::fs::read(&legacy.path).expect("readable");
    assert!(kept[4096..] == bytes[4096..]);
}

#[test]
fn remarks_are_bounded() {
    let mut taken = TakenOver::default();
    for number in 0..1_000_000 {
        taken.remark(|| number.to_string());
    }
    assert_eq!(taken.remarks().len(), 50);
}
