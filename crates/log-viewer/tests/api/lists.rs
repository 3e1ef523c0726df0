//! Lists, totals, filters, containers, stats.

use serde_json::{Value, json};

use crate::rig::{Rig, record, text};

/// Five entries, a second apart, one per level, in two containers.
fn five() -> Rig {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all")]);
    rig.container("id1", "web");
    rig.container("id2", "api");
    rig.write("id1", "stdout", 1, "DEBUG: d\nINFO: i\nWARNING: w");
    rig.write("id2", "stderr", 4, "ERROR: e\nCRITICAL: c");
    rig.settle();
    rig
}

#[test]
fn an_entry_has_all_its_keys() {
    let rig = five();
    assert_eq!(
        rig.json("/api/logs?limit=1"),
        json!({
            "logs": [{
                "id": 5, "timestamp": "2025-01-20T10:00:05Z", "container": "api", "stream": "stderr", "level": "CRITICAL",
                "message": "CRITICAL: c", "time": "2025-01-20T10:00:05.123456789Z"
            }],
            "total": 5, "total_exact": true, "limit": 1, "offset": 0, "next": 5, "took_ms": 0.0
        })
    );
}

#[test]
fn levels_and_containers() {
    let rig = five();
    rig.check("/api/logs?level=error", &["ERROR: e"]);
    rig.check(
        "/api/logs?level=%3E%3DWARN",
        &["CRITICAL: c", "ERROR: e", "WARNING: w"],
    );
    rig.check("/api/logs?level=bogus", &[]);
    rig.check("/api/logs?level=%3E%3D", &[]);
    rig.check(
        "/api/logs?container=web",
        &["WARNING: w", "INFO: i", "DEBUG: d"],
    );
    rig.check(
        "/api/logs?container=web&level=%3E%3Dinfo",
        &["WARNING: w", "INFO: i"],
    );
    rig.check("/api/logs?container=Web", &[]);
    rig.check("/api/logs?container=web&level=ERROR", &[]);
    for (query, total) in [
        ("level=%3E%3Dwarn", 3),
        ("container=web", 3),
        ("container=web&level=info", 1),
        ("level=%3E%3Ddebug", 5),
    ] {
        assert_eq!(
            rig.json(&format!("/api/logs?{query}&limit=1"))["total"],
            total,
            "{query}"
        );
    }
}

#[test]
fn time_bounds_mean_their_whole_unit() {
    let rig = five();
    let check = |query: &str, expected: i64| {
        let list = rig.json(&format!("/api/logs?{query}"));
        assert_eq!(list["total"], expected, "{query}");
        assert_eq!(
            list["logs"].as_array().map(Vec::len),
            Some(expected as usize),
            "{query}"
        );
    };
    check("since=2025-01-20T10:00:03Z", 3);
    check("since=2025-01-20T10%3A00%3A04.000Z", 2);
    check("until=2025-01-20T10:00:03Z", 3);
    check("until=2025-01-20T10:00:03.1Z", 3);
    check("until=2025-01-20T10:00:03.12Z", 3);
    check("until=2025-01-20T10:00:03.122Z", 2);
    check("until=2025-01-20T10:00", 5);
    check("until=2025-01-20", 5);
    check("since=2025-01-20", 5);
    check("since=2025-01-21", 0);
    check("since=2025-01-20T11:00:03+01:00", 3);
    check("since=2025-01-20T11:00:03%2B01:00", 3);
    check("since=2025-01-20T10:00:02Z&until=2025-01-20T10:00:04Z", 3);
    check("since=2025-01-20T10:00:04Z&until=2025-01-20T10:00:02Z", 0);
    check("since=&until=", 5);
    check("since=2025-01-20T10:00:04Z&level=error&search=e", 1);
    for name in ["since", "until"] {
        let refused = rig
            .get(&format!("/api/logs?{name}=garbage"))
            .expect(400)
            .json();
        assert!(text(&refused, "detail").starts_with(name), "{refused}");
    }
}

