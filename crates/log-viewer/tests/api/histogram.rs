//! Entries per part of time and level.

use serde_json::{Value, json};

use crate::rig::{Rig, number, record, text};

/// Entries of half an hour, a second apart; every third one an error, every tenth on stderr.
fn half_an_hour() -> Rig {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all"), ("RATE_LIMIT", "0")]);
    rig.container("id1", "web");
    rig.container("id2", "api");
    for (id, offset) in [("id1", 0), ("id2", 1)] {
        let lines: String = (offset..1800)
            .step_by(2)
            .map(|second| {
                let level = if second % 3 == 0 { "ERROR" } else { "INFO" };
                let stream = if second % 10 == 0 { "stderr" } else { "stdout" };
                record(
                    &format!("{level}: n{second} word{}", second % 7),
                    stream,
                    second,
                )
            })
            .collect();
        rig.write_raw(id, lines);
    }
    rig.settle();
    rig
}

fn counts(histogram: &Value) -> Vec<(String, i64)> {
    let buckets = histogram["buckets"].as_array().expect("a list");
    buckets
        .iter()
        .map(|bucket| (text(bucket, "start"), number(bucket, "count")))
        .collect()
}

#[test]
fn parts_levels_and_totals() {
    let rig = half_an_hour();
    let found = rig.json("/api/logs/histogram?buckets=4");
    assert_eq!(
        found,
        json!({
            "since": "2025-01-20T10:00:00Z", "until": "2025-01-20T10:30:00Z", "step_seconds": 600,
            "total": 1800, "exact": true, "counted_from": null, "took_ms": 0.0,
            "buckets": [
                {"start": "2025-01-20T10:00:00Z", "count": 600, "by_level": {"ERROR": 200, "INFO": 400}},
                {"start": "2025-01-20T10:10:00Z", "count": 600, "by_level": {"ERROR": 200, "INFO": 400}},
                {"start": "2025-01-20T10:20:00Z", "count": 600, "by_level": {"ERROR": 200, "INFO": 400}},
            ]
        })
    );
    let found = rig.json("/api/logs/histogram?step=15m&level=error&since=2025-01-20T09:50:00Z&until=2025-01-20T10:14:59Z");
    assert_eq!(
        counts(&found),
        [
            ("2025-01-20T09:45:00Z".to_owned(), 0),
            ("2025-01-20T10:00:00Z".to_owned(), 300)
        ]
    );
}

/// Whatever is asked, the parts hold what the list holds.
#[test]
fn it_agrees_with_the_list() {
    let rig = half_an_hour();
    let ranges = [
        "",
        "&since=2025-01-20T10:05:00Z&until=2025-01-20T10:09:59Z",
        "&since=2025-01-20T10:04:30Z&until=2025-01-20T10:21:07Z",
        "&since=2025-01-20T10:04:30Z&until=2025-01-20T10:04:41Z",
        "&since=2025-01-20T10:29:30Z",
        "&until=2025-01-20T10:00:20.5Z",
        "&since=2025-01-20T11:00:00Z&until=2025-01-20T12:00:00Z",
    ];
    let filters = [
        "",
        "&level=error",
        "&min_level=info&container=web",
        "&stream=stderr",
        "&search=word3",
        "&search=word3&level=error",
        "&search=-word3&container=a*",
        "&search=nothing",
        "&regex=n%5Cd%2B7+",
        "&level=bogus",
    ];
    for range in ranges {
        for filter in filters {
            let list = rig.json(&format!("/api/logs?limit=500{range}{filter}"));
            let total = &list["total"];
            for cut in [
                "buckets=60",
                "buckets=7",
                "step=60",
                "step=300",
                "step=7m",
                "step=1h",
            ] {
                let query = format!("/api/logs/histogram?{cut}{range}{filter}");
                let found = rig.json(&query);
                assert_eq!(
                    (&found["total"], &found["exact"]),
                    (total, &json!(true)),
                    "{query}"
                );
                agrees(&list, &found, &query);
            }
        }
    }
}

