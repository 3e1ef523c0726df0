//! What people type, put to the real FTS5 and to the matcher.

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

const COLUMNS: Columns = Columns {
    names: &["kind", "message", "trace"],
    aliases: &[("type", 0)],
    confined: false,
};

const ROWS: [[&str; 3]; 8] = [
    ["IOError", "connection refused by db", "main at app.rs"],
    ["IOError", "connection was refused", ""],
    [
        "TimeoutError",
        "timeouts in Café",
        "File \"/var/log/app.log\"",
    ],
    ["ValueError", "refusing connections", "connection"],
    ["ValueError", "user@example.com got 404", "IOError: other"],
    [
        "Fehler",
        "日本語のログ here, it's a-b",
        "Ärger\u{301} im Übermaß",
    ],
    [
        "Odd",
        "l3 c12 s0 and not or",
        "\u{301} \0 nul\0in \u{1f600}",
    ],
    ["", "", ""],
];

struct Index(Connection);

impl Index {
    fn of(rows: &[[&str; 3]]) -> Self {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch("CREATE VIRTUAL TABLE f USING fts5(kind, message, trace)")
            .expect("FTS5 is there");
        for row in rows {
            conn.execute("INSERT INTO f VALUES (?1, ?2, ?3)", row)
                .expect("inserts");
        }
        Self(conn)
    }

    fn ids(&self, sql: &str, expression: &str) -> Vec<i64> {
        let mut statement = self.0.prepare_cached(sql).expect("is understood");
        let rows = statement.query_map([expression], |row| row.get(0));
        let rows: Result<_, _> = rows.expect(expression).collect();
        rows.expect(expression)
    }

    fn found(&self, search: &SearchText) -> Vec<i64> {
        match search.expression() {
            Expression::Matching(expression) => self.ids(
                "SELECT rowid FROM f WHERE f MATCH ?1 ORDER BY rowid",
                &expression,
            ),
            Expression::NotMatching(expression) => self.ids(
                "SELECT rowid FROM f WHERE rowid NOT IN (SELECT rowid FROM f WHERE f MATCH ?1) ORDER BY rowid",
                &expression,
            ),
        }
    }
}

fn matched(search: &SearchText, rows: &[[&str; 3]]) -> Vec<i64> {
    let mut matcher = Matcher::new(search);
    (1..)
        .zip(rows)
        .filter(|(_, row)| matcher.matches(&row[..]))
        .map(|(id, _)| id)
        .collect()
}

#[track_caller]
fn check(text: &str, rows: &[i64]) {
    let search = SearchText::parse(text, COLUMNS);
    let found = search.as_ref().map(|search| Index::of(&ROWS).found(search));
    assert_eq!(found.unwrap_or_default(), rows, "{text:?} in the index");
    let matched = search.map(|search| matched(&search, &ROWS));
    assert_eq!(matched.unwrap_or_default(), rows, "{text:?} in the texts");
}

#[test]
fn words_phrases_prefixes() {
    check("connection", &[1, 2, 4]);
    check("CONNECTION", &[1, 2, 4]);
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
    check("arger ubermaß", &[6]);
}

#[test]
fn fields_are_columns_or_words() {
    check("ioerror", &[1, 2, 5]);
    check("kind:ioerror", &[1, 2]);
    check("type:IOError", &[1, 2]);
    check("type:io*", &[1, 2]);
    check("trace:connection", &[4]);
    check("message:\"connection was\"", &[2]);
    check("message:\"connection r\"*", &[1]);
    check("-type:ioerror", &[3, 4, 5, 6, 7, 8]);
    check("type:", &[]);
    check("nosuchcolumn:x", &[]);
    check("other:main", &[]);
    check("ioerror:other", &[5]);
    check("Type:IOError", &[]);
    check("main:\"at app\"", &[1]);
    check("main:\"app\"", &[]);
    check("main:\"at a\"*", &[1]);
    check("-main:\"at app\" ioerror", &[2, 5]);
}

#[test]
fn a_service_says_what_fields_find_beside_their_words() {
    let index = Index::of(&ROWS);
    // The rows with the kind `Odd` are said to have the field.
    let expression = |name: &str, value: &str| {
        (name == "user.id" && value == "7 b").then(|| "kind : \"odd\"".to_owned())
    };
    for (text, rows) in [
        ("user.id:\"7 b\"", vec![7]),
        ("user.id:7", vec![]),
        ("user.id:\"7 b\"*", vec![]),
        ("-user.id:\"7 b\" it's OR nul", vec![6]),
        ("timeouts OR user.id:\"7 b\"", vec![3, 7]),
        ("7.id:\"7 b\"", vec![]),
    ] {
        let search = SearchText::parse(text, COLUMNS).expect("searchable");
        let Expression::Matching(asked) = search.expression_with(expression) else {
            panic!("{text}");
        };
        let sql = "SELECT rowid FROM f WHERE f MATCH ?1 ORDER BY rowid";
        assert_eq!(index.ids(sql, &asked), rows, "{text} in the index");
        let mut matcher = Matcher::new(&search);
        let found: Vec<i64> = (1..)
            .zip(&ROWS)
            .filter(|(_, row)| {
                matcher.matches_with(&row[..], |name, value| {
                    row[0] == "Odd" && expression(name, value).is_some()
                })
            })
            .map(|(id, _)| id)
            .collect();
        assert_eq!(found, rows, "{text} in the texts");
    }
}

