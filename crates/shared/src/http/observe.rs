//! What the front counts about requests.

use std::time::Duration;

use axum::http::StatusCode;

use crate::clock::Clock;
use crate::metrics::{Counter, Registry};

/// Counters of finished requests. All of them exist from the start, so a scraper sees zeros.
pub(super) struct Observer {
    clock: Clock,
    classes: [Counter; 5],
    refusals: Vec<(StatusCode, Counter)>,
    seconds: Counter,
    count: Counter,
    panics: Counter,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const REFUSALS: [(StatusCode, &str); 10] = [
    (StatusCode::BAD_REQUEST, "invalid"),
    (StatusCode::UNAUTHORIZED, "unauthorized"),
    (StatusCode::FORBIDDEN, "forbidden"),
    (StatusCode::NOT_FOUND, "not_found"),
    (StatusCode::METHOD_NOT_ALLOWED, "method"),
    (StatusCode::REQUEST_TIMEOUT, "too_slow"),
    (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding"),
    (StatusCode::TOO_MANY_REQUESTS, "rate_limit"),
    (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
];

impl Observer {
    pub(super) fn new(metrics: &Registry, clock: &Clock) -> Self {
        let class = |class| {
            metrics.counter(
                "monlight_http_requests_total",
                "Requests answered.",
                &[("class", class)],
            )
        };
        let refusal = |(status, reason)| {
            let help = "Requests refused, by reason.";
            (
                status,
                metrics.counter("monlight_http_refusals_total", help, &[("reason", reason)]),
            )
        };
        Self {
            clock: clock.clone(),
            classes: CLASSES.map(class),
            refusals: REFUSALS.into_iter().map(refusal).collect(),
            seconds: metrics.seconds(
                "monlight_http_request_duration_seconds_sum",
                "Time from the head of a request to the head of its answer, in total.",
                &[],
            ),
            count: metrics.counter(
                "monlight_http_request_duration_seconds_count",
                "Requests whose time was taken.",
                &[],
            ),
            panics: metrics.counter(
                "monlight_http_panics_total",
                "Requests that ended in a panic, which is a bug.",
                &[],
            ),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn panicked(&self) {
        self.panics.inc();
    }

    /// Counts one answer; gives the time it took.
    pub(super) fn finished(&self, status: StatusCode, began: Duration) -> Duration {
        let took = self.clock.monotonic().saturating_sub(began);
        if let Some(class) = self
            .classes
            .get(usize::from(status.as_u16() / 100).saturating_sub(1))
        {
            class.inc();
        }
        if status.as_u16() >= 400
            && let Some((_, refusal)) = self.refusals.iter().find(|(known, _)| *known == status)
        {
            refusal.inc();
        }
        self.seconds.add(took.as_nanos() as u64);
        self.count.inc();
        took
    }
}
