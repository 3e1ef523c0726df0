//! The log viewer with a full ring of a million entries: how long its answers take while lines come in, and whether live
//! tails keep up.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Options;
use crate::load::{self, Connection, Outcome, Pace, Requests, Until};
use crate::payload;
use crate::process::Process;
use crate::report::{Goal, Report, Row};
use crate::target::{Phase, Target};

/// The name on the command line.
pub(crate) const SERVICE: &str = "log-viewer-large";

const ENTRIES: u64 = 1_000_000;
/// The time that they span.
const SPAN_S: u64 = 24 * 3600;
/// One line in so many has a word that no other has.
const RARE: u64 = 5000;
/// Lines a second that are written while queries are measured, and while tails are.
const BESIDE: u64 = 2000;
/// How often each query is asked, and how many a second.
const OFTEN: (usize, f64) = (100, 25.0);
/// The same for those that take a while: their answers are not to wait for each other.
const SELDOM: (usize, f64) = (20, 2.0);
const TAILS: usize = 20;

const PAGE: &[Goal] = &[Goal::P95(15.0)];
const REGEX: &[Goal] = &[Goal::P95(300.0)];
const KEPT: &[Goal] = &[Goal::P95(50.0)];
const COUNTED: &[Goal] = &[Goal::P95(400.0)];

/// What is asked. `{deep}` stands for an entry in the middle of the ring.
const QUERIES: &[(&str, &str, &[Goal])] = &[
    ("no filter", "/api/logs?", PAGE),
    ("a common word", "/api/logs?search=timeout", PAGE),
    ("a rare word", "/api/logs?search=needle", PAGE),
    ("two words", "/api/logs?search=gateway+timeout", PAGE),
    ("a phrase", "/api/logs?search=%22gateway+timeout%22", PAGE),
    ("a prefix", "/api/logs?search=invo*", PAGE),
    ("a level", "/api/logs?level=ERROR", PAGE),
    ("levels from one on", "/api/logs?min_level=WARNING", PAGE),
    ("a container", "/api/logs?container=web", PAGE),
    (
        "a word and a level",
        "/api/logs?search=timeout&level=ERROR",
        PAGE,
    ),
    (
        "a word of a container",
        "/api/logs?search=timeout&container=work*",
        PAGE,
    ),
    ("a field", "/api/logs?field.n=777", PAGE),
    (
        "a word of an hour",
        "/api/logs?search=timeout&since=1h",
        PAGE,
    ),
    ("a level of an hour", "/api/logs?level=ERROR&since=1h", PAGE),
];

/// What is asked beside the pages.
const OTHERS: &[(&str, &str, &[Goal])] = &[
    (
        "context of an entry",
        "/api/logs/{deep}/context?",
        &[Goal::P95(15.0)],
    ),
    (
        "a pattern, 100,000 entries",
        "/api/logs?regex=id=%5Cd%7B9%7D&max_scan=100000",
        REGEX,
    ),
    (
        "a pattern of words, 100,000 entries",
        "/api/logs?regex=(gateway%7Ccache)+x&max_scan=100000",
        REGEX,
    ),
    ("histogram", "/api/logs/histogram?buckets=90", KEPT),
    (
        "histogram of a level and an hour",
        "/api/logs/histogram?level=ERROR&since=1h",
        KEPT,
    ),
    (
        "histogram of a common word",
        "/api/logs/histogram?search=timeout",
        COUNTED,
    ),
    (
        "histogram of all levels of a phrase",
        "/api/logs/histogram?search=%22gateway+timeout%22",
        COUNTED,
    ),
    (
        "histogram of a rare word",
        "/api/logs/histogram?search=needle",
        COUNTED,
    ),
];

/// Writes lines as Docker does, of two containers in turn.
struct Writer {
    files: [File; 2],
    messages: Vec<String>,
    written: u64,
}

impl Writer {
    fn new(sources: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            files: [container(sources, "web")?, container(sources, "worker")?],
            messages: payload::log_messages(10_000),
            written: 0,
        })
    }

    /// Writes the lines of these moments, in nanoseconds since 1970, in pieces of a thousand.
    fn write(&mut self, times: impl Iterator<Item = u64>) -> anyhow::Result<()> {
        let mut texts = [String::new(), String::new()];
        for time_ns in times {
            let n = self.written;
            let message = &self.messages[n as usize % self.messages.len()];
            let rare = if n.is_multiple_of(RARE) {
                " needle"
            } else {
                ""
            };
            let text = format!("{message} seq={n}{rare}");
            texts[(n % 2) as usize].push_str(&line(&text, time_ns));
            self.written += 1;
            if self.written.is_multiple_of(1000) {
                self.flush(&mut texts)?;
            }
        }
        self.flush(&mut texts)
    }

    fn flush(&mut self, texts: &mut [String; 2]) -> anyhow::Result<()> {
        for (file, text) in self.files.iter_mut().zip(texts) {
            file.write_all(text.as_bytes())?;
            text.clear();
        }
        Ok(())
    }
}