#[test]
fn exclusion_and_alternatives() {
    check("connection -was", &[1, 4]);
    check("connection NOT was", &[1, 4]);
    check("connection -\"was refused\" -refusing", &[1]);
    check("-connection", &[3, 5, 6, 7, 8]);
    check("-connection -here", &[3, 5, 7, 8]);
    check("timeouts OR refusing", &[3, 4]);
    check("timeouts OR refused db", &[1]);
    check("timeouts OR -connection", &[3, 5, 6, 7, 8]);
    check("-timeouts OR -cafe", &[1, 2, 4, 5, 6, 7, 8]);
    check("-timeouts OR -cafe connection", &[1, 2, 4]);
    check("connection OR cafe -was OR -refused", &[1, 3, 4]);
    check("connection AND was", &[2]);
    check("\"timeouts\"OR\"refusing\"", &[3, 4]);
    check("\"connection\"NOT\"was\"", &[1, 4]);
}

#[test]
fn special_characters_mean_themselves() {
    check("user@example.com", &[5]);
    check("/var/log", &[3]);
    check("app.log", &[3]);
    check("it's", &[6]);
    check("a-b", &[6]);
    check("(connection)", &[1, 2, 4]);
    check("^connection", &[1, 2, 4]);
    check("NEAR(a", &[]);
    check("{kind}:odd", &[]);
    check("\"open", &[]);
    check("--refused", &[1, 2]);
    check("nul\0in", &[7]);
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
    for text in [
        "", "*", "^", "\"\"", "\"", "@ / .", "-", "- -", "()", "message:", "\u{301}", "😀", "\0",
    ] {
        assert_eq!(SearchText::parse(text, COLUMNS), None, "{text:?}");
    }
}

#[test]
fn no_text_reaches_a_column_that_is_not_searched() {
    let columns = Columns {
        names: &["kind", "message"],
        aliases: &[],
        confined: true,
    };
    let index = Index::of(&ROWS);
    for (text, rows) in [
        ("main", vec![]),
        ("trace:main", vec![]),
        ("ioerror", vec![1, 2]),
    ] {
        let search = SearchText::parse(text, columns).expect("searchable");
        assert_eq!(index.found(&search), rows, "{text}");
    }
}

#[test]
fn prefixes_are_told() {
    let search = SearchText::parse("conn* \"a É\"* -kind:x* whole", COLUMNS).expect("searchable");
    assert_eq!(search.prefixes().collect::<Vec<_>>(), ["conn", "e", "x"]);
}

#[test]
fn words_are_counted_as_the_index_sees_them() {
    for (text, expected) in [
        ("", 0),
        ("a b", 2),
        ("a-b@c", 3),
        ("\" - *", 0),
        ("e\u{301}e", 1),
    ] {
        assert_eq!(words(text), expected, "{text:?}");
    }
}

/// Texts made of what the tokenizer and the parser have rules for.
fn piece() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        Just("AND"),
        Just("OR"),
        Just("NOT"),
        Just("NEAR("),
        Just("\""),
        Just("\"a b\""),
        Just("-"),
        Just("*"),
        Just("x*"),
        Just("-x"),
        Just("("),
        Just(")"),
        Just("^"),
        Just(":"),
        Just("kind:"),
        Just("{kind}"),
        Just("+"),
        Just(" "),
        Just("\0"),
        Just("é"),
        Just("´"),
        Just("\u{301}"),
        Just("message:"),
        Just("type:a"),
        Just("a:"),
        Just("a:b"),
        Just("a"),
        Just("b"),
        Just("ab"),
        Just("A b"),
        Just("İ"),
        Just("ǖ"),
        Just("\u{e000}"),
        Just("日本"),
    ];
    prop_oneof![9 => odd.prop_map(str::to_owned), 1 => any::<String>()]
}

fn text() -> impl Strategy<Value = String> {
    let glue = prop_oneof![Just(""), Just(" ")];
    (prop::collection::vec(piece(), 0..12), glue).prop_map(|(pieces, glue)| pieces.join(glue))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_matcher_finds_what_the_index_finds(
        rows in prop::collection::vec([text(), text(), text()], 1..6),
        searches in prop::collection::vec(text(), 1..6),
    ) {
        let rows: Vec<[&str; 3]> = rows.iter().map(|[a, b, c]| [a.as_str(), b.as_str(), c.as_str()]).collect();
        let index = Index::of(&rows);
        for text in searches {
            if let Some(search) = SearchText::parse(&text, COLUMNS) {
                prop_assert_eq!(matched(&search, &rows), index.found(&search), "{:?}", text);
            }
        }
    }

    #[test]
    fn long_texts_are_understood_too(parts in prop::collection::vec(piece(), 0..300), glue in prop_oneof![Just(""), Just(" ")]) {
        let text = parts.join(glue);
        if let Some(search) = SearchText::parse(&text, COLUMNS) {
            prop_assert_eq!(matched(&search, &ROWS), Index::of(&ROWS).found(&search));
        }
    }
}
