//! At full speed: two containers write without pause, their files are rotated and compressed, the process is killed twice.
//! Every line is there once, in the order of writing within its stream.
//!
//! A few seconds at a modest rate by default, for an unoptimized build. The whole of it:
//! `TORTURE_SECONDS=20 TORTURE_RATE=50000 cargo test --release -p log-viewer --test api full_speed`.
#![expect(
    clippy::disallowed_methods,
    reason = "the writers keep a pace by the clock of the machine, and what was stored is looked at in the file itself"
)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::process::{Process, container, log};
use crate::rig::gzip;

const TICK: Duration = Duration::from_millis(10);
/// A line in so many goes to standard error.
const STDERR_EVERY: u64 = 4;

#[derive(Clone, Copy)]
struct Plan {
    time: Duration,
    /// Lines a second of one container.
    rate: u64,
    rotate_every: Duration,
    /// How many rotated files are kept: as many as there will be, because what is deleted while nobody holds it open is gone,
    /// and after a kill nobody does.
    rotated: u32,
}

impl Plan {
    fn read() -> Self {
        let number = |name: &str, default: u64| {
            let text = std::env::var(name).unwrap_or_default();
            text.parse().unwrap_or(default)
        };
        let seconds = number("TORTURE_SECONDS", 4);
        Self {
            time: Duration::from_secs(seconds),
            rate: number("TORTURE_RATE", 6000) / 2,
            rotate_every: Duration::from_millis(if seconds >= 10 { 1000 } else { 700 }),
            rotated: number("TORTURE_FILES", 200) as u32,
        }
    }
}

/// One container's writer.
struct Writer {
    log: PathBuf,
    id: &'static str,
    compresses: bool,
    written: u64,
}

impl Writer {
    fn run(mut self, plan: Plan) -> u64 {
        let started = Instant::now();
        let mut file = self.open();
        let mut rotated = started;
        while started.elapsed() < plan.time {
            let due = (started.elapsed().as_micros() as u64 * plan.rate) / 1_000_000;
            let mut text = String::new();
            while self.written < due {
                self.add_line(&mut text);
            }
            // Writers and readers do not meet at line ends.
            for piece in text.as_bytes().chunks(7919) {
                file.write_all(piece).expect("written");
            }
            if rotated.elapsed() >= plan.rotate_every {
                self.rotate(plan.rotated);
                file = self.open();
                rotated = Instant::now();
                if self.compresses {
                    self.compress();
                }
            }
            std::thread::sleep(TICK);
        }
        self.written
    }

    fn open(&self) -> File {
        let file = File::options().create(true).append(true).open(&self.log);
        file.expect("opens")
    }

