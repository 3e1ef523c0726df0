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
use monlight_shared::http::{ApiError, RawParams};
use monlight_shared::store::StoreError;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, interval_at, sleep_until};

use super::params;
use crate::domain::filter::Filter;
use crate::json;
use crate::live::LiveBatch;
use crate::state::AppState;
use crate::store::list;

const HEARTBEAT: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_mins(30);
/// How far a client may be behind before entries are left out.
const MOST_BEHIND: i64 = 10_000;
/// Entries read from the database at a time for a client that is behind.
const CATCH_UP_ENTRIES: usize = 200;
const CATCH_UP_BYTES: usize = 128 * 1024;

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
    let filter = params::entry_filter(&query)?;
    let slot = state
        .slots
        .take()
        .ok_or_else(|| ApiError::busy("Too many SSE connections"))?;
    let receiver = state.app.hub.subscribe();
    let newest = state.app.ctx.store.read(list::last_id).await?;
    let tail = Tail {
        seen: resume_point(&headers, newest),
        target: newest,
        filter,
        receiver,
        waiting: VecDeque::new(),
        heartbeat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
        end: Instant::now() + LONGEST,
        is_over: false,
        app: state.app,
        _slot: slot,
    };
    let events = stream::unfold(tail, |mut tail| async move {
        let event = tail.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event.encode())), tail))
    });
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
    Ok(response)
}

/// The last id the client has seen. Without one, and for one that we never gave, it starts with what is new.
fn resume_point(headers: &HeaderMap, newest: i64) -> i64 {
    headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<i64>().ok())
        .filter(|id| (0..=newest).contains(id))
        .unwrap_or(newest)
}

struct Tail {
    app: AppState,
    filter: Filter,
    receiver: Receiver<Arc<LiveBatch>>,
    /// Every id up to this one was sent, filtered out, or reported as missed.
    seen: i64,
    /// The database holds entries up to this id that have to be read first.
    target: i64,
    waiting: VecDeque<Event>,
    heartbeat: Interval,
    end: Instant,
    is_over: bool,
    _slot: Slot,
}

impl Tail {
    async fn next(&mut self) -> Option<Event> {
        let soft = self.app.ctx.lifecycle.soft();
        loop {
            if soft.is_cancelled() && !self.is_over {
                // What waits is not lost: the client comes back with its last id.
                self.waiting.clear();
                self.close("shutdown");
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if self.seen < self.target {
                if let Err(fault) = self.catch_up().await {
                    tracing::warn!(%fault, "a live tail cannot read what it missed");
                    self.close("error");
                }
                continue;
            }
            tokio::select! {
                biased;
                () = soft.cancelled() => {}
                () = sleep_until(self.end) => self.close("max_duration"),
                _ = self.heartbeat.tick() => self.waiting.push_back(Event::data("{}").named("heartbeat")),
                heard = self.receiver.recv() => self.hear(heard),
            }
        }
    }

    fn close(&mut self, reason: &str) {
        self.is_over = true;
        self.waiting
            .push_back(Event::data(format!("{{\"reason\": \"{reason}\"}}")).named("close"));
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
        let last = batch.first_id + batch.entries.len() as i64 - 1;
        // Searches are the index's business, and gaps are filled from the database.
        if self.filter.search.is_some() || batch.first_id > self.seen + 1 {
            self.target = self.target.max(last);
            return;
        }
        for (entry, id) in batch.entries.iter().zip(batch.first_id..) {
            let is_wanted = id > self.seen
                && self
                    .filter
                    .levels
                    .is_none_or(|levels| levels.contains(entry.level))
                && self
                    .filter
                    .container
                    .as_deref()
                    .is_none_or(|name| name == &*entry.container);
            if is_wanted {
                self.waiting.push_back(log_event(id, entry.json.clone()));
            }
        }
        self.seen = self.seen.max(last);
    }

    /// Reads some of what the client has not seen.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let behind = self.target - self.seen;
        if behind > MOST_BEHIND {
            self.miss(behind - MOST_BEHIND);
        }
        let (filter, seen, target) = (self.filter.clone(), self.seen, self.target);
        let (floor, up_to, entries) = self
            .app
            .ctx
            .store
            .read(move |conn| {
                let piece = list::after(conn, &filter, seen, target, CATCH_UP_ENTRIES)?;
                let (entries, done) = list::entries(conn, &piece.ids, CATCH_UP_BYTES)?;
                let up_to = if done < piece.ids.len() {
                    piece.ids.get(done).map_or(piece.up_to, |next| next - 1)
                } else {
                    piece.up_to
                };
                Ok((piece.floor, up_to, entries))
            })
            .await?;
        if self.seen + 1 < floor {
            self.miss(floor - 1 - self.seen);
        }
        let events = entries
            .iter()
            .map(|entry| log_event(entry.id, json::entry(entry)));
        self.waiting.extend(events);
        self.seen = self.seen.max(up_to);
        Ok(())
    }

    fn miss(&mut self, count: i64) {
        self.seen += count;
        let event = Event::data(format!("{{\"count\": {count}}}"));
        self.waiting
            .push_back(event.named("missed").with_id(self.seen.to_string()));
    }
}

fn log_event(id: i64, json: String) -> Event {
    Event::data(json).named("log").with_id(id.to_string())
}
