//! Server-sent events: streams that end when the service does, stay awake, and are counted.
//!
//! The format is that of the [HTML standard, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html).
//! A stream ends on the lifecycle's soft token, when its events end, or after its longest time (an
//! `EventSource` then connects again by itself). The server drops a stream whose client is gone.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::lifecycle::Lifecycle;
use crate::metrics::{Counter, Registry};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What the client sends back as `Last-Event-ID` when it connects again.
    pub id: Option<String>,
    /// The name under which scripts listen; `message` when there is none.
    pub name: Option<&'static str>,
    /// The payload; may have several lines.
    pub data: String,
    /// How long the client should wait before it connects again.
    pub retry: Option<Duration>,
}

impl Event {
    /// An event without a name.
    pub fn data(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// Names the event.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Gives the event an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the pause before a client connects again.
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// The event as it is sent. A line end within an id or name would start another field, so such
    /// an id is left out.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.data.len() + 32);
        // Writing to a String cannot fail.
        if let Some(retry) = self.retry {
            let _ = writeln!(out, "retry: {}", retry.as_millis());
        }
        if let Some(id) = self
            .id
            .as_deref()
            .filter(|id| !id.contains(['\r', '\n', '\0']))
        {
            let _ = writeln!(out, "id: {id}");
        }
        if let Some(name) = self.name {
            let _ = writeln!(out, "event: {name}");
        }
        // CR, LF and CR LF all end a line in this format.
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            let _ = writeln!(out, "data: {line}");
        }
        out.push('\n');
        out
    }
}

/// The streams that may be open at the same time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    refused: Counter,
}

impl Slots {
    /// `max` streams.
    pub fn new(max: usize, metrics: &Registry) -> Self {
        let free = Arc::new(Semaphore::new(max));
        let seen = Arc::downgrade(&free);
        metrics.gauge_fn(
            "monlight_http_streams",
            "Event streams that are open.",
            &[],
            move || {
                seen.upgrade().map_or(0.0, |free| {
                    max.saturating_sub(free.available_permits()) as f64
                })
            },
        );
        metrics
            .gauge(
                "monlight_http_streams_max",
                "The most event streams at the same time.",
                &[],
            )
            .set(max as i64);
        let refused = metrics.counter(
            "monlight_http_streams_refused_total",
            "Event streams refused because there were too many.",
            &[],
        );
        Self { free, refused }
    }

    /// A place for one stream, if there is one.
    pub fn take(&self) -> Option<Slot> {
        let slot = Arc::clone(&self.free).try_acquire_owned().ok().map(Slot);
        if slot.is_none() {
            self.refused.inc();
        }
        slot
    }
}

/// The place of one open stream; free again when dropped.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// How a stream lives.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A comment is sent after this much silence, so that proxies keep the connection and a client
    /// that is gone is noticed.
    pub heartbeat: Duration,
    /// The stream is ended after this time.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            longest: Duration::from_mins(30),
        }
    }
}

/// The answer that sends `events` until they end, `pace.longest` is over, or the service stops.
/// `slot` is free again when the stream has ended.
pub fn respond(
    lifecycle: &Lifecycle,
    slot: Slot,
    pace: Pace,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response {
    let soft = lifecycle.soft();
    let end = Instant::now() + pace.longest;
    let state = (Box::pin(events), soft, slot);
    let frames = stream::unfold(state, move |(mut events, soft, slot)| async move {
        let wake = (Instant::now() + pace.heartbeat).min(end);
        let next = tokio::select! {
            biased;
            () = soft.cancelled() => return None,
            next = timeout_at(wake, events.next()) => next,
        };
        let text = match next {
            Ok(Some(event)) => event.encode(),
            Ok(None) => return None,
            Err(_) if Instant::now() >= end => return None,
            Err(_) => ": still here\n\n".to_owned(),
        };
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(text)),
            (events, soft, slot),
        ))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back in its buffer.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[track_caller]
    fn check(event: Event, expected: &str) {
        assert_eq!(event.encode(), expected);
    }

    #[test]
    fn events_are_encoded_line_by_line() {
        check(Event::data("x"), "data: x\n\n");
        check(Event::data(""), "data: \n\n");
        check(
            Event::data("a\nb\r\nc\rd\n"),
            "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n",
        );
        check(
            Event::data("{}")
                .named("line")
                .with_id("7")
                .with_retry(Duration::from_secs(2)),
            "retry: 2000\nid: 7\nevent: line\ndata: {}\n\n",
        );
        check(Event::data("x").with_id("7\ndata: forged"), "data: x\n\n");
    }

    fn slot() -> (Slots, Slot) {
        let slots = Slots::new(1, &Registry::default());
        let slot = slots.take().expect("there is one");
        (slots, slot)
    }

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_beats_while_it_is_silent_and_ends_in_time() {
        let life = Lifecycle::new(Clock::system());
        let (slots, slot) = slot();
        assert!(slots.take().is_none(), "there is only one");
        let pace = Pace {
            heartbeat: Duration::from_secs(15),
            longest: Duration::from_secs(40),
        };
        let events = stream::iter([Event::data("1")]).chain(stream::pending());
        let sent = text(respond(&life, slot, pace, events)).await;
        assert_eq!(sent, "data: 1\n\n: still here\n\n: still here\n\n");
        assert!(slots.take().is_some(), "its place is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_service() {
        let life = Lifecycle::new(Clock::system());
        let stream = respond(&life, slot().1, Pace::default(), stream::pending());
        life.stop();
        assert_eq!(text(stream).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_ends_with_the_service_too() {
        let life = Lifecycle::new(Clock::system());
        let stop = life.clone();
        let events = stream::iter(0..).map(move |number| {
            if number == 3 {
                stop.stop();
            }
            Event::data(number.to_string())
        });
        let sent = text(respond(&life, slot().1, Pace::default(), events)).await;
        assert!(sent.ends_with("data: 3\n\n"), "{sent}");
    }
}
