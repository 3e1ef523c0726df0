//! Alert rules, from the log file to a receiver.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use monlight_shared::testing::TestProcess;
use monlight_shared::testing::receiver::{Received, Receiver};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::process::{container, log};
use super::rig::{Rig, record};

const RULES: &str = "/api/alert-rules";

/// With one container called `web`, and a receiver of alerts.
fn rig(hook: &Receiver) -> Rig {
    let url = hook.url("/hook");
    let rig = Rig::new(&[
        ("TAIL_BUFFER", "all"),
        ("ALERT_ALLOW_PRIVATE", "true"),
        ("ALERT_WEBHOOK_URLS", &url),
        ("BASE_URL", "https://m.example/"),
    ]);
    rig.container("abc", "web");
    rig
}

fn hook() -> Receiver {
    Receiver::start("200 OK", "", "ok")
}

impl Rig {
    #[track_caller]
    fn rule(&self, rule: &Value) -> i64 {
        let (status, added) = self.send(Method::POST, RULES, rule);
        assert_eq!(status, 201, "{added}");
        added["id"].as_i64().expect("a number")
    }

    fn told(&self, hook: &Receiver, count: usize) -> Vec<Received> {
        self.runtime.block_on(hook.wait_for(count))
    }

    /// Lines at these seconds, stored.
    fn lines(&mut self, second: u32, text: &str) {
        self.write("abc", "stdout", second, text);
        self.settle();
    }

    fn state_of(&self, rule: i64) -> Value {
        self.json(&format!("{RULES}/{rule}"))
    }
}

#[test]
fn rules_are_made_listed_changed_and_removed() {
    let rig = Rig::web();
    assert_eq!(rig.json(RULES), json!({"rules": [], "most": 50}));
    let filter = json!({"level": ">=error", "search": "timed out", "field.status": [500, 503]});
    let (status, made) = rig.send(
        Method::POST,
        RULES,
        &json!({"name": "Slow", "filter": filter, "threshold": 5}),
    );
    let expected = json!({
        "id": 1, "name": "Slow",
        "filter": {"level": ">=error", "search": "timed out", "field.status": ["500", "503"]},
        "query": "field.status=500&field.status=503&level=%3E%3Derror&search=timed%20out",
        "threshold": 5, "window_seconds": 300, "cooldown_seconds": 900, "enabled": true,
        "created": "2025-01-20T10:00:00Z", "updated": "2025-01-20T10:00:00Z",
        "fired": 0, "last_fired": null, "quiet_until": null, "matches": 0,
    });
    assert_eq!((status, &made), (201, &expected));
    assert_eq!(rig.json(RULES)["rules"][0], expected);
    rig.pass(Duration::from_mins(1));
    let (status, changed) = rig.send(
        Method::PATCH,
        "/api/alert-rules/1",
        &json!({"enabled": false}),
    );
    assert_eq!(
        (status, &changed["enabled"], &changed["threshold"]),
        (200, &json!(false), &json!(5))
    );
    assert_eq!(changed["updated"], "2025-01-20T10:01:00Z");
    assert_eq!(rig.metric("monlight_log_alert_rules"), 0.0);
    let bad = json!({"filter": "levl=error"});
    let (status, refused) = rig.send(Method::PATCH, "/api/alert-rules/1", &bad);
    let detail = refused["detail"].as_str().expect("a reason");
    assert_eq!(status, 400);
    assert!(detail.contains("\"levl\" is unknown"), "{detail}");
    assert_eq!(
        rig.send(Method::DELETE, "/api/alert-rules/1", &Value::Null)
            .0,
        204
    );
    for (method, path) in [
        (Method::GET, "/api/alert-rules/1"),
        (Method::DELETE, "/api/alert-rules/1"),
        (Method::PATCH, "/api/alert-rules/1"),
        (Method::GET, "/api/alert-rules/x"),
        (Method::POST, "/api/alert-rules/1/test"),
        (Method::GET, "/api/alert-rules/1/preview"),
    ] {
        let answer = rig.send(method.clone(), path, &json!({}));
        assert_eq!(
            answer,
            (404, json!({"detail": "Rule not found"})),
            "{method} {path}"
        );
    }
    assert_eq!(
        rig.rule(&json!({"name": "next", "filter": ""})),
        2,
        "no number is used twice"
    );
}

#[test]
fn there_are_at_most_fifty() {
    let rig = Rig::web();
    for _ in 0..50 {
        rig.rule(&json!({"name": "r", "filter": {"level": "error"}}));
    }
    let (status, refused) = rig.send(Method::POST, RULES, &json!({"name": "r", "filter": {}}));
    assert_eq!(status, 409, "{refused}");
    assert_eq!(rig.metric("monlight_log_alert_rules"), 50.0);
}

