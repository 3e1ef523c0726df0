//! What becomes of lines: decoding, joining, multi-line entries, levels.

use std::time::Duration;

use crate::rig::{Rig, record, text};

#[test]
fn escapes_are_decoded_and_found() {
    let mut rig = Rig::web();
    rig.write(
        "abc",
        "stdout",
        1,
        "said \"hi\"\n<b> & </b>\na\tword\n\u{1b}[31mERROR\u{1b}[0m red\nC:\\dir \\ end",
    );
    rig.settle();
    rig.check(
        "/api/logs",
        &[
            "C:\\dir \\ end",
            "\u{1b}[31mERROR\u{1b}[0m red",
            "a\tword",
            "<b> & </b>",
            "said \"hi\"",
        ],
    );
    rig.check("/api/logs?search=word", &["a\tword"]);
    // Colours are shown, and ignored by search and level.
    rig.check("/api/logs?search=error", &["\u{1b}[31mERROR\u{1b}[0m red"]);
    rig.check("/api/logs?level=ERROR", &["\u{1b}[31mERROR\u{1b}[0m red"]);
}

#[test]
fn records_that_docker_cut_become_one_line() {
    let mut rig = Rig::web();
    let part = |log: &str| {
        format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"2025-01-20T10:00:01Z\"}}\n")
    };
    rig.write_raw("abc", part("ERROR: xx"));
    rig.step();
    rig.write_raw("abc", record("between", "stderr", 2));
    rig.write_raw("abc", part("yy\\n"));
    rig.write_raw("abc", record("INFO: next", "stdout", 3));
    rig.settle();
    rig.check("/api/logs", &["INFO: next", "between", "ERROR: xxyy"]);
}

#[test]
fn a_line_without_an_end_is_shown_after_a_second() {
    let mut rig = Rig::web();
    rig.write_raw(
        "abc",
        "{\"log\":\"password: \",\"stream\":\"stdout\",\"time\":\"2025-01-20T10:00:01Z\"}\n",
    );
    rig.step();
    rig.pass(Duration::from_millis(900));
    rig.step();
    rig.check("/api/logs", &[]);
    rig.settle();
    rig.check("/api/logs", &["password: "]);
}

#[test]
fn a_long_record_is_kept_and_a_huge_one_is_cut_visibly() {
    let mut rig = Rig::web();
    let (long, huge) = ("z".repeat(100_000), "y".repeat(3_000_000));
    rig.write(
        "abc",
        "stdout",
        1,
        &format!("before\n{long}\n{huge}\nafter"),
    );
    rig.settle();
    let messages = rig.messages("/api/logs");
    assert_eq!(messages.len(), 4);
    assert_eq!(messages.first().map(String::as_str), Some("after"));
    let cut = messages.get(1).expect("four");
    assert!(cut.starts_with("yyy") && cut.ends_with(" more bytes]") && cut.len() < 300_000);
    assert_eq!(messages.get(2), Some(&long));
    let list = rig.json("/api/logs?limit=2");
    let logs = list["logs"].as_array().expect("a list");
    assert_eq!(text(&logs[1], "timestamp"), "2025-01-20T10:00:03Z");
    assert_eq!(rig.metric("monlight_log_lines_cut_total"), 1.0);
}

#[test]
fn the_two_streams_are_kept_apart() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "INFO: handling");
    rig.write(
        "abc",
        "stderr",
        2,
        "Traceback (most recent call last):\n  frame",
    );
    rig.write("abc", "stdout", 4, "  indented");
    rig.write("abc", "stderr", 5, "ValueError: x");
    rig.settle();
    rig.check(
        "/api/logs",
        &[
            "Traceback (most recent call last):\n  frame\nValueError: x",
            "INFO: handling\n  indented",
        ],
    );
    rig.check(
        "/api/logs?level=error",
        &["Traceback (most recent call last):\n  frame\nValueError: x"],
    );
}

#[test]
fn an_entry_stays_open_between_steps_and_over_a_restart() {
    let mut rig = Rig::web();
    rig.write(
        "abc",
        "stderr",
        1,
        "Traceback (most recent call last):\n  frame",
    );
    rig.step();
    rig.check("/api/logs", &[]);
    let mut rig = rig.restart();
    rig.step();
    rig.write("abc", "stderr", 3, "ValueError: x\nnext");
    rig.settle();
    rig.check(
        "/api/logs",
        &[
            "next",
            "Traceback (most recent call last):\n  frame\nValueError: x",
        ],
    );
}

#[test]
fn an_entry_closes_200_ms_after_its_last_line() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "one");
    rig.step();
    rig.pass(Duration::from_millis(199));
    rig.step();
    rig.check("/api/logs", &[]);
    rig.pass(Duration::from_millis(1));
    rig.step();
    rig.check("/api/logs", &["one"]);
}

#[test]
fn odd_times_become_the_time_of_reading() {
    let mut rig = Rig::web();
    for (log, time) in [
        ("offset", "2025-01-20T12:00:01.5+02:00"),
        ("date", "2025-01-20"),
        ("odd", "zzzzzzzzzzzzzzzzzzzzzzzz"),
        ("future", "2099-01-01T00:00:00Z"),
    ] {
        rig.write_raw(
            "abc",
            format!("{{\"log\":\"{log}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n"),
        );
    }
    rig.write_raw("abc", "{\"log\":\"none\\n\"}\n");
    rig.settle();
    let list = rig.json("/api/logs");
    for entry in list["logs"].as_array().expect("a list") {
        let expected = if text(entry, "message") == "offset" {
            "2025-01-20T10:00:01Z"
        } else {
            "2025-01-20T10:00:00Z"
        };
        assert_eq!(text(entry, "timestamp"), expected, "{entry}");
    }
    assert_eq!(rig.json("/health")["last_ingest"], "2025-01-20T10:00:01Z");
}

#[test]
fn what_is_no_record_is_counted_and_not_stored() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "before");
    rig.write_raw(
        "abc",
        "not json\n\n[1,2]\n{\"msg\":\"other\"}\n{\"log\":123}\n{\"log\":\"unterminated\n{}\n",
    );
    rig.write_raw(
        "abc",
        b"{\"log\":\"bad \xff\xfe\\n\",\"stream\":\"stdout\",\"time\":\"2025-01-20T10:00:02Z\"}\n",
    );
    rig.settle();
    rig.check("/api/logs", &["bad \u{fffd}\u{fffd}", "before"]);
    assert_eq!(
        rig.metric("monlight_log_lines_skipped_total{reason=\"no_json\"}"),
        3.0
    );
    assert_eq!(
        rig.metric("monlight_log_lines_skipped_total{reason=\"no_text\"}"),
        3.0
    );
    assert_eq!(
        rig.metric("monlight_log_lines_skipped_total{reason=\"blank\"}"),
        1.0
    );
    assert_eq!(rig.metric("monlight_log_entries_stored_total"), 2.0);
}

#[test]
fn json_logs_have_the_level_they_state_and_are_not_glued() {
    let mut rig = Rig::web();
    rig.write(
        "abc",
        "stderr",
        1,
        "{\"level\":\"info\",\"msg\":\"to stderr\"}\n{\"level\":\"error\",\"msg\":\"boom\"}",
    );
    rig.settle();
    rig.check(
        "/api/logs?level=ERROR",
        &["{\"level\":\"error\",\"msg\":\"boom\"}"],
    );
    rig.check(
        "/api/logs?level=INFO",
        &["{\"level\":\"info\",\"msg\":\"to stderr\"}"],
    );
}
