//! The socket of a connection, watched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::watch::{Phase, Watch};

/// A byte stream that can tell whether its peer is gone, without taking what it has sent.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ready when the peer has closed. May be ready late, and never when the peer keeps sending.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl Transport for TcpStream {
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match self.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Tells the [`Watch`] what goes in and out. It also puts words into hyper's own refusals of heads
/// that are too large or no HTTP, and lingers when such a connection is closed.
pub(super) struct Watched<T> {
    io: TokioIo<T>,
    watch: Arc<Watch>,
    /// What is sent instead of hyper's refusal, and how much of it has been.
    refusal: Option<(String, usize)>,
    shut_down: bool,
    dropped_bytes: u64,
}

impl<T: Transport> Watched<T> {
    pub(super) fn new(io: T, watch: Arc<Watch>) -> Self {
        Self {
            io: TokioIo::new(io),
            watch,
            refusal: None,
            shut_down: false,
            dropped_bytes: 0,
        }
    }

    fn note<R>(&self, written: Poll<R>) -> Poll<R> {
        match written {
            Poll::Pending => self.watch.write_is_stuck(),
            Poll::Ready(_) => self.watch.write_goes_on(),
        }
        written
    }

    /// Sends our words in place of `theirs`; says that all of `theirs` was written when it is done.
    fn poll_refusal(&mut self, cx: &mut Context<'_>, theirs: usize) -> Poll<io::Result<usize>> {
        while let Some((text, sent)) = &mut self.refusal {
            let rest = text.as_bytes().get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                self.refusal = None;
                break;
            }
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Pending => return self.note(Poll::Pending),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(count)) => *sent += count,
            }
        }
        self.note(Poll::Ready(Ok(theirs)))
    }

    /// Reads and drops until the peer closes or has sent enough; the watch ends it in time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        while self.dropped_bytes < self.watch.settings.linger_bytes {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(self.io.inner_mut()).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.dropped_bytes += buffer.filled().len() as u64;
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

/// Our words for a head that hyper refuses by itself, without a body and without our headers.
fn refusal_for(theirs: &[u8]) -> Option<String> {
    let status = theirs.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (line, detail) = match status {
        b"431" => (
            "431 Request Header Fields Too Large",
            "Request head is too large: expected at most 16384 bytes and 100 headers",
        ),
        b"414" => ("414 URI Too Long", "Request target is too long"),
        b"400" => (
            "400 Bad Request",
            "Malformed HTTP request: expected a request line of HTTP/1.0 or HTTP/1.1, headers as name: value, and one \
             Content-Length at most",
        ),
        _ => return None,
    };
    // Every answer of ours has an id, so one without comes from hyper.
    let id = b"\r\nx-request-id:";
    if theirs.windows(id.len()).any(|window| window == id) {
        return None;
    }
    let body = format!("{{\"detail\":\"{detail}\"}}");
    Some(format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    ))
}

impl<T: Transport> Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        self.watch.received();
        Poll::Ready(read)
    }
}

impl<T: Transport> Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.refusal.is_none() && this.watch.phase() == Phase::Head {
            this.refusal = refusal_for(bytes).map(|text| (text, 0));
        }
        if this.refusal.is_some() {
            return this.poll_refusal(cx, bytes.len());
        }
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Hyper does not read while it answers, so nobody else notices that a stream has lost its
        // peer before the next event.
        if self.watch.is_streaming() && self.io.inner().poll_gone(cx).is_ready() {
            self.watch.peer_is_gone();
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.shut_down {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            this.shut_down = true;
            // Only a refused head leaves something unread here; closing at once would make the
            // kernel reset the connection and destroy the answer on its way.
            if this.watch.phase() == Phase::Head {
                this.watch.closing();
            }
        }
        if this.watch.phase() == Phase::Closing {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.refusal.is_some() || self.watch.phase() == Phase::Head {
            let first = slices
                .iter()
                .find(|slice| !slice.is_empty())
                .map_or(&[][..], |slice| slice);
            return self.poll_write(cx, first);
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.note(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_of_heads_get_other_words() {
        let refusal = refusal_for(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n",
        );
        assert!(
            refusal.unwrap().ends_with(
                r#"{"detail":"Request head is too large: expected at most 16384 bytes and 100 headers"}"#
            )
        );
        assert!(refusal_for(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").is_some());
        for other in [
            b"HTTP/1.1 200 OK\r\n\r\n".as_slice(),
            b"HTTP/1.1 404 Not Found\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nx-request-id: 1\r\n\r\n{}",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"",
        ] {
            assert_eq!(refusal_for(other), None);
        }
    }
}
