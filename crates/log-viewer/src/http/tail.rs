//! `GET /api/logs/tail`: new entries as server-sent events.
//!
//! Events: `log` with an entry and its id, `missed` with how many entries a client was too slow for, `heartbeat` every 15
//! seconds, `close` with a reason before the stream ends. A client that comes back with `Last-Event-ID` gets what it
//! missed first.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use monlight_shared::http::sse::{Event, Slot, Slots};
use monlight_shared::http::{ApiError, Query, RawParams};
use monlight_shared::store::StoreError;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::yield_now;
use tokio::time::{Instant, Interval, interval_at, sleep_until};

use super::params;
use crate::domain::filter::Filter;
use crate::domain::matching::{Matching, SecondPass};
use crate::live::{LiveBatch, log_event};
use crate::state::AppState;
use crate::store::list;

const HEARTBEAT: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_mins(30);
/// How far a client may be behind before entries are left out.
const MOST_BEHIND: i64 = 10_000;
/// Entries read from the database at a time for a client that is behind.
const CATCH_UP_ENTRIES: usize = 200;
const CATCH_UP_BYTES: usize = 128 * 1024;
/// What only the index understands is asked there this often.
const READ_EVERY: Duration = Duration::from_millis(50);
/// How long a pattern may look at one batch: all other requests wait meanwhile.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// How long it may look at what is read from the database.
const CATCH_UP_TIME: Duration = Duration::from_secs(1);
/// Events are sent together up to about this size.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the route needs besides the usual.
#[derive(Clone)]
pub(super) struct TailState {
    pub(super) app: AppState,
    pub(super) slots: Slots,
}

/// Opens a live tail.
pub(super) async fn tail(
    State(state): State<TailState>,
    RawParams(query): RawParams,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let filter = params::entry_filter(&state.app, &query).await?;
    let slot = state
        .slots
        .take()
        .ok_or_else(|| ApiError::busy("Too many SSE connections"))?;
    let receiver = state.app.hub.subscribe();
    let newest = state.app.ctx.store.read(list::last_id).await?;
    let seen = resume_point(&headers, &query, newest);
    let tail = Tail {
        is_indexed: Matching::new(&filter).is_none(),
        second_pass: SecondPass::new(&filter),
        filter: Arc::new(filter),
        seen,
        target: newest,
        may_look_again: true,
        receiver,
        waiting: VecDeque::new(),
        next_read: Instant::now(),
        heartbeat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
        end: Instant::now() + LONGEST,
        is_over: false,
        app: state.app,
        _slot: slot,
    };
    let events = stream::unfold(tail, |mut tail| async move {
        let chunk = tail.next().await?;
        Some((Ok::<_, Infallible>(chunk), tail))
    });
    Ok(answer(events))
}

