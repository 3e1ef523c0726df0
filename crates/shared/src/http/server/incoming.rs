//! The body of a request, with an end to waiting for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::watch::Watch;
use crate::http::body::Stalled;

/// A body that fails with [`Stalled`] when nothing comes for too long, or too little in all. When a
/// handler drops it early, the connection reads on and drops what comes.
pub(super) struct Received {
    /// Always there until the end.
    incoming: Option<Incoming>,
    /// The client waits for `100 Continue` before it sends.
    expects_continue: bool,
    watch: Arc<Watch>,
    bytes: u64,
    /// When it first had to be waited for. A body that comes with its head needs no timer.
    waited_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    alarm_is_stale: bool,
}

impl Received {
    pub(super) fn new(incoming: Incoming, expects_continue: bool, watch: Arc<Watch>) -> Self {
        Self {
            incoming: Some(incoming),
            expects_continue,
            watch,
            bytes: 0,
            waited_since: None,
            alarm: None,
            alarm_is_stale: true,
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm_is_stale {
            let settings = &self.watch.settings;
            let now = Instant::now();
            let since = *self.waited_since.get_or_insert(now);
            let earned = Duration::from_secs(self.bytes / settings.body_bytes_a_second.max(1));
            let deadline = (now + settings.body_gap).min(since + settings.body_grace + earned);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(deadline),
                none => *none = Some(Box::pin(sleep_until(deadline))),
            }
            self.alarm_is_stale = false;
        }
        self.alarm
            .as_mut()
            .map_or(Poll::Pending, |alarm| alarm.as_mut().poll(cx))
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        this.expects_continue = false;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.alarm_is_stale = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(fault))) => {
                this.incoming = None;
                Poll::Ready(Some(Err(fault.into())))
            }
            Poll::Ready(None) => {
                this.incoming = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                std::task::ready!(this.poll_alarm(cx));
                this.incoming = None;
                Poll::Ready(Some(Err(Stalled.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // A client that waits for `100 Continue` has sent nothing that could be dropped.
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
            && !self.expects_continue
        {
            self.watch.take_unwanted(incoming);
        }
    }
}
