//! A relay between a browser that is a test and two services that are scripts.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use browser_relay::BrowserRelay;
use monlight_shared::testing::{TestResponse, TestService};
use serde_json::{Value, json};

/// Key of the project `web`.
pub(crate) const WEB: &str = "dsn-web-1";
/// Key of the project `shop`.
pub(crate) const SHOP: &str = "dsn-shop-1";
/// An origin that the relay allows.
pub(crate) const ORIGIN: &str = "https://a.example";

/// How long something that must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A relay and what is behind it.
pub(crate) struct World {
    pub(crate) relay: TestService,
    pub(crate) tracker: Fake,
    pub(crate) collector: Fake,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let (tracker, collector) = (Fake::start(), Fake::start());
        let (errors, metrics) = (tracker.url(), collector.url());
        let mut all = vec![
            ("ERROR_TRACKER_URL", errors.as_str()),
            ("METRICS_COLLECTOR_URL", metrics.as_str()),
        ];
        all.extend(BASE);
        all.extend(settings);
        let relay = TestService::new::<BrowserRelay>(&all);
        Self {
            relay,
            tracker,
            collector,
        }
    }

    /// POST as a browser: no API key, a DSN key unless it is empty.
    pub(crate) async fn browse(&self, path: &str, key: &str, body: &Value) -> TestResponse {
        self.browse_raw(path, key, &[], body.to_string()).await
    }

    pub(crate) async fn browse_raw(
        &self,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> TestResponse {
        self.relay
            .send(request(Method::POST, path, key, headers, body.into()))
            .await
    }

    /// A request of any method, without a body.
    pub(crate) async fn plain(
        &self,
        method: Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
    ) -> TestResponse {
        self.relay
            .send(request(method, path, key, headers, Body::empty()))
            .await
    }

    /// Uploads a map for `/assets/app.js` of release 1 of the project `web`.
    pub(crate) async fn upload(&self, map: &str) -> TestResponse {
        self.relay.post_json("/api/source-maps", &upload(map)).await
    }

    /// The settings that another relay on the same files needs.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("ERROR_TRACKER_URL", self.tracker.url()),
            ("METRICS_COLLECTOR_URL", self.collector.url()),
        ]
    }

    /// Waits until nothing is left in the outbox. Needs `RATE_LIMIT=0`.
    pub(crate) async fn outbox_empty(&self) {
        self.outbox(|sides| sides.iter().all(|side| side["events"] == 0))
            .await;
    }

    /// Waits until the outbox says this of the tracker.
    pub(crate) async fn outbox_says(&self, field: &str, value: &Value) {
        self.outbox(|sides| sides[0][field] == *value).await;
    }

    async fn outbox(&self, is_so: impl Fn(&[Value]) -> bool) {
        let becomes_so = async {
            loop {
                let shown = self.relay.get("/api/outbox").await.json();
                if is_so(shown["upstreams"].as_array().unwrap()) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, becomes_so)
            .await
            .expect("another state of the outbox");
    }

    /// The only report that the tracker got.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let received = self.tracker.received();
        assert_eq!(received.len(), 1);
        serde_json::from_slice(&received[0].body).expect("JSON")
    }
}

/// Settings of every relay in these tests.
pub(crate) const BASE: [(&str, &str); 4] = [
    ("ERROR_TRACKER_API_KEY", "tracker-key"),
    ("METRICS_COLLECTOR_API_KEY", "collector-key"),
    ("DSN_KEYS", "web:dsn-web-1,shop:dsn-shop-1"),
    ("CORS_ORIGINS", "https://a.example,https://*.b.example"),
];

pub(crate) fn request(
    method: Method,
    path: &str,
    key: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !key.is_empty() {
        request = request.header("X-Monlight-Key", key);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a request")
}

pub(crate) fn upload(map: &str) -> Value {
    json!({"project": "web", "release": "1", "file_url": "/assets/app.js", "map_content": map})
}

/// A map whose first line begins in `source`.
pub(crate) fn small_map(source: &str) -> String {
    json!({"version": 3, "sources": [source], "names": [], "mappings": "AAAA"}).to_string()
}

pub(crate) fn event() -> Value {
    json!({"type": "TypeError", "message": "boom", "stack": "TypeError: boom\n    at f (https://shop.example/x.js:3:7)"})
}

pub(crate) fn batch() -> Value {
    json!({"metrics": [{"name": "web_vitals_lcp", "type": "histogram", "value": 1250.5}]})
}

/// A request that a fake service got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a fake service does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status line and headers after `HTTP/1.1 `, and a body.
    Answer(&'static str, String),
    /// Reads the request and closes the connection.
    HangUp,
    /// Reads the request and says nothing until [`Fake::release`].
    Wait,
}

/// A service on a port of loopback that answers by script.
pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    changed: Condvar,
}

#[derive(Default)]
struct Script {
    /// For the next requests; afterwards everything is taken.
    replies: VecDeque<Reply>,
    received: Vec<Received>,
    released: bool,
    broken: bool,
    judge: Option<Judge>,
    judged: Vec<Vec<(String, u16)>>,
}

