//! A real process, killed in the middle of its work.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use serde_json::Value;

const KEY: &str = "crash-test-key";
const POINTS_A_BATCH: u64 = 10;
const WORKERS: usize = 3;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(database: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metrics-collector"))
            .env_clear()
            .envs([
                ("API_KEY", KEY),
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("AGGREGATION_INTERVAL", "1"),
                ("RATE_LIMIT", "0"),
            ])
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
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    /// Kills it as `kill -9` does.
    fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("can be killed");
        self.child.wait().expect("ends");
    }
}

/// Sends one request on a connection of its own; the status and body, or `None` when the server is gone.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// A batch that touches the open minute, a closed one and one whose points are gone.
fn batch(worker: usize, number: u64, now_ms: i64) -> String {
    let items: Vec<String> = (0..POINTS_A_BATCH)
        .map(|n| {
            let age = [0, 120_000, 7_200_000, 500_000_000][(n % 4) as usize];
            format!(
                r#"{{"name":"w{worker}","type":"counter","value":1,"timestamp":"{}","labels":{{"n":{}}}}}"#,
                crate::at(now_ms - age),
                (number + n) % 7
            )
        })
        .collect();
    format!("[{}]", items.join(","))
}

/// How many points of a worker are there.
fn stored(address: &str, worker: usize) -> u64 {
    let path = format!("/api/metrics?name=w{worker}&resolution=hour&period=30d");
    let (status, body) = ask(address, "GET", &path, "").expect("answers");
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("is JSON");
    answer["data"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["count"].as_u64())
        .sum()
}

/// Sends batches until the server is gone; tells of each that was acknowledged.
fn send_until_killed(
    address: &str,
    worker: usize,
    acknowledged: &AtomicU64,
    tell: &mpsc::Sender<()>,
) {
    for number in 0.. {
        let now_ms = jiff_now_ms();
        match ask(
            address,
            "POST",
            "/api/metrics",
            &batch(worker, number, now_ms),
        ) {
            Some((202, _)) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                // Nobody listens any more once there are enough.
                let _ = tell.send(());
            }
            Some((status, body)) => panic!("{status}: {body}"),
            None => return,
        }
    }
}

fn jiff_now_ms() -> i64 {
    monlight_shared::clock::Clock::system().now_ms()
}

#[test]
fn every_acknowledged_batch_is_there_once_and_no_batch_by_half() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("metrics.db");
    let mut before = [0; WORKERS];
    for round in 0..3 {
        let server = Server::start(&database);
        let acknowledged: Vec<Arc<AtomicU64>> = (0..WORKERS).map(|_| Arc::default()).collect();
        let (tell, told) = mpsc::channel();
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (address, count, tell) = (
                    server.address.clone(),
                    Arc::clone(&acknowledged[worker]),
                    tell.clone(),
                );
                std::thread::spawn(move || send_until_killed(&address, worker, &count, &tell))
            })
            .collect();
        for _ in 0..150 {
            told.recv().expect("the workers work");
        }
        server.kill();
        for worker in workers {
            worker.join().expect("no answer but 202");
        }
        let server = Server::start(&database);
        for worker in 0..WORKERS {
            let stored = stored(&server.address, worker);
            let new = stored - before[worker];
            let sure = acknowledged[worker].load(Ordering::SeqCst);
            assert_eq!(new % POINTS_A_BATCH, 0, "round {round}: half a batch");
            let batches = new / POINTS_A_BATCH;
            assert!(
                batches == sure || batches == sure + 1,
                "round {round}: {batches} batches, {sure} acknowledged"
            );
            before[worker] = stored;
        }
        server.kill();
    }
}

#[test]
fn a_missing_key_and_an_unusable_database_are_said_at_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |settings: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_metrics-collector"))
            .env_clear()
            .envs(settings.iter().copied())
            .current_dir(dir.path())
            .output()
            .expect("runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for (settings, part) in [
        (vec![], "API_KEY"),
        (
            vec![("API_KEY", "k"), ("DATABASE_PATH", "/dev/null/m.db")],
            "DATABASE_PATH",
        ),
        (
            vec![("API_KEY", "k"), ("RETENTION_RAW", "x")],
            "RETENTION_RAW",
        ),
    ] {
        let (code, stderr) = run(&settings);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}
