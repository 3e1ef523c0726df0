//! What people type, put to the real FTS5.

use proptest::prelude::*;
use rusqlite::Connection;

use log_viewer::domain::entry::{Level, Stream};
use log_viewer::domain::fields;
use log_viewer::domain::filter::{Filter, Levels};
use log_viewer::domain::matching::{Matching, Seen};
use log_viewer::domain::names::{NameFilter, is_listed};
use log_viewer::domain::search::{Containers, Known, Search, expression};

/// What the index holds in these tests; every row is of level INFO, stdout and container 7, `web` of the project `shop`.
const ROWS: [&str; 9] = [
    "connection refused by db",
    "connection was refused",
    "timeouts in Café",
    "refusing connections",
    "user@example.com got 404 at /var/log/app.log",
    "日本語のログ here, it's a-b",
    "l3 c12 s0 and not or",
    r#"{"http":{"method":"GET","status":500},"user":"Jane Doe","tags":["red","blue"]}"#,
    "took status=200 user=bob",
];

fn index() -> Connection {
    let conn = Connection::open_in_memory().expect("opens");
    conn.execute_batch("CREATE VIRTUAL TABLE f USING fts5(message, k, columnsize=0)")
        .expect("FTS5 is there");
    for row in ROWS {
        let k = format!("l1 c7 s0 {}", fields::tokens(row).unwrap_or_default());
        conn.execute("INSERT INTO f(message, k) VALUES (?1, ?2)", [row, &k])
            .expect("inserts");
    }
    conn
}

fn hits(conn: &Connection, expression: &str) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        conn.prepare_cached("SELECT rowid FROM f WHERE f MATCH ?1 ORDER BY rowid")?;
    let rows = statement.query_map([expression], |row| row.get(0))?;
    rows.collect()
}

fn named(what: &Known, list: &str) -> Vec<i64> {
    let is_7 = match what {
        Known::Container => is_listed(list, "web"),
        Known::Project => is_listed(list, "shop"),
        _ => false,
    };
    if is_7 { vec![7] } else { Vec::new() }
}

fn found(conn: &Connection, filter: &Filter) -> rusqlite::Result<Vec<i64>> {
    let containers = filter
        .container
        .as_ref()
        .map(|names| Containers::Only(if names.wants("web") { vec![7] } else { vec![] }));
    match expression(filter, containers.as_ref(), named) {
        Some(expression) => hits(conn, &expression),
        None => Ok((1..=ROWS.len() as i64).collect()),
    }
}

/// The same without the index.
fn matched(filter: &Filter) -> Vec<i64> {
    let mut matching = Matching::new(filter).expect("understood");
    let rows = (1..).zip(ROWS).filter(|(_, row)| {
        matching.matches(Seen {
            container: "web",
            project: "shop",
            service: "",
            stream: Stream::Stdout,
            level: Level::Info,
            message: row,
            fields: fields::tokens(row).as_deref(),
        })
    });
    rows.map(|(id, _)| id).collect()
}

fn search(text: &str) -> Filter {
    Filter {
        search: Some(Search::parse(text)),
        ..Filter::default()
    }
}

#[track_caller]
fn check_filter(filter: &Filter, rows: &[i64], what: &str) {
    assert_eq!(found(&index(), filter).expect("understood"), rows, "{what}");
    assert_eq!(matched(filter), rows, "{what}, without the index");
}

#[track_caller]
fn check(text: &str, rows: &[i64]) {
    check_filter(&search(text), rows, text);
}

#[test]
fn words_phrases_prefixes() {
    check("connection", &[1, 2]);
    check("CONNECTION", &[1, 2]);
    check("cafe", &[3]);
    check("timeout", &[]);
    check("timeout*", &[3]);
    check("conn*", &[1, 2, 4]);
    check("refused connection", &[1, 2]);
    check("\"connection refused\"", &[1]);
    check("\"connection ref\"*", &[1]);
    check("\"refused connection\"", &[]);
    check("日本語のログ", &[6]);
    check("日本*", &[6]);
    check("本語", &[]);
    check("message:connection", &[1, 2]);
    check("message:\"connection was\"", &[2]);
}

#[test]
fn fields_levels_and_origins() {
    check("status:500", &[8]);
    check("http.status:500", &[8]);
    check("http.method:get", &[8]);
    check("user:\"jane doe\"", &[8]);
    check("user:jane", &[8]);
    check("user:bob", &[9]);
    check("tags:blue", &[8]);
    check("status:*", &[8, 9]);
    check("status:2*", &[9]);
    check("-status:500 user", &[5, 9]);
    check("status:500 OR status:200", &[8, 9]);
    check("got:404", &[5]);
    check("level:info status:200", &[9]);
    check("level:error", &[]);
    check("level:>=debug connection", &[1, 2]);
    check("stream:stdout user:bob", &[9]);
    check("stream:stderr", &[]);
    check("container:web took", &[9]);
    check("container:api", &[]);
    // With globs and lists, as the parameter.
    check("container:we* took", &[9]);
    check("container:db,web took", &[9]);
    check("container:!db took", &[9]);
    check("took -container:w*", &[]);
    check("took -container:x*", &[9]);
    check("project:shop took", &[9]);
    check("-project:shop", &[]);
}

