//! Clients that send again what was not answered, late points, points ahead, questions meanwhile, and a process that is
//! restarted and killed all the time. In the end every answer equals what is computed from the acknowledged points alone.
//!
//! Some seconds at a modest rate by default, for an unoptimized build; `make soak` runs it for half an hour. `SOAK_LIFE` is
//! for how many seconds a process lives.
#![expect(
    clippy::disallowed_methods,
    reason = "senders keep a pace by the clock of the machine, and which minutes are rolled up is looked at in the file itself"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use monlight_shared::clock::Clock;
use monlight_shared::idempotency::Key;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::model::{Accepted, Expected};
use crate::process::{Process, ask};
use crate::{HOUR, MINUTE, at, bucket};

const DAY: i64 = 24 * HOUR;
const PROJECTS: [&str; 3] = ["", "shop", "back \"office\""];
const KINDS: [&str; 3] = ["counter", "gauge", "histogram"];
const LABEL_SETS: usize = 6;
const SERIES: usize = PROJECTS.len() * KINDS.len() * LABEL_SETS;
const CLIENTS: usize = 4;
const READERS: usize = 2;
/// Raw points are kept for one hour, minutes for two, hours for a day: as short as it goes.
const SETTINGS: [(&str, &str); 3] = [
    ("RETENTION_RAW", "1"),
    ("RETENTION_MINUTE", "2"),
    ("RETENTION_HOURLY", "1"),
];
/// Points that are no older than this when they are sent still find their minute's raw points.
const SURELY_RAW: i64 = 50 * MINUTE;
/// How long a tier is kept, shorter by what the soak itself may take.
const TIERS: [(&str, i64, i64); 3] = [
    ("minute", MINUTE, 80 * MINUTE),
    ("hour", HOUR, 23 * HOUR),
    ("day", DAY, 59 * DAY),
];

#[derive(Clone, Copy)]
struct Plan {
    time: Duration,
    /// Points a second of all clients.
    rate: u64,
    /// Between two ends of the process.
    life: Duration,
    /// Whether to wait until the last minute is rolled up, and to compare again.
    settles: bool,
}

impl Plan {
    fn read() -> Self {
        let number = |name: &str, default: u64| {
            let text = std::env::var(name).unwrap_or_default();
            text.parse().unwrap_or(default)
        };
        let seconds = number("SOAK_SECONDS", 16);
        Self {
            time: Duration::from_secs(seconds),
            rate: number("SOAK_RATE", 800),
            life: Duration::from_secs(number("SOAK_LIFE", (seconds / 4).clamp(2, 17))),
            settles: seconds >= 120,
        }
    }
}

/// Numbers without a pattern (S. Vigna, splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: i64) -> i64 {
        (self.next() % limit.cast_unsigned()).cast_signed()
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below(to - from)
    }

    /// How old a point is: mostly a moment, often late, around the ends of what is kept, seldom ahead.
    fn age(&mut self) -> i64 {
        match self.below(100) {
            0..55 => self.below(2000),
            55..65 => self.below(10 * MINUTE),
            65..75 => self.below(55 * MINUTE),
            75..82 => self.between(55 * MINUTE, 65 * MINUTE),
            82..86 => self.between(65 * MINUTE, 110 * MINUTE),
            86..90 => self.between(110 * MINUTE, 190 * MINUTE),
            90..94 => self.below(24 * HOUR),
            94..96 => self.between(22 * HOUR, 50 * HOUR),
            96..98 => self.below(50 * DAY),
            _ => -self.below(5 * MINUTE),
        }
    }

    /// Of several sizes, some negative, some zero, most with few digits, as an exact sum is not what is looked at.
    fn value(&mut self) -> f64 {
        match self.below(20) {
            0 => 0.0,
            1 => -(self.below(100_000) as f64) / 8.0,
            2 => self.below(1000) as f64 * 1e9,
            3 => self.below(1000) as f64 / 1e9,
            _ => (self.below(3_000_000) + 1) as f64 / 1000.0,
        }
    }
}

fn project(series: usize) -> &'static str {
    PROJECTS[series % PROJECTS.len()]
}

fn kind(series: usize) -> &'static str {
    KINDS[series / PROJECTS.len() % KINDS.len()]
}

fn labels(series: usize) -> (usize, usize) {
    let set = series / (PROJECTS.len() * KINDS.len());
    (set % 2, set / 2)
}

