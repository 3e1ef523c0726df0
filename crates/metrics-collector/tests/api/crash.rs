//! A real process, killed in the middle of its work.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use crate::process::{Process, ask};

const POINTS_A_BATCH: u64 = 10;
const WORKERS: usize = 3;

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
fn stored(server: &Process, worker: usize) -> u64 {
    let path = format!("/api/metrics?name=w{worker}&resolution=hour&period=30d");
    server.get(&path)["data"]
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
            &[],
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
        let server = Process::start(&database, &[]);
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
        let server = Process::start(&database, &[]);
        for worker in 0..WORKERS {
            let stored = stored(&server, worker);
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
