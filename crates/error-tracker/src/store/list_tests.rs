//! Lists against a plain model, whatever way they are made, and the plans of their statements.

use monlight_shared::clock::Clock;
use monlight_shared::metrics::Registry;
use monlight_shared::search_text::SearchText;
use monlight_shared::store::{Lane, QueueLimits, Store, StoreError};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::page::{Effort, Page, find_with};
use super::plan::{Order, Plan};
use super::record::{self, Incoming, Intake};
use super::{MIGRATIONS, list, search, sets};
use crate::domain::cursor::Cursor;
use crate::domain::facet::{FacetId, FacetKind};
use crate::domain::filter::{Filter, SEARCHED, Search};
use crate::domain::group::{Source, State};
use crate::domain::query::{ListQuery, Sort};
use crate::domain::report::ErrorReport;
use crate::domain::session::SessionId;
use crate::domain::user::UserId;

struct Database {
    store: Store,
    _dir: TempDir,
}

impl Database {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(
            &dir.path().join("errors.db"),
            MIGRATIONS,
            QueueLimits::default(),
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
}

/// The reports of one group.
#[derive(Clone, Debug)]
struct Reported {
    project: &'static str,
    browser: bool,
    state: State,
    times: Vec<i64>,
    session: Option<&'static str>,
    user: Option<&'static str>,
    level: Option<&'static str>,
    tags: Vec<&'static str>,
    kind: &'static str,
    message: Vec<&'static str>,
    traceback: Vec<&'static str>,
}

fn reported() -> impl Strategy<Value = Reported> {
    let words = || {
        prop::collection::vec(
            prop::sample::select(vec!["alpha", "beta", "gamma", "alphabet"]),
            0..4,
        )
    };
    let maybe =
        |names: &[&'static str]| prop::option::weighted(0.7, prop::sample::select(names.to_vec()));
    let who = (
        prop::sample::select(vec!["a", "b"]),
        prop::bool::weighted(0.3),
        prop::sample::select(vec![
            State::Open,
            State::Open,
            State::Resolved,
            State::Ignored,
        ]),
        prop::collection::vec(0..50_i64, 1..8),
        maybe(&["s1", "s2"]),
        maybe(&["u1", "u2"]),
    );
    let what = (
        maybe(&["error", "error", "warning"]),
        prop::collection::vec(prop::sample::select(vec!["x:1", "x:2", "y:1"]), 0..3),
        prop::sample::select(vec!["IoError", "AlphaError"]),
        words(),
        words(),
    );
    (who, what).prop_map(
        |(
            (project, browser, state, times, session, user),
            (level, tags, kind, message, traceback),
        )| Reported {
            project,
            browser,
            state,
            times,
            session,
            user,
            level,
            tags,
            kind,
            message,
            traceback,
        },
    )
}

impl Reported {
    /// The reports of the group that becomes number `id`.
    fn incoming(&self, id: i64) -> Vec<Incoming> {
        let tags: serde_json::Map<String, serde_json::Value> = self
            .tags
            .iter()
            .filter_map(|tag| tag.split_once(':'))
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        let body = json!({
            "project": self.project, "exception_type": self.kind, "message": self.message.join(" "),
            "traceback": format!("File \"m{id}.py\", line 1 {}", self.traceback.join(" ")),
            "request_method": if self.browser { "BROWSER" } else { "GET" },
            "extra": {"session_id": self.session}, "user_id": self.user, "level": self.level, "tags": tags,
        });
        let report = || ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
        self.times
            .iter()
            .map(|time| Incoming::new(report(), *time, &Intake::default()))
            .collect()
    }

    /// Of several tags with one key the last one counts, as in any JSON object.
    fn tags(&self) -> Vec<&'static str> {
        let key = |tag: &'static str| tag.split_once(':').map(|(key, _)| key);
        let last = |index: usize, tag: &'static str| {
            !self
                .tags
                .iter()
                .skip(index + 1)
                .any(|later| key(later) == key(tag))
        };
        (0..)
            .zip(&self.tags)
            .filter(|(index, tag)| last(*index, tag))
            .map(|(_, tag)| *tag)
            .collect()
    }
}

