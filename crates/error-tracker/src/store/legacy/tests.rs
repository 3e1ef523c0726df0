//! Databases of the original, whole ones and damaged ones.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use monlight_shared::store::{Lane, Schema, Store};
use monlight_shared::testing::files::{self, connection, open_store};

use super::*;
use crate::domain::filter::Filter;
use crate::domain::group::{GroupId, Recorded};
use crate::domain::grouping::GroupingMode;
use crate::domain::query::ListQuery;
use crate::domain::report::ErrorReport;
use crate::domain::session::SessionId;
use crate::store::detail::{self, GroupDetail};
use crate::store::record::{self, Incoming, Intake};
use crate::store::{MIGRATIONS, list};

const NOW_MS: i64 = 1_800_000_000_000;

/// The original's schema 4, empty.
const EMPTY: &str = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
    INSERT INTO _meta VALUES ('schema_version', '4');
    CREATE TABLE errors (
      id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint VARCHAR(32) NOT NULL, project VARCHAR(100) NOT NULL,
      exception_type VARCHAR(200) NOT NULL, message TEXT NOT NULL, traceback TEXT NOT NULL,
      count INTEGER NOT NULL DEFAULT 1, first_seen DATETIME NOT NULL DEFAULT '2026-01-02T03:04:05Z',
      last_seen DATETIME NOT NULL DEFAULT '2026-01-02T03:04:05Z', resolved BOOLEAN NOT NULL DEFAULT 0,
      resolved_at DATETIME);
    CREATE TABLE error_occurrences (
      id INTEGER PRIMARY KEY AUTOINCREMENT, error_id INTEGER NOT NULL REFERENCES errors (id) ON DELETE CASCADE,
      timestamp DATETIME NOT NULL DEFAULT '2026-01-02T03:04:05Z', request_url VARCHAR(500), request_method VARCHAR(10),
      request_headers TEXT, user_id VARCHAR(100), extra TEXT, traceback TEXT NOT NULL);
    CREATE INDEX idx_occurrence_error_id ON error_occurrences (error_id);";

/// 2026-01-02T03:04:05Z
const WRITTEN_MS: i64 = 1_767_323_045_000;

struct Moved {
    store: Store,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn open(path: &Path) -> Store {
    let schema = Schema {
        migrations: MIGRATIONS,
        take_over: Some(TAKE_OVER),
    };
    open_store(path, schema, NOW_MS)
}

impl Moved {
    /// A file of the original that `sql` has made, taken over.
    fn from(sql: &str) -> Self {
        Self::from_file(|path| {
            let conn = connection(path);
            conn.execute_batch("PRAGMA foreign_keys=OFF").expect("set");
            conn.execute_batch(sql).expect("a file of the original");
        })
    }

    /// One with these rows besides.
    fn with(sql: &str) -> Self {
        Self::from(&format!("{EMPTY}{sql}"))
    }

    fn from_file(make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("errors.db");
        make(&path);
        Self {
            store: open(&path),
            path,
            _dir: dir,
        }
    }

    fn detail(&self, id: i64) -> Option<GroupDetail> {
        self.store
            .read_blocking(|conn| detail::detail(conn, GroupId::from_stored(id), WRITTEN_MS))
            .expect("is read")
    }

    #[track_caller]
    fn group(&self, id: i64) -> GroupDetail {
        self.detail(id).expect("is there")
    }

    fn number(&self, sql: &str) -> i64 {
        self.store
            .read_blocking(|conn| Ok(conn.query_row(sql, [], |row| row.get(0))?))
            .expect("is read")
    }

