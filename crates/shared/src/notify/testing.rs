//! A channel that does what a test tells it, and receivers on loopback.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::channel::Failure;
use super::message::Message;

/// Answers what it was told to answer, in order, then takes everything. Keeps what it took. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    failures: VecDeque<Failure>,
    /// Fails with this when `failures` is empty.
    broken: Option<Failure>,
    attempts: usize,
    taken: Vec<Message>,
}

impl Fake {
    pub(super) fn send(&self, message: &Message) -> Result<String, Failure> {
        let mut state = self.0.lock().unwrap();
        state.attempts += 1;
        if let Some(failure) = state.failures.pop_front().or_else(|| state.broken.clone()) {
            return Err(failure);
        }
        state.taken.push(message.clone());
        Ok("taken".to_owned())
    }

    /// The next message is met with this.
    pub(super) fn fail_next(&self, failure: Failure) {
        self.0.lock().unwrap().failures.push_back(failure);
    }

    /// Every message is met with this from now on; `None` ends it.
    pub(super) fn set_broken(&self, failure: Option<Failure>) {
        self.0.lock().unwrap().broken = failure;
    }

    pub(super) fn attempts(&self) -> usize {
        self.0.lock().unwrap().attempts
    }

    pub(super) fn taken(&self) -> Vec<Message> {
        self.0.lock().unwrap().taken.clone()
    }
}

/// A request that a [`WebServer`] got.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// As in `POST /x HTTP/1.1`.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A receiver on loopback: keeps each request and sends the bytes it was told to.
pub(super) struct WebServer {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl WebServer {
    /// Answers each request with `status` (as in `204 No Content`), `headers` (each ended by CR LF) and `body`.
    pub(super) fn start(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        Self::raw(answer.into_bytes())
    }

    /// Answers each request with these bytes and closes.
    pub(super) fn raw(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&received);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.expect("a connection");
                // A client that goes away early is part of some tests.
                if let Ok(request) = read_request(&socket) {
                    seen.lock().unwrap().push(request);
                    drop(socket.write_all(&answer));
                }
            }
        });
        Self { port, received }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn read_request(socket: &TcpStream) -> std::io::Result<Received> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Received {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).expect("UTF-8"),
    })
}

/// A mail server on loopback that follows a script and keeps all lines it got. It speaks no TLS; the end-to-end test
/// has a real server.
pub(super) struct MailServer {
    pub(super) port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    /// `script`: pairs of the beginning of a line that is waited for and the answer to it. An empty beginning is said
    /// without waiting, one that ends a mail is `.`.
    pub(super) fn start(script: &[(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (heard, script) = (Arc::clone(&lines), script.to_vec());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(socket.try_clone().expect("a socket"));
            for (expected, answer) in script {
                while !expected.is_empty() {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    let line = line.trim_end_matches("\r\n").to_owned();
                    let found = if expected == "." {
                        line == "."
                    } else {
                        line.starts_with(expected)
                    };
                    heard.lock().unwrap().push(line);
                    if found {
                        break;
                    }
                }
                if socket.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            // Whatever still comes, until the client closes.
            let mut rest = String::new();
            while reader.read_line(&mut rest).unwrap_or(0) > 0 {
                heard.lock().unwrap().push(rest.trim_end().to_owned());
                rest.clear();
            }
        });
        Self { port, lines }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}
