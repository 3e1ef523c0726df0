//! Sends JSON documents to the URLs of the settings: no redirects, bounded in time and in what is read.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use super::channel::{Failure, Scope};
use super::{guard, tls};
use crate::outgoing;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte sent to the last one received.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 2 * 1024;
/// Characters of an answer that are shown.
const LONGEST_EXCERPT: usize = 200;
/// A `Retry-After` is followed up to here.
const LONGEST_RETRY_AFTER: u64 = 3_600;

/// The one HTTP client of all channels. It is made with the first message, since most services never send one.
pub(super) struct Http {
    allow_private: bool,
    client: OnceLock<Client>,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    retry_after: Option<Duration>,
}

impl Http {
    /// `allow_private`: whether addresses that are not public may be connected to.
    pub(super) fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = build(self.allow_private)
            .map_err(|fault| Failure::later(format!("cannot start the HTTP client: {fault}")))?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Sends `body` with POST and reads the beginning of the answer, whatever its status.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, Failure> {
        if !self.allow_private
            && let Some(fault) = guard::url_fault(url)
        {
            return Err(Failure::later(format!("the URL {fault}")));
        }
        self.post_unchecked(url, headers, body).await
    }

    /// As [`Http::post`], without a look at the URL itself; the addresses of its name are checked.
    pub(super) async fn post_unchecked(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, Failure> {
        let request = self.client()?.post(url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(failed)?;
        let retry_after = retry_after(&response);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            let room = LONGEST_ANSWER - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if body.len() == LONGEST_ANSWER {
                break;
            }
        }
        Ok(Answer {
            status: response.status(),
            body,
            retry_after,
        })
    }
}

fn build(allow_private: bool) -> anyhow::Result<Client> {
    let builder = outgoing::client()
        .tls_backend_preconfigured(tls::client(&[])?)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        // Alerts are rare; a connection is not kept for the next one.
        .pool_max_idle_per_host(0)
        .dns_resolver(guard::Names { allow_private })
        .user_agent(concat!("monlight/", env!("CARGO_PKG_VERSION")));
    Ok(builder.build()?)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    // Discord sends fractions. A number that is none or negative becomes 0.
    Some(Duration::from_secs(
        (seconds.ceil() as u64).min(LONGEST_RETRY_AFTER),
    ))
}

/// Why no answer came. URLs hold secrets, so none is ever shown.
fn failed(fault: reqwest::Error) -> Failure {
    let what = if fault.is_timeout() {
        "no answer in time"
    } else if fault.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    Failure::later(outgoing::with_cause(what, fault))
}

impl Answer {
    /// Sorts the answer: 2xx is taken. What says that this message is bad is final; what says that the URL, the token or
    /// the server is at fault may be mended, so the message waits.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let status = self.status.as_u16();
        match status {
            200..=299 => Ok(()),
            300..=399 => Err(self.later("a redirect, which is not followed")),
            401 | 403 | 404 | 405 | 407 | 410 => {
                Err(self.later("the URL or its secret is not accepted"))
            }
            408 | 409 | 421 | 423 | 425 | 429 | 451 => Err(self.later("not now")),
            400..=499 => Err(Failure::Refused(self.told("the message is refused"))),
            _ => Err(self.later("the server fails")),
        }
    }

    /// A failure that may pass, with what the server said.
    pub(super) fn later(&self, what: &str) -> Failure {
        Failure::Later {
            detail: self.told(what),
            retry_after: self.retry_after,
            scope: Scope::Channel,
        }
    }

    /// What the server said, behind `what`.
    pub(super) fn told(&self, what: &str) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let excerpt = super::text::one_line(&body, LONGEST_EXCERPT);
        let status = self.status.as_u16();
        if excerpt.is_empty() {
            format!("{what} (status {status})")
        } else {
            format!("{what} (status {status}: {excerpt})")
        }
    }
}
