//! Rules of a real process that is killed while it looks.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use monlight_shared::clock::Clock;
use monlight_shared::testing::receiver::Receiver;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::process::{Process, ask};
use crate::{MINUTE, at};

/// Minutes that are looked at, each by a process of its own, or by two when the first was killed too early.
const MINUTES: i64 = 12;

#[expect(clippy::disallowed_methods, reason = "a look from outside")]
fn numbers(database: &Path, sql: &str) -> Vec<i64> {
    let conn = Connection::open(database).expect("opens");
    conn.busy_timeout(Duration::from_secs(30)).expect("set");
    let mut statement = conn.prepare(sql).expect("a statement");
    let rows = statement.query_map([], |row| row.get::<_, Option<i64>>(0));
    let rows = rows.expect("rows").map(|row| row.expect("a number"));
    rows.flatten().collect()
}

/// Says when a time has passed from now on.
fn after(time: Duration) -> impl Fn() -> bool {
    let clock = Clock::system();
    move || clock.monotonic() > time
}

/// Whether the metric is too large in the minute that ends at this time.
fn is_hot(end_ms: i64) -> bool {
    (end_ms / MINUTE).rem_euclid(4) < 2
}

/// The window that is looked at is chosen by the delay, so a restart with another one looks at the next minute at once.
#[test]
fn killed_while_it_looks_each_change_is_told_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("metrics.db");
    let hook = Receiver::start("200 OK", "", "ok");
    let url = hook.url("/hook");
    let start = |delay_minutes: i64| {
        let delay = (delay_minutes * 60).to_string();
        let settings = [
            ("ALERT_DELAY", delay.as_str()),
            ("ALERT_ALLOW_PRIVATE", "true"),
            ("ALERT_WEBHOOK_URLS", url.as_str()),
        ];
        Process::start(&database, &settings)
    };
    let process = start(50);
    let now_ms = Clock::system().now_ms();
    let points: Vec<Value> = (0..60)
        .map(|minute| {
            let at_ms = now_ms - now_ms.rem_euclid(MINUTE) - minute * MINUTE;
            let value = if is_hot(at_ms + MINUTE) { 10 } else { 1 };
            json!({"name": "r", "type": "counter", "value": value, "timestamp": at(at_ms)})
        })
        .collect();
    let post = |path: &str, body: &Value, expected: u16| {
        let answer = ask(&process.address, "POST", path, &[], &body.to_string());
        let (status, body) = answer.expect("answers");
        assert_eq!(status, expected, "{body}");
    };
    post("/api/metrics", &Value::from(points), 202);
    let rule = json!({"name": "r", "query": {"name": "r", "agg": "sum"}, "value": 5, "window_seconds": 60, "repeat_seconds": 0});
    post("/api/alert-rules", &rule, 201);
    process.kill();
    let looked = || numbers(&database, "SELECT looked_ms FROM alert_clock").pop();
    let mut ends: Vec<i64> = looked().into_iter().collect();
    for minute in 0..MINUTES {
        let delay = 40 - minute;
        let process = start(delay);
        // Before, while or after it looks.
        let until = after(Duration::from_millis((minute * 7 % 30).unsigned_abs()));
        while !until() {
            std::thread::yield_now();
        }
        process.kill();
        let process = start(delay);
        let is_late = after(Duration::from_mins(1));
        while looked() == ends.last().copied() {
            assert!(!is_late(), "it does not look");
            std::thread::yield_now();
        }
        process.kill();
        ends.extend(looked());
    }
    let times = numbers(&database, "SELECT time_ms FROM alert_events ORDER BY id");
    let happened = numbers(&database, "SELECT happened FROM alert_events ORDER BY id");
    assert!(times.len() >= 4, "{times:?}");
    for (place, (time, happened)) in times.iter().zip(happened).enumerate() {
        assert_eq!(happened, if place % 2 == 0 { 1 } else { 2 });
        assert_eq!(is_hot(*time), happened == 1, "{times:?}");
    }
    for end in ends {
        let count = times.iter().filter(|time| **time <= end).count();
        assert_eq!(count % 2 == 1, is_hot(end), "{end} {times:?}");
    }
    // An alert for each, and nothing else.
    let ids = numbers(&database, "SELECT id FROM alert_events ORDER BY id");
    assert_eq!(
        numbers(&database, "SELECT subject FROM alerts ORDER BY id"),
        ids
    );
    assert_eq!(
        numbers(&database, "SELECT fired FROM alert_rules"),
        [times.len().div_ceil(2) as i64]
    );
    // All of them arrive; one that was under way at a kill comes twice, with the same number.
    let process = start(40 - MINUTES + 1);
    let is_late = after(Duration::from_mins(1));
    let arrived = || -> BTreeSet<String> {
        let received = hook.received();
        let ids = received.iter().map(|one| one.header("x-monlight-delivery"));
        // A request that was cut has none.
        ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
    };
    while arrived().len() < times.len() {
        assert!(!is_late(), "{:?}", arrived());
        std::thread::yield_now();
    }
    process.kill();
    assert_eq!(arrived().len(), times.len());
}
