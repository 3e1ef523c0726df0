//! What people type, put to the real FTS5.

use proptest::prelude::*;
use rusqlite::Connection;

use log_viewer::domain::filter::Levels;
use log_viewer::domain::search::{Search, expression};

/// What the index holds in these tests; every row has the same filter tokens.
const ROWS: [&str; 7] = [
    "connection refused by db",
    "connection was refused",
    "timeouts in Café",
    "refusing connections",
    "user@example.com got 404 at /var/log/app.log",
    "日本語のログ here, it's a-b",
    "l3 c12 s0 and not or",
];

fn index() -> Connection {
    let conn = Connection::open_in_memory().expect("opens");
    conn.execute_batch("CREATE VIRTUAL TABLE f USING fts5(message, k, columnsize=0)")
        .expect("FTS5 is there");
    for row in ROWS {
        conn.execute("INSERT INTO f(message, k) VALUES (?1, 'l1 c7 s0')", [row])
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

fn found(conn: &Connection, text: &str) -> rusqlite::Result<Vec<i64>> {
    match Search::parse(text) {
        Search::Nothing => Ok(Vec::new()),
        Search::Expression(expression) => hits(conn, &expression),
    }
}

#[track_caller]
fn check(text: &str, rows: &[i64]) {
    assert_eq!(found(&index(), text).expect("understood"), rows, "{text:?}");
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
fn exclusion_and_alternatives() {
    check("connection -was", &[1]);
    check("connection NOT was", &[1]);
    check("connection -\"was refused\"", &[1]);
    check("-connection", &[3, 4, 5, 6, 7]);
    check("-connection -here", &[3, 4, 5, 7]);
    check("timeouts OR refusing", &[3, 4]);
    check("timeouts OR refused db", &[1]);
    check("timeouts OR -connection", &[3, 4, 5, 6, 7]);
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
    let conn = index();
    let all = |expression: Option<String>| {
        hits(&conn, &expression.expect("something to ask")).expect("understood")
    };
    assert_eq!(
        all(expression(None, Some(Levels::parse(">=info")), Some(&[7]))).len(),
        ROWS.len()
    );
    assert_eq!(
        all(expression(None, Some(Levels::parse("error")), None)),
        [0_i64; 0]
    );
    assert_eq!(all(expression(None, None, Some(&[]))), [0_i64; 0]);
    let Search::Expression(text) = Search::parse("refused -was OR x") else {
        panic!("searchable");
    };
    assert_eq!(all(expression(Some(&text), None, Some(&[7, 8]))), [1]);
    assert_eq!(expression(None, Some(Levels::parse(">=debug")), None), None);
}

proptest! {
    #[test]
    fn fts5_understands_every_text(text in any::<String>()) {
        prop_assert!(found(&index(), &text).is_ok());
    }

    #[test]
    fn fts5_understands_every_mix_of_operators(parts in prop::collection::vec(
        prop_oneof![
            Just("AND"), Just("OR"), Just("NOT"), Just("NEAR("), Just("\""), Just("\"a b\""), Just("-"), Just("*"), Just("x*"),
            Just("-x"), Just("("), Just(")"), Just("^"), Just(":"), Just("k:"), Just("{k}"), Just("+"), Just(" "), Just("\0"),
            Just("é"), Just("´"), Just("\u{301}"), Just("message:"), Just("refused"),
        ],
        0..200,
    ), glue in prop_oneof![Just(""), Just(" ")]) {
        prop_assert!(found(&index(), &parts.join(glue)).is_ok());
    }
}
