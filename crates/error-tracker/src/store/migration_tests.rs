//! Databases of earlier versions of this service.

use monlight_shared::clock::Clock;
use monlight_shared::metrics::Registry;
use monlight_shared::store::{Lane, QueueLimits, Store};

use super::record::{self, Incoming, Intake};
use super::{MIGRATIONS, detail, list};
use crate::domain::filter::Filter;
use crate::domain::group::{GroupId, Recorded, State};
use crate::domain::query::ListQuery;
use crate::domain::report::ErrorReport;

const HOUR: i64 = 3_600_000;

fn open(path: &std::path::Path, migrations: &'static [super::Migration]) -> Store {
    Store::open(
        path,
        migrations,
        QueueLimits::default(),
        Clock::system(),
        &Registry::default(),
    )
    .expect("opens")
}

fn incoming(traceback: &str, time_ms: i64) -> Incoming {
    let body = serde_json::json!({
        "project": "shop", "exception_type": "E", "message": "m", "traceback": traceback,
    });
    let report = ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
    Incoming::new(report, time_ms, &Intake::default())
}

#[test]
fn a_database_of_version_100_keeps_everything() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("errors.db");
    let (first, _) = MIGRATIONS.split_at(1);
    let store = open(&path, first);
    let fingerprint = *incoming("t", 0).fingerprint().as_bytes();
    let fill = move |conn: &rusqlite::Connection| {
        conn.execute_batch(
            "INSERT INTO projects (name) VALUES ('shop');
             INSERT INTO error_groups (id, project, fingerprint, state, source, count, sessions, first_seen, last_seen,
                 resolved_at, exception_type, message)
               VALUES (3, 1, zeroblob(16), 1, 1, 1, 1, 3600000, 3600000, 7200000, 'R', 'resolved'),
                 (5, 1, randomblob(16), 0, 0, 2, 0, 3600000, 7200001, NULL, 'E', 'm'), (9, 1, randomblob(16), 0, 0, 1, 0, 1, 1, NULL, 'X', 'x');
             INSERT INTO group_tracebacks VALUES (3, 'r'), (5, 't'), (9, 'x');
             INSERT INTO occurrences (slot, number, time) VALUES (24, 1, 3600000), (40, 2, 3600000), (41, 3, 7200001), (72, 4, 1);
             UPDATE last_occurrence SET number = 4;
             INSERT INTO group_hours (hour, group_id, count) VALUES (1, 3, 1), (1, 5, 1), (2, 5, 1), (0, 9, 1);
             INSERT INTO group_sessions VALUES (3, 0, x'aa');
             DELETE FROM error_groups WHERE id = 9;",
        )?;
        conn.execute(
            "UPDATE error_groups SET fingerprint = ?1 WHERE id = 5",
            [fingerprint],
        )?;
        Ok(())
    };
    store
        .write_blocking(Lane::Ingest, 0, fill)
        .expect("is written");
    store.close();

    let store = open(&path, MIGRATIONS);
    let all = ListQuery {
        filter: Filter {
            state: None,
            ..Filter::default()
        },
        ..ListQuery::default()
    };
    let (total, resolved) = store
        .read_blocking(|conn| {
            let page = list::ids(conn, &all)?;
            Ok((page.total, list::count(conn, State::Resolved)?))
        })
        .expect("is read");
    assert_eq!((total, resolved), (2, 1));
    let five = |store: &Store| {
        let read =
            |conn: &rusqlite::Connection| detail::detail(conn, GroupId::from_stored(5), 3 * HOUR);
        store
            .read_blocking(read)
            .expect("is read")
            .expect("is there")
    };
    assert_eq!(five(&store).hours, [(HOUR, 1), (2 * HOUR, 1)]);
    let again = incoming("t", 2 * HOUR + 5);
    let recorded = store.write_blocking(Lane::Ingest, 0, move |conn| record::record(conn, &again));
    let id = GroupId::from_stored(5);
    assert_eq!(
        recorded.expect("is written"),
        Recorded::Incremented { id, count: 3 }
    );
    let shown = five(&store);
    assert_eq!(shown.hours, [(HOUR, 1), (2 * HOUR, 2)]);
    assert_eq!(
        (shown.message.as_str(), shown.traceback.as_str()),
        ("m", "t")
    );
    let numbers: Vec<i64> = shown.occurrences.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [5, 3, 2]);
    let new = incoming("another", 2 * HOUR);
    let recorded = store.write_blocking(Lane::Ingest, 0, move |conn| record::record(conn, &new));
    let id = GroupId::from_stored(10);
    assert_eq!(recorded.expect("is written"), Recorded::Created { id });
    store.close();
}
