//! Words in type, message and traceback.

use std::time::Duration;

use error_tracker::tasks::search_index;
use monlight_shared::testing::TestService;
use serde_json::json;

use super::resolve::state_of;
use super::{accepted, listed, metric, report, report_with, service};

async fn with_errors() -> TestService {
    let service = service();
    for (line, kind, message, traceback) in [
        (1, "IOError", "connection refused by db", "in read_socket"),
        (2, "IOError", "connection was refused", "in write"),
        (3, "TimeoutError", "Zeitüberschreitung in Café", "in poll"),
        (
            4,
            "ValueError",
            "user@example.com got 404",
            "in lookup_user",
        ),
        (5, "KeyError", "it's 'a-b'", "connection"),
    ] {
        let traceback = format!("  File \"/srv/app/m.py\", line {line}, {traceback}");
        let fields = json!({"exception_type": kind, "message": message, "traceback": traceback});
        accepted(&service, &report_with(line, fields)).await;
        service.clock.advance(Duration::from_secs(1));
    }
    service
}

/// `text` as the value of a parameter.
fn escaped(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |out, byte| out + &format!("%{byte:02X}"))
}

async fn found(service: &TestService, text: &str) -> Vec<i64> {
    let (ids, total) = listed(service, &format!("?search={}", escaped(text))).await;
    assert_eq!(ids.len() as i64, total, "{text:?}");
    ids
}

const CASES: &[(&str, &[i64])] = &[
    ("connection", &[5, 2, 1]),
    ("CONNECTION refused", &[2, 1]),
    ("\"connection refused\"", &[1]),
    ("conn*", &[5, 2, 1]),
    ("connection -refused", &[5]),
    ("-connection", &[4, 3]),
    ("cafe OR 404", &[4, 3]),
    ("zeituberschreitung", &[3]),
    ("type:IOError", &[2, 1]),
    ("exception_type:ioerror was", &[2]),
    ("message:connection", &[2, 1]),
    ("traceback:connection", &[5]),
    ("traceback:\"m py\"", &[5, 4, 3, 2, 1]),
    ("user@example.com", &[4]),
    ("'a-b'", &[5]),
    ("nowhere", &[]),
    ("level:error", &[]),
];

#[tokio::test]
async fn words_are_found_before_they_are_indexed_and_after() {
    let service = with_errors().await;
    for (text, expected) in CASES {
        assert_eq!(found(&service, text).await, *expected, "{text}");
    }
    search_index::step(&state_of(&service))
        .await
        .expect("indexes");
    assert!(
        metric(&service, "monlight_error_groups_not_indexed")
            .await
            .abs()
            < 0.5
    );
    for (text, expected) in CASES {
        assert_eq!(found(&service, text).await, *expected, "{text}, indexed");
    }
    let (ids, _) = listed(&service, "?q=connection&level=none&level=").await;
    assert_eq!(ids, [0_i64; 0]);
    assert_eq!(
        listed(&service, "?q=connection&limit=1&offset=1").await,
        (vec![2], 3)
    );
    assert_eq!(
        listed(&service, "?q=connection&sort=first_seen&state=all")
            .await
            .1,
        3
    );
}

#[tokio::test]
async fn a_deleted_error_is_not_found_and_a_resolved_one_where_it_belongs() {
    let service = with_errors().await;
    search_index::step(&state_of(&service))
        .await
        .expect("indexes");
    service.delete("/api/errors/1").await.expect(200);
    service.post("/api/errors/2/resolve", "").await.expect(200);
    assert_eq!(found(&service, "connection").await, [5]);
    assert_eq!(
        listed(&service, "?search=connection&state=resolved").await,
        (vec![2], 1)
    );
    assert_eq!(
        listed(&service, "?search=connection&state=all").await,
        (vec![5, 2], 2)
    );
    assert_eq!(found(&service, "-connection").await, [4, 3]);
}

#[tokio::test]
async fn later_texts_of_a_group_are_not_searched() {
    let service = service();
    accepted(&service, &report(1)).await;
    accepted(
        &service,
        &report_with(1, json!({"message": "something else"})),
    )
    .await;
    assert_eq!(found(&service, "\"invalid input\"").await, [1]);
    assert_eq!(found(&service, "something").await, [0_i64; 0]);
}

#[tokio::test]
async fn the_beginning_of_a_long_text_is_searched() {
    let service = service();
    let long = format!("first {} last", "é ".repeat(20_000));
    accepted(&service, &report_with(1, json!({"message": long}))).await;
    for indexed in [false, true] {
        assert_eq!(found(&service, "first").await, [1], "{indexed}");
        assert_eq!(found(&service, "last").await, [0_i64; 0], "{indexed}");
        search_index::step(&state_of(&service))
            .await
            .expect("indexes");
    }
}

#[tokio::test]
async fn no_text_is_too_hostile() {
    let service = with_errors().await;
    let long = "x".repeat(4_000);
    let quotes = "\"".repeat(3_000);
    let nothing = [
        "\"",
        "\"\"",
        "*",
        "-",
        "--",
        "()",
        "'",
        "@ / .",
        "😀",
        "\0",
        "\u{301}",
        "AND OR",
        "{",
        "^",
        &quotes,
        &long,
        "NEAR(",
        "traceback:",
        "\"type:",
        "rank:5",
        "group_search:x",
        "a\" OR rowid > 0 --",
        "\u{202e}\u{200b}",
    ];
    for indexed in [false, true] {
        for text in nothing {
            assert_eq!(
                found(&service, text).await,
                [0_i64; 0],
                "{text:?} {indexed}"
            );
        }
        assert_eq!(found(&service, "connection\0refused").await, [1]);
        assert_eq!(found(&service, "\"connection").await, [5, 2, 1]);
        search_index::step(&state_of(&service))
            .await
            .expect("indexes");
    }
    for text in ["%ff", "%", "%zz%00", "%C3"] {
        service
            .get(&format!("/api/errors?search={text}"))
            .await
            .expect(200);
    }
    assert_eq!(listed(&service, "?search=").await.1, 5);
    assert_eq!(listed(&service, "?search=+&q=%20").await.1, 5);
}

#[tokio::test]
async fn what_would_cost_too_much_is_refused() {
    let service = with_errors().await;
    let many = "x ".repeat(65);
    for (text, says) in [
        (many.as_str(), "search: 65 words; expected at most 64"),
        (
            "co*",
            "search: \"co*\" would begin too many words; expected at least 3 letters before the *",
        ),
    ] {
        let answer = service
            .get(&format!("/api/errors?search={}", escaped(text)))
            .await
            .expect(400);
        assert_eq!(answer.json(), json!({"detail": says}));
    }
}