fn answer(
    events: impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    // A first comment, so that proxies pass the head on at once.
    let hello = stream::iter([Ok(Bytes::from_static(b": live\n\n"))]);
    let mut response = Response::new(Body::from_stream(futures_util::StreamExt::chain(
        hello, events,
    )));
    let out = response.headers_mut();
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would hold events back in its buffer.
    out.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// The last id the client has seen: what its connection before this one ended with, or what it asks for. Without one,
/// and for one that we never gave, it starts with what is new.
fn resume_point(headers: &HeaderMap, query: &Query, newest: i64) -> i64 {
    let header = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    header
        .or_else(|| query.last_nonempty("after"))
        .and_then(|text| text.trim().parse::<i64>().ok())
        .filter(|id| (0..=newest).contains(id))
        .unwrap_or(newest)
}

struct Tail {
    app: AppState,
    filter: Arc<Filter>,
    /// Only the index understands the filter.
    is_indexed: bool,
    second_pass: Option<SecondPass>,
    receiver: Receiver<Arc<LiveBatch>>,
    /// Every id up to this one was sent, filtered out, or reported as missed.
    seen: i64,
    /// The database holds entries up to this id that have to be read first.
    target: i64,
    /// A batch that the pattern had no time for is read from the database, where there is more of it: the time may have
    /// gone to other processes. A pattern that was too slow twice in a row has had its share.
    may_look_again: bool,
    /// The database is not read before.
    next_read: Instant,
    /// Events, encoded.
    waiting: VecDeque<Bytes>,
    heartbeat: Interval,
    end: Instant,
    is_over: bool,
    _slot: Slot,
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        let soft = self.app.ctx.lifecycle.soft();
        loop {
            if soft.is_cancelled() && !self.is_over {
                // What waits is not lost: the client comes back with its last id.
                self.waiting.clear();
                self.close("shutdown");
            }
            if !self.waiting.is_empty() {
                return Some(self.chunk());
            }
            if self.is_over {
                return None;
            }
            let is_behind = self.seen < self.target;
            tokio::select! {
                biased;
                () = soft.cancelled() => {}
                () = sleep_until(self.end) => self.close("max_duration"),
                _ = self.heartbeat.tick() => self.push(Event::data("{}").named("heartbeat")),
                () = sleep_until(self.next_read), if is_behind => self.read().await,
                heard = self.receiver.recv(), if !is_behind => {
                    self.hear(heard);
                    // A filter that nothing passes must not keep everybody else from being served.
                    yield_now().await;
                }
            }
        }
    }

    /// The events that wait, as many as fit together.
    fn chunk(&mut self) -> Bytes {
        let mut chunk = Vec::new();
        while let Some(event) = self.waiting.pop_front() {
            if chunk.is_empty() && (self.waiting.is_empty() || event.len() >= CHUNK_BYTES) {
                return event;
            }
            chunk.extend_from_slice(&event);
            if chunk.len() >= CHUNK_BYTES {
                break;
            }
        }
        chunk.into()
    }

    fn push(&mut self, event: Event) {
        self.waiting.push_back(event.encode().into());
    }

    fn close(&mut self, reason: &str) {
        self.is_over = true;
        self.push(Event::data(format!("{{\"reason\": \"{reason}\"}}")).named("close"));
    }

    fn hear(&mut self, heard: Result<Arc<LiveBatch>, RecvError>) {
        let batch = match heard {
            Ok(batch) => batch,
            Err(RecvError::Lagged(count)) => {
                // The next batch shows the gap.
                self.app.hub.skipped.add(count);
                return;
            }
            Err(RecvError::Closed) => return self.close("shutdown"),
        };
        let last = batch.last_id();
        // Gaps are filled from the database.
        if self.is_indexed || batch.first_id > self.seen + 1 {
            self.target = self.target.max(last);
            return;
        }
        let unseen = self.pick(&batch);
        self.seen = self.seen.max(last - unseen);
        if unseen > 0 && self.may_look_again {
            self.target = self.target.max(last);
        } else if unseen > 0 {
            self.miss(unseen);
        }
        self.may_look_again = unseen == 0;
    }

    /// Takes what the filter lets pass. Answers for how many entries there was no time.
    fn pick(&mut self, batch: &LiveBatch) -> i64 {
        let filter = Arc::clone(&self.filter);
        let Some(mut matching) = Matching::new(&filter) else {
            return 0;
        };
        let clock = &self.app.ctx.clock;
        let until = clock.monotonic() + BATCH_TIME;
        let is_over = || clock.monotonic() > until;
        for (place, entry) in batch.entries() {
            let id = batch.first_id + place as i64;
            if id <= self.seen || !matching.matches(entry) {
                continue;
            }
            let passes = match &mut self.second_pass {
                None => Some(true),
                Some(pass) => pass.matches(entry.message, is_over).filter(|_| !is_over()),
            };
            match passes {
                Some(true) => self.waiting.extend(batch.event(place)),
                Some(false) => {}
                None => return batch.last_id() - id + 1,
            }
        }
        0
    }

    /// Reads some of what the client has not seen.
    async fn read(&mut self) {
        if let Err(fault) = self.catch_up().await {
            tracing::warn!(%fault, "a live tail cannot read what it missed");
            self.close("error");
        }
        if self.is_indexed && self.seen >= self.target {
            self.next_read = Instant::now() + READ_EVERY;
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let behind = self.target - self.seen;
        if behind > MOST_BEHIND {
            self.miss(behind - MOST_BEHIND);
        }
        let (filter, seen, target) = (Arc::clone(&self.filter), self.seen, self.target);
        let clock = self.app.ctx.clock.clone();
        let (piece, up_to, entries, took) = self
            .app
            .ctx
            .store
            .read(move |conn| {
                let began = clock.monotonic();
                let is_over = || clock.monotonic() > began + CATCH_UP_TIME;
                let piece = list::after(conn, &filter, (seen, target), CATCH_UP_ENTRIES, is_over)?;
                let (entries, done) = list::entries(conn, &piece.ids, CATCH_UP_BYTES)?;
                let next = piece.ids.get(done).map(|next| next - 1);
                let up_to = next.unwrap_or(piece.up_to - piece.missed);
                let took = clock.monotonic().saturating_sub(began);
                Ok((piece, up_to, entries, took))
            })
            .await?;
        if self.seen + 1 < piece.floor {
            self.miss(piece.floor - 1 - self.seen);
        }
        self.waiting.extend(entries.iter().map(log_event));
        self.seen = self.seen.max(up_to);
        self.may_look_again |= piece.missed == 0 && took <= BATCH_TIME;
        if piece.missed > 0 && up_to + piece.missed == piece.up_to {
            self.miss(piece.missed);
        }
        Ok(())
    }

    fn miss(&mut self, count: i64) {
        self.seen += count;
        let event = Event::data(format!("{{\"count\": {count}}}"));
        self.push(event.named("missed").with_id(self.seen.to_string()));
    }
}