    fn add_line(&mut self, text: &mut String) {
        self.written += 1;
        let n = self.written;
        let stream = if n.is_multiple_of(STDERR_EVERY) {
            "stderr"
        } else {
            "stdout"
        };
        let (second, micros) = (n / 25_000, n % 25_000 * 40);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{{\"log\":\"{} {n} handled request in {}ms with a message of the usual length about nothing in particular that goes on \
             until it has some two hundred bytes, as lines of logs have, basket voucher refund email\\n\",\"stream\":\"{stream}\",\
             \"time\":\"2025-01-20T10:{:02}:{:02}.{micros:06}Z\"}}",
            self.id,
            n % 97,
            second / 60 % 60,
            second % 60,
        );
    }

    fn numbered(&self, number: u32, end: &str) -> PathBuf {
        PathBuf::from(format!("{}.{number}{end}", self.log.display()))
    }

    fn rotate(&self, keep: u32) {
        for number in (1..=keep).rev() {
            for end in ["", ".gz"] {
                let (from, to) = (self.numbered(number, end), self.numbered(number + 1, end));
                if number == keep {
                    let _ = fs::remove_file(from);
                } else if from.exists() {
                    fs::rename(from, to).expect("renamed");
                }
            }
        }
        fs::rename(&self.log, self.numbered(1, "")).expect("renamed");
    }

    /// As Docker does, beside the plain file, which goes afterwards.
    fn compress(&self) {
        let plain = self.numbered(1, "");
        let whole = gzip(&fs::read(&plain).expect("readable"));
        let mut file = File::create(self.numbered(1, ".gz")).expect("created");
        for piece in whole.chunks(30_000) {
            file.write_all(piece).expect("written");
        }
        fs::remove_file(plain).expect("removed");
    }
}

/// The numbers of a container's entries in the order of their ids.
fn stored(conn: &Connection, id: &str, is_stderr: bool) -> Vec<u64> {
    let mut numbers = Vec::new();
    for slot in 0..10 {
        let mut statement = conn
            .prepare(&format!(
                "SELECT e.id, e.message FROM e{slot} AS e JOIN containers AS c ON c.id = e.container WHERE c.name = ?1 AND e.stream = ?2"
            ))
            .expect("prepared");
        let rows = statement
            .query_map((id, i64::from(is_stderr)), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .expect("readable");
        for row in rows {
            let (entry, message) = row.expect("readable");
            let number = message.split(' ').nth(1).and_then(|n| n.parse().ok());
            numbers.push((entry, number.expect("a number")));
        }
    }
    numbers.sort_unstable();
    numbers.into_iter().map(|(_, number)| number).collect()
}

#[track_caller]
fn check(directory: &Path, id: &str, written: u64) {
    let conn = Connection::open(directory.join("logs.db")).expect("opens");
    for is_stderr in [false, true] {
        let found = stored(&conn, id, is_stderr);
        let expected: Vec<u64> = (1..=written)
            .filter(|n| n.is_multiple_of(STDERR_EVERY) == is_stderr)
            .collect();
        let first = found
            .iter()
            .zip(&expected)
            .position(|(one, other)| one != other);
        assert!(
            found == expected,
            "{id}: {} of {} lines, the first difference at {first:?}: {:?}",
            found.len(),
            expected.len(),
            first.and_then(|at| found.get(at.saturating_sub(2)..at + 3)),
        );
    }
    for n in 0..10 {
        conn.execute_batch(&format!(
            "INSERT INTO f{n}(f{n}, rank) VALUES ('integrity-check', 1)"
        ))
        .expect("the index agrees with the rows");
    }
}

#[test]
fn nothing_is_lost_or_doubled_at_full_speed() {
    let plan = Plan::read();
    let dir = tempfile::tempdir().expect("a directory");
    let settings = [("POLL_INTERVAL", "1"), ("MAX_ENTRIES", "3000000")];
    let ids = ["one", "two"];
    for id in ids {
        container(dir.path(), id);
    }
    let mut process = Process::start_with(dir.path(), &settings);
    let writers: Vec<_> = ids
        .into_iter()
        .map(|id| {
            let writer = Writer {
                log: log(dir.path(), id),
                id,
                compresses: id == "two",
                written: 0,
            };
            std::thread::spawn(move || writer.run(plan))
        })
        .collect();
    for _ in 0..2 {
        std::thread::sleep(plan.time / 3);
        println!(
            "killed {:.1} MB behind",
            process.metric("monlight_log_lag_bytes") / 1e6
        );
        process.kill();
        process = Process::start_with(dir.path(), &settings);
    }
    let written: Vec<u64> = writers
        .into_iter()
        .map(|writer| writer.join().expect("wrote"))
        .collect();
    let ended = Instant::now();
    let total: u64 = written.iter().sum();
    // What is missing after that is shown below.
    while process.indexed().unsigned_abs() < total && ended.elapsed() < plan.time * 10 {
        std::thread::sleep(TICK);
    }
    println!(
        "{total} lines in {:?}, the last of them stored {:?} after it was written, peak {:.1} MB",
        plan.time,
        ended.elapsed(),
        process.metric("monlight_process_peak_memory_bytes") / 1e6
    );
    process.kill();
    for (id, written) in ids.into_iter().zip(written) {
        check(dir.path(), id, written);
    }
}
