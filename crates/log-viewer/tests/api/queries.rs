//! Filters beyond the contract, pages by cursor, patterns, raw searches.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::rig::{Rig, number, record, text};

/// Containers of two projects, both streams, plain and structured lines.
fn several() -> Rig {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all")]);
    for (id, name, service) in [("a", "shop-web-1", "web"), ("b", "shop-api-1", "api")] {
        rig.config(
            id,
            &json!({
                "ID": id, "Name": format!("/{name}"),
                "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": service}}
            })
            .to_string(),
        );
    }
    rig.container("c", "db");
    rig.write("a", "stdout", 1, "INFO: GET /api/items took 12 ms");
    rig.write("a", "stderr", 2, "ERROR: GET /api/carts took 1200 ms");
    rig.write(
        "b",
        "stdout",
        3,
        r#"{"level":"warn","msg":"slow","http":{"status":503,"path":"/api/carts"},"ms":1180.5}"#,
    );
    rig.write(
        "b",
        "stdout",
        4,
        r#"{"level":"info","msg":"done","http":{"status":200,"path":"/api/items"},"ms":11}"#,
    );
    rig.write("c", "stderr", 5, "INFO: checkpoint complete user=bob");
    rig.settle();
    rig
}

const WEB_INFO: &str = "INFO: GET /api/items took 12 ms";
const WEB_ERROR: &str = "ERROR: GET /api/carts took 1200 ms";
const API_503: &str =
    r#"{"level":"warn","msg":"slow","http":{"status":503,"path":"/api/carts"},"ms":1180.5}"#;
const API_200: &str =
    r#"{"level":"info","msg":"done","http":{"status":200,"path":"/api/items"},"ms":11}"#;
const DB: &str = "INFO: checkpoint complete user=bob";

#[test]
fn containers_projects_services_and_streams() {
    let rig = several();
    for (query, expected) in [
        ("container=db", vec![DB]),
        (
            "container=shop-*",
            vec![API_200, API_503, WEB_ERROR, WEB_INFO],
        ),
        ("container=db,shop-web-1", vec![DB, WEB_ERROR, WEB_INFO]),
        ("container=!shop-*", vec![DB]),
        ("container=*,!shop-web*", vec![DB, API_200, API_503]),
        ("container=nothing*", vec![]),
        ("project=shop", vec![API_200, API_503, WEB_ERROR, WEB_INFO]),
        ("service=api", vec![API_200, API_503]),
        ("project=shop&service=web&level=error", vec![WEB_ERROR]),
        ("project=other", vec![]),
        ("stream=stderr", vec![DB, WEB_ERROR]),
        ("stream=STDOUT&container=shop-web-1", vec![WEB_INFO]),
        ("search=service:api", vec![API_200, API_503]),
        ("search=container:db+OR+level:error", vec![DB, WEB_ERROR]),
        ("search=-project:shop", vec![DB]),
    ] {
        rig.check(&format!("/api/logs?{query}"), &expected);
        let list = rig.json(&format!("/api/logs?{query}&limit=1"));
        assert_eq!(list["total"], expected.len(), "{query}");
    }
    let refused = rig.get("/api/logs?stream=both").expect(400).json();
    assert_eq!(
        refused,
        json!({"detail": "stream: \"both\"; expected stdout or stderr"})
    );
}

#[test]
fn containers_tell_where_they_come_from() {
    let rig = several();
    assert_eq!(
        rig.json("/api/containers"),
        json!({"containers": [
            {"name": "db", "log_count": 1, "project": "", "service": ""},
            {"name": "shop-api-1", "log_count": 2, "project": "shop", "service": "api"},
            {"name": "shop-web-1", "log_count": 2, "project": "shop", "service": "web"},
        ]})
    );
}

#[test]
fn levels_from_one_on_in_two_ways() {
    let rig = several();
    for query in [
        "level=%3E%3DWARNING",
        "level=%3e=warn",
        "min_level=WARNING",
        "min_level=%3E%3Dwarn",
    ] {
        rig.check(&format!("/api/logs?{query}"), &[API_503, WEB_ERROR]);
    }
    rig.check("/api/logs?min_level=warn&level=error,info", &[WEB_ERROR]);
    rig.check("/api/logs?level=warn,error", &[API_503, WEB_ERROR]);
    rig.check("/api/logs?min_level=bogus", &[]);
}