    /// Reports something without a place in its traceback.
    fn report(&self, project: &str, exception_type: &str, traceback: &str) -> Recorded {
        let report = report(project, exception_type, traceback);
        let incoming = Incoming::new(report, WRITTEN_MS + 1, &Intake::default());
        self.store
            .write_blocking(Lane::Ingest, 0, move |conn| record::record(conn, &incoming))
            .expect("is written")
    }
}

fn report(project: &str, exception_type: &str, traceback: &str) -> ErrorReport {
    let body = serde_json::json!({
        "project": project, "exception_type": exception_type, "message": "new", "traceback": traceback,
    });
    ErrorReport::from_json(body.to_string().as_bytes()).expect("a report")
}

fn numbers(group: &GroupDetail) -> Vec<i64> {
    group.occurrences.iter().map(|one| one.number).collect()
}

/// Everything a file holds, but for the index of texts.
fn dump(path: &Path) -> String {
    files::dump(path, "group_search%")
}

fn recorded_fixture() -> Moved {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/legacy.db");
    Moved::from_file(|path| {
        std::fs::copy(recorded, path).expect("copied");
    })
}

#[test]
fn a_second_start_changes_nothing() {
    let moved = recorded_fixture();
    moved.store.close();
    let copy = moved.path.with_extension("db.original");
    let (first, first_copy) = (dump(&moved.path), std::fs::read(&copy).expect("a copy"));
    open(&moved.path).close();
    assert!(dump(&moved.path) == first);
    assert!(std::fs::read(&copy).expect("a copy") == first_copy);
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/legacy.db");
    assert_eq!(dump(&copy), dump(Path::new(recorded)));
}

#[test]
fn the_views_show_the_rows_of_the_original() {
    let moved = recorded_fixture();
    moved.store.close();
    let conn = connection(&moved.path);
    let copy = moved.path.with_extension("db.original");
    conn.execute(
        "ATTACH ?1 AS original",
        [copy.to_str().expect("a plain path")],
    )
    .expect("attached");
    for (table, columns) in [
        (
            "errors",
            "id, fingerprint, project, exception_type, message, traceback, count, first_seen, last_seen, resolved, resolved_at",
        ),
        (
            "error_occurrences",
            "id, error_id, timestamp, request_url, request_method, request_headers, user_id, extra, traceback",
        ),
    ] {
        for (one, other) in [("main", "original"), ("original", "main")] {
            let differing: i64 = conn
                .query_row(
                    &format!(
                        "SELECT count(*) FROM (SELECT {columns} FROM {one}.{table} EXCEPT SELECT {columns} FROM {other}.{table})"
                    ),
                    [],
                    |row| row.get(0),
                )
                .expect("compared");
            assert_eq!(differing, 0, "{table} of {one}");
        }
    }
    let rows = |table: &str| -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
        .expect("counted")
    };
    assert_eq!(
        (rows("main.errors"), rows("main.error_occurrences")),
        (18, 60)
    );
}

#[test]
fn what_lists_and_counters_need_is_there() {
    let moved = recorded_fixture();
    let sum = |sql| moved.number(sql);
    assert_eq!(sum("SELECT sum(groups) FROM group_counts"), 18);
    assert_eq!(
        sum("SELECT groups FROM group_counts WHERE project = 1 AND state = 1"),
        1
    );
    assert_eq!(sum("SELECT sum(hour_count) FROM error_groups"), 60);
    assert_eq!(sum("SELECT sum(count) FROM project_hours"), 60);
    assert_eq!(
        sum("SELECT count(*) FROM group_keys WHERE substr(key, 1, 1) = x'6f'"),
        18
    );
    assert_eq!(
        sum(
            "SELECT count(*) FROM error_groups WHERE count_rank IS NOT count OR users_rank IS NOT users"
        ),
        0
    );
    assert_eq!(sum("SELECT count(*) FROM group_sessions"), 18);
    assert_eq!(sum("SELECT users FROM error_groups WHERE id = 18"), 5);
    assert_eq!(
        sum("SELECT max(slot) FROM occurrences WHERE number = 63"),
        18 * 8
    );
    assert_eq!(sum("PRAGMA auto_vacuum"), 2);
    let problems: String = moved
        .store
        .read_blocking(|conn| Ok(conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?))
        .expect("checked");
    assert_eq!(problems, "ok");
}

#[test]
fn the_ring_goes_on_where_the_original_stopped() {
    for count in 1..=12 {
        let kept = count.min(5);
        let mut sql = format!(
            "INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, count)
             VALUES (7, '{}', 'shop', 'E', 'm', 't', {count});",
            report("shop", "E", "t").fingerprint()
        );
        for number in 101 + count - kept..=100 + count {
            write!(sql, "INSERT INTO error_occurrences (id, error_id, traceback) VALUES ({number}, 7, 'own {number}');")
                .expect("written");
        }
        let moved = Moved::with(&sql);
        let mut newest: Vec<i64> = (101 + count - kept..=100 + count).rev().collect();
        assert_eq!(numbers(&moved.group(7)), newest);
        for more in 1..=6 {
            let id = GroupId::from_stored(7);
            let recorded = moved.report("shop", "E", "t");
            let count = count + more;
            assert_eq!(recorded, Recorded::Incremented { id, count });
            newest.insert(0, 100 + count);
            newest.truncate(5);
            assert_eq!(numbers(&moved.group(7)), newest);
        }
    }
}

