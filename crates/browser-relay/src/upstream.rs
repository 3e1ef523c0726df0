//! The two services behind the relay: one HTTP client, bounded in time, in number and in what it reads.
//!
//! One attempt per event; those that fail go to the outbox, whose task sends them in batches. A refusal that the page is
//! to blame for is told apart from one that the operator is, and both from an outage, because they need different answers
//! and different counters. Events that come while others are on their way go [`together`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use monlight_shared::clock::Clock;
use monlight_shared::idempotency::{self, BatchAnswer, ItemAnswer, Key, LIVE};
use monlight_shared::lifecycle::Lifecycle;
use monlight_shared::metrics::{Counter, Registry};
use monlight_shared::outgoing;
use reqwest::{Client, RequestBuilder, Response, Url};

use crate::config::Target;

mod together;
mod verdict;

use together::Desk;
pub(crate) use verdict::Verdict;
use verdict::{judge, worst};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first byte sent to the last one received.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a batch, which nobody waits for.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the other services keep an idle connection, so that a request rarely meets one that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests with single events to one service at the same time; more wait for their turn.
const MOST_AT_ONCE: usize = 64;
/// How long an event waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 16 * 1024;
/// The same of the answer to a batch.
const LONGEST_BATCH_ANSWER: usize = 256 * 1024;
/// Characters of a refusal that are passed on.
const LONGEST_DETAIL: usize = 500;
/// Seconds after which trying again makes sense when the other service does not say.
pub(crate) const USUAL_RETRY_AFTER: u64 = 5;

/// An accepted event. The body is empty when the other service takes several at once but does not say it of each.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Why an event was not accepted.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// The event is at fault; the other service says how.
    Event { detail: String },
    /// The other service or its settings are at fault.
    Upstream {
        failure: Failure,
        /// Seconds, when the other service has said so.
        retry_after: Option<u64>,
    },
}

/// What went wrong on the way or on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect,
    /// Not in time.
    Timeout,
    /// The connection broke, or what came is no HTTP.
    Broken,
    /// Too many requests are waiting here already.
    Busy,
    /// 401 or 403: our key is wrong.
    KeyRefused,
    /// 429, 408, 425 or 503.
    Overloaded,
    /// Any other 5xx.
    ServerError,
    /// Anything else, such as a redirect or a 404: the URL is probably wrong.
    Unexpected,
}

impl Failure {
    pub(crate) const ALL: [Self; 8] = [
        Self::Connect,
        Self::Timeout,
        Self::Broken,
        Self::Busy,
        Self::KeyRefused,
        Self::Overloaded,
        Self::ServerError,
        Self::Unexpected,
    ];

    fn slug(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Busy => "busy",
            Self::KeyRefused => "key_refused",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Unexpected => "unexpected",
        }
    }

    /// Seconds after which trying again may help; `None`: somebody has to change the settings first.
    pub(crate) fn usual_retry_after(self) -> Option<u64> {
        match self {
            Self::KeyRefused | Self::Unexpected => None,
            Self::Busy => Some(1),
            _ => Some(USUAL_RETRY_AFTER),
        }
    }

    /// For `/health`, which anybody may read: says what to look at, but no address.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Connect => "cannot be reached",
            Self::Timeout => "does not answer in time",
            Self::Broken => "gives broken answers",
            Self::Busy => "is too slow for what arrives",
            Self::KeyRefused => "refuses the relay's key",
            Self::Overloaded => "is overloaded",
            Self::ServerError => "fails",
            Self::Unexpected => "gives unexpected answers",
        }
    }
}

/// One of the services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Inner>);

struct Inner {
    name: &'static str,
    /// For single events, for batches from the outbox, for batches of events that came just now.
    url: Url,
    batch_url: Url,
    live_url: Url,
    key: HeaderValue,
    client: Client,
    desk: Desk,
    clock: Clock,
    lifecycle: Lifecycle,
    requests: Counter,
    events: Counter,
    seconds: Counter,
    failures: Vec<(Failure, Counter)>,
    /// How the last request ended; of a batch, the worst that came of an event.
    last: Mutex<Option<Failure>>,
}

