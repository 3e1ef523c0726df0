//! Answers on their way hold at most [`ON_THEIR_WAY_BYTES`] of memory together.
//!
//! Clients that ask for much and read slowly make the service hold what they do not take. A small
//! answer passes. A large one needs a share of the common room and is refused with a 503 when none
//! comes free in time. An answer in pieces needs a share for each piece, before the piece is made;
//! without one for too long the connection is cut. A share is held until the last clone of its bytes
//! is dropped, which is when the socket has taken them. Packing an answer takes memory too: without
//! room for that it goes out as it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::PollSemaphore;

use super::error::ApiError;
use crate::metrics::{Counter, Registry};

/// What all large answers of a service may hold in memory at the same time.
pub const ON_THEIR_WAY_BYTES: usize = 4 * 1024 * 1024;
/// Answers up to this need no share: a connection takes about as much by itself.
pub const SMALL_BYTES: u64 = 8 * 1024;
/// The share of a piece whose length is not known yet.
const PIECE_BYTES: usize = 256 * 1024;
/// What the packing of one answer takes: the window and the tables of the encoder.
const PACKER_BYTES: usize = 320 * 1024;
/// How long an answer waits for its share before it becomes a 503.
const WAIT_FOR_SHARE: Duration = Duration::from_secs(1);
/// Answers that may wait at the same time, since they are in memory already.
const MOST_WAITING: usize = 4;
/// How long a piece waits for its share before the connection is cut.
const WAIT_FOR_PIECE: Duration = Duration::from_secs(30);

/// The room that all large answers share. Cheap to clone.
#[derive(Clone)]
pub(super) struct AnswerBudget {
    room: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    size: usize,
    refused: Counter,
    cut: Counter,
}

impl AnswerBudget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: usize, metrics: &Registry) -> Self {
        let size = bytes.min(u32::MAX as usize);
        let room = Arc::new(Semaphore::new(size));
        let seen = Arc::downgrade(&room);
        metrics.gauge_fn(
            "monlight_http_answer_bytes",
            "Memory taken by large answers that clients have not taken yet.",
            &[],
            move || {
                seen.upgrade().map_or(0.0, |room| {
                    (size - room.available_permits().min(size)) as f64
                })
            },
        );
        metrics
            .gauge(
                "monlight_http_answer_bytes_max",
                "The most that all large answers may take.",
                &[],
            )
            .set(size as i64);
        Self {
            room,
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            size,
            refused: metrics.counter(
                "monlight_http_answers_refused_total",
                "Answers refused because others on their way took all the room.",
                &[],
            ),
            cut: metrics.counter(
                "monlight_http_answers_cut_total",
                "Answers in pieces that were cut because no room came free.",
                &[],
            ),
        }
    }

    /// The answer, when there is room for it; else a 503. Event streams have bounds of their own.
    pub(super) async fn admit(&self, response: Response) -> Response {
        let exact = response.body().size_hint().exact();
        if exact.is_some_and(|bytes| bytes <= SMALL_BYTES) || is_event_stream(&response) {
            return response;
        }
        let bytes = exact.map_or(PIECE_BYTES, |bytes| bytes.min(self.size as u64) as usize);
        let Some(share) = self.take(bytes).await else {
            self.refused.inc();
            return ApiError::busy("Too many large answers at the same time").into_response();
        };
        response.map(|body| {
            Body::new(Counted {
                body,
                share: Some(share),
                in_pieces: exact.is_none(),
                budget: self.clone(),
                next: PollSemaphore::new(Arc::clone(&self.room)),
                alarm: None,
            })
        })
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if let Some(share) = self.take_now(bytes) {
            return Some(share);
        }
        let _place = self.waiting.try_acquire().ok()?;
        // Bounded by the size, which fits.
        let waiting = Arc::clone(&self.room).acquire_many_owned(bytes.min(self.size) as u32);
        // The semaphore is never closed, so the inner result is always a permit.
        tokio::time::timeout(WAIT_FOR_SHARE, waiting)
            .await
            .ok()?
            .ok()
    }

    fn take_now(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = bytes.min(self.size) as u32;
        Arc::clone(&self.room).try_acquire_many_owned(permits).ok()
    }

    /// Room for packing one answer.
    pub(super) fn packer(&self) -> Option<OwnedSemaphorePermit> {
        self.take_now(PACKER_BYTES)
    }
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("other answers took all the room for too long")]
struct NoRoom;

