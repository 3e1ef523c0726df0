//! A real process, killed while it ingests: every line exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::rig::record;

struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_log-viewer"))
            .env_clear()
            .env("API_KEY", "test-key")
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("DATABASE_PATH", dir.join("logs.db"))
            .env("LOG_SOURCES", dir.join("containers"))
            .env("TAIL_BUFFER", "all")
            .env("POLL_INTERVAL", "1")
            .env("MAX_ENTRIES", "1000000")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(
                stderr.read_line(&mut line).expect("readable") > 0,
                "it ended before it listened"
            );
            if let Some((_, address)) = line.rsplit_once("listening on 127.0.0.1:") {
                let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
                break digits.parse().expect("a port");
            }
        };
        // Nobody may block on a full pipe.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = stderr.read_to_end(&mut rest);
        });
        Self { child, port }
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: test-key\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("received");
        let text = String::from_utf8(answer).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let body = if head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked")
        {
            dechunk(body)
        } else {
            body.to_owned()
        };
        serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{fault}: {body}"))
    }

    fn indexed(&self) -> i64 {
        self.get("/health")["logs_indexed"]
            .as_i64()
            .expect("a number")
    }

    /// Waits until so many entries are there. Each request is a pause in itself.
    fn wait_for(&self, count: i64) {
        for _ in 0..20_000 {
            if self.indexed() >= count {
                return;
            }
        }
        panic!("only {} of {count} entries", self.indexed());
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

fn dechunk(body: &str) -> String {
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 {
            break;
        }
        out.push_str(after.get(..size).expect("a chunk"));
        rest = after.get(size + 2..).unwrap_or_default();
    }
    out
}

fn log(dir: &Path, id: &str) -> PathBuf {
    dir.join("containers")
        .join(id)
        .join(format!("{id}-json.log"))
}

#[test]
fn killed_in_the_middle_of_ingestion_every_line_is_there_once() {
    const LINES: u32 = 12_000;
    let dir = tempfile::tempdir().expect("a directory");
    for id in ["one", "two"] {
        fs::create_dir_all(log(dir.path(), id).parent().expect("a directory")).expect("made");
        fs::write(
            log(dir.path(), id).with_file_name("config.v2.json"),
            format!("{{\"Name\":\"/{id}\"}}"),
        )
        .expect("written");
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