#[test]
fn counters_and_edges_of_a_time_range_add_up() {
    let mut rig = Rig::web();
    for second in 0..600 {
        rig.write(
            "abc",
            "stdout",
            second,
            &format!(
                "{}: m{second}",
                if second % 3 == 0 { "ERROR" } else { "INFO" }
            ),
        );
    }
    rig.settle();
    for (since, until) in [
        (0, 599),
        (1, 598),
        (59, 61),
        (60, 119),
        (60, 120),
        (61, 119),
        (100, 500),
        (30, 40),
        (119, 120),
    ] {
        let at = |second: i64| format!("2025-01-20T10:{:02}:{:02}Z", second / 60, second % 60);
        let count = |level: &str| {
            rig.json(&format!(
                "/api/logs?since={}&until={}{level}&limit=1",
                at(since),
                at(until)
            ))["total"]
                .clone()
        };
        assert_eq!(count(""), until - since + 1, "{since} to {until}");
        let errors = (since..=until).filter(|second| second % 3 == 0).count();
        assert_eq!(
            count("&level=error"),
            errors,
            "errors from {since} to {until}"
        );
    }
}

#[test]
fn equal_times_are_newest_id_first_in_every_list() {
    let mut rig = Rig::web();
    for name in ["same1", "same2", "same3"] {
        rig.write("abc", "stdout", 5, &format!("INFO: {name}"));
    }
    rig.settle();
    for query in [
        "",
        "?container=web",
        "?level=INFO",
        "?search=same*",
        "?since=2025-01-20",
    ] {
        rig.check(
            &format!("/api/logs{query}"),
            &["INFO: same3", "INFO: same2", "INFO: same1"],
        );
    }
}

#[test]
fn the_exact_time_orders_entries_whatever_the_order_of_arrival() {
    let mut rig = Rig::web();
    // Late lines arrive in batches of their own, so that ids and times disagree.
    for second in [30, 10, 20, 40, 5, 39] {
        rig.write("abc", "stdout", second, &format!("m{second}"));
        rig.settle();
    }
    let expected = ["m40", "m39", "m30", "m20", "m10", "m5"];
    rig.check("/api/logs", &expected);
    rig.check("/api/logs?search=m*", &expected);
    rig.check("/api/logs?limit=2&offset=1", &expected[1..3]);
    rig.check("/api/logs?limit=2&offset=4", &expected[4..]);
    let stats = rig.json("/api/stats");
    assert_eq!(
        (&stats["oldest_log"], &stats["newest_log"]),
        (
            &json!("2025-01-20T10:00:05Z"),
            &json!("2025-01-20T10:00:40Z")
        )
    );
}

#[test]
fn pages_follow_each_other_without_gaps_over_many_blocks() {
    let mut rig = Rig::web();
    let mut text = String::new();
    for number in 0..5000_u32 {
        // Times go back and forth by up to three minutes.
        text.push_str(&record(
            &format!("n{number} common"),
            "stdout",
            number * 2 / 3 + (number * 7919) % 180,
        ));
    }
    rig.write_raw("abc", text);
    rig.settle();
    for filter in [
        "",
        "&search=common",
        "&container=web",
        "&since=2025-01-20T10:10:00Z&until=2025-01-20T10:50:00Z",
    ] {
        let mut seen: Vec<(String, i64)> = Vec::new();
        loop {
            let list = rig.json(&format!(
                "/api/logs?limit=499&offset={}{filter}",
                seen.len()
            ));
            let logs = list["logs"].as_array().expect("a list");
            seen.extend(
                logs.iter()
                    .map(|entry| (text_of(entry), entry["id"].as_i64().expect("an id"))),
            );
            if logs.is_empty() {
                assert_eq!(list["total"], seen.len(), "{filter}");
                break;
            }
        }
        assert!(
            seen.is_sorted_by(|a, b| a > b),
            "newest first, ties by id: {filter}"
        );
    }
}

fn text_of(entry: &Value) -> String {
    text(entry, "time")
}

#[test]
fn limits_and_offsets() {
    let rig = five();
    let page = |query: &str| {
        let list = rig.json(&format!("/api/logs?{query}"));
        (
            list["limit"].clone(),
            list["offset"].clone(),
            list["logs"].as_array().map_or(0, Vec::len),
        )
    };
    assert_eq!(page("limit=2"), (json!(2), json!(0), 2));
    assert_eq!(page("limit=0"), (json!(100), json!(0), 5));
    assert_eq!(page("limit=9999"), (json!(500), json!(0), 5));
    assert_eq!(page("limit=2&limit=x"), (json!(2), json!(0), 2));
    assert_eq!(page("offset=4"), (json!(100), json!(4), 1));
    assert_eq!(page("offset=-1"), (json!(100), json!(0), 5));
    assert_eq!(
        page("offset=4294967295"),
        (json!(100), json!(4_294_967_295_u32), 0)
    );
}