/// Stores groups; the texts of the first `indexed` get into the index.
fn stored(groups: &[Reported], indexed: usize) -> Database {
    let database = Database::new();
    let mut ids = (1_i64..).zip(groups.to_vec());
    let first: Vec<_> = ids.by_ref().take(indexed).collect();
    let rest: Vec<_> = ids.collect();
    let store = |groups: Vec<(i64, Reported)>| {
        database.write(move |conn| {
            for (id, group) in &groups {
                for incoming in group.incoming(*id) {
                    record::record(conn, &incoming)?;
                }
                conn.execute(
                    "UPDATE error_groups SET state = ?1 WHERE id = ?2",
                    (group.state as i64, id),
                )?;
            }
            Ok(())
        });
    };
    store(first);
    database.write(|conn| {
        while search::index_some(conn)? {}
        Ok(())
    });
    store(rest);
    database
}

/// What groups are sorted by, as stored: number, last and first seen, and the two ranks.
fn keys(database: &Database) -> Vec<[i64; 5]> {
    database.read(|conn| {
        let mut statement = conn.prepare(
            "SELECT id, last_seen, first_seen, coalesce(count_rank, count), coalesce(users_rank, users)
             FROM error_groups ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// A filter and the same as a predicate.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    project: Option<&'static str>,
    state: Option<State>,
    source: Option<Source>,
    session: Option<&'static str>,
    user: Option<&'static str>,
    level: Option<&'static str>,
    tag: Option<&'static str>,
    since: Option<i64>,
    until: Option<i64>,
    search: Option<&'static str>,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let rarely =
        |names: &[&'static str]| prop::option::weighted(0.25, prop::sample::select(names.to_vec()));
    let searches = [
        "alpha",
        "beta gamma",
        "\"alpha beta\"",
        "alp*",
        "-alpha",
        "gamma -beta",
        "beta OR gamma",
        "type:ioerror",
        "traceback:beta -type:ioerror",
        "-alpha OR beta",
        "py",
        "nowhere",
    ];
    let plain = (
        rarely(&["a", "b", "unknown"]),
        prop::option::weighted(0.6, prop::sample::select(State::ALL)),
        prop::option::weighted(0.2, prop::sample::select(Source::ALL)),
        prop::option::weighted(0.2, 0..50_i64),
        prop::option::weighted(0.2, 0..50_i64),
    );
    let named = (
        rarely(&["s1", "s2", "never"]),
        rarely(&["u1", "u2", "never"]),
        rarely(&["error", "warning", "never"]),
        rarely(&["x:1", "x:2", "y:1", "never:1"]),
        prop::option::weighted(0.4, prop::sample::select(searches.to_vec())),
    );
    (plain, named).prop_map(
        |((project, state, source, since, until), (session, user, level, tag, search))| Wanted {
            project,
            state,
            source,
            session,
            user,
            level,
            tag,
            since,
            until,
            search,
        },
    )
}

impl Wanted {
    fn filter(&self) -> Filter {
        let facets = [(FacetKind::Level, self.level), (FacetKind::Tag, self.tag)];
        let search = |text| SearchText::parse(text, SEARCHED).map_or(Search::Nothing, Search::For);
        Filter {
            project: self.project.map(str::to_owned),
            state: self.state,
            source: self.source,
            session: self.session.map(SessionId::of),
            user: self.user.map(UserId::of),
            facets: facets
                .into_iter()
                .filter_map(|(kind, value)| Some(FacetId::of(kind, value?)))
                .collect(),
            since_ms: self.since,
            until_ms: self.until,
            search: self.search.map(search),
        }
    }

    fn holds(&self, group: &Reported, last_seen: i64) -> bool {
        fn is<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let browser = self.source.map(|source| source == Source::Browser);
        is(self.project, Some(group.project))
            && is(self.state, Some(group.state))
            && is(browser, Some(group.browser))
            && is(self.session, group.session)
            && is(self.user, group.user)
            && is(self.level, group.level)
            && self.tag.is_none_or(|tag| group.tags().contains(&tag))
            && self.since.is_none_or(|since| last_seen >= since)
            && self.until.is_none_or(|until| last_seen <= until)
            && self.search.is_none_or(|text| found(text, group))
    }
}

/// The searches of these tests, worked out by hand.
fn found(text: &str, group: &Reported) -> bool {
    let has = |words: &[&str], word: &str| words.contains(&word);
    let any = |word: &str| has(&group.message, word) || has(&group.traceback, word);
    let phrase = |words: &[&str]| words.windows(2).any(|pair| pair == ["alpha", "beta"]);
    let io = group.kind == "IoError";
    match text {
        "alpha" => any("alpha"),
        "beta gamma" => any("beta") && any("gamma"),
        "\"alpha beta\"" => phrase(&group.message) || phrase(&group.traceback),
        "alp*" => any("alpha") || any("alphabet") || !io,
        "-alpha" => !any("alpha"),
        "gamma -beta" => any("gamma") && !any("beta"),
        "beta OR gamma" => any("beta") || any("gamma"),
        "type:ioerror" => io,
        "traceback:beta -type:ioerror" => has(&group.traceback, "beta") && !io,
        "-alpha OR beta" => !any("alpha") || any("beta"),
        "py" => true,
        _ => false,
    }
}

fn efforts() -> impl Strategy<Value = Effort> {
    let some = || prop_oneof![Just(0_usize), 0..8_usize, Just(1_000)];
    let sets = (some(), some(), some());
    let looks = (some(), some(), some(), some());
    let totals = (some(), some(), some(), some());
    (sets, looks, totals).prop_map(|(sets, looks, totals)| Effort {
        first_look: sets.0,
        first_look_at_hits: sets.1,
        first_look_at_facets: sets.2,
        few: looks.0,
        few_texts: looks.1,
        probes: looks.2,
        looks: looks.3,
        counted: totals.0 as i64,
        counted_in_sets: totals.1 as i64,
        counting: totals.2 as i64,
        counting_groups: totals.3 as i64,
    })
}

fn page(database: &Database, query: &ListQuery, effort: Effort) -> (Page, Vec<i64>) {
    let page = database.read(|conn| {
        let _snapshot = conn.unchecked_transaction()?;
        find_with(conn, query, effort)
    });
    let ids = page.ids.iter().map(|id| id.get()).collect();
    (page, ids)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_make_a_list_makes_the_same_list(
        groups in prop::collection::vec(reported(), 1..40),
        indexed in 0..40_usize,
        wanted in prop::collection::vec((wanted(), prop::sample::select(Sort::ALL), efforts()), 60),
        (limit, offset) in (1..6_u32, 0..6_u32),
    ) {
        let database = stored(&groups, indexed);
        let keys = keys(&database);
        for (wanted, sort, effort) in wanted {
            let mut expected: Vec<(i64, i64)> = groups
                .iter()
                .zip(&keys)
                .filter(|(group, [_, last_seen, ..])| wanted.holds(group, *last_seen))
                .map(|(_, keys)| (keys[sort as usize], keys[0]))
                .collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            let expected: Vec<i64> = expected.into_iter().map(|(_, id)| id).collect();
            let total = expected.len() as i64;

            let by_offset = ListQuery { filter: wanted.filter(), sort, limit, offset, ..ListQuery::default() };
            let (found, ids) = page(&database, &by_offset, effort);
            let of_page: Vec<i64> = expected.iter().copied().skip(offset as usize).take(limit as usize).collect();
            prop_assert_eq!(&ids, &of_page, "{:?} {:?} {:?}", wanted, sort, effort);
            prop_assert!(found.total <= total && found.total >= ids.len() as i64);
            prop_assert!(!found.total_exact || found.total == total, "{:?} {:?} {:?}", wanted, sort, effort);

            let mut query = ListQuery { offset: 0, ..by_offset };
            let mut all = Vec::new();
            loop {
                let (found, ids) = page(&database, &query, effort);
                all.extend(ids);
                prop_assert!(all.len() <= expected.len());
                let Some(next) = found.next else { break };
                prop_assert_eq!(next.sort, sort);
                query.after = Some(next);
            }
            prop_assert_eq!(all, expected, "{:?} {:?} {:?}", wanted, sort, effort);
        }
    }
}

/// The lines of a statement's plan.
fn plan_of(database: &Database, statement: &str) -> Vec<String> {
    database.read(|conn| {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
        let nulls = vec![None::<i64>; explain.parameter_count()];
        let plan = explain.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))?;
        Ok(plan.collect::<Result<_, _>>()?)
    })
}

#[track_caller]
fn check_plan(database: &Database, statement: &str, only_index: bool) {
    let plan = plan_of(database, statement);
    let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE"));
    let scans = plan
        .iter()
        .any(|line| line.contains("SCAN ") && !line.contains("VIRTUAL TABLE"));
    let looks_up = plan
        .iter()
        .any(|line| line.starts_with("SEARCH error_groups") && !line.contains("COVERING INDEX"));
    assert!(
        !(sorts || scans || only_index && looks_up),
        "{statement}\n{plan:#?}"
    );
}

fn every_filter() -> Vec<Filter> {
    let mut filters = Vec::new();
    for project in [None, Some("a".to_owned())] {
        for state in [None, Some(State::Open), Some(State::Ignored)] {
            for source in [None, Some(Source::Browser)] {
                for since_ms in [None, Some(1)] {
                    filters.push(Filter {
                        project: project.clone(),
                        state,
                        source,
                        since_ms,
                        ..Filter::default()
                    });
                }
            }
        }
    }
    filters
}

#[test]
fn no_list_scans_or_sorts() {
    let group = Reported {
        project: "a",
        browser: false,
        state: State::Open,
        times: vec![1],
        session: None,
        user: None,
        level: None,
        tags: vec![],
        kind: "E",
        message: vec![],
        traceback: vec![],
    };
    let database = stored(&[group], 0);
    for filter in every_filter() {
        let plan = database
            .read(|conn| Plan::new(conn, &filter))
            .expect("may match");
        check_plan(&database, plan.visit_sql(), true);
        for sort in Sort::ALL {
            let cursor = Cursor {
                sort: *sort,
                key: 1,
                id: 1,
            };
            for after in [None, Some(cursor)] {
                let order = Order { sort: *sort, after };
                check_plan(&database, &plan.ordered_sql(order, false), true);
                check_plan(&database, &plan.ordered_sql(order, true), false);
            }
        }
    }
    for statement in [
        sets::OF_SESSION,
        sets::OF_USER,
        sets::OF_FACET,
        search::HITS,
        search::TEXTS_ABOVE,
    ] {
        check_plan(&database, statement, true);
    }
    // Five rows are sorted, those of the group's newest reports.
    let plan = plan_of(&database, list::SUMMARY);
    assert!(!plan.iter().any(|line| line.contains("SCAN ")), "{plan:#?}");
}

/// Half of all groups may have the same count.
#[test]
fn a_page_behind_a_cursor_steps_over_nothing() {
    let database = stored(&[], 0);
    let filter = Filter::default();
    let plan = database
        .read(|conn| Plan::new(conn, &filter))
        .expect("may match");
    let order = Order {
        sort: Sort::Count,
        after: Some(Cursor {
            sort: Sort::Count,
            key: 1,
            id: 1,
        }),
    };
    let lines = plan_of(&database, &plan.ordered_sql(order, false)).join("\n");
    assert!(
        lines.contains("(state=? AND count_rank=? AND rowid<?)"),
        "{lines}"
    );
    assert!(
        lines.contains("(state=? AND count_rank>? AND count_rank<?)"),
        "{lines}"
    );
}