fn container(sources: &Path, name: &str) -> anyhow::Result<File> {
    let id = format!("{name:0>32}");
    let directory = sources.join(&id);
    std::fs::create_dir(&directory)?;
    let config = format!("{{\"ID\":\"{id}\",\"Name\":\"/{name}\"}}");
    std::fs::write(directory.join("config.v2.json"), config)?;
    Ok(File::create(directory.join(format!("{id}-json.log")))?)
}

/// A line of a Docker json-file at a moment of today or yesterday.
fn line(message: &str, time_ns: u64) -> String {
    let (second, nanos) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    let (days, of_day) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!(
        "{{\"log\":\"{message}\\n\",\"stream\":\"stdout\",\"time\":\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z\"}}\n"
    )
}

/// The date of a day since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn now_ns() -> anyhow::Result<u64> {
    Ok(u64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos(),
    )?)
}

/// All of it.
pub(crate) async fn large(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let sources = tempfile::tempdir()?;
    let mut writer = Writer::new(sources.path())?;
    let more = [
        ("LOG_SOURCES", sources.path().display().to_string()),
        ("MAX_ENTRIES", ENTRIES.to_string()),
        ("POLL_INTERVAL", "1".to_owned()),
        ("TAIL_BUFFER", "all".to_owned()),
        ("TAIL_CLIENTS", TAILS.to_string()),
    ];
    let target = Target::start(options, "log-viewer", &more)?;
    fill(&target, &mut writer, report).await?;
    let writer = Beside::start(writer);
    let deep = newest(&target).await? - ENTRIES / 2;
    for (name, path, goals) in QUERIES {
        ask(&target, &format!("{name}, page 1"), path, goals, report).await?;
        let path = format!("{path}&before={deep}");
        ask(
            &target,
            &format!("{name}, page 1,000 and beyond by cursor"),
            &path,
            goals,
            report,
        )
        .await?;
    }
    for (name, path, goals) in OTHERS {
        ask(
            &target,
            name,
            &path.replace("{deep}", &deep.to_string()),
            goals,
            report,
        )
        .await?;
    }
    tails(&target, &writer, options.time, report).await?;
    writer.stop()?;
    target.stop()
}

/// More than the ring holds, so that it is full.
async fn fill(target: &Target, writer: &mut Writer, report: &mut Report) -> anyhow::Result<()> {
    let lines = ENTRIES + ENTRIES / 5;
    let (first, step) = (
        now_ns()? - SPAN_S * 1_000_000_000,
        SPAN_S * 1_000_000_000 / lines,
    );
    let (cpu, started) = (target.cpu_seconds(), Instant::now());
    writer.write((0..lines).map(|n| first + n * step))?;
    while newest(target).await? < lines {
        ensure!(
            started.elapsed() < Duration::from_mins(10),
            "the ring does not fill"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    report.add(Row {
        service: SERVICE.into(),
        load: "lines of 220 bytes into a ring of 1,000,000, written to searchable".into(),
        per_second: lines as f64 / started.elapsed().as_secs_f64(),
        unit: "line",
        cpu_s_per_1000: Some((target.cpu_seconds() - cpu) * 1000.0 / lines as f64),
        peak_rss_mb: target.process.as_ref().map(Process::peak_mb),
        ..Row::default()
    });
    Ok(())
}

/// The greatest id: they are given in the order of arrival, which is not quite that of time.
async fn newest(target: &Target) -> anyhow::Result<u64> {
    let mut connection = Connection::open(target.address).await?;
    let request = load::get("/metrics", &[("X-API-Key", &target.key)]);
    let (status, body) = connection.exchange_for_body(&request).await?;
    ensure!(status == 200, "GET /metrics: {status}");
    let stored = std::str::from_utf8(body)?
        .lines()
        .find_map(|line| line.strip_prefix("monlight_log_entries_stored_total "))
        .context("monlight_log_entries_stored_total")?;
    Ok(stored.parse()?)
}

async fn ask(
    target: &Target,
    name: &str,
    path: &str,
    goals: &[Goal],
    report: &mut Report,
) -> anyhow::Result<()> {
    let takes_a_while = |goal: &Goal| matches!(goal, Goal::P95(ms) if *ms >= 300.0);
    let (times, a_second) = if goals.iter().any(takes_a_while) {
        SELDOM
    } else {
        OFTEN
    };
    let request = load::get(path, &[("X-API-Key", &target.key)]);
    let mut phase = Phase::reading(SERVICE, name, "answer", 1, Duration::ZERO);
    phase.goals = goals;
    phase.pace = Pace {
        connections: 1,
        until: Until::Sent(times),
        rate: Some(a_second),
    };
    let row = target
        .measure(&phase, &Requests::from(request), 1.0)
        .await?;
    report.add(row);
    Ok(())
}

/// Lines at a steady rate from a thread of its own.
struct Beside {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Beside {
    fn start(mut writer: Writer) -> Self {
        let (stop, written) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut done = 0;
            while !stopped.load(Ordering::Relaxed) {
                let due = started.elapsed().as_millis() as u64 * BESIDE / 1000;
                let now = now_ns()?;
                writer.write((done..due).map(|_| now))?;
                done = due;
                count.store(done, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        });
        Self {
            stop,
            written,
            thread,
        }
    }

    fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))?
    }
}

