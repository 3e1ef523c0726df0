//! A load generator that costs little itself: keep-alive connections, requests built beforehand, answers read as far as
//! their length says.
//!
//! Latency in an open loop counts from the moment a request was *meant* to be sent, so that a server that stalls cannot
//! hide the requests that waited behind the stall (coordinated omission; see Gil Tene, "How NOT to Measure Latency").

use std::borrow::Cow;
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

/// What is sent, by its number in the run.
#[derive(Clone, Debug)]
pub(crate) enum Requests {
    /// These, again and again.
    Fixed(Arc<[Prepared]>),
    /// Templates that are filled in when they are sent, so that there can be more different ones than memory.
    Numbered(Arc<Numbered>),
}

impl From<Vec<Prepared>> for Requests {
    fn from(requests: Vec<Prepared>) -> Self {
        Self::Fixed(requests.into())
    }
}

impl From<Prepared> for Requests {
    fn from(request: Prepared) -> Self {
        Self::Fixed([request].into())
    }
}

impl From<Numbered> for Requests {
    fn from(numbered: Numbered) -> Self {
        Self::Numbered(Arc::new(numbered))
    }
}

impl Requests {
    fn nth(&self, sequence: usize) -> Cow<'_, [u8]> {
        // Neighbouring requests differ, so that connections do not all hit the same group at once.
        match self {
            Self::Fixed(requests) => {
                Cow::Borrowed(&requests[sequence.wrapping_mul(STRIDE) % requests.len()])
            }
            Self::Numbered(numbered) => Cow::Owned(numbered.nth(sequence as u64)),
        }
    }
}

/// A prime, so that steps of it visit every one of a number of things.
const STRIDE: usize = 7919;
/// Where a template takes the number of the thing it is about, eight digits.
pub(crate) const THING: &str = "GGGGGGGG";
/// Where a template takes the number of the request, eight digits.
pub(crate) const NUMBER: &str = "SSSSSSSS";

/// Requests about numbered things, made from templates.
#[derive(Debug)]
pub(crate) struct Numbered {
    templates: Vec<Template>,
    /// The number of the first thing.
    first: u64,
    /// How many different ones; `None`: each request has a new one.
    things: Option<u64>,
}

#[derive(Debug)]
struct Template {
    request: Prepared,
    things: Vec<usize>,
    numbers: Vec<usize>,
}

impl Numbered {
    /// The thing with the number n is described by the template n modulo their number.
    pub(crate) fn new(templates: &[Prepared], first: u64, things: Option<u64>) -> Self {
        let places = |request: &[u8], mark: &str| -> Vec<usize> {
            let windows = request.windows(mark.len()).enumerate();
            windows
                .filter_map(|(at, window)| (window == mark.as_bytes()).then_some(at))
                .collect()
        };
        let templates = templates.iter().map(|request| Template {
            things: places(request, THING),
            numbers: places(request, NUMBER),
            request: Arc::clone(request),
        });
        Self {
            templates: templates.collect(),
            first,
            things,
        }
    }

    fn nth(&self, sequence: u64) -> Vec<u8> {
        let thing = match self.things {
            Some(things) => self.first + sequence.wrapping_mul(STRIDE as u64) % things,
            None => self.first + sequence,
        };
        let template = &self.templates[(thing % self.templates.len() as u64) as usize];
        let mut request = template.request.to_vec();
        for (places, number) in [(&template.things, thing), (&template.numbers, sequence)] {
            let digits = format!("{:08}", number % 100_000_000);
            for at in places {
                request[*at..at + digits.len()].copy_from_slice(digits.as_bytes());
            }
        }
        request
    }
}

/// How a load is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Keep-alive connections, each waiting for its answer before it sends again.
    pub connections: usize,
    /// When it ends.
    pub until: Until,
    /// Requests a second over all connections, whatever the answers do; `None`: as fast as the answers come.
    pub rate: Option<f64>,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After a time.
    Elapsed(Duration),
    /// After so many requests.
    Sent(usize),
}

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

/// Sends a load and waits for its end.
pub(crate) async fn run(
    target: SocketAddr,
    pace: Pace,
    requests: &Requests,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..pace.connections)
        .map(|index| {
            let requests = requests.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(target).await?;
                let mut outcome = Outcome::default();
                for turn in 0.. {
                    let sequence = turn * pace.connections + index;
                    let meant = match pace.rate {
                        None => Instant::now(),
                        Some(rate) => {
                            let meant = started + Duration::from_secs_f64(sequence as f64 / rate);
                            // Timers tick in milliseconds and ring late, so this one is set to ring early.
                            let early = meant.checked_sub(TICK).unwrap_or(meant);
                            tokio::time::sleep_until(early.into()).await;
                            meant.min(Instant::now())
                        }
                    };
                    let over = match pace.until {
                        Until::Elapsed(time) => meant.duration_since(started) >= time,
                        Until::Sent(requests) => sequence >= requests,
                    };
                    if over {
                        break;
                    }
                    let status = connection.exchange(&requests.nth(sequence)).await?;
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
        let header = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        if header("transfer-encoding").is_some() {
            self.read_chunks(head_end).await?;
            return Ok((status, &self.buffer[head_end..]));
        }
        let length: usize = header("content-length")
            .context("an answer without Content-Length")?
            .parse()?;
        while self.buffer.len() < head_end + length {
            self.fill().await?;
        }
        Ok((status, &self.buffer[head_end..head_end + length]))
    }

    /// Reads a body in chunks; afterwards the buffer holds its bytes behind the head, without their lengths.
    async fn read_chunks(&mut self, head_end: usize) -> anyhow::Result<()> {
        let mut done = head_end;
        loop {
            let line_end = loop {
                let line = &self.buffer[done..];
                match line.windows(2).position(|window| window == b"\r\n") {
                    Some(at) => break done + at,
                    None => self.fill().await?,
                }
            };
            let digits = std::str::from_utf8(&self.buffer[done..line_end])?;
            let length = usize::from_str_radix(digits, 16).context("no length of a chunk")?;
            let chunk = line_end + 2;
            while self.buffer.len() < chunk + length + 2 {
                self.fill().await?;
            }
            if length == 0 {
                self.buffer.truncate(done);
                return Ok(());
            }
            self.buffer.drain(chunk + length..chunk + length + 2);
            self.buffer.drain(done..chunk);
            done += length;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}