#[test]
fn fields_of_structured_lines() {
    let rig = several();
    for (query, expected) in [
        ("field.http.status=503", vec![API_503]),
        (
            "field.http.status=503&field.http.status=200",
            vec![API_200, API_503],
        ),
        ("field.http.status!=503&service=api", vec![API_200]),
        ("field.http.path=/api/*", vec![API_200, API_503]),
        ("field.http.path!=*/carts&service=api", vec![API_200]),
        ("field.ms%3E=1000", vec![API_503]),
        ("field.ms=%3C1000", vec![API_200]),
        ("field.user=BOB", vec![DB]),
        (
            "field.ms=%3E%3D1&field.http.status=200&search=done",
            vec![API_200],
        ),
        ("search=http.status:503", vec![API_503]),
        ("search=-status:503+msg", vec![API_200]),
        ("field.none=1", vec![]),
    ] {
        rig.check(&format!("/api/logs?{query}"), &expected);
        let list = rig.json(&format!("/api/logs?{query}&limit=1"));
        assert_eq!(list["total"], expected.len(), "{query}");
    }
    assert!(
        text(&rig.get("/api/logs?field.=1").expect(400).json(), "detail").starts_with("field.")
    );
}

#[test]
fn patterns() {
    let rig = several();
    for (query, expected) in [
        ("regex=took+%5Cd%7B4,%7D+ms$", vec![WEB_ERROR]),
        ("regex=(?i)get+/API", vec![WEB_ERROR, WEB_INFO]),
        ("regex=took&search=items", vec![WEB_INFO]),
        ("regex=took&level=error&container=shop-*", vec![WEB_ERROR]),
        ("regex=^nothing", vec![]),
        ("regex=", vec![DB, API_200, API_503, WEB_ERROR, WEB_INFO]),
    ] {
        rig.check(&format!("/api/logs?{query}"), &expected);
    }
    let list = rig.json("/api/logs?regex=took&limit=1");
    assert_eq!(
        (
            &list["total"],
            &list["total_exact"],
            &list["scanned"],
            &list["incomplete"]
        ),
        (&json!(2), &json!(true), &json!(5), &json!(false))
    );
    let refused = rig.get("/api/logs?regex=(").expect(400).json();
    assert_eq!(
        refused,
        json!({"detail": "regex: unclosed group at character 1"})
    );
}

#[test]
fn patterns_ignore_colours_and_see_whole_entries() {
    let mut rig = Rig::web();
    rig.write(
        "abc",
        "stdout",
        1,
        "\u{1b}[31mred\u{1b}[0m alert\n  second line",
    );
    rig.settle();
    let count = |pattern: &str| rig.json(&format!("/api/logs?regex={pattern}"))["total"].clone();
    assert_eq!(count("^red+alert"), 1);
    assert_eq!(count("alert$"), 0);
    assert_eq!(count("(?m)alert$"), 1);
    assert_eq!(count("(?s)red.*line"), 1);
}

#[test]
fn raw_searches_are_fts5_and_their_faults_are_told() {
    let rig = several();
    for (query, expected) in [
        ("search=took+AND+(items+OR+nothing)", vec![WEB_INFO]),
        ("q=NEAR(took+ms,+2)", vec![WEB_ERROR, WEB_INFO]),
        ("search=chec*+NOT+web", vec![DB]),
        ("search=%22GET+api%22&level=error", vec![WEB_ERROR]),
        ("search=k:l3", vec![]),
    ] {
        rig.check(&format!("/api/logs?mode=fts&{query}"), &expected);
    }
    for (raw, part) in [
        ("took+AND", "fts5: syntax error"),
        ("\"open", "unterminated string"),
        ("nosuch:x", "no such column"),
        ("a)+OR+(b", "fts5: syntax error"),
        ("*", "unknown special query"),
        ("*reads", "fts5: syntax error"),
        ("a%00)+OR+(b", "fts5: syntax error"),
    ] {
        let raw = raw.replace('"', "%22");
        let refused = rig
            .get(&format!("/api/logs?mode=fts&search={raw}"))
            .expect(400)
            .json();
        let detail = text(&refused, "detail");
        assert!(
            detail.starts_with("search: ") && detail.contains(part),
            "{raw}: {detail}"
        );
    }
    rig.check("/api/logs?mode=words&search=took+AND", &[]);
    rig.check(
        "/api/logs?mode=fts",
        &[DB, API_200, API_503, WEB_ERROR, WEB_INFO],
    );
    assert_eq!(
        rig.get("/api/logs?mode=sql&search=x").expect(400).json(),
        json!({"detail": "mode: \"sql\"; expected words or fts"})
    );
}