/// Twenty clients with filters of all kinds; the latency is that from the write of a line to its event.
async fn tails(
    target: &Target,
    writer: &Beside,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let filters = [
        "",
        "?container=web",
        "?min_level=WARNING",
        "?search=timeout",
        "?regex=id=%5Cd*7+",
    ];
    let cpu = target.cpu_seconds();
    let before = writer.written.load(Ordering::Relaxed);
    let tasks: Vec<_> = (0..TAILS)
        .map(|index| {
            let (address, key) = (target.address, target.key.clone());
            let filter = filters[index % filters.len()];
            tokio::spawn(async move { tail(address, &key, filter, time).await })
        })
        .collect();
    let (mut all, mut missed) = (Outcome::default(), 0);
    for task in tasks {
        let (outcome, count) = task.await??;
        all.accepted += outcome.accepted;
        all.latencies_us.extend(outcome.latencies_us);
        missed += count;
    }
    all.elapsed = time;
    let written = writer.written.load(Ordering::Relaxed) - before;
    let phase = Phase {
        goals: &[Goal::P99(300.0)],
        ..Phase::reading(
            SERVICE,
            format!("{TAILS} live tails at {BESIDE} lines/s, {missed} entries missed"),
            "event",
            TAILS,
            time,
        )
    };
    report.add(Row {
        cpu_s_per_1000: Some((target.cpu_seconds() - cpu) * 1000.0 / written as f64),
        peak_rss_mb: target.process.as_ref().map(Process::peak_mb),
        ..phase.row(all, 1.0)
    });
    ensure!(missed == 0, "tails were too slow for {missed} entries");
    Ok(())
}

/// One live tail: its events with their latencies, and how many it was too slow for.
async fn tail(
    address: SocketAddr,
    key: &str,
    filter: &str,
    time: Duration,
) -> anyhow::Result<(Outcome, u64)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = load::get(&format!("/api/logs/tail{filter}"), &[("X-API-Key", key)]);
    stream.write_all(&request).await?;
    let (mut outcome, mut missed) = (Outcome::default(), 0);
    let mut buffer = Vec::new();
    let end = tokio::time::Instant::now() + time;
    loop {
        let read = match tokio::time::timeout_at(end, stream.read_buf(&mut buffer)).await {
            Err(_) => break,
            Ok(read) => read?,
        };
        ensure!(read > 0, "a tail was closed");
        let arrived = now_ns()?;
        let mut rest = buffer.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(data) = text.strip_prefix("data: {\"count\": ") {
                missed += data.trim_end_matches('}').parse::<u64>()?;
            }
            if let Some(written) = written_at(&text)? {
                outcome.accepted += 1;
                let micros = arrived.saturating_sub(written) / 1000;
                outcome
                    .latencies_us
                    .push(u32::try_from(micros).unwrap_or(u32::MAX));
            }
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    ensure!(outcome.accepted > 0, "a tail saw nothing");
    Ok((outcome, missed))
}

/// When the line of an event was written: the exact time in it, by its place in the minute. Nothing is older than that.
fn written_at(event: &str) -> anyhow::Result<Option<u64>> {
    let Some((_, time)) = event
        .starts_with("data: {\"id\"")
        .then(|| event.rsplit_once("\"time\":\""))
        .flatten()
    else {
        return Ok(None);
    };
    let in_minute = time.get(17..29).context("a time")?;
    let (second, nanos) = in_minute.split_once('.').context("a fraction")?;
    let in_minute = second.parse::<u64>()? * 1_000_000_000 + nanos.parse::<u64>()?;
    let minute = 60_000_000_000;
    let now = now_ns()?;
    let behind = (now % minute + minute - in_minute) % minute;
    Ok(Some(now - behind))
}
