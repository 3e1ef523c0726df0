//! Asks targets for what they expose: one HTTP client, bounded in time, in number and in what it reads. What was last seen
//! of each target is kept here, for people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use monlight_shared::metrics::{Counter, Registry};
use monlight_shared::outgoing;
use reqwest::Client;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::config::{Login, Scraping, Target};

/// Targets that are asked at the same time.
const MOST_AT_ONCE: usize = 16;
/// Answers in memory at the same time take as much room as so many of the largest.
const LARGEST_AT_ONCE: usize = 2;
const FORMATS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The targets and the client that asks them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scraper(Arc<Inner>);

struct Inner {
    /// Made with the first scrape: without targets it would only take memory.
    client: OnceCell<Client>,
    turns: Semaphore,
    /// Bytes of answers.
    room: Arc<Semaphore>,
    /// In the order of the targets.
    seen: Mutex<Vec<Seen>>,
    told: Told,
}

/// What was last seen of a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// When it was asked, milliseconds since 1970; `None` when it never was.
    pub(crate) at_ms: Option<i64>,
    pub(crate) took: Duration,
    /// Values that it exposed.
    pub(crate) samples: u64,
    /// Why it has failed.
    pub(crate) fault: Option<String>,
    pub(crate) scrapes: u64,
    pub(crate) failures: u64,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
    /// Its room in memory.
    _room: Option<OwnedSemaphorePermit>,
}

struct Told {
    ok: Counter,
    failed: Counter,
    seconds: Counter,
}

impl Scraper {
    pub(crate) fn new(scraping: &Scraping, metrics: &Registry) -> Self {
        let scrapes = |result| {
            metrics.counter(
                "monlight_metrics_scrapes_total",
                "Scrapes of targets.",
                &[("result", result)],
            )
        };
        let told = Told {
            ok: scrapes("ok"),
            failed: scrapes("failed"),
            seconds: metrics.seconds(
                "monlight_metrics_scrape_seconds_total",
                "Time from asking a target to its whole answer, waiting for a turn left out.",
                &[],
            ),
        };
        let this = Self(Arc::new(Inner {
            client: OnceCell::new(),
            turns: Semaphore::new(MOST_AT_ONCE),
            room: Arc::new(Semaphore::new(LARGEST_AT_ONCE * scraping.max_bytes)),
            seen: Mutex::new(vec![Seen::default(); scraping.targets.len()]),
            told,
        }));
        let seen = this.clone();
        metrics
            .gauge(
                "monlight_metrics_scrape_targets",
                "Targets that are scraped; at most 200.",
                &[],
            )
            .set(scraping.targets.len() as i64);
        metrics.gauge_fn(
            "monlight_metrics_scrape_targets_down",
            "Targets whose last scrape has failed.",
            &[],
            move || {
                seen.seen()
                    .iter()
                    .filter(|seen| seen.fault.is_some())
                    .count() as f64
            },
        );
        this
    }

    /// What was last seen of each target.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.0.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how the scrape of a target went: how many values it exposed, or why it failed. Answers why the one before
    /// failed, if it did.
    pub(crate) fn note(
        &self,
        place: usize,
        at_ms: i64,
        took: Duration,
        result: Result<u64, String>,
    ) -> Option<String> {
        let told = &self.0.told;
        told.seconds.add(took.as_nanos() as u64);
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get_mut(place)?;
        let before = seen.fault.take();
        seen.at_ms = Some(at_ms);
        seen.took = took;
        seen.scrapes += 1;
        match result {
            Ok(samples) => {
                told.ok.inc();
                seen.samples = samples;
            }
            Err(fault) => {
                told.failed.inc();
                seen.samples = 0;
                seen.failures += 1;
                seen.fault = Some(fault);
            }
        }
        before
    }

    /// Waits for a turn; runs `work` then.
    pub(crate) async fn in_turn<T>(&self, work: impl Future<Output = T>) -> T {
        // It is never closed.
        let _turn = self.0.turns.acquire().await;
        work.await
    }

    /// Asks a target; why there is no answer that can be used, in words for people.
    pub(crate) async fn ask(
        &self,
        target: &Target,
        scraping: &Scraping,
        timeout: Duration,
    ) -> Result<Answer, String> {
        let client = self.0.client.get_or_try_init(async || client(scraping));
        let client = client.await.map_err(|fault| format!("{fault:#}"))?;
        let request = client
            .get(target.url.clone())
            .timeout(timeout)
            .header(ACCEPT, FORMATS);
        let request = match &target.login {
            None => request,
            Some(Login::Basic { user, password }) => {
                request.basic_auth(user, Some(password.expose()))
            }
            Some(Login::Bearer(token)) => request.bearer_auth(token.expose()),
        };
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != 200 {
            return Err(format!("it answered {}", response.status()));
        }
        if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err("its answer is compressed, which was not asked for".to_owned());
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let most = scraping.max_bytes;
        let too_long = || format!("its answer is longer than {most} bytes");
        let length = response.content_length().map_or(Ok(most), usize::try_from);
        let length = length
            .ok()
            .filter(|&length| length <= most)
            .ok_or_else(too_long)?;
        // It is never closed.
        let room = Arc::clone(&self.0.room)
            .acquire_many_owned(length as u32)
            .await
            .ok();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > most {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            content_type,
            body,
            _room: room,
        })
    }
}

fn client(scraping: &Scraping) -> anyhow::Result<Client> {
    let mut schemes = scraping.targets.iter().map(|target| target.url.scheme());
    outgoing::trusting_client(schemes.any(|scheme| scheme == "https"))?
        // Between two scrapes most servers close the connection.
        .pool_max_idle_per_host(0)
        .user_agent(concat!(
            "monlight-metrics-collector/",
            env!("CARGO_PKG_VERSION")
        ))
        .build()
        .context("cannot build the HTTP client")
}

/// Why no answer came. Addresses may hold secrets, so none is shown.
fn failed(fault: reqwest::Error) -> String {
    let what = if fault.is_timeout() {
        "it did not answer in time"
    } else if fault.is_connect() {
        "it cannot be connected to"
    } else {
        "the connection broke"
    };
    outgoing::with_cause(what, fault)
}