#[test]
fn times_before_now() {
    // The clock of these tests stands at a moment of its own.
    let mut rig = Rig::web();
    let now = rig.service.ctx.clock.now();
    for (ago, name) in [(7200, "two hours"), (600, "ten minutes"), (5, "moments")] {
        let time = now
            .checked_sub(jiff::SignedDuration::from_secs(ago))
            .expect("a time");
        rig.write_raw(
            "abc",
            format!("{{\"log\":\"{name}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n"),
        );
    }
    rig.step();
    rig.settle();
    rig.check("/api/logs?since=15m", &["moments", "ten minutes"]);
    rig.check(
        "/api/logs?since=now-3h&until=1m",
        &["ten minutes", "two hours"],
    );
    rig.check("/api/logs?until=1h30m", &["two hours"]);
    for name in ["since", "until"] {
        let refused = rig.get(&format!("/api/logs?{name}=15x")).expect(400).json();
        assert!(text(&refused, "detail").contains("15m"), "{refused}");
    }
}

#[test]
fn both_orders() {
    let rig = several();
    rig.check(
        "/api/logs?order=oldest&container=shop-web-1",
        &[WEB_INFO, WEB_ERROR],
    );
    rig.check("/api/logs?order=oldest&offset=3", &[API_200, DB]);
    rig.check("/api/logs?order=NEWEST&limit=1", &[DB]);
    rig.get("/api/logs?order=up").expect(400);
}

/// A thousand and more entries whose times go back and forth by up to three minutes, many of them equal.
fn long() -> Rig {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all"), ("RATE_LIMIT", "0")]);
    rig.container("abc", "web");
    rig.container("x", "other");
    let mut all = String::new();
    for n in 0..3300_u32 {
        let level = ["INFO", "ERROR", "DEBUG"][n as usize % 3];
        let second = n / 5 + (n * 7919) % 180;
        all.push_str(&record(
            &format!("{level}: n{n} common {}", n % 7),
            "stdout",
            second,
        ));
    }
    rig.write_raw("abc", all);
    rig.step();
    for n in 0..300_u32 {
        rig.write("x", "stderr", n * 3, &format!("late {n} common"));
    }
    rig.settle();
    rig
}

fn ids(list: &Value) -> Vec<i64> {
    let logs = list["logs"].as_array().expect("a list");
    logs.iter().map(|entry| number(entry, "id")).collect()
}

/// All pages of a list, by the cursor that each names. A page with more behind it is full, unless a scan ended early.
fn by_cursor(rig: &Rig, query: &str, name: &str) -> Vec<i64> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let list = rig.json(&format!("/api/logs?{query}{cursor}"));
        assert_eq!(
            list.get("total").is_some(),
            cursor.is_empty(),
            "{query}{cursor}"
        );
        all.extend(ids(&list));
        match list["next"].as_i64() {
            Some(next) => cursor = format!("&{name}={next}"),
            None => return all,
        }
    }
}

