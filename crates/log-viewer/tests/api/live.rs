//! Live tails of a real process, over TCP.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Process, container, log};
use crate::rig::record;

/// Status line and stream of a tail.
fn open(process: &Process, query: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(("127.0.0.1", process.port)).expect("connects");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let request =
        format!("GET /api/logs/tail{query} HTTP/1.1\r\nHost: x\r\nX-API-Key: test-key\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).expect("a head");
    (status, reader)
}

/// Reads on until an event holds `text`.
fn wait_for(reader: &mut BufReader<TcpStream>, text: &str) {
    let mut line = String::new();
    while !(line.starts_with("data:") && line.contains(text)) {
        line.clear();
        assert!(reader.read_line(&mut line).expect("in time") > 0, "{text}");
        assert!(!line.starts_with("event: missed"), "{text} was missed");
    }
}

fn append(dir: &Path, text: &str) {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(log(dir, "web"))
        .expect("opens");
    file.write_all(record(text, "stdout", 5).as_bytes())
        .expect("written");
}

/// The entry waits 200 ms for lines that belong to it; neither the poll, which is an hour away, nor anything else may
/// add much to that. The fastest of some lines counts: other tests share the processors.
#[test]
#[expect(clippy::disallowed_methods, reason = "latency is measured")]
fn a_line_is_an_event_within_300_ms() {
    let dir = tempfile::tempdir().expect("a directory");
    container(dir.path(), "web");
    append(dir.path(), "first");
    let process = Process::start_with(dir.path(), &[("POLL_INTERVAL", "3600")]);
    process.wait_for(1);
    for filter in [
        "",
        "?search=needle",
        "?regex=nee%2Bdle&container=w*",
        "?mode=fts&search=needle",
    ] {
        let (status, mut tail) = open(&process, filter);
        assert!(status.contains("200"), "{status}");
        wait_for_head(&mut tail);
        let fastest = (0..12)
            .map(|number| {
                let text = format!("needle {} {number}", filter.len());
                let written = Instant::now();
                append(dir.path(), &text);
                wait_for(&mut tail, &text);
                written.elapsed()
            })
            .min()
            .expect("some");
        assert!(
            fastest < Duration::from_millis(300),
            "{filter:?}: {fastest:?}"
        );
    }
    process.kill();
}

/// The first comment says that the tail listens.
fn wait_for_head(reader: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while !line.starts_with(": live") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("in time") > 0);
    }
}

/// Nothing is written and no heartbeat is due: the end of the connection alone frees the place.
#[test]
fn a_place_is_free_at_once_when_its_connection_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    container(dir.path(), "web");
    let process = Process::start_with(dir.path(), &[("TAIL_CLIENTS", "1")]);
    for _ in 0..5 {
        let mut tail = open_soon(&process);
        wait_for_head(&mut tail);
        assert!(open(&process, "").0.contains("503"));
    }
    process.kill();
}

/// Takes the place that has just become free. Each refusal is a pause in itself.
#[expect(clippy::disallowed_methods, reason = "the time until a place is free")]
fn open_soon(process: &Process) -> BufReader<TcpStream> {
    let started = Instant::now();
    loop {
        let (status, tail) = open(process, "");
        if status.contains("200") {
            return tail;
        }
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "the place is still taken: {status}"
        );
    }
}