#[test]
fn a_rule_fires_at_its_threshold_and_tells_what_it_found() {
    let hook = hook();
    let mut rig = rig(&hook);
    rig.rule(&json!({
        "name": "Timeouts", "filter": {"search": "timed out", "level": "error"}, "threshold": 3, "cooldown_seconds": 600,
    }));
    rig.lines(0, "ERROR: a timed out\nINFO: all fine\nERROR: b timed out");
    assert_eq!(rig.state_of(1)["matches"], 2);
    assert_eq!(rig.json("/api/alerts")["alerts"], json!([]));
    rig.lines(9, "ERROR: c timed out\nERROR: other");
    let told = rig.told(&hook, 1)[0].json();
    assert_eq!(told["kind"], "rule");
    assert_eq!(told["title"], "[logs] Timeouts: 3 entries");
    assert_eq!(
        told["link"],
        "https://m.example/?level=error&search=timed%20out"
    );
    let rule = &told["rule"];
    assert_eq!((&rule["id"], &rule["entries"]), (&json!(1), &json!(3)));
    // Also those of the batches before.
    let mut newest: Vec<_> = rule["newest"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["message"].as_str(), entry["container"].as_str()))
        .collect();
    newest.sort_unstable();
    let of = |message| (Some(message), Some("web"));
    assert_eq!(
        newest,
        [
            "ERROR: a timed out",
            "ERROR: b timed out",
            "ERROR: c timed out"
        ]
        .map(of)
    );
    let state = rig.state_of(1);
    assert_eq!((&state["fired"], &state["matches"]), (&json!(1), &json!(0)));
    // It is quiet now, and then tells of what came meanwhile.
    rig.lines(
        20,
        "ERROR: d timed out\nERROR: e timed out\nERROR: f timed out",
    );
    assert_eq!(rig.state_of(1)["fired"], 1);
    rig.pass(Duration::from_mins(10));
    rig.lines(
        600,
        "ERROR: g timed out\nERROR: h timed out\nERROR: i timed out",
    );
    let told = rig.told(&hook, 2)[1].json();
    assert_eq!(told["rule"]["entries"], 6);
    let alerts = rig.json("/api/alerts")["alerts"].take();
    let shown: Vec<_> = alerts
        .as_array()
        .expect("a list")
        .iter()
        .map(|alert| {
            (
                alert["kind"].as_str(),
                alert["rule"].as_str(),
                alert["entries"].as_i64(),
                alert["rule_id"].as_i64(),
            )
        })
        .collect();
    let expected = |entries| (Some("rule"), Some("Timeouts"), Some(entries), Some(1));
    assert_eq!(shown, [expected(6), expected(3)]);
    assert_eq!(rig.metric("monlight_log_alert_rules_fired_total"), 2.0);
    assert_eq!(rig.metric("monlight_log_alert_matches_total"), 9.0);
}

#[test]
fn arrival_counts_and_not_what_the_lines_say() {
    let hook = hook();
    let mut rig = rig(&hook);
    rig.rule(
        &json!({"name": "r", "filter": {"search": "lost"}, "threshold": 2, "window_seconds": 60}),
    );
    // Hours apart by their own time, and read at once.
    rig.write("abc", "stdout", 0, "lost a");
    rig.lines(7200, "lost b");
    assert_eq!(rig.state_of(1)["fired"], 1);
    // A second apart by their own time, and not.
    rig.pass(Duration::from_hours(1));
    rig.lines(7300, "lost c");
    rig.pass(Duration::from_mins(2));
    rig.lines(7301, "lost d");
    assert_eq!(rig.state_of(1)["fired"], 1);
}

#[test]
fn filters_mean_what_they_mean_in_lists() {
    let mut rig = Rig::web();
    let filters = [
        "search=timeout+-health",
        "search=%22was+lost%22+OR+refused",
        "regex=took+%5B0-9%5D%7B4%2C%7D+ms",
        "level=%3E%3Dwarning",
        "container=w*",
        "container=!web",
        "field.status=5*",
        "field.ms=%3E250",
        "stream=stderr",
        "search=status:503",
        "search=grosse",
        "min_level=error",
        "project=shop",
        "regex=%5Ebroken%24",
    ];
    for filter in filters {
        rig.rule(&json!({"name": filter, "filter": filter, "threshold": 1_000_000}));
    }
    rig.lines(0, "timeout of health\nWARN timeout\nit was lost\nconnection refused\ntook 1234 ms\ntook 12 ms\nstatus=503 ms=300 x=1\n\
        {\"status\":500,\"ms\":20}\nbroken\nunbroken\nGröße\nERROR it");
    rig.write("abc", "stderr", 100, "of errors");
    rig.settle();
    for (filter, id) in filters.iter().zip(1..) {
        let listed = rig.json(&format!("/api/logs?{filter}"))["total"].clone();
        assert_eq!(rig.state_of(id)["matches"], listed, "{filter}");
    }
}

