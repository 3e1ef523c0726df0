//! The two services behind the relay: one HTTP client, bounded in time, in number and in what it reads.
//!
//! One attempt per event; those that fail go to the outbox, whose task sends them in batches. A refusal that the page is
//! to blame for is told apart from one that the operator is, and both from an outage, because they need different answers
//! and different counters.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use monlight_shared::clock::Clock;
use monlight_shared::idempotency::{self, BatchAnswer, ItemAnswer, Key};
use monlight_shared::metrics::{Counter, Registry};
use monlight_shared::outgoing;
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::Semaphore;

use crate::config::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first byte sent to the last one received.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a batch, which nobody waits for.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the other services keep an idle connection, so that a request rarely meets one that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests to one service at the same time; more wait for their turn.
const MOST_AT_ONCE: usize = 64;
/// How long a request waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 16 * 1024;
/// The same of the answer to a batch.
const LONGEST_BATCH_ANSWER: usize = 256 * 1024;
/// Characters of a refusal that are passed on.
const LONGEST_DETAIL: usize = 500;
/// Seconds after which trying again makes sense when the other service does not say.
pub(crate) const USUAL_RETRY_AFTER: u64 = 5;

/// An accepted event.
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
    url: String,
    key: HeaderValue,
    client: Client,
    turns: Semaphore,
    clock: Clock,
    requests: Counter,
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
        clock: &Clock,
        metrics: &Registry,
    ) -> anyhow::Result<Self> {
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
            url: format!("{}{path}", target.url),
            key,
            client,
            turns: Semaphore::new(MOST_AT_ONCE),
            clock: clock.clone(),
            requests: metrics.counter(
                "monlight_relay_upstream_requests_total",
                "Requests to other services, failed ones included.",
                &labels,
            ),
            seconds: metrics.seconds(
                "monlight_relay_upstream_seconds_total",
                "Time that requests to other services took, waiting for a turn included.",
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

    /// Sends a JSON document with its idempotency key and waits for the answer.
    pub(crate) async fn send(&self, document: Bytes, key: Key) -> Result<Accepted, Rejected> {
        let request = self
            .post(&self.0.url, document)
            .header(idempotency::HEADER, key.to_string());
        let understood = |accepted| Ok((accepted, None));
        self.measured(request, LONGEST_ANSWER, understood).await
    }

    /// Sends `count` documents at once; the answer says what became of each. One of them that has to come again is a
    /// failure as if it had been sent by itself.
    pub(crate) async fn send_batch(
        &self,
        body: Vec<u8>,
        count: usize,
    ) -> Result<Vec<ItemAnswer>, Rejected> {
        let url = format!("{}/batch", self.0.url);
        let request = self.post(&url, body.into()).timeout(BATCH_TIMEOUT);
        self.measured(request, LONGEST_BATCH_ANSWER, |accepted| {
            let answer: Result<BatchAnswer, _> = serde_json::from_slice(&accepted.body);
            let trouble = match answer {
                Ok(answer) if answer.results.len() == count => {
                    let failure = worst(&answer.results);
                    return Ok((answer.results, failure));
                }
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
        })
        .await
    }

    fn post(&self, url: &str, body: Bytes) -> RequestBuilder {
        self.0
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-api-key", self.0.key.clone())
            .body(body)
    }

    /// An answer counts as one only if `understood` makes something of it, which may still find a failure in it.
    async fn measured<T>(
        &self,
        request: RequestBuilder,
        longest: usize,
        understood: impl FnOnce(Accepted) -> Result<(T, Option<Failure>), Rejected>,
    ) -> Result<T, Rejected> {
        let began = self.0.clock.monotonic();
        let result = self.attempt(request, longest).await.and_then(understood);
        let took = self.0.clock.monotonic().saturating_sub(began);
        self.0.requests.inc();
        self.0
            .seconds
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.note(match &result {
            Err(Rejected::Upstream { failure, .. }) => Some(*failure),
            Ok((_, failure)) => *failure,
            Err(Rejected::Event { .. }) => None,
        });
        result.map(|(value, _)| value)
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

    async fn attempt(&self, request: RequestBuilder, longest: usize) -> Result<Accepted, Rejected> {
        let busy = Rejected::Upstream {
            failure: Failure::Busy,
            retry_after: None,
        };
        let Ok(Ok(_turn)) = tokio::time::timeout(LONGEST_WAIT, self.0.turns.acquire()).await else {
            return Err(busy);
        };
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

/// What the answer to an event of a batch means for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// It is at fault itself.
    Refused,
    /// Not now.
    Later(Failure),
    /// Never, though it is not at fault.
    Dead,
}

impl Verdict {
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=202 => Self::Taken,
            400 | 413 | 422 => Self::Refused,
            _ => passing(status).map_or(Self::Dead, Self::Later),
        }
    }
}

/// The failure that a status stands for that may be another one next time.
fn passing(status: u16) -> Option<Failure> {
    match status {
        408 | 425 | 429 | 503 => Some(Failure::Overloaded),
        500.. => Some(Failure::ServerError),
        _ => None,
    }
}

/// The failure among what became of the events of a batch: too much work rather than a fault, because it says to wait.
fn worst(answers: &[ItemAnswer]) -> Option<Failure> {
    let mut failures = answers
        .iter()
        .filter_map(|answer| match Verdict::of(answer.status) {
            Verdict::Later(failure) => Some(failure),
            Verdict::Taken | Verdict::Refused | Verdict::Dead => None,
        });
    let first = failures.next()?;
    let overloaded = failures.find(|failure| *failure == Failure::Overloaded);
    Some(overloaded.unwrap_or(first))
}

/// Sorts the answers of the other service.
fn judge(
    status: StatusCode,
    retry_after: Option<u64>,
    body: Vec<u8>,
) -> Result<Accepted, Rejected> {
    let upstream = |failure, retry_after| {
        Err(Rejected::Upstream {
            failure,
            retry_after,
        })
    };
    match Verdict::of(status.as_u16()) {
        Verdict::Taken => Ok(Accepted { status, body }),
        Verdict::Refused => Err(Rejected::Event {
            detail: detail(&body),
        }),
        Verdict::Later(failure) => upstream(failure, retry_after),
        Verdict::Dead if matches!(status.as_u16(), 401 | 403) => {
            upstream(Failure::KeyRefused, None)
        }
        Verdict::Dead => upstream(Failure::Unexpected, None),
    }
}

/// The `detail` of a refusal, or a text that says there is none.
fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        detail: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.detail.chars().take(LONGEST_DETAIL).collect(),
        Err(_) => "The event was refused without a reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let found = match judge(
            StatusCode::from_u16(status).unwrap(),
            None,
            body.as_bytes().to_vec(),
        ) {
            Ok(accepted) => format!("accepted {}", accepted.status.as_u16()),
            Err(Rejected::Event { detail }) => format!("event: {detail}"),
            Err(Rejected::Upstream {
                failure,
                retry_after,
            }) => format!("{failure:?} {retry_after:?}"),
        };
        assert_eq!(found, expected, "{status} {body}");
    }

    #[test]
    fn answers_are_sorted_by_who_is_at_fault() {
        check(200, "{}", "accepted 200");
        check(201, "{}", "accepted 201");
        check(202, "", "accepted 202");
        check(204, "", "Unexpected None");
        check(302, "", "Unexpected None");
        check(400, "{\"detail\":\"too long\"}", "event: too long");
        check(
            413,
            "{\"detail\":\"too large\",\"x\":1}",
            "event: too large",
        );
        check(
            400,
            "<html>",
            "event: The event was refused without a reason",
        );
        check(401, "{\"detail\":\"Invalid API key\"}", "KeyRefused None");
        check(404, "{\"detail\":\"Not found\"}", "Unexpected None");
        check(429, "", "Overloaded None");
        check(500, "", "ServerError None");
        check(503, "", "Overloaded None");
        check(425, "", "Overloaded None");
        check(599, "", "ServerError None");
    }

    #[test]
    fn a_batch_is_as_bad_as_its_worst_event() {
        for (statuses, expected) in [
            (&[201, 200, 400, 404][..], None),
            (&[], None),
            (&[201, 429], Some(Failure::Overloaded)),
            (&[201, 500, 200], Some(Failure::ServerError)),
            (&[500, 503], Some(Failure::Overloaded)),
            (&[503, 500], Some(Failure::Overloaded)),
            (&[999], Some(Failure::ServerError)),
        ] {
            let answer = |status: &u16| ItemAnswer {
                status: *status,
                detail: None,
            };
            let answers: Vec<_> = statuses.iter().map(answer).collect();
            assert_eq!(worst(&answers), expected, "{statuses:?}");
        }
    }

    #[test]
    fn a_detail_is_cut() {
        let body = serde_json::json!({"detail": "é".repeat(2000)}).to_string();
        assert_eq!(detail(body.as_bytes()).chars().count(), LONGEST_DETAIL);
    }
}
