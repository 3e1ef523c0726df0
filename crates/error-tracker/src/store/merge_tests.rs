//! A merged group against one that got all reports from the beginning.

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::json;

use super::merge::{self, Merged};
use super::record::{self, Incoming, Intake};
use super::{MIGRATIONS, lifecycle, seen_by};
use crate::domain::group::{GroupId, Recorded, State};
use crate::domain::lifecycle::Ignore;
use crate::domain::report::ErrorReport;

const HOUR: i64 = 3_600_000;

fn database() -> Connection {
    let conn = Connection::open_in_memory().expect("opens");
    for migration in MIGRATIONS {
        conn.execute_batch(migration.sql).expect("migrates");
    }
    conn
}

/// What a report holds besides its kind.
#[derive(Clone, Debug)]
struct Details {
    message: u8,
    browser: bool,
    user: Option<u16>,
    session: Option<u16>,
    release: Option<u8>,
    wait_ms: i64,
}

/// A report of the kind `name`, in the group of all reports with this `place`.
fn report(conn: &Connection, place: &str, name: &str, details: &Details, time: i64) -> Recorded {
    let body = json!({
        "project": "shop", "exception_type": "E", "message": format!("{name} {}", details.message),
        "traceback": format!("{name}\nFile \"{place}.py\", line 1"),
        "request_method": if details.browser { "BROWSER" } else { "GET" },
        "user_id": details.user.map(|user| user.to_string()),
        "release": details.release.map(|release| release.to_string()),
        "extra": details.session.map(|session| json!({"session_id": session.to_string()})),
    });
    let report = ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
    record::record(conn, &Incoming::new(report, time, &Intake::default())).expect("is recorded")
}

fn id_of(recorded: Recorded) -> GroupId {
    match recorded {
        Recorded::Created { id }
        | Recorded::Incremented { id, .. }
        | Recorded::Reopened { id, .. } => id,
    }
}

/// What a statement finds, one column.
fn column(conn: &Connection, id: GroupId, sql: &str) -> Vec<Value> {
    let mut statement = conn.prepare(sql).expect(sql);
    let rows = statement.query_map([id.get()], |row| row.get(0));
    rows.expect(sql).collect::<Result<_, _>>().expect(sql)
}

fn number(conn: &Connection, id: GroupId, sql: &str) -> i64 {
    conn.query_row(sql, [id.get()], |row| row.get(0))
        .expect(sql)
}

/// All that does not depend on where reports were before.
fn state_of(conn: &Connection, id: GroupId) -> Vec<Vec<Value>> {
    let own = [
        "SELECT count || ' ' || users || ' ' || source || ' ' || first_seen || ' ' || last_seen || ' ' || fresh_at || ' ' || state
         FROM error_groups WHERE id = ?1",
        "SELECT hour || ' ' || sum(count) FROM (
           SELECT hour, count FROM group_hours WHERE group_id = ?1
           UNION ALL SELECT hour, hour_count FROM error_groups WHERE id = ?1) GROUP BY hour ORDER BY hour",
        // With its place in the ring, and texts up to their kind.
        "SELECT o.slot % 8 || ' ' || o.number || ' ' || o.time || ' ' || coalesce(o.message, t.message) || ' ' ||
           substr(coalesce(o.traceback, t.traceback), 1, 1)
         FROM occurrences o JOIN group_texts t ON t.group_id = o.slot / 8 WHERE o.slot / 8 = ?1 ORDER BY o.slot",
        "SELECT user FROM group_users WHERE group_id = ?1 ORDER BY user",
        "SELECT hex(session) FROM group_sessions WHERE group_id = ?1 ORDER BY session",
        "SELECT f.value || ' ' || f.groups || ' ' || (instr(g.facets, unhex(printf('%016X', f.id))) > 0)
         FROM group_facets x JOIN facets f ON f.id = x.facet JOIN error_groups g ON g.id = x.group_id
         WHERE x.group_id = ?1 ORDER BY f.value",
        // Of the whole database.
        "SELECT hour || ' ' || source || ' ' || count FROM project_hours WHERE ?1 > 0 ORDER BY hour, source",
        "SELECT value || ' ' || groups FROM facets WHERE ?1 > 0 ORDER BY value",
        "SELECT state || ' ' || source || ' ' || groups FROM group_counts WHERE ?1 > 0 AND groups > 0",
        "SELECT count(*) FROM error_groups WHERE ?1 > 0",
    ];
    own.iter().map(|sql| column(conn, id, sql)).collect()
}

fn details() -> impl Strategy<Value = Details> {
    let some = |most: u16| proptest::option::of(0..most);
    let wait = prop_oneof![4 => 0..1_000_i64, 1 => 0..3 * HOUR];
    (
        0..2_u8,
        proptest::bool::weighted(0.2),
        some(9),
        some(9),
        some(5),
        wait,
    )
        .prop_map(
            |(message, browser, user, session, release, wait_ms)| Details {
                message,
                browser,
                user,
                session,
                release: release.map(|release| release as u8),
                wait_ms,
            },
        )
}

