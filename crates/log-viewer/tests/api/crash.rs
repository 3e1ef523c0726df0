//! A real process, killed while it ingests: every line exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;

use crate::process::{Process, container, log};
use crate::rig::record;

#[test]
fn killed_in_the_middle_of_ingestion_every_line_is_there_once() {
    const LINES: u32 = 12_000;
    let dir = tempfile::tempdir().expect("a directory");
    for id in ["one", "two"] {
        container(dir.path(), id);
        let mut text = String::new();
        for number in 0..LINES {
            let stream = if number % 2 == 0 { "stdout" } else { "stderr" };
            text.push_str(&record(&format!("{id} {number}"), stream, number % 3600));
            if number % 5 == 0 {
                text.push_str(&record(
                    &format!("  more of {id} {number}"),
                    stream,
                    number % 3600,
                ));
            }
        }
        fs::write(log(dir.path(), id), text).expect("written");
    }
    // Killed at several points of the backlog, then while a line is being written.
    let mut reached = 0;
    for _ in 0..5 {
        let process = Process::start(dir.path());
        process.wait_for(reached + 1500);
        reached = process.indexed();
        process.kill();
    }
    let process = Process::start(dir.path());
    let mut file = File::options()
        .append(true)
        .open(log(dir.path(), "one"))
        .expect("opens");
    let line = record("one last", "stdout", 3599);
    let (first, second) = line.split_at(30);
    file.write_all(first.as_bytes()).expect("written");
    process.kill();
    let process = Process::start(dir.path());
    file.write_all(second.as_bytes()).expect("written");
    process.wait_for(i64::from(2 * LINES + 1));

    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for offset in (0..2 * LINES + 500).step_by(500) {
        let list = process.get(&format!("/api/logs?limit=500&offset={offset}"));
        for entry in list["logs"].as_array().expect("a list") {
            *seen
                .entry(entry["message"].as_str().expect("text").to_owned())
                .or_default() += 1;
        }
    }
    for id in ["one", "two"] {
        for number in 0..LINES {
            let message = if number % 5 == 0 {
                format!("{id} {number}\n  more of {id} {number}")
            } else {
                format!("{id} {number}")
            };
            assert_eq!(seen.remove(&message), Some(1), "{message}");
        }
    }
    assert_eq!(seen.remove("one last"), Some(1));
    assert_eq!(seen, BTreeMap::new(), "nothing else");
    process.kill();
}
