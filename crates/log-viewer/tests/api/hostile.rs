//! Sources that hurt: holes, endless lines, crowds, garbage. The process neither ends nor grows, and says what it sees.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::process::{Process, container, log};
use crate::rig::record;

/// More than this the process never needed at its peak; most of it is there before the first line is read.
const PEAK_BYTES: f64 = 64e6;

fn directory(ids: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for id in ids {
        container(dir.path(), id);
    }
    dir
}

fn append(dir: &Path, id: &str, text: &str) {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(log(dir, id))
        .expect("opens");
    file.write_all(text.as_bytes()).expect("written");
}

#[track_caller]
fn check_memory(process: &Process) {
    let peak = process.metric("monlight_process_peak_memory_bytes");
    assert!(peak < PEAK_BYTES, "{peak}");
}

/// What a truncation under a writer that does not append leaves behind.
#[test]
fn a_hole_of_ten_gigabytes() {
    let dir = directory(&["web", "other"]);
    let file = File::create(log(dir.path(), "web")).expect("created");
    file.set_len(10 * 1024 * 1024 * 1024).expect("sparse");
    append(dir.path(), "web", &record("behind the hole", "stdout", 1));
    append(dir.path(), "other", &record("not held up", "stdout", 2));
    let process = Process::start(dir.path());
    // The other one is there long before.
    process.wait_for(1);
    assert_eq!(process.messages(), ["not held up"]);
    process.wait_for(2);
    assert_eq!(process.messages(), ["not held up", "behind the hole"]);
    check_memory(&process);
    process.kill();
}

#[test]
fn a_line_of_a_hundred_megabytes() {
    let dir = directory(&["web"]);
    let mut file = BufWriter::new(File::create(log(dir.path(), "web")).expect("created"));
    let piece = "x".repeat(1_000_000);
    file.write_all(b"{\"log\":\"").expect("written");
    for _ in 0..100 {
        file.write_all(piece.as_bytes()).expect("written");
    }
    file.write_all(b"\\n\",\"stream\":\"stderr\",\"time\":\"2025-01-20T10:00:01Z\"}\n")
        .expect("written");
    file.write_all(record("after", "stdout", 2).as_bytes())
        .expect("written");
    file.flush().expect("written");
    let process = Process::start(dir.path());
    process.wait_for(2);
    let messages = process.messages();
    assert_eq!(messages.first().map(String::as_str), Some("after"));
    let cut = messages.get(1).expect("two");
    assert!(cut.starts_with("xxx") && cut.len() < 300_000 && cut.ends_with("more bytes]"));
    assert!((process.metric("monlight_log_lines_cut_total") - 1.0).abs() < 0.1);
    check_memory(&process);
    process.kill();
}

/// Each of them leaves a long line unfinished and an entry open.
#[test]
fn five_hundred_containers_at_once() {
    const COUNT: u32 = 500;
    let dir = directory(&[]);
    let unfinished = format!("{{\"log\":\"{}", "y".repeat(300_000));
    let long = format!("open {}", "z".repeat(20_000));
    for number in 0..COUNT {
        let id = format!("c{number}");
        container(dir.path(), &id);
        let mut text = record(&format!("first of {id}"), "stdout", number);
        text.push_str(&record(&long, "stderr", number));
        text.push_str(&unfinished);
        append(dir.path(), &id, &text);
    }
    let process = Process::start(dir.path());
    process.wait_for(i64::from(2 * COUNT));
    check_memory(&process);
    for number in 0..COUNT {
        let id = format!("c{number}");
        let rest = format!(
            "\\n\",\"stream\":\"stdout\",\"time\":\"2025-01-20T11:00:01Z\"}}\n{}",
            record(&format!("last of {id}"), "stdout", 3602)
        );
        append(dir.path(), &id, &rest);
    }
    process.wait_for(i64::from(4 * COUNT));
    assert_eq!(process.indexed(), i64::from(4 * COUNT));
    let found = process.get("/api/logs?search=%22first+of%22&limit=1");
    assert_eq!(found["total"], COUNT);
    assert!((process.metric("monlight_log_containers") - f64::from(COUNT)).abs() < 0.1);
    check_memory(&process);
    process.kill();
}

#[test]
fn configurations_of_garbage() {
    let dir = directory(&["web"]);
    append(dir.path(), "web", &record("still read", "stdout", 1));
    let garbage: [(&str, Vec<u8>); 7] = [
        ("a-empty", Vec::new()),
        ("b-binary", (0..=255).cycle().take(100_000).collect()),
        (
            "c-cut",
            b"{\"Name\":\"/c\",\"Config\":{\"Labels\":{".to_vec(),
        ),
        ("d-deep", b"[".repeat(1_000_000)),
        ("e-large", {
            let mut text = b"{\"Name\":\"/e\",\"x\":\"".to_vec();
            text.resize(8_000_000, b'x');
            text.extend_from_slice(b"\"}");
            text
        }),
        ("f-nameless", b"{\"Name\":\"\"}".to_vec()),
        ("g-number", b"{\"Name\":7}".to_vec()),
    ];
    for (id, config) in &garbage {
        container(dir.path(), id);
        fs::write(log(dir.path(), id).with_file_name("config.v2.json"), config).expect("written");
        append(dir.path(), id, &record("not followed", "stdout", 2));
    }
    let process = Process::start(dir.path());
    process.wait_for(1);
    assert_eq!(process.messages(), ["still read"]);
    let health = process.get("/health");
    assert_eq!(health["log_sources_error"], serde_json::Value::Null);
    assert_eq!(
        health["log_sources_notes"],
        serde_json::json!([
            "not followed, config.v2.json cannot be read or has no name: a-empty, b-binary, c-cut, d-deep, e-large and 2 more"
        ])
    );
    assert!((process.metric("monlight_log_containers_unready") - 7.0).abs() < 0.1);
    // One that gets well is followed.
    fs::write(
        log(dir.path(), "a-empty").with_file_name("config.v2.json"),
        "{\"Name\":\"/a\"}",
    )
    .expect("written");
    process.wait_for(2);
    check_memory(&process);
    process.kill();
}

