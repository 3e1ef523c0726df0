//! Connections on in-memory pipes, under a clock that moves when everybody waits.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use super::io::Transport;
use super::watch::Cut;
use super::*;
use crate::http::body::{BodyBudget, BodyRules, read};
use crate::http::error::ApiError;

mod room;

impl Transport for DuplexStream {
    fn poll_gone(&self, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        std::task::Poll::Pending
    }
}

async fn echo(request: Request) -> Result<Vec<u8>, ApiError> {
    let rules = BodyRules {
        limit: 1 << 20,
        budget: BodyBudget::new(1 << 24, &Registry::default()),
    };
    let (parts, body) = request.into_parts();
    Ok(read(&parts.headers, body, &rules).await?.to_vec())
}

async fn refuse_unread() -> Response {
    (StatusCode::UNAUTHORIZED, "no").into_response()
}

async fn endless() -> axum::body::Body {
    let chunk = axum::body::Bytes::from(vec![b'x'; 8192]);
    axum::body::Body::from_stream(stream::repeat_with(move || {
        Ok::<_, std::io::Error>(chunk.clone())
    }))
}

struct Peer {
    io: DuplexStream,
    unread: Vec<u8>,
    server: JoinSet<Option<Cut>>,
    soft: CancellationToken,
    began: Instant,
}

/// Waits for the server's side of a connection to end.
async fn ended(mut server: JoinSet<Option<Cut>>) -> Option<Cut> {
    server
        .join_next()
        .await
        .expect("it was started")
        .expect("no panic")
}

/// The length of the first answer in `bytes`, once all of it is there.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?)
        .expect("is text")
        .to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    Some(end + length.unwrap_or(0)).filter(|whole| *whole <= bytes.len())
}

/// A client on a pipe that holds `pipe` bytes in each direction.
fn connect(pipe: usize) -> Peer {
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(echo))
        .route("/refuse", post(refuse_unread))
        .route(
            "/slow",
            get(|| async {
                timeout(Duration::from_mins(5), std::future::pending::<()>())
                    .await
                    .map_or("late", |()| "never")
            }),
        )
        .route("/endless", get(endless));
    let (io, theirs) = tokio::io::duplex(pipe);
    let soft = CancellationToken::new();
    let watch = Arc::new(Watch::new(Settings::default()));
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut server = JoinSet::new();
    server.spawn(connection::drive(
        theirs,
        address,
        router,
        watch,
        soft.clone(),
    ));
    Peer {
        io,
        server,
        soft,
        unread: Vec::new(),
        began: Instant::now(),
    }
}

impl Peer {
    async fn send(&mut self, text: &str) {
        self.io
            .write_all(text.as_bytes())
            .await
            .expect("the server takes it");
    }