/// The client that both services share.
pub(crate) fn client(targets: [&Target; 2]) -> anyhow::Result<Client> {
    let needs_tls = targets
        .iter()
        .any(|target| target.url.starts_with("https://"));
    outgoing::trusting_client(needs_tls)?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MOST_AT_ONCE)
        .user_agent(concat!(
            "monlight-browser-relay/",
            env!("CARGO_PKG_VERSION")
        ))
        .build()
        .context("cannot build the HTTP client")
}

impl Upstream {
    /// `path` is appended to the target's URL.
    pub(crate) fn new(
        name: &'static str,
        target: &Target,
        path: &str,
        client: Client,
        (clock, lifecycle): (&Clock, &Lifecycle),
        metrics: &Registry,
    ) -> anyhow::Result<Self> {
        let url = |more| {
            let text = format!("{}{path}{more}", target.url);
            Url::parse(&text).with_context(|| format!("the address of the {name} cannot be used"))
        };
        let mut key =
            HeaderValue::from_str(target.key.expose()).context("a key that no header can carry")?;
        key.set_sensitive(true);
        let labels = [("upstream", name)];
        let failures = Failure::ALL.map(|failure| {
            let labels = [("upstream", name), ("reason", failure.slug())];
            let help = "Requests to other services that failed.";
            (
                failure,
                metrics.counter("monlight_relay_upstream_failures_total", help, &labels),
            )
        });
        Ok(Self(Arc::new(Inner {
            name,
            url: url("")?,
            batch_url: url("/batch")?,
            live_url: url(&format!("/batch?{LIVE}=1"))?,
            key,
            client,
            desk: Desk::new(name, metrics),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
            requests: metrics.counter(
                "monlight_relay_upstream_requests_total",
                "Requests to other services, failed ones included.",
                &labels,
            ),
            events: metrics.counter(
                "monlight_relay_upstream_events_total",
                "Events in these requests.",
                &labels,
            ),
            seconds: metrics.seconds(
                "monlight_relay_upstream_seconds_total",
                "Time that requests to other services took.",
                &labels,
            ),
            failures: failures.into(),
            last: Mutex::new(None),
        })))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// What was wrong with the last request, if anything was.
    pub(crate) fn trouble(&self) -> Option<Failure> {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a JSON document with its idempotency key, together with others that come while it waits for its turn, and waits
    /// for the answer.
    pub(crate) async fn send(&self, document: Bytes, key: Key) -> Result<Accepted, Rejected> {
        self.send_in_turn(Event { key, document }).await
    }

    /// Sends `count` documents that were kept at once; the answer says what became of each. One of them that has to come
    /// again is a failure as if it had been sent by itself.
    pub(crate) async fn send_batch(
        &self,
        body: Vec<u8>,
        count: usize,
    ) -> Result<Vec<ItemAnswer>, Rejected> {
        let request = self.post(&self.0.batch_url, body.into());
        let request = request.timeout(BATCH_TIMEOUT);
        let sent = self.attempt(request, LONGEST_BATCH_ANSWER, count).await;
        let result = sent.and_then(|accepted| self.answers(&accepted, count));
        self.note(match &result {
            Ok(answers) => worst(answers),
            Err(_) => failure_in(&result),
        });
        result
    }

    async fn send_alone(&self, event: Event) -> Result<Accepted, Rejected> {
        let request = self.post(&self.0.url, event.document);
        let request = request.header(idempotency::HEADER, event.key.to_string());
        let result = self.attempt(request, LONGEST_ANSWER, 1).await;
        self.note(failure_in(&result));
        result
    }

    /// Reads the answer to a batch of `count` events.
    fn answers(&self, accepted: &Accepted, count: usize) -> Result<Vec<ItemAnswer>, Rejected> {
        let answer: Result<BatchAnswer, _> = serde_json::from_slice(&accepted.body);
        let trouble = match answer {
            Ok(answer) if answer.results.len() == count => return Ok(answer.results),
            Ok(answer) => format!("{} results for {count} events", answer.results.len()),
            Err(fault) => fault.to_string(),
        };
        tracing::warn!(
            upstream = self.0.name,
            trouble,
            "the answer to a batch cannot be used"
        );
        Err(Rejected::Upstream {
            failure: Failure::Unexpected,
            retry_after: None,
        })
    }

    fn post(&self, url: &Url, body: Bytes) -> RequestBuilder {
        self.0
            .client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-api-key", self.0.key.clone())
            .body(body)
    }

    /// Counts a failure, and logs when trouble begins and ends: one line each, however many events it costs.
    fn note(&self, failure: Option<Failure>) {
        if let Some((_, counter)) = self
            .0
            .failures
            .iter()
            .find(|(known, _)| Some(*known) == failure)
        {
            counter.inc();
        }
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == failure {
            return;
        }
        *last = failure;
        if let Some(failure) = failure {
            let trouble = failure.summary();
            tracing::warn!(upstream = self.0.name, "the upstream service {trouble}");
        } else {
            tracing::info!(upstream = self.0.name, "the upstream service works again");
        }
    }

    /// One request with so many events.
    async fn attempt(
        &self,
        request: RequestBuilder,
        longest: usize,
        events: usize,
    ) -> Result<Accepted, Rejected> {
        let began = self.0.clock.monotonic();
        let result = self.exchange(request, longest).await;
        let took = self.0.clock.monotonic().saturating_sub(began);
        self.0.requests.inc();
        self.0.events.add(events as u64);
        self.0
            .seconds
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        result
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        longest: usize,
    ) -> Result<Accepted, Rejected> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = self.read(response, longest).await?;
        judge(status, retry_after, body)
    }

    /// The body, cut when it is too long.
    async fn read(&self, mut response: Response, longest: usize) -> Result<Vec<u8>, Rejected> {
        let mut body = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| self.failed(&error))?
        {
            let room = longest - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if body.len() == longest {
                break;
            }
        }
        Ok(body)
    }