/// Opening a FIFO waits for a writer that never comes; a device never ends.
#[test]
fn what_stands_in_place_of_a_log_file() {
    let dir = directory(&["device", "fifo", "loop", "directory", "web"]);
    let path = |id: &str| log(dir.path(), id);
    let made = std::process::Command::new("mkfifo")
        .arg(path("fifo"))
        .status();
    assert!(made.expect("mkfifo is there").success());
    std::os::unix::fs::symlink("/dev/zero", path("device")).expect("a link");
    std::os::unix::fs::symlink(path("loop"), path("loop")).expect("a link");
    fs::create_dir(path("directory")).expect("made");
    append(dir.path(), "web", &record("one", "stdout", 1));
    let process = Process::start(dir.path());
    process.wait_for(1);
    let note = process.wait_until("/health", |health| {
        let note = health["log_sources_notes"][0].as_str()?;
        Some(note.to_owned())
    });
    for id in ["device", "fifo", "directory"] {
        let text = format!("{} is no regular file", path(id).display());
        assert!(note.contains(&text), "{note}");
    }
    assert!(
        note.contains(&format!("cannot read {}: ", path("loop").display())),
        "{note}"
    );
    // One that becomes a file is followed, and a file that stops being one ends nothing.
    fs::remove_file(path("fifo")).expect("removed");
    append(dir.path(), "fifo", &record("two", "stdout", 2));
    process.wait_for(2);
    fs::remove_file(path("web")).expect("removed");
    let made = std::process::Command::new("mkfifo")
        .arg(path("web"))
        .status();
    assert!(made.expect("mkfifo is there").success());
    append(dir.path(), "fifo", &record("three", "stdout", 3));
    process.wait_for(3);
    assert_eq!(process.messages(), ["three", "two", "one"]);
    check_memory(&process);
    process.kill();
}

#[test]
fn a_directory_that_disappears_and_comes_back() {
    let dir = directory(&["web"]);
    let (root, away) = (dir.path().join("containers"), dir.path().join("away"));
    append(dir.path(), "web", &record("before", "stdout", 1));
    let process = Process::start(dir.path());
    process.wait_for(1);
    fs::rename(&root, &away).expect("renamed");
    let fault = process.wait_until("/health", |health| {
        health["log_sources_error"].as_str().map(ToOwned::to_owned)
    });
    assert!(
        fault.starts_with(&format!("cannot read {}", root.display())),
        "{fault}"
    );
    fs::rename(&away, &root).expect("renamed");
    append(dir.path(), "web", &record("after", "stdout", 2));
    process.wait_for(2);
    // Another directory under the same name, as after a new mount.
    fs::rename(&root, &away).expect("renamed");
    container(dir.path(), "api");
    append(dir.path(), "api", &record("elsewhere", "stdout", 3));
    process.wait_for(3);
    assert_eq!(process.messages(), ["elsewhere", "after", "before"]);
    assert_eq!(
        process.get("/health")["log_sources_error"],
        serde_json::Value::Null
    );
    process.kill();
}

/// The original never freed an answer: 5,000 of them took 20 MB.
#[test]
fn answers_cost_no_memory_once_they_are_given() {
    let dir = directory(&["web"]);
    let lines: String = (0..500)
        .map(|n| record(&format!("n{n} {}", "x".repeat(200)), "stdout", n))
        .collect();
    append(dir.path(), "web", &lines);
    let process = Process::start_with(dir.path(), &[("RATE_LIMIT", "1000000")]);
    process.wait_for(500);
    let paths = [
        "/health",
        "/api/logs?limit=500",
        "/api/stats",
        "/api/containers",
        "/api/logs/histogram",
        "/api/logs?search=x*",
    ];
    let ask = |times: u32| {
        for _ in 0..times {
            for path in paths {
                process.text(path);
            }
        }
        process.metric("process_resident_memory_bytes")
    };
    let before = ask(50);
    let grown = ask(250) - before;
    // A page of 500 lines is 150 KB, so 250 of them that stayed were 37 MB.
    assert!(grown < 4e6, "{grown}");
    process.kill();
}

/// A few kilobytes that inflate to a gigabyte.
#[test]
fn a_file_that_inflates_without_end() {
    let dir = directory(&["web"]);
    let mut member = GzEncoder::new(Vec::new(), Compression::best());
    member
        .write_all(&vec![b' '; 64 * 1024 * 1024])
        .expect("in memory");
    let member = member.finish().expect("in memory");
    let path = log(dir.path(), "web").with_file_name("web-json.log.1.gz");
    fs::write(path, member.repeat(16)).expect("written");
    append(dir.path(), "web", &record("after", "stdout", 1));
    let process = Process::start(dir.path());
    process.wait_for(1);
    assert_eq!(process.messages(), ["after"]);
    check_memory(&process);
    process.kill();
}
