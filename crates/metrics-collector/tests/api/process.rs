//! A real process on a file, and requests to it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

const KEY: &str = "process-test-key";
/// How long an orderly end may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running collector; it is killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
    /// What it said, once it has closed its end of the pipe.
    said: mpsc::Receiver<String>,
}

impl Process {
    /// Starts it with the usual settings and `more`.
    pub(crate) fn start(database: &Path, more: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metrics-collector"))
            .env_clear()
            .envs([
                ("API_KEY", KEY),
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("AGGREGATION_INTERVAL", "1"),
                ("RATE_LIMIT", "0"),
            ])
            .envs(more.iter().copied())
            .env("DATABASE_PATH", database)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut log = BufReader::new(child.stderr.take().expect("stderr"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(
                log.read_line(&mut line).expect("reads") > 0,
                "the server ended at once"
            );
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest
                    .split_whitespace()
                    .next()
                    .expect("an address")
                    .to_owned();
            }
        };
        // Read on, so that the server never waits for a full pipe.
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = log.read_to_end(&mut rest);
            // Nobody listens after a kill.
            let _ = tell.send(String::from_utf8_lossy(&rest).into_owned());
        });
        Self {
            child,
            address,
            said,
        }
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits until it has: in order, or cut off when the machine is too slow for that.
    #[track_caller]
    pub(crate) fn terminate(mut self) {
        let sent = Command::new("kill")
            .args(["-s", "TERM", &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
        let said = self.said.recv_timeout(PATIENCE).expect("it ends");
        let status = self.child.wait().expect("ends");
        let cut_off = said.contains("stopped before all requests and tasks were done");
        assert!(status.success() || cut_off, "{status}: {said}");
    }

    /// The answer of a path, which must be 200.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = ask(&self.address, "GET", path, &[], "");
        let (status, body) = answer.expect("answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{fault}: {body}"))
    }

    /// The most memory that it had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("readable");
        let peak = status.lines().find_map(|line| {
            let rest = line.strip_prefix("VmHWM:")?;
            rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        peak.expect("a peak") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is only collected.
        let _ = self.child.kill();
        self.child.wait().expect("ends");
    }
}

/// Sends one request on a connection of its own; the status and body, or `None` when the server is gone.
pub(crate) fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let mut more = String::new();
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = write!(more, "{name}: {value}\r\n");
    }
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return Some((status, whole(body)?));
    }
    let length = head.lines().find_map(|line| {
        line.strip_prefix("content-length: ")
            .map(str::parse::<usize>)
    });
    // An answer that was cut off is none.
    matches!(length, Some(Ok(length)) if length == body.len()).then(|| (status, body.to_owned()))
}

/// The text that was sent in chunks; `None` when its end is missing.
fn whole(mut rest: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.push_str(after.get(..size)?);
        rest = after.get(size + 2..)?;
    }
}
