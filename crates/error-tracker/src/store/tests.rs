//! The store against a plain model of what it should hold, and the plans of its lists.

use std::collections::BTreeMap;

use monlight_shared::clock::{Clock, iso_seconds};
use monlight_shared::metrics::Registry;
use monlight_shared::store::{Lane, QueueLimits, Store, StoreError};
use proptest::prelude::*;
use rusqlite::{Connection, StatementStatus};
use serde_json::json;
use tempfile::TempDir;

use super::lifecycle::Decided;
use super::record::{Incoming, Intake};
use super::{MIGRATIONS, detail, lifecycle, list, record, retention};
use crate::domain::filter::Filter;
use crate::domain::group::{GroupId, Recorded, Source, State};
use crate::domain::query::ListQuery;
use crate::domain::report::ErrorReport;
use crate::domain::session::SessionId;

struct Database {
    store: Store,
    _dir: TempDir,
}

impl Database {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("errors.db");
        let limits = QueueLimits::default();
        let store = Store::open(
            &path,
            MIGRATIONS,
            limits,
            Clock::system(),
            &Registry::default(),
        );
        Self {
            store: store.expect("opens"),
            _dir: dir,
        }
    }

    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store
            .write_blocking(Lane::Ingest, 0, job)
            .expect("is written")
    }

    fn read<T>(&self, job: impl FnOnce(&Connection) -> Result<T, StoreError>) -> T {
        self.store.read_blocking(job).expect("is read")
    }

    fn list(&self, query: &ListQuery) -> (i64, Vec<i64>) {
        let page = self.read(|conn| list::ids(conn, query));
        assert!(page.total_exact);
        (page.total, page.ids.iter().map(|id| id.get()).collect())
    }
}

fn every_query() -> Vec<ListQuery> {
    let mut queries = Vec::new();
    for project in [None, Some("a"), Some("b"), Some("unknown")] {
        for state in [None, Some(State::Open), Some(State::Resolved)] {
            for source in [None, Some(Source::Server), Some(Source::Browser)] {
                for session in [None, Some("s1"), Some("never")] {
                    for since_ms in [None, Some(20_000)] {
                        let filter = Filter {
                            project: project.map(str::to_owned),
                            state,
                            source,
                            session: session.map(SessionId::of),
                            since_ms,
                            ..Filter::default()
                        };
                        queries.push(ListQuery {
                            filter,
                            limit: 4,
                            ..ListQuery::default()
                        });
                    }
                }
            }
        }
    }
    queries
}

#[derive(Clone, Debug)]
enum Step {
    Report {
        project: &'static str,
        kind: u8,
        browser: bool,
        session: Option<&'static str>,
        message: u8,
    },
    Resolve(i64),
    DeleteResolvedBefore(i64),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let report = (
        proptest::sample::select(vec!["a", "b", "a:T0"]),
        0..4_u8,
        proptest::bool::weighted(0.3),
        proptest::option::of(proptest::sample::select(vec!["s1", "s2"])),
        0..3_u8,
    );
    let step = prop_oneof![
        8 => report.prop_map(|(project, kind, browser, session, message)| Step::Report {
            project, kind, browser, session, message,
        }),
        2 => (1..14_i64).prop_map(Step::Resolve),
        1 => (0..40_000_i64).prop_map(Step::DeleteResolvedBefore),
        3 => (0..2_000_i64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..80)
}

#[derive(Clone, Debug)]
struct ModelGroup {
    id: i64,
    count: i64,
    first_seen: i64,
    last_seen: i64,
    resolved_at: Option<i64>,
    browser: bool,
    sessions: Vec<SessionId>,
    message: String,
    /// All of them: number, time, message.
    reports: Vec<(i64, i64, String)>,
}

#[derive(Default)]
struct Model {
    now: i64,
    last_id: i64,
    last_number: i64,
    groups: BTreeMap<(String, u8), ModelGroup>,
    /// Of each project that has groups, those of deleted groups included.
    reports: BTreeMap<String, i64>,
}

impl Model {
    fn report(
        &mut self,
        key: (String, u8),
        browser: bool,
        session: Option<&str>,
        message: &str,
    ) -> Recorded {
        let now = self.now;
        self.last_number += 1;
        *self.reports.entry(key.0.clone()).or_default() += 1;
        let new = !self.groups.contains_key(&key);
        self.last_id += i64::from(new);
        let group = self.groups.entry(key).or_insert_with(|| ModelGroup {
            id: self.last_id,
            count: 0,
            first_seen: now,
            last_seen: now,
            resolved_at: None,
            browser: false,
            sessions: Vec::new(),
            message: message.to_owned(),
            reports: Vec::new(),
        });
        group.count += 1;
        group.last_seen = now;
        group.browser |= browser;
        group.sessions.extend(session.map(SessionId::of));
        group
            .reports
            .push((self.last_number, now, message.to_owned()));
        let reopened = group.resolved_at.take().is_some();
        let (id, count) = (GroupId::from_stored(group.id), group.count);
        match (new, reopened) {
            (true, _) => Recorded::Created { id },
            (_, true) => Recorded::Reopened { id, count },
            _ => Recorded::Incremented { id, count },
        }
    }