/// The status that a tracker gives an event with this message.
type Judge = Box<dyn FnMut(&str) -> u16 + Send>;

impl Script {
    /// The answer to an event or a batch of events, if somebody judges them.
    fn judge(&mut self, received: &Received) -> Option<Reply> {
        let judge = self.judge.as_mut()?;
        let body: Value = serde_json::from_slice(&received.body).ok()?;
        let Value::Array(batch) = body else {
            let message = body["message"].as_str()?.to_owned();
            let status = judge(&message);
            self.judged.push(vec![(message, status)]);
            let failure = match status {
                201 => return None,
                503 => "503 Busy",
                _ => "500 Oops",
            };
            return Some(Reply::Answer(failure, String::new()));
        };
        let judged: Vec<(String, u16)> = batch
            .iter()
            .filter_map(|item| item["document"]["message"].as_str())
            .map(|message| (message.to_owned(), judge(message)))
            .collect();
        let status = |(_, status): &(_, u16)| json!({"status": status});
        let results: Vec<_> = judged.iter().map(status).collect();
        self.judged.push(judged);
        let answer = json!({"results": results}).to_string();
        Some(Reply::Answer("200 OK", answer))
    }
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the next request gets.
    pub(crate) fn next(&self, reply: Reply) {
        self.shared.script.lock().unwrap().replies.push_back(reply);
    }

    /// Takes back what [`Fake::next`] was given.
    pub(crate) fn forget_replies(&self) {
        self.shared.script.lock().unwrap().replies.clear();
    }

    /// Whether it fails whatever has no reply of its own.
    pub(crate) fn break_down(&self, broken: bool) {
        self.shared.script.lock().unwrap().broken = broken;
    }

    /// Has each event to come judged by its message: 201, 503 or 500.
    pub(crate) fn judge(&self, judge: impl FnMut(&str) -> u16 + Send + 'static) {
        self.shared.script.lock().unwrap().judge = Some(Box::new(judge));
    }

    /// What was judged: of each request the messages and statuses.
    pub(crate) fn judged(&self) -> Vec<Vec<(String, u16)>> {
        self.shared.script.lock().unwrap().judged.clone()
    }

    /// Lets all waiting requests go on.
    pub(crate) fn release(&self) {
        self.shared.script.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all that [`Fake::next`] was given is used.
    pub(crate) async fn used_replies(&self) {
        let shared = Arc::clone(&self.shared);
        let waiting = tokio::task::spawn_blocking(move || {
            let script = shared.script.lock().unwrap();
            let (script, timeout) = shared
                .changed
                .wait_timeout_while(script, PATIENCE, |script| !script.replies.is_empty())
                .unwrap();
            let left = script.replies.len();
            assert!(!timeout.timed_out(), "{left} replies are left");
        });
        waiting.await.unwrap();
    }

    /// Waits until there were so many requests, and answers all of them.
    pub(crate) async fn received_at_least(&self, count: usize) -> Vec<Received> {
        let this = Self {
            address: self.address,
            shared: Arc::clone(&self.shared),
        };
        let waiting = tokio::task::spawn_blocking(move || this.received_at_least_blocking(count));
        waiting.await.unwrap()
    }

    /// As [`Fake::received_at_least`], for a thread of one's own.
    pub(crate) fn received_at_least_blocking(&self, count: usize) -> Vec<Received> {
        let script = self.shared.script.lock().unwrap();
        let (script, timeout) = self
            .shared
            .changed
            .wait_timeout_while(script, PATIENCE, |script| script.received.len() < count)
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "only {} requests",
            script.received.len()
        );
        script.received.clone()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.script.lock().unwrap().received.clone()
    }
}

/// What a service says that takes everything.
fn usual(received: &Received) -> Reply {
    let is_error = received.line.contains("/api/errors");
    if received.line.contains("/batch") {
        let batch: Vec<Value> = serde_json::from_slice(&received.body).unwrap_or_default();
        let status = if is_error { 201 } else { 202 };
        let results = vec![json!({"status": status}); batch.len()];
        return Reply::Answer("200 OK", json!({"results": results}).to_string());
    }
    if is_error {
        Reply::Answer("201 Created", r#"{"status":"created","id":1}"#.to_owned())
    } else {
        Reply::Answer(
            "202 Accepted",
            r#"{"status":"accepted","count":1}"#.to_owned(),
        )
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some(received) = receive(&mut reader) {
        let usual = usual(&received);
        let reply = {
            let mut script = shared.script.lock().unwrap();
            let otherwise = if script.broken {
                Reply::Answer("500 Oops", String::new())
            } else {
                script.judge(&received).unwrap_or_else(|| usual.clone())
            };
            script.received.push(received);
            shared.changed.notify_all();
            let reply = script.replies.pop_front().unwrap_or(otherwise);
            match reply {
                Reply::Wait => {
                    drop(shared.changed.wait_while(script, |script| !script.released));
                    usual
                }
                reply => reply,
            }
        };
        let Reply::Answer(status, body) = reply else {
            return;
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn receive(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers: Vec<_> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = lines.first()?.clone();
    Some(Received {
        line,
        headers,
        body,
    })
}