const KINDS: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn merging_is_as_if_all_had_been_one_from_the_beginning(
        before in proptest::collection::vec((0..3_usize, details()), 1..40),
        after in proptest::collection::vec((0..3_usize, details()), 0..12),
        target in 0..3_usize,
    ) {
        let (merged, one) = (database(), database());
        let mut time = 100 * HOUR;
        let mut groups = [None; 3];
        let mut whole = None;
        for (kind, details) in &before {
            time += details.wait_ms;
            groups[*kind] = Some(id_of(report(&merged, KINDS[*kind], KINDS[*kind], details, time)));
            whole = Some(id_of(report(&one, "all", KINDS[*kind], details, time)));
        }
        // One of them goes on; a kind that was not reported yet stays a group of its own.
        let into = groups[target].or(groups[before[0].0]).expect("was reported");
        for other in groups.into_iter().flatten().filter(|other| *other != into) {
            prop_assert_eq!(merge::merge(&merged, into, other, time).expect("is merged"), Merged::Now);
        }
        let whole = whole.expect("was reported");
        prop_assert_eq!(state_of(&merged, into), state_of(&one, whole));
        for (kind, details) in &after {
            if groups[*kind].is_none() {
                continue;
            }
            time += details.wait_ms;
            let recorded = report(&merged, KINDS[*kind], KINDS[*kind], details, time);
            prop_assert_eq!(id_of(recorded), into);
            report(&one, "all", KINDS[*kind], details, time);
        }
        prop_assert_eq!(state_of(&merged, into), state_of(&one, whole));
        let left = number(&merged, into, "SELECT count(*) FROM group_texts WHERE ?1 > 0");
        prop_assert_eq!(left, 1);
    }
}

const PLAIN: Details = Details {
    message: 0,
    browser: false,
    user: None,
    session: None,
    release: None,
    wait_ms: 0,
};

/// Groups `a` and `b`, seen by the given users in sessions of the same numbers.
fn seen_by(
    conn: &Connection,
    a: std::ops::Range<u16>,
    b: std::ops::Range<u16>,
) -> (GroupId, GroupId) {
    let mut groups = Vec::new();
    for (name, users) in [("a", a), ("b", b)] {
        let last = users.map(|user| {
            let (user, session) = (Some(user), Some(user));
            let details = Details {
                user,
                session,
                ..PLAIN
            };
            id_of(report(conn, name, name, &details, 0))
        });
        groups.push(last.last().expect("a user"));
    }
    (groups[0], groups[1])
}

#[test]
fn users_are_exact_as_long_as_they_can_be_listed() {
    let conn = database();
    let (a, b) = seen_by(&conn, 0..600, 400..1_000);
    merge::merge(&conn, a, b, 0).expect("is merged");
    let users = "SELECT users FROM error_groups WHERE id = ?1";
    assert_eq!(number(&conn, a, users), 1_000);
    let listed = "SELECT count(*) FROM group_users WHERE group_id = ?1";
    assert_eq!(number(&conn, a, listed), 1_000);
    assert!(seen_by::sketch(&conn, a.get()).expect("is read").is_none());
    let details = Details {
        user: Some(999),
        ..PLAIN
    };
    report(&conn, "b", "b", &details, 0);
    assert_eq!(number(&conn, a, users), 1_000);
}

#[test]
fn users_beyond_the_list_are_united_in_a_sketch() {
    let conn = database();
    let (a, b) = seen_by(&conn, 0..900, 500..2_500);
    merge::merge(&conn, a, b, 0).expect("is merged");
    let users = || number(&conn, a, "SELECT users FROM error_groups WHERE id = ?1");
    let merged = users();
    assert!((2_350..2_650).contains(&merged), "{merged} of 2500");
    let listed = "SELECT count(*) FROM group_users WHERE group_id = ?1 AND slot BETWEEN 0 AND 999";
    assert_eq!(number(&conn, a, listed), 1_000);
    for user in 2_500..4_000 {
        let details = Details {
            user: Some(user),
            ..PLAIN
        };
        report(&conn, "a", "a", &details, 0);
    }
    assert!((3_760..4_240).contains(&users()), "{} of 4000", users());
}

#[test]
fn the_newest_sessions_stay() {
    let conn = database();
    let (a, b) = seen_by(&conn, 0..400, 300..1_700);
    merge::merge(&conn, a, b, 0).expect("is merged");
    let sessions =
        "SELECT count(*) FROM group_sessions WHERE group_id = ?1 AND slot BETWEEN 0 AND 999";
    assert_eq!(number(&conn, a, sessions), 1_000);
    let foreign = "SELECT count(*) FROM group_sessions WHERE group_id <> ?1";
    assert_eq!(number(&conn, a, foreign), 0);
    // Two more take the places of the oldest.
    for session in [5_000, 5_001] {
        let details = Details {
            session: Some(session),
            ..PLAIN
        };
        report(&conn, "b", "b", &details, 0);
    }
    assert_eq!(number(&conn, a, sessions), 1_000);
}