#[test]
fn numbers_go_on_behind_the_highest_ever_given() {
    let moved = Moved::with(
        "INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback) VALUES (40, '', 'a', 'E', 'm', 't');
         INSERT INTO error_occurrences (id, error_id, traceback) VALUES (900, 40, 't');
         DELETE FROM errors; DELETE FROM error_occurrences;",
    );
    let id = GroupId::from_stored(41);
    assert_eq!(moved.report("a", "E", "t"), Recorded::Created { id });
    assert_eq!(numbers(&moved.group(41)), [901]);
}

#[test]
fn an_empty_file_is_taken_over() {
    let moved = Moved::with("");
    let id = GroupId::from_stored(1);
    assert_eq!(moved.report("a", "E", "t"), Recorded::Created { id });
    assert_eq!(numbers(&moved.group(1)), [1]);
}

#[test]
fn older_schemas_are_taken_over() {
    let errors = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
        CREATE TABLE errors (id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint VARCHAR(32) NOT NULL,
          project VARCHAR(100) NOT NULL, environment VARCHAR(20) NOT NULL DEFAULT 'prod', exception_type VARCHAR(200) NOT NULL,
          message TEXT NOT NULL, traceback TEXT NOT NULL, count INTEGER NOT NULL DEFAULT 1,
          first_seen DATETIME NOT NULL, last_seen DATETIME NOT NULL, resolved BOOLEAN NOT NULL DEFAULT 0, resolved_at DATETIME);
        INSERT INTO errors (fingerprint, project, environment, exception_type, message, traceback, count, first_seen, last_seen)
          VALUES ('00112233445566778899aabbccddeeff', 'shop', 'staging', 'E', 'm', 't', 3, '2026-01-01T00:00:00Z', '2026-01-02T03:04:05Z');";
    let occurrences = "CREATE TABLE error_occurrences (id INTEGER PRIMARY KEY AUTOINCREMENT,
          error_id INTEGER NOT NULL REFERENCES errors (id) ON DELETE CASCADE, timestamp DATETIME NOT NULL,
          request_url VARCHAR(500), request_method VARCHAR(10), request_headers TEXT, user_id VARCHAR(100), extra TEXT,
          traceback TEXT NOT NULL);
        INSERT INTO error_occurrences (id, error_id, timestamp, traceback) VALUES (8, 1, '2026-01-02T03:04:05Z', 't'),
          (7, 1, '2026-01-02T03:00:00Z', 't'), (9, 2, '2026-01-02T03:00:00Z', 'stray');";
    let index = "CREATE INDEX idx_occurrence_error_id ON error_occurrences (error_id);
        CREATE INDEX idx_project_env ON errors (project, environment);";
    for (version, tables) in [
        (1, errors.to_owned()),
        (2, format!("{errors}{occurrences}")),
        (3, format!("{errors}{occurrences}{index}")),
    ] {
        let version = format!("INSERT INTO _meta VALUES ('schema_version', '{version}');");
        let moved = Moved::from(&format!("{tables}{version}"));
        let group = moved.group(1);
        assert_eq!(
            (group.count, group.first_seen, group.last_seen),
            (3, 1_767_225_600_000, WRITTEN_MS)
        );
        let of_reports = if tables.contains("error_occurrences") {
            vec![8, 7]
        } else {
            vec![]
        };
        assert_eq!(numbers(&group), of_reports);
        let environments: Vec<_> = group
            .occurrences
            .iter()
            .map(|one| one.environment.as_deref())
            .collect();
        assert!(environments.iter().all(|name| *name == Some("staging")));
        let staging =
            moved.number("SELECT groups FROM facets WHERE kind = 3 AND value = 'staging'");
        assert_eq!(staging, 1);
    }
}

#[test]
fn pages_bring_their_releases_and_sessions_along() {
    let moved = Moved::with(
        r#"INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, count) VALUES (1, '', 'a', 'E', 'm', 't', 2);
           INSERT INTO error_occurrences (error_id, request_method, extra, traceback, timestamp) VALUES
             (1, 'BROWSER', '{"session_id":"s","release":"2.4.1"}', 't', '2026-01-01T22:00:00Z'), (1, 'GET', NULL, 't2', '2026-01-02T03:04:05Z');"#,
    );
    let group = moved.group(1);
    assert_eq!(group.source, Source::Browser);
    assert_eq!(group.occurrences[1].release.as_deref(), Some("2.4.1"));
    assert_eq!(
        (
            &*group.occurrences[0].traceback,
            &*group.occurrences[1].traceback
        ),
        ("t2", "t")
    );
    let hour = WRITTEN_MS / 3_600_000 * 3_600_000;
    assert_eq!(group.hours, [(hour - 5 * 3_600_000, 1), (hour, 1)]);
    let of_session = ListQuery {
        filter: Filter {
            session: Some(SessionId::of("s")),
            ..Filter::default()
        },
        ..ListQuery::default()
    };
    let page = moved
        .store
        .read_blocking(|conn| list::ids(conn, &of_session))
        .expect("is read");
    assert_eq!((page.total, page.ids.len()), (1, 1));
    assert_eq!(
        moved.number("SELECT groups FROM facets WHERE kind = 2 AND value = '2.4.1'"),
        1
    );
    assert_eq!(moved.number("SELECT count(*) FROM project_hours"), 2);
}

