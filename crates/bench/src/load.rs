//! A load generator that costs little itself: keep-alive connections, requests built beforehand, answers read as far as
//! their length says.
//!
//! Latency in an open loop counts from the moment a request was *meant* to be sent, so that a server that stalls cannot
//! hide the requests that waited behind the stall (coordinated omission; see Gil Tene, "How NOT to Measure Latency").

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The resolution of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// One prepared request.
pub(crate) type Prepared = Arc<[u8]>;

/// What a run saw.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Microseconds, one for each answered request.
    pub latencies_us: Vec<u32>,
    /// Answers with status 2xx.
    pub accepted: u64,
    /// Answers with another status.
    pub refused: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Outcome {
    /// Accepted requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency below which the share `q` of the answers stayed, in milliseconds.
    pub(crate) fn quantile_ms(&mut self, q: f64) -> f64 {
        if self.latencies_us.is_empty() {
            return f64::NAN;
        }
        let rank = ((self.latencies_us.len() as f64 * q).ceil() as usize)
            .clamp(1, self.latencies_us.len())
            - 1;
        let (_, value, _) = self.latencies_us.select_nth_unstable(rank);
        f64::from(*value) / 1000.0
    }

    fn merge(&mut self, other: Self) {
        self.latencies_us.extend(other.latencies_us);
        self.accepted += other.accepted;
        self.refused += other.refused;
    }
}

/// Builds a request with a body.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: &str) -> Prepared {
    let length = body.len().to_string();
    let head = head(
        "POST",
        path,
        &[
            headers,
            &[
                ("Content-Type", "application/json"),
                ("Content-Length", &length),
            ],
        ]
        .concat(),
    );
    (head + body).into_bytes().into()
}

/// Builds a request without a body.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Prepared {
    head("GET", path, headers).into_bytes().into()
}

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text
}

/// As fast as `connections` allow, each waiting for its answer before it sends again.
pub(crate) async fn closed(
    target: SocketAddr,
    connections: usize,
    time: Duration,
    requests: &[Prepared],
) -> anyhow::Result<Outcome> {
    run(target, connections, time, requests, None).await
}

/// `rate` requests a second over all connections, whatever the answers do.
pub(crate) async fn open(
    target: SocketAddr,
    connections: usize,
    time: Duration,
    requests: &[Prepared],
    rate: f64,
) -> anyhow::Result<Outcome> {
    run(target, connections, time, requests, Some(rate)).await
}

async fn run(
    target: SocketAddr,
    connections: usize,
    time: Duration,
    requests: &[Prepared],
    rate: Option<f64>,
) -> anyhow::Result<Outcome> {
    let requests: Arc<[Prepared]> = requests.into();
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|index| {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut connection = Connection::open(target).await?;
                let mut outcome = Outcome::default();
                for turn in 0.. {
                    let sequence = turn * connections + index;
                    let meant = match rate {
                        None => Instant::now(),
                        Some(rate) => {
                            let meant = started + Duration::from_secs_f64(sequence as f64 / rate);
                            // Timers tick in milliseconds and ring late, so this one is set to ring early.
                            let early = meant.checked_sub(TICK).unwrap_or(meant);
                            tokio::time::sleep_until(early.into()).await;
                            meant.min(Instant::now())
                        }
                    };
                    if meant.duration_since(started) >= time {
                        break;
                    }
                    // Neighbouring requests differ, so that connections do not all hit the same group at once.
                    let request = &requests[sequence.wrapping_mul(7919) % requests.len()];
                    let status = connection.exchange(request).await?;
                    if (200..300).contains(&status) {
                        outcome.accepted += 1;
                    } else {
                        outcome.refused += 1;
                    }
                    outcome
                        .latencies_us
                        .push(u32::try_from(meant.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                anyhow::Ok(outcome)
            })
        })
        .collect();
    let mut all = Outcome::default();
    for task in tasks {
        all.merge(task.await??);
    }
    all.elapsed = started.elapsed();
    Ok(all)
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(target: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target)
            .await
            .with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends a request and reads the whole answer; its status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        Ok(self.exchange_for_body(request).await?.0)
    }

    /// Sends a request and reads the whole answer; status and body.
    pub(crate) async fn exchange_for_body(
        &mut self,
        request: &[u8],
    ) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            self.fill().await?;
            if let Some(at) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..head_end])?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let length: usize = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            })
            .context("an answer without Content-Length")?;
        while self.buffer.len() < head_end + length {
            self.fill().await?;
        }
        Ok((status, &self.buffer[head_end..head_end + length]))
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}
