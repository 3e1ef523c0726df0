//! A receiver of HTTP requests on loopback, such as a webhook.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A request that a [`Receiver`] got.
#[derive(Clone, Debug)]
pub struct Received {
    /// As in `POST /x HTTP/1.1`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Received {
    /// A header's value, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Keeps each request and answers with the bytes it was told to.
pub struct Receiver {
    port: u16,
    received: Arc<(Mutex<Vec<Received>>, Condvar)>,
}

impl Receiver {
    /// Answers each request with `status` (as in `204 No Content`), `headers` (each ended by CR LF) and `body`.
    pub fn start(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        Self::raw(answer.into_bytes())
    }

    /// Answers each request with these bytes and closes.
    pub fn raw(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::new((Mutex::default(), Condvar::new()));
        let seen: Arc<(Mutex<Vec<Received>>, Condvar)> = Arc::clone(&received);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.expect("a connection");
                // A client that goes away early is part of some tests.
                if let Ok(request) = read_request(&socket) {
                    seen.0.lock().expect("a list").push(request);
                    drop(socket.write_all(&answer));
                    seen.1.notify_all();
                }
            }
        });
        Self { port, received }
    }

    /// Where it listens.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.0.lock().expect("a list").clone()
    }

    /// All requests, once there are so many; fails the test when that takes longer than 20 seconds.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let received = Arc::clone(&self.received);
        let wait = move || {
            let list = received.0.lock().expect("a list");
            let (list, _) = received
                .1
                .wait_timeout_while(list, Duration::from_secs(20), |list| list.len() < count)
                .expect("a list");
            list.clone()
        };
        let list = tokio::task::spawn_blocking(wait).await.expect("a list");
        assert!(list.len() >= count, "{} of {count} requests", list.len());
        list
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