#[test]
fn a_preview_says_what_would_have_been_found() {
    let mut rig = Rig::web();
    rig.lines(0, "lost a\nfine\nlost b\nlost c\nlost d");
    rig.lines(3000, "lost e");
    rig.pass(Duration::from_hours(1));
    let rule =
        json!({"name": "r", "filter": {"search": "lost"}, "threshold": 2, "cooldown_seconds": 0});
    let (status, preview) = rig.send(Method::POST, "/api/alert-rules/preview", &rule);
    assert_eq!(status, 200, "{preview}");
    assert_eq!(
        (&preview["matches"], &preview["matches_exact"]),
        (&json!(5), &json!(true))
    );
    assert_eq!(preview["fired"], 2);
    assert_eq!(
        preview["firings"],
        json!(["2025-01-20T10:00:04.123Z", "2025-01-20T10:00:02.123Z"])
    );
    assert_eq!(preview["newest"][0]["message"], "lost e");
    assert_eq!(preview["newest"].as_array().map(Vec::len), Some(5));
    assert_eq!(preview["looked_back_to"], Value::Null);
    assert_eq!(rig.json(RULES)["rules"], json!([]), "nothing is stored");
    let id = rig.rule(&rule);
    let mut again = rig.json(&format!("{RULES}/{id}/preview?hours=24"));
    again["took_ms"] = preview["took_ms"].clone();
    assert_eq!(again, preview);
    rig.pass(Duration::from_mins(30));
    assert_eq!(
        rig.json(&format!("{RULES}/{id}/preview?hours=1"))["matches"],
        1
    );
    let refused = rig
        .get(&format!("{RULES}/{id}/preview?hours=0"))
        .expect(400);
    assert!(refused.text().contains("hours"), "{}", refused.text());
}

#[test]
fn a_test_goes_over_every_channel() {
    let hook = hook();
    let rig = rig(&hook);
    let id = rig.rule(&json!({"name": "Slow", "filter": {"search": "slow"}}));
    let (status, tested) = rig.send(Method::POST, &format!("{RULES}/{id}/test"), &Value::Null);
    assert_eq!(status, 202, "{tested}");
    let channel = &tested["channels"][0];
    assert_eq!(
        (&channel["channel"], &channel["ok"]),
        (&json!("webhook"), &json!(true))
    );
    let told = rig.told(&hook, 1)[0].json();
    assert_eq!(
        (&told["kind"], &told["title"]),
        (&json!("test"), &json!("[logs] Slow: test alert"))
    );
    let (status, _) = rig.send(Method::POST, "/api/test-alert", &Value::Null);
    assert_eq!(status, 202);
    assert_eq!(rig.told(&hook, 2)[1].json()["title"], "[logs] test alert");
    assert_eq!(rig.state_of(id)["fired"], 0);

    let without = Rig::web();
    let id = without.rule(&json!({"name": "Slow", "filter": {"search": "slow"}}));
    let (status, refused) = without.send(Method::POST, &format!("{RULES}/{id}/test"), &Value::Null);
    assert_eq!(status, 503);
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("not configured")),
        "{refused}"
    );
}

