//! A service on a real port, and a client that can misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use monlight_shared::config::TrustedProxies;
use monlight_shared::http::server::{Settings, bind, serve_with};
use monlight_shared::testing::{TEST_KEY, TestService};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::demo::Demo;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running service.
pub(crate) struct Running {
    pub(crate) service: TestService,
    pub(crate) address: SocketAddr,
    server: JoinSet<()>,
}

/// Starts the demo service on a free port.
pub(crate) async fn start(variables: &[(&str, &str)], settings: Settings) -> Running {
    let service = TestService::new::<Demo>(variables);
    let listener = bind(Ipv4Addr::LOCALHOST.into(), 0)
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (router, ctx) = (service.router.clone(), service.ctx.clone());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let nobody = TrustedProxies::default();
        serve_with(
            listener,
            router,
            settings,
            nobody,
            &ctx.lifecycle,
            &ctx.metrics,
        )
        .await;
    });
    Running {
        service,
        address,
        server,
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address)
            .await
            .expect("the service listens");
        Client {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends one request on a connection of its own and reads to the end.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    /// The service still works for others.
    pub(crate) async fn is_well(&self) {
        let answer = self.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }

    /// Asks the server to stop; gives how long it took.
    pub(crate) async fn stop(&mut self) -> Duration {
        let began = tokio::time::Instant::now();
        self.service.ctx.lifecycle.stop();
        let ended = tokio::time::timeout(PATIENCE, self.server.join_next()).await;
        ended
            .expect("it stops")
            .expect("it ran")
            .expect("it did not panic");
        began.elapsed()
    }

    /// The value of a series at `/metrics`.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.service.ctx.metrics.render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .parse()
            .expect("a number")
    }

    /// Waits until a series has a value; only for what another task counts in a moment.
    pub(crate) async fn until(&self, series: &str, wanted: f64) {
        let reached = tokio::time::timeout(PATIENCE, async {
            while self.metric(series) != wanted {
                tokio::task::yield_now().await;
            }
        });
        assert!(
            reached.await.is_ok(),
            "{series} is {}, not {wanted}",
            self.metric(series)
        );
    }
}

/// A client that sends what it is told.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the service takes it");
    }

    /// One answer of known length.
    pub(crate) async fn answer(&mut self) -> String {
        let answer = self.try_answer().await;
        answer.unwrap_or_else(|| panic!("ended in {:?}", String::from_utf8_lossy(&self.unread)))
    }

    /// One answer of known length, unless the connection ends before it.
    pub(crate) async fn try_answer(&mut self) -> Option<String> {
        let reading = async {
            loop {
                if let Some(length) = answer_length(&self.unread) {
                    let rest = self.unread.split_off(length);
                    let answer = std::mem::replace(&mut self.unread, rest);
                    return Some(String::from_utf8_lossy(&answer).into_owned());
                }
                if self.stream.read_buf(&mut self.unread).await.ok()? == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("there is an answer")
    }

    /// Reads until `text` has come.
    pub(crate) async fn answer_with(&mut self, text: &str) -> String {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let seen = String::from_utf8_lossy(&self.unread).into_owned();
                if seen.contains(text) {
                    return seen;
                }
                let count = self
                    .stream
                    .read_buf(&mut self.unread)
                    .await
                    .expect("can be read");
                assert!(count > 0, "ended in {seen:?}");
            }
        })
        .await
        .expect("it comes")
    }

    /// Everything until the service closes.
    pub(crate) async fn rest(&mut self) -> String {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut self.unread)).await;
        read.expect("the service closes").expect("in order");
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }
}

/// The length of the first answer in `bytes`, once all of it is there.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(bytes.get(..end)?).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    Some(end + length.unwrap_or(0)).filter(|whole| *whole <= bytes.len())
}

/// The head of a request with the key; `more` are further header lines, each with its line end.
pub(crate) fn head(method: &str, target: &str, more: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\nX-API-Key: {TEST_KEY}\r\n{more}\r\n")
}