    fn failed(&self, error: &reqwest::Error) -> Rejected {
        let failure = if error.is_timeout() {
            Failure::Timeout
        } else if error.is_connect() {
            Failure::Connect
        } else {
            Failure::Broken
        };
        // Without the URL, which is in the settings, and with the causes, which are not shown by default.
        tracing::debug!(upstream = self.0.name, error = ?error, "request failed");
        Rejected::Upstream {
            failure,
            retry_after: None,
        }
    }
}

/// An event on its way.
#[derive(Debug)]
struct Event {
    key: Key,
    document: Bytes,
}

/// `[{"key": "…", "document": …}, …]`
pub(crate) fn batch_body<'e>(events: impl Iterator<Item = (Key, &'e [u8])> + Clone) -> Vec<u8> {
    let documents: usize = events
        .clone()
        .map(|(_, document)| document.len() + 64)
        .sum();
    let mut body = Vec::with_capacity(documents + 1);
    let mut separator = b'[';
    for (key, document) in events {
        body.push(separator);
        body.extend_from_slice(format!("{{\"key\":\"{key}\",\"document\":").as_bytes());
        body.extend_from_slice(document);
        body.push(b'}');
        separator = b',';
    }
    body.push(b']');
    body
}

fn failure_in<T>(result: &Result<T, Rejected>) -> Option<Failure> {
    match result {
        Err(Rejected::Upstream { failure, .. }) => Some(*failure),
        Ok(_) | Err(Rejected::Event { .. }) => None,
    }
}

fn retry_after(response: &Response) -> Option<u64> {
    response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}