#[test]
fn what_was_counted_outlives_a_kill() {
    let hook = hook();
    let mut rig = rig(&hook);
    rig.rule(&json!({"name": "r", "filter": {"search": "lost"}, "threshold": 3}));
    rig.lines(0, "lost a\nlost b");
    let mut rig = rig.kill();
    rig.settle();
    assert_eq!(rig.state_of(1)["matches"], 2);
    rig.lines(5, "lost c");
    assert_eq!(rig.state_of(1)["fired"], 1);
    let mut rig = rig.kill();
    // The clock begins anew, and nothing is sent before it was noted.
    rig.pass(Duration::from_mins(1));
    rig.settle();
    assert_eq!(rig.told(&hook, 1)[0].json()["rule"]["entries"], 3);
    assert_eq!(rig.state_of(1)["fired"], 1);
    assert_eq!(
        rig.json("/api/alerts")["alerts"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_changed_rule_counts_anew_and_a_renamed_one_goes_on() {
    let mut rig = Rig::web();
    rig.rule(&json!({"name": "r", "filter": {"search": "lost"}, "threshold": 9}));
    rig.lines(0, "lost a\nlost b");
    let matches = |rig: &Rig| rig.state_of(1)["matches"].as_i64();
    rig.send(
        Method::PATCH,
        "/api/alert-rules/1",
        &json!({"name": "other", "cooldown_seconds": 1}),
    );
    assert_eq!(matches(&rig), Some(2));
    rig.send(
        Method::PATCH,
        "/api/alert-rules/1",
        &json!({"threshold": 8}),
    );
    assert_eq!(matches(&rig), Some(0));
    rig.send(
        Method::PATCH,
        "/api/alert-rules/1",
        &json!({"enabled": false}),
    );
    rig.lines(9, "lost c");
    assert_eq!(matches(&rig), Some(0));
    rig.send(
        Method::PATCH,
        "/api/alert-rules/1",
        &json!({"enabled": true}),
    );
    rig.lines(12, "lost d");
    assert_eq!(matches(&rig), Some(1));
    // What it did before stays known.
    let send = |rig: &Rig, body: Value| rig.send(Method::PATCH, "/api/alert-rules/1", &body);
    send(&rig, json!({"threshold": 1}));
    rig.lines(15, "lost e");
    let fired = rig.state_of(1);
    assert!(fired["last_fired"].is_string(), "{fired}");
    send(&rig, json!({"threshold": 2}));
    let changed = rig.state_of(1);
    assert_eq!(
        (&changed["fired"], &changed["last_fired"]),
        (&fired["fired"], &fired["last_fired"])
    );
    assert_eq!(changed["quiet_until"], json!(null));
}

#[test]
fn a_storm_is_collected() {
    let hook = hook();
    let url = hook.url("/hook");
    let mut rig = Rig::new(&[
        ("TAIL_BUFFER", "all"),
        ("ALERT_ALLOW_PRIVATE", "true"),
        ("ALERT_WEBHOOK_URLS", &url),
        ("ALERTS_PER_HOUR", "2"),
        ("RATE_LIMIT", "0"),
    ]);
    rig.container("abc", "web");
    for name in ["a", "b"] {
        rig.rule(&json!({"name": name, "filter": {"search": "lost"}, "cooldown_seconds": 0}));
    }
    for second in 0..4 {
        rig.lines(second, "lost");
    }
    rig.told(&hook, 2);
    // Each request lets the tasks go on.
    let collecting = (0..1_000_000).find_map(|_| {
        let list = rig.json("/api/alerts");
        (list["collecting"]["alerts"] == 8 - 2).then_some(list)
    });
    let newest = &collecting.expect("is collected")["alerts"][0];
    assert_eq!(
        (&newest["state"], &newest["rule"]),
        (&json!("waiting"), &json!("b"))
    );
}

#[expect(clippy::disallowed_methods, reason = "a look from outside")]
fn number(database: &Path, sql: &str) -> i64 {
    let conn = Connection::open(database).expect("opens");
    conn.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Every match is told of exactly once, whenever the process is killed.
#[test]
fn killed_while_rules_fire_each_match_counts_once() {
    const LINES: i64 = 9_000;
    let dir = tempfile::tempdir().expect("a directory");
    container(dir.path(), "web");
    let mut file = File::create(log(dir.path(), "web")).expect("made");
    let (database, sources) = (dir.path().join("logs.db"), dir.path().join("containers"));
    let settings = [
        ("DATABASE_PATH", database.to_str().expect("a path")),
        ("LOG_SOURCES", sources.to_str().expect("a path")),
        ("TAIL_BUFFER", "all"),
        ("POLL_INTERVAL", "1"),
    ];
    let start = || TestProcess::start(Path::new(env!("CARGO_BIN_EXE_log-viewer")), &settings);
    let process = start();
    let rule = br#"{"name": "r", "filter": {"search": "lost"}, "cooldown_seconds": 0}"#;
    let (status, answer) = process.connect().post(RULES, rule).expect("is answered");
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
    process.kill();
    for line in 0..LINES {
        let text = if line % 3 == 0 {
            format!("lost {line}")
        } else {
            format!("fine {line}")
        };
        file.write_all(record(&text, "stdout", 0).as_bytes())
            .expect("written");
    }
    let indexed = |process: &TestProcess| {
        process.get("/health")["logs_indexed"]
            .as_i64()
            .expect("a number")
    };
    let mut reached = 0;
    while reached < LINES {
        let process = start();
        let wanted = (reached + 1500).min(LINES);
        while reached < wanted {
            reached = indexed(&process);
        }
        process.kill();
    }
    assert_eq!(number(&database, "SELECT count(*) FROM log_entries"), LINES);
    assert_eq!(
        number(&database, "SELECT sum(entries) FROM alert_firings"),
        LINES / 3
    );
    assert_eq!(
        number(&database, "SELECT fired FROM alert_rules"),
        number(&database, "SELECT count(*) FROM alert_firings")
    );
}
