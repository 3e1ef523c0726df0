//! The bytes between us and a mail server, and the few words before they are encrypted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::notify::text;

/// What is read of a mail server in one session, all its answers together. Real ones need less than two kilobytes.
const MOST_BYTES: usize = 64 * 1024;
/// What lettre is told in place of a greeting that was read already.
const GREETING: &[u8] = b"220 continued\r\n";

/// A connection, encrypted or not, that gives up on a server that talks without end.
pub(super) struct Stream {
    line: Line,
    /// Still to be read before what comes over the line.
    first: &'static [u8],
    room: usize,
}

enum Line {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<Stream>>),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl Stream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            line: Line::Plain(socket),
            first: b"",
            room: MOST_BYTES,
        }
    }

    pub(super) fn encrypted(line: TlsStream<Self>) -> Self {
        Self {
            line: Line::Encrypted(Box::new(line)),
            first: b"",
            room: MOST_BYTES,
        }
    }

    /// For a conversation that goes on: who reads it expects a greeting.
    #[must_use]
    pub(super) fn greeting_seen(mut self) -> Self {
        self.first = GREETING;
        self
    }
}

impl AsyncTokioStream for Stream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.line {
            Line::Plain(socket) => socket.peer_addr(),
            Line::Encrypted(line) => AsyncTokioStream::peer_addr(line.get_ref().0),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let (now, later) = self.first.split_at(self.first.len().min(buf.remaining()));
            buf.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = match &mut self.line {
            Line::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Line::Encrypted(line) => Pin::new(line).poll_read(cx, buf),
        };
        ready!(read)?;
        let came = buf.filled().len() - before;
        match self.room.checked_sub(came) {
            Some(left) => {
                self.room = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other("the mail server talks without end"))),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.line {
            Line::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Line::Encrypted(line) => Pin::new(line).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Line::Encrypted(line) => Pin::new(line).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Line::Encrypted(line) => Pin::new(line).poll_shutdown(cx),
        }
    }
}

/// The words before encryption (RFC 3207). What the server sent before it is forgotten with it: whatever stands behind
/// the answer to STARTTLS was not sent by whom the certificate names, and ends the session.
pub(super) struct Prelude {
    stream: Stream,
    unread: Vec<u8>,
}

impl Prelude {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Reads the greeting, says hello, and answers whether STARTTLS is offered.
    pub(super) async fn hello(&mut self, name: &str) -> Result<bool, String> {
        self.answer("220").await?;
        let offers = self.ask(&format!("EHLO {name}\r\n"), "250").await?;
        Ok(offers
            .iter()
            .any(|line| line.eq_ignore_ascii_case("STARTTLS")))
    }

    /// Asks for encryption; answers the connection on which it begins.
    pub(super) async fn start_tls(mut self) -> Result<Stream, String> {
        self.ask("STARTTLS\r\n", "220").await?;
        if !self.unread.is_empty() {
            return Err(
                "the mail server, or somebody between, spoke before the encryption".to_owned(),
            );
        }
        Ok(self.stream)
    }

    /// The connection as it is. What was read beyond the last answer is not waited for by anybody.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    async fn ask(&mut self, command: &str, expected: &str) -> Result<Vec<String>, String> {
        let sent = self.stream.write_all(command.as_bytes()).await;
        sent.map_err(|fault| format!("the mail server hung up: {fault}"))?;
        self.answer(expected).await
    }

    /// The texts of all lines of an answer, whose code must be `expected`.
    async fn answer(&mut self, expected: &str) -> Result<Vec<String>, String> {
        let mut texts = Vec::new();
        loop {
            let line = self.line().await?;
            let rest = line.strip_prefix(expected);
            let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with([' ', '-']))
            else {
                let line = text::one_line(&line, 200);
                return Err(format!("the mail server answered {line:?}"));
            };
            texts.push(rest.get(1..).unwrap_or_default().trim().to_owned());
            if !rest.starts_with('-') {
                return Ok(texts);
            }
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            // The stream itself bounds what comes.
            let read = self.stream.read_buf(&mut self.unread).await;
            match read {
                Ok(0) => return Err("the mail server hung up".to_owned()),
                Ok(_) => {}
                Err(fault) => return Err(format!("the mail server hung up: {fault}")),
            }
        }
    }
}
