//! The life of one connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, header};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::incoming::Received;
use super::io::{Transport, Watched};
use super::watch::{Cut, Watch};
use crate::http::address::Peer;

/// The largest head of a request. Also the unit in which bodies are read and answers written.
const HEAD_BYTES: usize = 16 * 1024;

/// Answers the requests of one connection, one after the other, until it ends; gives the reason if
/// it had to be cut. On `soft` it finishes the request it is at.
pub(super) async fn drive<T: Transport>(
    io: T,
    peer: SocketAddr,
    router: Router,
    watch: Arc<Watch>,
    soft: CancellationToken,
) -> Option<Cut> {
    let io = Watched::new(io, Arc::clone(&watch));
    let seen = Arc::clone(&watch);
    let service =
        service_fn(move |request| answer(router.clone(), peer, Arc::clone(&seen), request));
    let mut connection = pin!(
        http1::Builder::new()
            // A client may close its sending side when it has sent its request.
            .half_close(true)
            // Ours also cover what hyper's do not.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(io, service)
    );
    let mut stop = pin!(soft.cancelled());
    let mut stopping = false;
    // The alarm is only moved forward when a deadline is nearer, and back when it rings: requests
    // that follow each other quickly never touch the timer.
    let first = watch.next_deadline().unwrap_or_else(Instant::now);
    let mut alarm = pin!(sleep_until(first));
    poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        // An error is the peer's: gone, or no HTTP. It has been answered if it could be.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        watch.poll_unwanted(cx);
        loop {
            if let Some(cut) = watch.overdue() {
                return Poll::Ready(Some(cut));
            }
            let Some(deadline) = watch.next_deadline() else {
                return Poll::Pending;
            };
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It rang, maybe for something that is done by now.
            if deadline > Instant::now() {
                alarm.as_mut().reset(deadline);
            }
        }
    })
    .await
}

async fn answer(
    mut router: Router,
    peer: SocketAddr,
    watch: Arc<Watch>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    watch.request_began();
    let expects = request.headers().contains_key(header::EXPECT);
    let mut request = request.map(|incoming| {
        if incoming.is_end_stream() {
            Body::empty()
        } else {
            Body::new(Received::new(incoming, expects, Arc::clone(&watch)))
        }
    });
    request.extensions_mut().insert(Peer(peer));
    let Ok(response) = Service::<Request<Body>>::call(&mut router, request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    watch.answer_began(kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")));
    Ok(response.map(|body| Sent { body, watch }))
}

/// The body of an answer. Its end is the end of the request.
pub(super) struct Sent {
    body: Body,
    watch: Arc<Watch>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.watch.streams_to_nobody() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.watch.answer_ended();
    }
}