/// The newest entries, as far as the list goes, are in the parts of their times.
fn agrees(list: &Value, found: &Value, query: &str) {
    let logs = list["logs"].as_array().expect("a list");
    let buckets = found["buckets"].as_array().expect("a list");
    let mut end = "9999".to_owned();
    for bucket in buckets.iter().rev() {
        let start = text(bucket, "start");
        if logs.len() == 500 && text(&logs[499], "timestamp") >= start {
            return;
        }
        for level in ["ERROR", "INFO"] {
            let expected = logs.iter().filter(|entry| {
                let time = text(entry, "timestamp");
                time >= start && time < end && entry["level"] == level
            });
            let counted = bucket["by_level"][level].as_i64().unwrap_or(0);
            assert_eq!(counted, expected.count() as i64, "{query} {start} {level}");
        }
        end = start;
    }
}

#[test]
fn times_that_go_back_and_forth_are_in_their_parts() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all"), ("RATE_LIMIT", "0")]);
    rig.container("abc", "web");
    let lines: String = (0..3000_u32)
        .map(|n| {
            record(
                &format!("INFO: n{n} common"),
                "stdout",
                n / 4 + (n * 7919) % 120,
            )
        })
        .collect();
    rig.write_raw("abc", lines);
    rig.settle();
    for filter in ["", "&search=common", "&regex=common"] {
        for second in [130, 300, 599] {
            let from = format!("2025-01-20T10:{:02}:{:02}Z", second / 60, second % 60);
            let query = format!("/api/logs/histogram?step=10&since={from}{filter}");
            let found = rig.json(&query);
            let list = rig.json(&format!("/api/logs?since={from}{filter}&limit=1"));
            assert_eq!(found["total"], list["total"], "{query}");
            for (start, count) in counts(&found).into_iter().skip(1) {
                let end = start.replace("0Z", "9Z");
                let part = rig.json(&format!(
                    "/api/logs?since={start}&until={end}{filter}&limit=1"
                ));
                assert_eq!(part["total"], count, "{query} {start}");
            }
        }
    }
}

#[test]
fn entries_that_left_the_ring_are_not_counted() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all"), ("MAX_ENTRIES", "2500")]);
    rig.container("abc", "web");
    for hour in 0..3_u32 {
        let lines: String = (0..2000)
            .map(|n| record(&format!("ERROR: n{n} common"), "stderr", hour * 3600 + n))
            .collect();
        rig.write_raw("abc", lines);
        rig.settle();
    }
    for cut in ["step=1h", "step=60", "step=7"] {
        for filter in ["", "&search=common", "&level=error", "&stream=stderr"] {
            let found = rig.json(&format!(
                "/api/logs/histogram?{cut}&since=2025-01-20T11:30:00Z{filter}"
            ));
            assert_eq!(found["total"], 2200, "{cut} {filter}");
        }
    }
    let hours = rig.json("/api/logs/histogram?step=1h&since=2025-01-20T10:00:00Z");
    let counts: Vec<i64> = counts(&hours).into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [0, 500, 2000]);
}

#[test]
fn bounds_and_refusals() {
    let rig = half_an_hour();
    let empty = Rig::new(&[]);
    let nothing = empty.json("/api/logs/histogram");
    assert_eq!(
        (&nothing["buckets"], &nothing["total"], &nothing["since"]),
        (&json!([]), &json!(0), &json!(null))
    );
    for (query, part) in [
        (
            "step=1&since=2025-01-01&until=2025-01-02",
            "would make 172800 buckets; expected at most 1000",
        ),
        ("step=0", "expected seconds"),
        ("step=soon", "expected seconds"),
        ("buckets=1", "2 to 1000"),
        ("buckets=1001", "2 to 1000"),
        ("since=x", "is no time"),
    ] {
        let refused = rig
            .get(&format!("/api/logs/histogram?{query}"))
            .expect(400)
            .json();
        assert!(
            text(&refused, "detail").contains(part),
            "{query}: {refused}"
        );
    }
    let far = rig.json("/api/logs/histogram?since=0001-01-01&until=9999-12-31&buckets=10");
    assert_eq!(far["total"], 1800);
}