/// A point as a client sends it; the order of labels is any.
fn item(point: &Accepted, turned: bool) -> Value {
    let kind = kind(point.series);
    let (a, b) = labels(point.series);
    let labels = if turned {
        format!(r#"{{"b":"{b}","a":"{a}"}}"#)
    } else {
        format!(r#"{{"a":"{a}","b":"{b}"}}"#)
    };
    let labels: Value = serde_json::from_str(&labels).expect("is JSON");
    json!({"name": format!("soak_{kind}"), "type": kind, "value": point.value, "timestamp": at(point.at_ms),
           "labels": labels, "project": project(point.series)})
}

/// What all threads share.
struct Soak {
    plan: Plan,
    started: Instant,
    clock: Clock,
    /// Where the server listens; empty while there is none.
    address: Mutex<String>,
    /// No client stops in the middle of a batch.
    writing_is_over: AtomicBool,
    reading_is_over: AtomicBool,
    /// Points by series: those that were sent at least once, and those acknowledged that are not ahead.
    sent: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
    repeated: AtomicU64,
    answers: AtomicU64,
}

impl Soak {
    fn address(&self) -> Option<String> {
        let address = self.address.lock().expect("sound").clone();
        (!address.is_empty()).then_some(address)
    }
}

/// A point that was acknowledged.
#[derive(Clone, Copy)]
struct Sent {
    point: Accepted,
    /// Whether it came while the raw points of its minute were there.
    raw: bool,
}

/// One client: sends batches until the time is over, each until it is acknowledged.
fn write(soak: &Soak, client: u64) -> Vec<Sent> {
    let mut dice = Dice(client);
    let mut all = Vec::new();
    let (mut due, mut counter) = (0, 0);
    while !soak.writing_is_over.load(Ordering::SeqCst) {
        let passed = soak.started.elapsed().as_micros() as u64;
        if passed * soak.plan.rate / CLIENTS as u64 / 1_000_000 < due {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let now = soak.clock.now_ms();
        let count = dice.between(1, 120);
        due += count.cast_unsigned();
        let batch: Vec<Sent> = (0..count)
            .map(|_| {
                let age = dice.age();
                let point = Accepted {
                    series: dice.below(SERIES as i64) as usize,
                    at_ms: now - age,
                    value: dice.value(),
                };
                let raw = age <= SURELY_RAW;
                Sent { point, raw }
            })
            .collect();
        counter += 1;
        let key = Key::new(now, client, counter);
        send(soak, &mut dice, &batch, &key, now);
        all.extend(batch);
    }
    all
}

/// Sends a batch as often as it takes.
fn send(soak: &Soak, dice: &mut Dice, batch: &[Sent], key: &Key, now: i64) {
    let mut items: Vec<Value> = batch
        .iter()
        .map(|sent| item(&sent.point, dice.below(2) == 0))
        .collect();
    let past = || batch.iter().filter(|sent| sent.point.at_ms <= now);
    // A fault refuses all of a batch, or its own item alone.
    let fault = json!({"name": "soak_counter", "type": "counter", "value": "1"});
    match dice.below(20) {
        0 => {
            items.push(fault);
            let refused = deliver(soak, "/api/metrics", &Value::from(items.clone()), key);
            assert_eq!(refused, 400);
            items.pop();
        }
        1 => {
            items.push(fault);
            for sent in batch {
                soak.sent[sent.point.series].fetch_add(1, Ordering::SeqCst);
            }
            let taken = deliver(soak, "/api/metrics?partial=1", &Value::from(items), key);
            assert!([200, 202].contains(&taken), "{taken}");
            for sent in past() {
                soak.acknowledged[sent.point.series].fetch_add(1, Ordering::SeqCst);
            }
            return;
        }
        _ => {}
    }
    for sent in batch {
        soak.sent[sent.point.series].fetch_add(1, Ordering::SeqCst);
    }
    let body = Value::from(items);
    let taken = deliver(soak, "/api/metrics", &body, key);
    assert!([200, 202].contains(&taken), "{taken}");
    // A sender that heard the answer and forgot that it did.
    if dice.below(50) == 0 {
        assert_eq!(deliver(soak, "/api/metrics", &body, key), 200);
    }
    for sent in past() {
        soak.acknowledged[sent.point.series].fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends a body until it is answered; the status.
fn deliver(soak: &Soak, path: &str, body: &Value, key: &Key) -> u16 {
    let (body, key) = (body.to_string(), key.to_string());
    let headers = [("Idempotency-Key", key.as_str())];
    loop {
        let answer = soak
            .address()
            .and_then(|address| ask(&address, "POST", path, &headers, &body));
        match answer {
            // It is stopping, or there is too much to do.
            None | Some((503, _)) => {
                soak.repeated.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            Some((status, _)) => return status,
        }
    }
}

fn query(series: usize, more: &str) -> String {
    let (a, b) = labels(series);
    let project = crate::encoded(project(series));
    // An empty project is no condition, but all label sets of others are the same.
    format!(
        "/api/metrics?name=soak_{}&project={project}&labels=a:{a},b:{b}&{more}",
        kind(series)
    )
}

/// Asks while all of that goes on: no answer may miss what was acknowledged before, or have what nobody sent.
fn read(soak: &Soak, reader: u64) {
    let mut dice = Dice(1000 + reader);
    while !soak.reading_is_over.load(Ordering::SeqCst) {
        let series = dice.below(SERIES as i64) as usize;
        let tier = ["resolution=day", "step=2d"][dice.below(2) as usize];
        let path = query(series, &format!("period=60d&{tier}"));
        // Without a project the same label sets of all projects are one row.
        let counted: Vec<usize> = if project(series).is_empty() {
            (0..PROJECTS.len())
                .map(|other| series - series % PROJECTS.len() + other)
                .collect()
        } else {
            vec![series]
        };
        let sum = |of: &[AtomicU64]| -> u64 {
            counted
                .iter()
                .map(|&series| of[series].load(Ordering::SeqCst))
                .sum()
        };
        let least = sum(&soak.acknowledged);
        let answer = soak
            .address()
            .and_then(|address| ask(&address, "GET", &path, &[], ""));
        let most = sum(&soak.sent);
        match answer {
            None | Some((503, _)) => std::thread::sleep(Duration::from_millis(20)),
            Some((status, body)) => {
                assert_eq!(status, 200, "{path}: {body}");
                let answer: Value = serde_json::from_str(&body).expect("is JSON");
                let rows = answer["data"].as_array().expect("rows");
                let found: u64 = rows.iter().filter_map(|row| row["count"].as_u64()).sum();
                assert!(
                    (least..=most).contains(&found),
                    "{path}: {found} points, {least} acknowledged, {most} at most"
                );
                soak.answers.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends and starts the process until the time is over; how often it was ended in which way.
fn live(soak: &Soak, database: &Path) -> (Process, [u32; 2]) {
    let mut dice = Dice(99);
    let mut ends = [0; 2];
    let start = || {
        let process = Process::start(database, &SETTINGS);
        soak.address
            .lock()
            .expect("sound")
            .clone_from(&process.address);
        process
    };
    let mut process = start();
    loop {
        let born = Instant::now();
        let life = soak.plan.life.mul_f64(dice.between(50, 150) as f64 / 100.0);
        while born.elapsed() < life {
            if soak.started.elapsed() >= soak.plan.time {
                return (process, ends);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let is_kill = dice.below(3) > 0 || ends[1] == 0 && ends[0] > 0;
        if is_kill {
            process.kill();
        } else {
            process.terminate();
        }
        ends[usize::from(is_kill)] += 1;
        soak.address.lock().expect("sound").clear();
        process = start();
    }
}

/// Compares the rows of a query up to and including the bucket of `until`.
fn compare<'p>(
    process: &Process,
    path: &str,
    (tier, step_ms, kept_ms): (&str, i64, i64),
    until: i64,
    points: impl Iterator<Item = &'p Sent>,
) -> usize {
    let first = until - kept_ms - (until - kept_ms).rem_euclid(step_ms) + step_ms;
    let end = until - until.rem_euclid(step_ms) + step_ms;
    let mut expected: BTreeMap<i64, (Expected, bool)> = BTreeMap::new();
    for Sent { point, raw } in points.filter(|sent| (first..end).contains(&sent.point.at_ms)) {
        let start = point.at_ms - point.at_ms.rem_euclid(step_ms);
        let (bucket, all_raw) = expected.entry(start).or_insert((Expected::default(), true));
        bucket.points.push(*point);
        *all_raw &= *raw;
    }
    let path = format!(
        "{path}resolution={tier}&start={}&end={}",
        at(first),
        at(until)
    );
    let answer = process.get(&path);
    let rows = answer["data"].as_array().expect("rows");
    let buckets: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["bucket"].as_str())
        .collect();
    let wanted: Vec<String> = expected.keys().map(|&start| bucket(start)).collect();
    assert_eq!(buckets, wanted, "{path}");
    for (row, (start, (expected, all_raw))) in rows.iter().zip(&mut expected) {
        // Only the minutes of a single series have the percentiles of their points.
        expected.exact = *all_raw && tier == "minute" && !path.contains("group_by");
        expected.check(row, &format!("{path} at {}", bucket(*start)));
    }
    rows.len()
}

/// Compares all series, and each name as a whole, in every tier.
fn check(process: &Process, sent: &[Sent], until: i64) -> usize {
    let mut rows = 0;
    for tier in TIERS {
        for series in (0..SERIES).filter(|&series| !project(series).is_empty()) {
            let path = query(series, "");
            let of_series = sent.iter().filter(|sent| sent.point.series == series);
            rows += compare(process, &path, tier, until, of_series);
        }
        for name in KINDS {
            let path = format!("/api/metrics?name=soak_{name}&group_by=&");
            let of_name = sent.iter().filter(|sent| kind(sent.point.series) == name);
            rows += compare(process, &path, tier, until, of_name);
        }
        for set in 0..LABEL_SETS {
            let (a, b) = labels(set * PROJECTS.len() * KINDS.len());
            let path = format!("/api/metrics?name=soak_histogram&group_by=a&labels=a:{a},b:{b}&");
            let of_set = sent.iter().filter(|sent| {
                kind(sent.point.series) == "histogram" && labels(sent.point.series) == (a, b)
            });
            rows += compare(process, &path, tier, until, of_set);
        }
    }
    rows
}

/// Waits until every minute up to a time is rolled up.
fn settle(database: &Path, until: i64) {
    let conn = Connection::open(database).expect("opens");
    let sql = "SELECT count(*) FROM dirty_minute WHERE minute <= ?1";
    let ended = Instant::now();
    loop {
        let open: i64 = conn
            .query_row(sql, [until], |row| row.get(0))
            .expect("readable");
        if open == 0 {
            return;
        }
        assert!(
            ended.elapsed() < Duration::from_mins(10),
            "{open} minutes are never rolled up"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Points that lie ahead of a time are in the file, and nowhere else.
fn check_ahead(database: &Path, sent: &[Sent], until: i64) {
    let conn = Connection::open(database).expect("opens");
    let next = until.div_euclid(MINUTE) + 1;
    let sql = "SELECT ifnull(sum(n), 0) FROM block WHERE id >= ?1 << 28";
    let stored: i64 = conn
        .query_row(sql, [next], |row| row.get(0))
        .expect("readable");
    let ahead = sent
        .iter()
        .filter(|sent| sent.point.at_ms >= next * MINUTE)
        .count();
    assert_eq!(stored, ahead as i64);
}

#[test]
fn rollups_equal_the_acknowledged_points_after_a_soak() {
    let plan = Plan::read();
    let dir = tempfile::tempdir().expect("a directory");
    let database: PathBuf = dir.path().join("metrics.db");
    let counters = || (0..SERIES).map(|_| AtomicU64::new(0)).collect();
    let soak = Arc::new(Soak {
        plan,
        started: Instant::now(),
        clock: Clock::system(),
        address: Mutex::default(),
        writing_is_over: AtomicBool::new(false),
        reading_is_over: AtomicBool::new(false),
        sent: counters(),
        acknowledged: counters(),
        repeated: AtomicU64::new(0),
        answers: AtomicU64::new(0),
    });
    let writers: Vec<_> = (0..CLIENTS as u64)
        .map(|client| {
            let soak = Arc::clone(&soak);
            std::thread::spawn(move || write(&soak, client))
        })
        .collect();
    let readers: Vec<_> = (0..READERS as u64)
        .map(|reader| {
            let soak = Arc::clone(&soak);
            std::thread::spawn(move || read(&soak, reader))
        })
        .collect();
    let (mut process, ends) = live(&soak, &database);
    soak.writing_is_over.store(true, Ordering::SeqCst);
    let sent: Vec<Sent> = writers
        .into_iter()
        .flat_map(|writer| writer.join().expect("every batch was taken once"))
        .collect();
    soak.reading_is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.join().expect("every answer was complete");
    }
    let until = soak.clock.now_ms();
    check_ahead(&database, &sent, until);
    let rows = check(&process, &sent, until);
    println!(
        "{} points, {} orderly ends, {} kills, {} sent again, {} answers meanwhile, {rows} rows compared, peak {:.1} MB",
        sent.len(),
        ends[0],
        ends[1],
        soak.repeated.load(Ordering::Relaxed),
        soak.answers.load(Ordering::Relaxed),
        process.peak_memory() as f64 / 1e6,
    );
    process.kill();
    process = Process::start(&database, &SETTINGS);
    check(&process, &sent, until);
    if plan.settles {
        settle(&database, until);
        println!(
            "{} rows compared once all is rolled up",
            check(&process, &sent, until)
        );
    }
}