/// A body whose bytes hold their share.
struct Counted {
    body: Body,
    /// For what comes next.
    share: Option<OwnedSemaphorePermit>,
    in_pieces: bool,
    budget: AnswerBudget,
    next: PollSemaphore,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Counted {
    /// Waits for the share of the next piece. `false` when it took too long.
    fn poll_share(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let piece = PIECE_BYTES.min(self.budget.size) as u32;
        if let Poll::Ready(share) = self.next.poll_acquire_many(cx, piece) {
            self.share = share;
            self.alarm = None;
            return Poll::Ready(true);
        }
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WAIT_FOR_PIECE)));
        ready!(alarm.as_mut().poll(cx));
        self.budget.cut.inc();
        Poll::Ready(false)
    }

    /// Ties their share to the bytes. A piece may be somewhat longer than thought; when there is no
    /// room for the excess, it goes out all the same, because it is there.
    fn attach(&mut self, bytes: Bytes) -> Bytes {
        let Some(mut share) = self.share.take() else {
            return bytes;
        };
        let (length, held) = (bytes.len(), share.num_permits());
        if bytes.is_empty() {
            self.share = Some(share);
            return bytes;
        }
        if length < held {
            let rest = share.split(held - length);
            self.share = rest.filter(|_| !self.in_pieces);
        } else if let Some(excess) = self.budget.take_now(length - held) {
            share.merge(excess);
        }
        Bytes::from_owner(Held {
            bytes,
            _share: share,
        })
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.in_pieces && this.share.is_none() && !ready!(this.poll_share(cx)) {
            return Poll::Ready(Some(Err(axum::Error::new(NoRoom))));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_none() {
            this.share = None;
        }
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|data| this.attach(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Held {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that is being packed, with the room for that.
pub(super) struct Packed {
    body: Body,
    _share: OwnedSemaphorePermit,
}

impl Packed {
    pub(super) fn new(body: Body, share: OwnedSemaphorePermit) -> Self {
        Self {
            body,
            _share: share,
        }
    }
}

impl HttpBody for Packed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    const KIB: usize = 1024;

    fn budget(bytes: usize) -> AnswerBudget {
        AnswerBudget::new(bytes, &Registry::default())
    }

    fn whole(bytes: usize) -> Response {
        Response::new(Body::from(vec![b'x'; bytes]))
    }

    fn in_pieces(pieces: usize, bytes: usize) -> Response {
        let pieces = (0..pieces).map(move |_| Ok::<_, NoRoom>(vec![b'x'; bytes]));
        Response::new(Body::from_stream(stream::iter(pieces)))
    }

    fn free(budget: &AnswerBudget) -> usize {
        budget.room.available_permits() / KIB
    }

    async fn piece(response: &mut Response) -> Bytes {
        let frame = response.body_mut().frame().await.expect("a frame");
        frame.expect("whole").into_data().expect("data")
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_holds_its_share_until_its_bytes_are_gone() {
        let budget = budget(1024 * KIB);
        let mut first = budget.admit(whole(700 * KIB)).await;
        assert_eq!(free(&budget), 324);
        let bytes = piece(&mut first).await;
        drop(first);
        assert_eq!((free(&budget), bytes.len()), (324, 700 * KIB));
        assert_eq!(budget.admit(whole(400 * KIB)).await.status(), 503);
        assert_eq!(budget.refused.get(), 1);
        assert_eq!(budget.admit(whole(8 * KIB)).await.status(), 200);
        drop(bytes);
        assert_eq!(budget.admit(whole(400 * KIB)).await.status(), 200);
        assert_eq!(free(&budget), 1024);
        // More than everything is let through when it is alone.
        let huge = budget.admit(whole(5000 * KIB)).await;
        assert_eq!((huge.status().as_u16(), free(&budget)), (200, 0));
        let all = huge.into_body().collect().await.expect("whole");
        assert_eq!(all.to_bytes().len(), 5000 * KIB);
        assert_eq!(free(&budget), 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_has_a_share_of_its_own() {
        let budget = budget(512 * KIB);
        let mut answer = budget.admit(in_pieces(3, 100 * KIB)).await;
        assert_eq!(free(&budget), 256);
        let first = piece(&mut answer).await;
        assert_eq!(free(&budget), 412);
        let second = piece(&mut answer).await;
        assert_eq!(free(&budget), 312);
        drop((first, second));
        assert_eq!(piece(&mut answer).await.len(), 100 * KIB);
        assert!(answer.body_mut().frame().await.is_none());
        assert_eq!(free(&budget), 512);
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_waits_for_room_and_is_cut_when_none_comes() {
        let budget = budget(512 * KIB);
        let mut answer = budget.admit(in_pieces(3, 300 * KIB)).await;
        let first = piece(&mut answer).await;
        assert_eq!(free(&budget), 212);
        let waited = tokio::time::timeout(WAIT_FOR_PIECE / 2, piece(&mut answer)).await;
        assert!(waited.is_err());
        drop(first);
        let second = piece(&mut answer).await;
        assert_eq!(second.len(), 300 * KIB);
        let cut = answer.body_mut().frame().await.expect("an end");
        assert_eq!(
            cut.expect_err("cut").to_string(),
            "other answers took all the room for too long"
        );
        assert_eq!(budget.cut.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn few_answers_may_wait() {
        let budget = budget(512 * KIB);
        let held = budget.admit(whole(512 * KIB)).await;
        let admit = || budget.admit(whole(100 * KIB));
        let release = async {
            sleep_until(Instant::now() + WAIT_FOR_SHARE / 2).await;
            drop(held);
        };
        let answers = futures_util::future::join_all((0..5).map(|_| admit()));
        let ((), answers) = tokio::join!(release, answers);
        let statuses: Vec<u16> = answers
            .iter()
            .map(|answer| answer.status().as_u16())
            .collect();
        assert_eq!(statuses, [200, 200, 200, 200, 503]);
    }

    #[tokio::test]
    async fn event_streams_are_not_counted() {
        let budget = budget(64 * KIB);
        let mut events = in_pieces(1, 10);
        let kind = header::HeaderValue::from_static("text/event-stream");
        events.headers_mut().insert(header::CONTENT_TYPE, kind);
        assert_eq!(budget.admit(events).await.status(), 200);
        assert_eq!(free(&budget), 64);
    }
}