#[test]
fn exclusion_and_alternatives() {
    check("connection -was", &[1]);
    check("connection NOT was", &[1]);
    check("connection -\"was refused\"", &[1]);
    check("-connection", &[3, 4, 5, 6, 7, 8, 9]);
    check("-connection -here", &[3, 4, 5, 7, 8, 9]);
    check("timeouts OR refusing", &[3, 4]);
    check("timeouts OR refused db", &[1]);
    check("timeouts OR -connection", &[3, 4, 5, 6, 7, 8, 9]);
    check("connection AND was", &[2]);
    check("\"timeouts\"OR\"refusing\"", &[3, 4]);
    check("\"connection\"NOT\"was\"", &[1]);
    check("\"connection\"AND\"was\"", &[2]);
}

#[test]
fn special_characters_mean_themselves() {
    check("user@example.com", &[5]);
    check("/var/log", &[5]);
    check("app.log", &[5]);
    check("it's", &[6]);
    check("a-b", &[6]);
    check("(connection)", &[1, 2]);
    check("^connection", &[1, 2]);
    check("NEAR(a", &[]);
    check("nosuchcolumn:x", &[]);
    check("\"open", &[]);
    check("--refused", &[1, 2]);
}

#[test]
fn operators_without_anything_to_work_on_are_words() {
    check("AND", &[7]);
    check("connection AND", &[]);
    check("OR", &[7]);
    check("NOT", &[7]);
    check("OR connection", &[]);
}

#[test]
fn without_a_searchable_term_nothing_is_found() {
    for text in ["*", "^", "\"\"", "\"", "@ / .", "-", "--", "- -", "()"] {
        assert_eq!(Search::parse(text), Search::Nothing, "{text}");
    }
}

#[test]
fn no_text_reaches_the_filter_tokens() {
    check("l1", &[]);
    check("k:c7", &[]);
    check("{k}:c7", &[]);
    check("s0", &[7]);
}

#[test]
fn filters_become_tokens() {
    let all: Vec<i64> = (1..=ROWS.len() as i64).collect();
    let with = |set: fn(&mut Filter)| {
        let mut filter = Filter::default();
        set(&mut filter);
        filter
    };
    let names = |text: &str| Some(NameFilter::new(text.split(',')));
    check_filter(&Filter::default(), &all, "everything");
    check_filter(
        &with(|filter| filter.levels = Some(Levels::parse(">=info"))),
        &all,
        "levels",
    );
    check_filter(
        &with(|filter| filter.levels = Some(Levels::parse("error"))),
        &[],
        "another level",
    );
    check_filter(
        &with(|filter| filter.stream = Some(Stream::Stderr)),
        &[],
        "stream",
    );
    for (container, rows) in [("w*", all.as_slice()), ("api,db", &[])] {
        let filter = Filter {
            container: names(container),
            ..Filter::default()
        };
        check_filter(&filter, rows, container);
        let filter = Filter {
            container: names(container),
            ..search("refused -was OR x")
        };
        let rows = if rows.is_empty() { vec![] } else { vec![1] };
        check_filter(&filter, &rows, container);
    }
    let every = with(|filter| filter.levels = Some(Levels::parse(">=debug")));
    assert_eq!(expression(&every, None, named), None);
    let all_but = expression(
        &Filter::default(),
        Some(&Containers::AllBut(vec![7])),
        named,
    );
    assert_eq!(
        hits(&index(), &all_but.expect("something to ask")).expect("understood"),
        [0_i64; 0]
    );
}

proptest! {
    #[test]
    fn the_index_and_the_matcher_understand_every_text(text in any::<String>()) {
        let filter = search(&text);
        prop_assert_eq!(found(&index(), &filter), Ok(matched(&filter)));
    }

    #[test]
    fn and_every_mix_of_operators(parts in prop::collection::vec(
        prop_oneof![
            Just("AND"), Just("OR"), Just("NOT"), Just("NEAR("), Just("\""), Just("\"a b\""), Just("-"), Just("*"), Just("x*"),
            Just("-x"), Just("("), Just(")"), Just("^"), Just(":"), Just("k:"), Just("{k}"), Just("+"), Just(" "), Just("\0"),
            Just("é"), Just("´"), Just("\u{301}"), Just("message:"), Just("refused"), Just("status:500"), Just("level:info"),
            Just("user:\"jane"), Just("container:web"), Just("tags:red\""),
        ],
        0..200,
    ), glue in prop_oneof![Just(""), Just(" ")]) {
        let filter = search(&parts.join(glue));
        prop_assert_eq!(found(&index(), &filter), Ok(matched(&filter)));
    }
}
