//! A real process on a directory of containers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

impl Process {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[("POLL_INTERVAL", "1")])
    }

    /// With more settings than the usual.
    pub(crate) fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_log-viewer"))
            .env_clear()
            .env("API_KEY", "test-key")
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("DATABASE_PATH", dir.join("logs.db"))
            .env("LOG_SOURCES", dir.join("containers"))
            .env("TAIL_BUFFER", "all")
            .env("MAX_ENTRIES", "1000000")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(
                stderr.read_line(&mut line).expect("readable") > 0,
                "it ended before it listened"
            );
            if let Some((_, address)) = line.rsplit_once("listening on 127.0.0.1:") {
                let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
                break digits.parse().expect("a port");
            }
        };
        // Nobody may block on a full pipe.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = stderr.read_to_end(&mut rest);
        });
        Self { child, port }
    }

    pub(crate) fn get(&self, path: &str) -> serde_json::Value {
        let body = self.text(path);
        serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{fault}: {body}"))
    }

    /// The body of an answer.
    pub(crate) fn text(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: test-key\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("received");
        let text = String::from_utf8(answer).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        if head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked")
        {
            dechunk(body)
        } else {
            body.to_owned()
        }
    }

    /// A number from `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.text("/metrics");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// The newest messages, newest first.
    pub(crate) fn messages(&self) -> Vec<String> {
        let list = self.get("/api/logs");
        let logs = list["logs"].as_array().expect("a list");
        let message = |entry: &serde_json::Value| entry["message"].as_str().map(ToOwned::to_owned);
        logs.iter().filter_map(message).collect()
    }

    /// Asks until the answer is what is waited for. Each request is a pause in itself.
    pub(crate) fn wait_until<T>(
        &self,
        path: &str,
        look: impl Fn(&serde_json::Value) -> Option<T>,
    ) -> T {
        for _ in 0..200_000 {
            if let Some(found) = look(&self.get(path)) {
                return found;
            }
        }
        panic!("{path} stays {}", self.get(path));
    }

    pub(crate) fn indexed(&self) -> i64 {
        self.get("/health")["logs_indexed"]
            .as_i64()
            .expect("a number")
    }

    /// Waits until so many entries are there. Each request is a pause in itself.
    pub(crate) fn wait_for(&self, count: i64) {
        self.wait_until("/health", |health| {
            let indexed = health["logs_indexed"].as_i64();
            indexed.filter(|indexed| *indexed >= count)
        });
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

fn dechunk(body: &str) -> String {
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 {
            break;
        }
        out.push_str(after.get(..size).expect("a chunk"));
        rest = after.get(size + 2..).unwrap_or_default();
    }
    out
}

/// The log file of a container.
pub(crate) fn log(dir: &Path, id: &str) -> PathBuf {
    dir.join("containers")
        .join(id)
        .join(format!("{id}-json.log"))
}

/// Makes a container's directory, with its id as its name.
pub(crate) fn container(dir: &Path, id: &str) {
    let log = log(dir, id);
    fs::create_dir_all(log.parent().expect("a directory")).expect("made");
    fs::write(
        log.with_file_name("config.v2.json"),
        format!("{{\"Name\":\"/{id}\"}}"),
    )
    .expect("written");
}