#[test]
fn facets_beyond_the_limit_are_forgotten_in_the_dictionary_too() {
    let conn = database();
    let mut last = Vec::new();
    for (name, releases) in [("a", 0..40_u8), ("b", 30..90_u8)] {
        let reported = releases.map(|release| {
            let details = Details {
                release: Some(release),
                ..PLAIN
            };
            id_of(report(&conn, name, name, &details, i64::from(release)))
        });
        last.push(reported.last().expect("a release"));
    }
    merge::merge(&conn, last[0], last[1], 0).expect("is merged");
    let kept = "SELECT count(*) FROM group_facets WHERE group_id = ?1";
    assert_eq!(number(&conn, last[0], kept), 64);
    let bytes = "SELECT length(facets) FROM error_groups WHERE id = ?1";
    assert_eq!(number(&conn, last[0], bytes), 64 * 8);
    let wrong = "SELECT count(*) FROM facets f WHERE ?1 > 0 AND f.groups <>
       (SELECT count(*) FROM group_facets x WHERE x.facet = f.id)";
    assert_eq!(number(&conn, last[0], wrong), 0);
    let newest = "SELECT count(*) FROM group_facets x JOIN facets f ON f.id = x.facet
       WHERE x.group_id = ?1 AND cast(f.value AS INTEGER) >= 26";
    assert_eq!(number(&conn, last[0], newest), 64);
}

#[test]
fn decisions_notes_and_histories_are_united() {
    let conn = database();
    let groups: Vec<GroupId> = ["a", "b", "c"]
        .map(|name| id_of(report(&conn, name, name, &PLAIN, HOUR)))
        .to_vec();
    let [a, b, c] = groups[..] else {
        panic!("three groups")
    };
    lifecycle::resolve(&conn, a, None, 2 * HOUR).expect("is resolved");
    lifecycle::ignore(
        &conn,
        b,
        Ignore {
            until_ms: None,
            reports: Some(5),
        },
        3 * HOUR,
    )
    .expect("is ignored");
    lifecycle::note(&conn, a, Some("of a"), 4 * HOUR).expect("is noted");
    lifecycle::note(&conn, b, Some("of b"), 4 * HOUR).expect("is noted");
    merge::merge(&conn, b, a, 5 * HOUR).expect("is merged");
    let state = |id| {
        State::from_stored(number(
            &conn,
            id,
            "SELECT state FROM error_groups WHERE id = ?1",
        ))
    };
    assert_eq!(state(b), State::Resolved);
    assert_eq!(
        number(
            &conn,
            b,
            "SELECT resolved_at FROM error_groups WHERE id = ?1"
        ),
        2 * HOUR
    );
    let note = column(
        &conn,
        b,
        "SELECT note FROM group_decisions WHERE group_id = ?1",
    );
    assert_eq!(note, [Value::Text("of b\n\nof a".to_owned())]);
    let history = column(
        &conn,
        b,
        "SELECT action FROM group_history WHERE group_id = ?1 ORDER BY id",
    );
    let actions = ["resolved", "ignored", "noted", "noted", "merged"];
    assert_eq!(
        history,
        actions.map(|action| Value::Text(action.to_owned()))
    );
    merge::merge(&conn, b, c, 6 * HOUR).expect("is merged");
    assert_eq!(state(b), State::Open);
    let open = "SELECT count(*) FROM error_groups WHERE id = ?1 AND resolved_at IS NULL";
    assert_eq!(number(&conn, b, open), 1);
    let counted = "SELECT groups FROM group_counts WHERE ?1 > 0 AND groups > 0";
    assert_eq!(column(&conn, b, counted), [Value::Integer(1)]);
}

#[test]
fn a_group_that_came_back_stays_one_that_came_back() {
    let conn = database();
    let [a, b] = ["a", "b"].map(|name| id_of(report(&conn, name, name, &PLAIN, HOUR)));
    lifecycle::resolve(&conn, b, None, 2 * HOUR).expect("is resolved");
    report(&conn, "b", "b", &PLAIN, 3 * HOUR);
    merge::merge(&conn, a, b, 4 * HOUR).expect("is merged");
    assert_eq!(
        number(&conn, a, "SELECT fresh_at FROM error_groups WHERE id = ?1"),
        3 * HOUR
    );
}

#[test]
fn only_groups_of_one_project_can_be_one() {
    let conn = database();
    let a = id_of(report(&conn, "a", "a", &PLAIN, HOUR));
    let body = json!({"project": "other", "exception_type": "E", "message": "", "traceback": ""});
    let other = ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
    let other = id_of(
        record::record(&conn, &Incoming::new(other, 0, &Intake::default())).expect("is recorded"),
    );
    let nobody = GroupId::from_stored(99);
    let merge = |into, other| merge::merge(&conn, into, other, 0).expect("is answered");
    assert_eq!(merge(a, other), Merged::OtherProject(other));
    assert_eq!(merge(a, nobody), Merged::Unknown(nobody));
    assert_eq!(merge(nobody, a), Merged::Unknown(nobody));
    assert_eq!(merge(a, a), Merged::Now);
    assert_eq!(
        number(&conn, a, "SELECT count(*) FROM error_groups WHERE ?1 > 0"),
        2
    );
    assert_eq!(
        merge::known(&conn, &[nobody, other, a]).expect("is read"),
        [other, a]
    );
}