#[test]
fn pages_by_cursor_are_the_whole_list() {
    let rig = long();
    let filters = [
        "",
        "search=common",
        "search=%22common+3%22",
        "level=error",
        "container=other",
        "since=2025-01-20T10:03:00Z&until=2025-01-20T10:10:00Z",
        "regex=n%5Cd*7+",
        "regex=7&search=common&level=error",
        "stream=stderr",
    ];
    let whole: Vec<(String, Vec<i64>)> = filters
        .iter()
        .map(|filter| {
            let mut all = Vec::new();
            loop {
                let list = rig.json(&format!(
                    "/api/logs?{filter}&limit=500&offset={}",
                    all.len()
                ));
                let found = ids(&list);
                if found.is_empty() {
                    assert_eq!(list["total"], all.len(), "{filter}");
                    return ((*filter).to_owned(), all);
                }
                all.extend(found);
            }
        })
        .collect();
    assert!(whole.iter().all(|(_, ids)| ids.len() > 40), "{whole:?}");
    let mut runner = TestRunner::new(Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    });
    let picks = (
        0..filters.len(),
        1..200_u32,
        any::<bool>(),
        prop_oneof![Just(1_u32), 1..4000_u32],
    );
    runner
        .run(&picks, |(pick, limit, is_oldest, scan)| {
            let (filter, expected) = &whole[pick];
            // Few but large enough pages.
            let limit = limit.max(expected.len() as u32 / 30);
            let (order, name) = if is_oldest {
                ("oldest", "after")
            } else {
                ("newest", "before")
            };
            let scan = if filter.contains("regex") {
                format!("&max_scan={scan}")
            } else {
                String::new()
            };
            let mut found = by_cursor(
                &rig,
                &format!("{filter}&limit={limit}&order={order}{scan}"),
                name,
            );
            if is_oldest {
                found.reverse();
            }
            prop_assert_eq!(&found, expected, "{} {} {}", filter, limit, order);
            Ok(())
        })
        .expect("every list is the same");
}

#[test]
fn a_cursor_can_be_followed_back() {
    let rig = long();
    let first = rig.json("/api/logs?limit=50&search=common");
    let next = number(&first, "next");
    let second = rig.json(&format!("/api/logs?limit=50&search=common&before={next}"));
    // Back from the first entry of the second page: the nearest newer ones, listed newest first as before.
    let top = ids(&second)[0];
    let back = rig.json(&format!("/api/logs?limit=50&search=common&after={top}"));
    assert_eq!(ids(&back), ids(&first));
    // A window between two entries, and cursors that are gone or not there yet.
    let (newer, older) = (ids(&first)[10], ids(&first)[20]);
    let between = rig.json(&format!(
        "/api/logs?search=common&before={newer}&after={older}"
    ));
    assert_eq!(ids(&between), ids(&first)[11..20]);
    assert_eq!(
        ids(&rig.json("/api/logs?limit=50&search=common&before=999999")),
        ids(&first)
    );
    assert!(ids(&rig.json("/api/logs?before=0")).is_empty());
    assert!(ids(&rig.json("/api/logs?after=999999")).is_empty());
    for cursor in [
        "before=x",
        "after=-1",
        "before=1.5",
        "after=99999999999999999999",
    ] {
        rig.get(&format!("/api/logs?{cursor}")).expect(400);
    }
}

#[test]
fn a_scan_says_how_far_it_got_and_goes_on() {
    let rig = long();
    let first = rig.json("/api/logs?regex=n7+common&max_scan=1000");
    assert_eq!(
        (&first["incomplete"], &first["total_exact"], &first["total"]),
        (&json!(true), &json!(false), &json!(0))
    );
    assert!(
        number(&first, "scanned") < 2100 && first["scanned_to"].is_string(),
        "{first}"
    );
    let mut cursor = number(&first, "next");
    let mut steps = 1;
    let found = loop {
        let list = rig.json(&format!(
            "/api/logs?regex=n7+common&max_scan=1000&before={cursor}"
        ));
        steps += 1;
        if !ids(&list).is_empty() || list["next"].is_null() {
            break list;
        }
        cursor = number(&list, "next");
    };
    assert_eq!(
        (text(&found["logs"][0], "message"), steps > 2),
        ("ERROR: n7 common 0".to_owned(), true)
    );
    rig.get("/api/logs?regex=x&max_scan=0").expect(400);
}