#[test]
fn groups_are_found_by_what_stays_the_same_between_releases() {
    let trace = |line| format!("Traceback:\n  File \"/srv/app/pay.py\", line {line}, in pay\nE: m");
    let mut sql = String::new();
    for (id, line, seen) in [(1, 10, 3), (2, 11, 5), (3, 12, 4)] {
        let (fingerprint, trace) = (report("a", "E", &trace(line)).fingerprint(), trace(line));
        write!(sql, "INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, last_seen, resolved)
            VALUES ({id}, '{fingerprint}', 'a', 'E', 'm', '{trace}', '2026-01-0{seen}T00:00:00Z', 1);")
            .expect("written");
    }
    let moved = Moved::with(&sql);
    let intake = Intake {
        grouping: GroupingMode::Stable,
        ..Intake::default()
    };
    let incoming = Incoming::new(report("a", "E", &trace(99)), WRITTEN_MS, &intake);
    let recorded = moved
        .store
        .write_blocking(Lane::Ingest, 0, move |conn| record::record(conn, &incoming));
    let id = GroupId::from_stored(2);
    assert_eq!(
        recorded.expect("is written"),
        Recorded::Reopened { id, count: 2 }
    );
}

/// The original shared groups between projects by accident: such a group stays with its first project, and the other one
/// starts anew.
#[test]
fn a_group_of_two_projects_stays_with_the_first() {
    let shared = report("a:b", "c", "t").fingerprint();
    assert_eq!(shared, report("a", "b:c", "t").fingerprint());
    let moved = Moved::with(&format!(
        "INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, count) VALUES (1, '{shared}', 'a:b', 'c', 'm', 't', 9)"
    ));
    let (first, second) = (GroupId::from_stored(1), GroupId::from_stored(2));
    assert_eq!(
        moved.report("a", "b:c", "t"),
        Recorded::Created { id: second }
    );
    assert_eq!(
        moved.report("a:b", "c", "t"),
        Recorded::Incremented {
            id: first,
            count: 10
        }
    );
}

#[test]
fn of_groups_of_one_kind_the_one_goes_on_that_the_original_would_choose() {
    let fingerprint = report("a", "E", "t").fingerprint();
    for (rows, chosen, count) in [
        ("(1, 0, '2026-01-01'), (2, 0, '2026-01-02')", 1, 2),
        ("(1, 1, '2026-01-02'), (2, 0, '2026-01-01')", 2, 2),
        ("(1, 0, '2026-01-01'), (2, 1, '2026-01-02')", 1, 2),
        (
            "(1, 1, '2026-01-01'), (2, 1, '2026-01-02'), (3, 1, '2026-01-01')",
            2,
            2,
        ),
    ] {
        let moved = Moved::with(&format!(
            "INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, first_seen, last_seen, resolved)
             SELECT column1, '{fingerprint}', 'a', 'E', 'm', 't', '2026-01-01T00:00:00Z', column3 || 'T00:00:00Z', column2 FROM (VALUES {rows})"
        ));
        let id = GroupId::from_stored(chosen);
        let recorded = moved.report("a", "E", "t");
        let expected = [
            Recorded::Incremented { id, count },
            Recorded::Reopened { id, count },
        ];
        assert!(expected.contains(&recorded), "{rows}: {recorded:?}");
        assert!(
            moved.detail(1).is_some() && moved.detail(2).is_some(),
            "{rows}"
        );
    }
}

#[test]
fn damage_does_not_stop_the_move() {
    let moved = Moved::with(
        r#"INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, count, first_seen, last_seen, resolved, resolved_at) VALUES
             (-1, '', 'gone', 'E', 'm', 't', 1, 'x', 'x', 0, NULL), (9223372036854775807, '', 'gone', 'E', 'm', 't', 1, 'x', 'x', 0, NULL),
             (1, 'no hex', 'long ' || hex(zeroblob(500)), 'E', 'm', 't', -7, 'yesterday', 'today', 0, NULL),
             (2, '', 'a', 'E', CAST(x'61ff0062' AS TEXT), CAST(x'00' AS TEXT), 1e300, '2026-01-02T03:04:05Z', '', 1, 'long ago'),
             (3, '', x'ff', 12, 34, 5.5, 'many', 2026, '2026-01-02 03:04:05', 7, '2026-01-02T05:04:05+02:00'),
             (4, '', 'a', 'many', 'm', 't', 3, '2027-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 0, NULL),
             (5, '', 'a', 'json', 'm', 't', 2, 'x', 'x', 0, NULL);
           INSERT INTO error_occurrences (id, error_id, timestamp, request_headers, extra, user_id, traceback) VALUES
             (-5, 1, 'x', NULL, NULL, NULL, 't'), (1, 77, '2026-01-02T03:04:05Z', NULL, NULL, NULL, 'stray'),
             (2, -1, 'x', NULL, NULL, NULL, 't'), (3, 'nobody', 'x', NULL, NULL, NULL, 't'),
             (10, 5, '2026-01-02T03:04:05Z', '{"a": 1, "a":2}', '{broken', x'c328', 't'), (11, 5, 'x', 'null', '', NULL, 't');
           INSERT INTO error_occurrences (id, error_id, traceback) SELECT value + 20, 4, 't' FROM json_each('[1,2,3,4,5,6,7,8]');
           UPDATE sqlite_sequence SET seq = 'none' WHERE name = 'errors';"#,
    );
    assert_eq!(moved.number("SELECT count(*) FROM error_groups"), 5);
    let [one, two, three, four, five] = [1, 2, 3, 4, 5].map(|id| moved.group(id));
    assert_eq!(one.project.chars().count(), 100);
    assert_eq!(
        (one.count, one.first_seen, one.last_seen),
        (1, NOW_MS, NOW_MS)
    );
    assert_eq!((&*two.message, &*two.traceback), ("a\u{fffd}\0b", "\0"));
    assert_eq!(
        (two.count, two.last_seen, two.resolved_at),
        (1, WRITTEN_MS, Some(NOW_MS))
    );
    assert_eq!(
        (&*three.project, &*three.exception_type, &*three.message),
        ("\u{fffd}", "12", "34")
    );
    assert_eq!(three.count, 1);
    assert_eq!(
        (three.state, three.resolved_at),
        (State::Resolved, Some(WRITTEN_MS))
    );
    assert_eq!((four.count, numbers(&four)), (5, vec![28, 27, 26, 25, 24]));
    assert!(four.first_seen < four.last_seen);
    assert_eq!((five.first_seen, five.last_seen), (WRITTEN_MS, WRITTEN_MS));
    let [newer, older] = &five.occurrences[..] else {
        panic!("{five:?}")
    };
    assert_eq!(older.request_headers.as_deref(), Some(r#"{"a":2}"#));
    assert_eq!(
        (older.extra.as_deref(), older.user_id.as_deref()),
        (Some("\"{broken\""), Some("\u{fffd}("))
    );
    assert_eq!(
        (newer.request_headers.as_deref(), newer.extra.as_deref()),
        (None, Some("\"\""))
    );
    assert_eq!(newer.time, WRITTEN_MS);
    let id = GroupId::from_stored(6);
    assert_eq!(moved.report("a", "new", "t"), Recorded::Created { id });
    assert_eq!(numbers(&moved.group(6)), [29]);
}

#[test]
fn damage_is_said_without_what_it_holds() {
    let dir = tempfile::tempdir().expect("temp dir");
    let [from, into] = ["from.db", "into.db"].map(|name| connection(&dir.path().join(name)));
    from.execute_batch(EMPTY).expect("empty");
    from.execute_batch(
        "PRAGMA foreign_keys=OFF;
         INSERT INTO errors (id, fingerprint, project, exception_type, message, traceback, last_seen) VALUES (3, '', 'secret', 'secret', 'secret', 'secret', 'secret');
         INSERT INTO error_occurrences (id, error_id, traceback) VALUES (1, 9, 'secret'), (2, 3, 'secret');",
    )
    .expect("filled");
    for migration in MIGRATIONS {
        into.execute_batch(migration.sql).expect("a schema");
    }
    let taken = import(&Import {
        from: &from,
        into: &into,
        version: 4,
        now_ms: NOW_MS,
    })
    .expect("imported");
    assert_eq!(taken.taken, "1 groups in 1 projects, 1 kept reports");
    assert_eq!(
        taken.remarks(),
        [
            "group 3: values that were unreadable or out of range were replaced",
            "1 reports are left out: their groups are not there",
        ]
    );
}