#[test]
fn a_page_of_large_entries_is_streamed_whole() {
    let mut rig = Rig::web();
    for second in 0..12 {
        rig.write(
            "abc",
            "stdout",
            second,
            &format!("m{second} {}", "x".repeat(100_000)),
        );
    }
    rig.settle();
    let list = rig.json("/api/logs");
    let logs = list["logs"].as_array().expect("a list");
    assert_eq!(
        (logs.len(), &list["total"], &list["limit"]),
        (12, &json!(12), &json!(100))
    );
    assert!(
        logs.iter()
            .zip((0..12).rev())
            .all(|(entry, second)| text(entry, "message").starts_with(&format!("m{second} ")))
    );
}

#[test]
fn search_with_filters() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all")]);
    rig.container("id1", "web");
    rig.container("id2", "api");
    rig.write("id1", "stdout", 1, "INFO: connection refused by db\nERROR: connection was refused\nINFO: user@example.com at /var/log/app.log");
    rig.write("id2", "stdout", 4, "ERROR: connection lost");
    rig.settle();
    rig.check(
        "/api/logs?search=connection%20refused",
        &[
            "ERROR: connection was refused",
            "INFO: connection refused by db",
        ],
    );
    rig.check(
        "/api/logs?search=connection+refused&level=info",
        &["INFO: connection refused by db"],
    );
    rig.check(
        "/api/logs?search=%22connection%20refused%22",
        &["INFO: connection refused by db"],
    );
    rig.check(
        "/api/logs?search=connection&container=api",
        &["ERROR: connection lost"],
    );
    rig.check(
        "/api/logs?search=connection+-lost&level=%3E%3Derror",
        &["ERROR: connection was refused"],
    );
    rig.check(
        "/api/logs?search=user@example.com",
        &["INFO: user@example.com at /var/log/app.log"],
    );
    rig.check("/api/logs?q=alpha&search=lost", &["ERROR: connection lost"]);
    rig.check("/api/logs?search=lost&q=alpha", &[]);
    rig.check("/api/logs?search=*", &[]);
    rig.check(
        "/api/logs?search=",
        &[
            "ERROR: connection lost",
            "INFO: user@example.com at /var/log/app.log",
            "ERROR: connection was refused",
            "INFO: connection refused by db",
        ],
    );
    assert_eq!(rig.json("/api/logs?search=connection&limit=1")["total"], 3);
}

#[test]
fn containers_and_stats_and_their_second_names() {
    let rig = five();
    let containers = json!({"containers": [
        {"name": "api", "log_count": 2, "project": "", "service": ""},
        {"name": "web", "log_count": 3, "project": "", "service": ""},
    ]});
    let stats = json!({
        "total_logs": 5, "oldest_log": "2025-01-20T10:00:01Z", "newest_log": "2025-01-20T10:00:05Z",
        "by_level": {"CRITICAL": 1, "DEBUG": 1, "ERROR": 1, "INFO": 1, "WARNING": 1}, "by_container": {"api": 2, "web": 3}
    });
    assert_eq!(rig.json("/api/containers"), containers);
    assert_eq!(rig.json("/api/logs/containers"), containers);
    assert_eq!(rig.json("/api/stats"), stats);
    assert_eq!(rig.json("/api/logs/stats"), stats);
}

#[test]
fn an_empty_service_answers_empty_lists() {
    let rig = Rig::new(&[]);
    assert_eq!(
        rig.json("/api/logs"),
        json!({
            "logs": [], "total": 0, "total_exact": true, "limit": 100, "offset": 0, "next": null, "took_ms": 0.0
        })
    );
    assert_eq!(rig.json("/api/containers"), json!({"containers": []}));
    assert_eq!(
        rig.json("/api/stats"),
        json!({"total_logs": 0, "oldest_log": null, "newest_log": null, "by_level": {}, "by_container": {}})
    );
    let health = rig.json("/health");
    assert_eq!(
        (&health["logs_indexed"], &health["last_ingest"]),
        (&json!(0), &json!(null))
    );
}