    fn list(&self, query: &ListQuery) -> (i64, Vec<i64>) {
        let mut found: Vec<&ModelGroup> = self
            .groups
            .iter()
            .filter(|((project, _), group)| {
                let state = match group.resolved_at {
                    Some(_) => State::Resolved,
                    None => State::Open,
                };
                let browser = query.filter.source.map(|source| source == Source::Browser);
                let filter = &query.filter;
                filter
                    .project
                    .as_ref()
                    .is_none_or(|wanted| wanted == project)
                    && filter.state.is_none_or(|wanted| wanted == state)
                    && browser.is_none_or(|wanted| wanted == group.browser)
                    && filter
                        .session
                        .is_none_or(|wanted| group.sessions.contains(&wanted))
                    && filter.since_ms.is_none_or(|since| group.last_seen >= since)
            })
            .map(|(_, group)| group)
            .collect();
        found.sort_by_key(|group| std::cmp::Reverse((group.last_seen, group.id)));
        let ids = found
            .iter()
            .skip(query.offset as usize)
            .take(query.limit as usize)
            .map(|group| group.id);
        (found.len() as i64, ids.collect())
    }
}

fn incoming(
    project: &str,
    kind: u8,
    browser: bool,
    session: Option<&str>,
    message: &str,
    now: i64,
) -> Incoming {
    let body = json!({
        "project": project, "exception_type": format!("T{kind}"), "message": message, "traceback": "t",
        "request_method": if browser { "BROWSER" } else { "GET" }, "extra": {"session_id": session},
    });
    let report = ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
    Incoming::new(report, now, &Intake::default())
}

fn take(database: &Database, model: &mut Model, step: &Step) {
    match step.clone() {
        Step::Report {
            project,
            kind,
            browser,
            session,
            message,
        } => {
            let message = format!("m{message}");
            let incoming = incoming(project, kind, browser, session, &message, model.now);
            let recorded = database.write(move |conn| record::record(conn, &incoming));
            let key = (project.to_owned(), kind);
            assert_eq!(recorded, model.report(key, browser, session, &message));
        }
        Step::Resolve(id) => {
            let now = model.now;
            let resolved = database
                .write(move |conn| lifecycle::resolve(conn, GroupId::from_stored(id), None, now));
            let group = model.groups.values_mut().find(|group| group.id == id);
            let expected = match group {
                None => Decided::Unknown,
                Some(group) if group.resolved_at.is_some() => Decided::Already,
                Some(group) => {
                    group.resolved_at = Some(now);
                    Decided::Now
                }
            };
            assert_eq!(resolved, expected);
        }
        Step::DeleteResolvedBefore(before) => {
            let deleted = database.write(move |conn| {
                let deleted = retention::delete_resolved(conn, before)?;
                retention::delete_empty(conn)?;
                Ok(deleted)
            });
            let groups = model.groups.len();
            model
                .groups
                .retain(|_, group| group.resolved_at.is_none_or(|at| at >= before));
            assert_eq!(deleted, groups - model.groups.len());
            let groups = &model.groups;
            model
                .reports
                .retain(|project, _| groups.keys().any(|(name, _)| name == project));
        }
        Step::Wait(ms) => model.now += ms,
    }
}

/// What is counted as reports arrive and as groups change is what counting it anew gives.
fn compare_counters(database: &Database, reports: i64) {
    let rows = |sql: &'static str| -> Vec<(i64, i64, i64, i64)> {
        database.read(move |conn| {
            let mut statement = conn.prepare(sql)?;
            let rows = statement.query_map([], |row| row.try_into())?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    };
    assert_eq!(
        rows("SELECT hour, project, source, groups FROM fresh_groups WHERE groups <> 0"),
        rows(
            "SELECT fresh_at / 3600000, project, source, count(*) FROM error_groups WHERE state = 0
             GROUP BY 1, 2, 3"
        )
    );
    assert_eq!(
        rows("SELECT 0, 0, 0, coalesce(sum(count), 0) FROM project_hours"),
        [(0, 0, 0, reports)]
    );
}

fn compare(database: &Database, model: &Model) {
    compare_counters(database, model.reports.values().sum());
    for query in every_query() {
        assert_eq!(database.list(&query), model.list(&query), "{query:?}");
        let second = ListQuery { offset: 4, ..query };
        assert_eq!(database.list(&second), model.list(&second), "{second:?}");
    }
    let mut names: Vec<&str> = model
        .groups
        .keys()
        .map(|(project, _)| project.as_str())
        .collect();
    names.dedup();
    assert_eq!(database.read(list::projects), names);
    for group in model.groups.values() {
        let found = database
            .read(|conn| detail::detail(conn, GroupId::from_stored(group.id), model.now))
            .expect("is there");
        assert_eq!(
            (found.count, found.first_seen, found.last_seen),
            (group.count, group.first_seen, group.last_seen)
        );
        assert_eq!(found.resolved_at, group.resolved_at);
        assert_eq!(found.message, group.message);
        let shown: Vec<_> = found
            .occurrences
            .iter()
            .map(|one| (one.number, one.time, one.message.clone()))
            .collect();
        let newest: Vec<_> = group.reports.iter().rev().take(5).cloned().collect();
        assert_eq!(shown, newest);
        let in_hours: i64 = found.hours.iter().map(|(_, count)| count).sum();
        assert_eq!(in_hours, group.count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_a_plain_model_holds(steps in steps()) {
        let (database, mut model) = (Database::new(), Model::default());
        for step in &steps {
            take(&database, &mut model, step);
        }
        compare(&database, &model);
    }
}

/// It was, for every report, because its plan might have depended on the bound values.
#[test]
fn the_statement_that_finds_a_group_is_compiled_once() {
    let database = Database::new();
    for kind in [1, 2, 1, 3, 2] {
        let incoming = incoming("a", kind, false, None, "m", 0);
        database.write(move |conn| record::record(conn, &incoming));
    }
    let compiled_again = database.write(|conn| {
        let statement = conn.prepare_cached(record::FIND)?;
        Ok((
            statement.get_status(StatementStatus::Run),
            statement.get_status(StatementStatus::RePrepare),
        ))
    });
    assert_eq!(compiled_again, (5, 0));
}

#[test]
fn more_sessions_than_are_kept_push_out_the_oldest() {
    let database = Database::new();
    for number in 0..1_003 {
        let session = format!("session-{number}");
        let incoming = incoming("a", 1, true, Some(&session), "m", 0);
        database.write(move |conn| record::record(conn, &incoming));
    }
    let with_session = |session: &str| {
        let session = Some(SessionId::of(session));
        database
            .list(&ListQuery {
                filter: Filter {
                    session,
                    ..Filter::default()
                },
                ..ListQuery::default()
            })
            .0
    };
    let rows: i64 = database.read(|conn| {
        Ok(conn.query_row("SELECT count(*) FROM group_sessions", [], |row| row.get(0))?)
    });
    assert_eq!(rows, 1_000);
    assert_eq!(
        (
            with_session("session-2"),
            with_session("session-3"),
            with_session("session-1002")
        ),
        (0, 1, 1)
    );
}

#[test]
fn users_are_counted_exactly_up_to_a_thousand_and_about_right_beyond() {
    let database = Database::new();
    let report = |user: u32| {
        let body = json!({
            "project": "a", "exception_type": "E", "message": "m", "traceback": "t", "user_id": format!("u{user}"),
        });
        let report = ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
        Incoming::new(report, 0, &Intake::default())
    };
    let users = || -> (i64, i64) {
        database.read(|conn| {
            let counted = conn.query_row("SELECT users FROM error_groups", [], |row| row.get(0))?;
            let listed =
                conn.query_row("SELECT count(*) FROM group_users", [], |row| row.get(0))?;
            Ok((counted, listed))
        })
    };
    database.write(move |conn| {
        for user in 0..1_000 {
            record::record(conn, &report(user % 1_000))?;
            record::record(conn, &report(user / 2))?;
        }
        Ok(())
    });
    assert_eq!(users(), (1_000, 1_000));
    database.write(move |conn| {
        for user in 0..5_000 {
            record::record(conn, &report(user))?;
        }
        Ok(())
    });
    let (counted, listed) = users();
    assert!((4_600..5_400).contains(&counted), "{counted}");
    assert_eq!(listed, 1_000);
}

#[test]
fn a_clock_set_back_moves_no_group_down() {
    let database = Database::new();
    for (kind, now) in [(1, 10_000), (2, 11_000), (1, 12_000), (1, 3_000)] {
        let incoming = incoming("a", kind, false, None, "m", now);
        database.write(move |conn| record::record(conn, &incoming));
    }
    assert_eq!(database.list(&ListQuery::default()), (2, vec![1, 2]));
    let group = database.read(|conn| detail::detail(conn, GroupId::from_stored(1), 12_000));
    let numbers: Vec<i64> = group
        .expect("is there")
        .occurrences
        .iter()
        .map(|one| one.number)
        .collect();
    assert_eq!(numbers, [4, 3, 1]);
}

#[test]
fn hourly_counters_end_with_their_time() {
    let database = Database::new();
    let hour = 3_600_000;
    for now in [0, 5, hour, 50 * hour] {
        let incoming = incoming("a", 1, false, None, "m", now);
        database.write(move |conn| record::record(conn, &incoming));
    }
    // Day 30 begins with the last report; the first two hours are then over by one and by none.
    let day_30 = 29 * 24 + 24;
    let now = day_30 * hour;
    let in_file = |database: &Database| -> i64 {
        database.read(|conn| {
            Ok(conn.query_row("SELECT count(*) FROM group_hours", [], |row| row.get(0))?)
        })
    };
    assert_eq!(in_file(&database), 2);
    let next = database.write(move |conn| retention::delete_group_hours(conn, 0, now));
    assert_eq!((next, in_file(&database)), (Some(1), 1));
    let next = database.write(move |conn| retention::delete_group_hours(conn, 1, now));
    assert_eq!(next, None);
    let left = database.read(|conn| detail::detail(conn, GroupId::from_stored(1), now));
    assert_eq!(left.expect("is there").hours, [(hour, 1), (50 * hour, 1)]);
    // A group that occurs again looks after its own.
    let again = incoming("a", 1, false, None, "m", now + hour);
    database.write(move |conn| record::record(conn, &again));
    assert_eq!(in_file(&database), 1);
}

#[test]
fn a_big_deletion_gives_its_space_back() {
    let database = Database::new();
    let text = "x".repeat(200_000);
    for kind in 0..60 {
        let incoming = incoming("a", kind, false, None, &text, 0);
        database.write(move |conn| record::record(conn, &incoming));
        let id = GroupId::from_stored(i64::from(kind) + 1);
        database.write(move |conn| lifecycle::resolve(conn, id, None, 1));
    }
    while database.write(|conn| retention::delete_resolved(conn, 2)) > 0 {}
    while database.write(retention::shrink) {}
    let pages: i64 =
        database.read(|conn| Ok(conn.query_row("PRAGMA page_count", [], |row| row.get(0))?));
    assert!(pages < 1_300, "{pages} pages are left");
}

#[test]
fn the_views_show_what_the_original_tables_showed() {
    let database = Database::new();
    for message in ["first", "second"] {
        let incoming = incoming("a", 1, false, None, message, 1_737_367_200_999);
        database.write(move |conn| record::record(conn, &incoming));
    }
    let (group, occurrence) = database.read(|conn| {
        let group = conn.query_row(
            "SELECT id, project, exception_type, message, traceback, count, last_seen, resolved, resolved_at, length(fingerprint)
             FROM errors",
            [],
            |row| {
                Ok((
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?),
                    (row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?),
                ))
            },
        )?;
        let occurrence = conn.query_row(
            "SELECT id, error_id, timestamp, request_method, traceback FROM error_occurrences ORDER BY id DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )?;
        Ok((group, occurrence))
    });
    let text = str::to_owned;
    let time = iso_seconds(1_737_367_200_999);
    let expected = (
        (1_i64, text("a"), text("T1"), text("first"), text("t")),
        (2_i64, time.clone(), false, None::<String>, 32_i64),
    );
    assert_eq!(group, expected);
    assert_eq!(occurrence, (2_i64, 1_i64, time, text("GET"), text("t")));
}