    /// Reads one answer of known length.
    async fn answer(&mut self) -> String {
        loop {
            if let Some(length) = answer_length(&self.unread) {
                let rest = self.unread.split_off(length);
                let answer = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8(answer).expect("is text");
            }
            let count = self
                .io
                .read_buf(&mut self.unread)
                .await
                .expect("can be read");
            assert!(
                count > 0,
                "ended in: {}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> String {
        self.io
            .read_to_end(&mut self.unread)
            .await
            .expect("ends in order");
        String::from_utf8(std::mem::take(&mut self.unread)).expect("is text")
    }

    /// Why and after how many seconds the server ended the connection.
    async fn end(self) -> (Option<Cut>, u64) {
        let reason = ended(self.server).await;
        (reason, self.began.elapsed().as_secs())
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends() {
    let peer = connect(1024);
    assert_eq!(peer.end().await, (Some(Cut::Head), 10));
}

#[tokio::test(start_paused = true)]
async fn half_a_head_ends() {
    let mut peer = connect(1024);
    peer.send("GET / HTTP/1.1\r\nHost:").await;
    assert_eq!(peer.end().await, (Some(Cut::Head), 10));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_ends_all_the_same() {
    let mut peer = connect(1024);
    for _ in 0..9 {
        peer.send("GET ").await;
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(peer.end().await, (Some(Cut::Head), 10));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_and_ends_when_idle() {
    let mut peer = connect(1024);
    for _ in 0..3 {
        peer.send("GET / HTTP/1.1\r\n\r\n").await;
        assert!(peer.answer().await.ends_with("hello"));
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    assert_eq!(peer.end().await, (Some(Cut::Idle), 120 + 75));
}

#[tokio::test(start_paused = true)]
async fn the_next_head_has_to_come_in_time_too() {
    let mut peer = connect(1024);
    peer.send("GET / HTTP/1.1\r\n\r\n").await;
    peer.answer().await;
    tokio::time::advance(Duration::from_mins(1)).await;
    peer.send("GET / HT").await;
    assert_eq!(peer.end().await, (Some(Cut::Head), 70));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_its_time() {
    let mut peer = connect(1024);
    peer.send("GET /slow HTTP/1.1\r\n\r\n").await;
    assert!(peer.answer().await.ends_with("late"));
    assert_eq!(peer.began.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_answered_408() {
    let mut peer = connect(1024);
    peer.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345")
        .await;
    let answer = peer.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(peer.began.elapsed().as_secs(), 10);
    assert_eq!(peer.rest().await, "", "what would follow is no request");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_answered_408() {
    let mut peer = connect(1024);
    peer.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..3 {
        peer.send("1\r\na\r\n").await;
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(6)).await;
    }
    let answer = peer.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(peer.began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_long_body_has_time_as_long_as_it_moves() {
    let mut peer = connect(1 << 20);
    let part = "x".repeat(64 * 1024);
    peer.send(&format!(
        "POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        10 * part.len()
    ))
    .await;
    for _ in 0..10 {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(6)).await;
        peer.send(&part).await;
    }
    assert!(peer.answer().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(peer.began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut() {
    let mut peer = connect(1024);
    peer.send("GET /endless HTTP/1.1\r\n\r\n").await;
    let Peer {
        io, server, began, ..
    } = peer;
    assert_eq!(ended(server).await, Some(Cut::Write));
    assert_eq!(began.elapsed().as_secs(), 30);
    drop(io);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_before_its_body_and_the_connection_goes_on() {
    let mut peer = connect(1 << 20);
    let body = "x".repeat(100_000);
    peer.send(&format!(
        "POST /refuse HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ))
    .await;
    assert!(
        peer.answer().await.starts_with("HTTP/1.1 401 "),
        "answered at once"
    );
    assert_eq!(peer.began.elapsed().as_secs(), 0);
    peer.send(&body).await;
    peer.send("GET / HTTP/1.1\r\n\r\n").await;
    assert!(peer.answer().await.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_wants_is_not_waited_for_long() {
    let mut peer = connect(1 << 20);
    peer.send("POST /refuse HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")
        .await;
    assert!(peer.answer().await.starts_with("HTTP/1.1 401 "));
    assert_eq!(peer.rest().await, "");
    assert_eq!(peer.end().await, (None, 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_wants_is_not_read_for_ever() {
    let mut peer = connect(64 * 1024);
    peer.send("POST /refuse HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")
        .await;
    let (mut read, mut write) = tokio::io::split(peer.io);
    let mut sent = 0_u64;
    while write.write_all(&[b'x'; 8192]).await.is_ok() {
        sent += 8192;
    }
    let mut answer = String::new();
    let _ = read.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(
        (1024 * 1024..1200 * 1024).contains(&sent),
        "{sent} bytes were read"
    );
    assert_eq!(ended(peer.server).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_continue_gets_its_refusal_instead() {
    let mut peer = connect(1024);
    peer.send("POST /refuse HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        .await;
    assert!(peer.answer().await.starts_with("HTTP/1.1 401 "));
    assert_eq!(peer.rest().await, "");
    let mut peer = connect(1024);
    peer.send("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(peer.answer().await, "HTTP/1.1 100 Continue\r\n\r\n");
    peer.send("ok").await;
    assert!(peer.answer().await.ends_with("ok"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_told_so() {
    for (sent, expected) in [
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
            "HTTP/1.1 431 ",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)),
            "HTTP/1.1 431 ",
        ),
        ("hello\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
        (
            "GET / HTTP/1.1\r\nContent-Length: abc\r\n\r\n".to_owned(),
            "HTTP/1.1 400 ",
        ),
        ("GET / HTTP/1.1\r\n: x\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
    ] {
        let mut peer = connect(1 << 16);
        peer.send(&sent).await;
        let answer = peer.answer().await;
        assert!(answer.starts_with(expected), "{answer}");
        assert!(answer.contains("{\"detail\":\""), "{answer}");
        drop(peer.io);
        assert_eq!(ended(peer.server).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_is_followed_by_a_short_wait() {
    let mut peer = connect(1 << 16);
    peer.send("hello\r\n\r\n").await;
    peer.rest().await;
    let (reason, seconds) = peer.end().await;
    assert_eq!((reason, seconds), (Some(Cut::Linger), 2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_among_others_keeps_its_own_words() {
    let mut peer = connect(1 << 16);
    peer.send("POST /nowhere HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        .await;
    assert!(peer.answer().await.starts_with("HTTP/1.1 404 "));
    assert!(peer.answer().await.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_in_a_row_are_answered_in_a_row() {
    let mut peer = connect(256);
    let (mut read, mut write) =
        tokio::io::split(std::mem::replace(&mut peer.io, tokio::io::duplex(1).0));
    let sending = async {
        for _ in 0..1000 {
            write
                .write_all(b"GET / HTTP/1.1\r\n\r\n")
                .await
                .expect("takes it");
        }
        write.shutdown().await.expect("closes");
    };
    let mut all = String::new();
    let ((), read) = tokio::join!(sending, read.read_to_string(&mut all));
    read.expect("ends in order");
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_closed_its_side_still_gets_its_answer() {
    let mut peer = connect(1024);
    peer.send("POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nwell")
        .await;
    peer.io.shutdown().await.expect("closes");
    assert!(peer.rest().await.ends_with("well"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_early_is_a_fault() {
    let mut peer = connect(1024);
    peer.send("POST /echo HTTP/1.1\r\nContent-Length: 40\r\n\r\n{}")
        .await;
    peer.io.shutdown().await.expect("closes");
    let answer = peer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"detail":"Failed to read request body"}"#),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn absurd_chunks_are_a_fault() {
    for size in [
        "ffffffffffffffff",
        "fffffffffffffffff",
        "-1",
        "zz",
        "10000000000",
    ] {
        let mut peer = connect(4096);
        peer.send(&format!(
            "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nabc"
        ))
        .await;
        peer.io.shutdown().await.expect("closes");
        let answer = peer.rest().await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{size}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_what_waits_and_finishes_what_has_begun() {
    let fresh = connect(1024);
    tokio::task::yield_now().await;
    fresh.soft.cancel();
    assert_eq!(fresh.end().await, (None, 0));

    let mut idle = connect(1024);
    idle.send("GET / HTTP/1.1\r\n\r\n").await;
    idle.answer().await;
    idle.soft.cancel();
    assert_eq!(idle.end().await, (None, 0));

    let mut busy = connect(1024);
    busy.send("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n")
        .await;
    tokio::task::yield_now().await;
    busy.soft.cancel();
    tokio::task::yield_now().await;
    busy.send("ok").await;
    let answer = busy.rest().await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("ok"),
        "{answer}"
    );
}
