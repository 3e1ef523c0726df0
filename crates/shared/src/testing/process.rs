//! The real binary of a service on a free port, for tests of what only a process can do: be killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::TEST_KEY;

/// A running service. Dropped, it is killed.
pub struct TestProcess {
    child: Child,
    port: u16,
    admin_port: Option<u16>,
}

impl TestProcess {
    /// Starts `binary` with the test key and nothing else in its environment but `settings`; returns once it listens.
    pub fn start(binary: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .env_clear()
            .env("API_KEY", TEST_KEY)
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (mut line, mut said) = (String::new(), String::new());
        let mut admin_port = None;
        let port = loop {
            line.clear();
            let more = stderr.read_line(&mut line).expect("readable") > 0;
            assert!(more, "it ended before it listened: {said}");
            said.push_str(&line);
            admin_port = admin_port.or(port_after(&line, "listening for operators on "));
            if let Some(port) = port_after(&line, "listening on ") {
                break port;
            }
        };
        // Nobody may block on a full pipe.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = stderr.read_to_end(&mut rest);
        });
        Self {
            child,
            port,
            admin_port,
        }
    }

    /// A connection of its own that stays open.
    pub fn connect(&self) -> TestConnection {
        Self::connect_to(self.port)
    }

    /// As [`TestProcess::connect`], to the port of `ADMIN_PORT`, which must be set.
    pub fn connect_admin(&self) -> TestConnection {
        Self::connect_to(self.admin_port.expect("a port for operators"))
    }

    fn connect_to(port: u16) -> TestConnection {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        stream.set_nodelay(true).expect("a socket");
        TestConnection(BufReader::new(stream))
    }

    /// GET that must be answered 200 with JSON.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.connect().get(path).expect("is answered");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    /// The value of the lines of `/metrics` that begin with `name`, summed.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.connect().get("/metrics").expect("is answered");
        let text = String::from_utf8(body).expect("text");
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it has ended.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        self.end();
    }
}

fn port_after(line: &str, text: &str) -> Option<u16> {
    let (_, address) = line.rsplit_once(&format!("{text}127.0.0.1:"))?;
    let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
    Some(digits.parse().expect("a port"))
}

/// A connection on which one request follows the other.
pub struct TestConnection(BufReader<TcpStream>);

impl TestConnection {
    /// Status and body of the answer to a GET; an error when the process went away.
    pub fn get(&mut self, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
        self.send(
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {TEST_KEY}\r\n\r\n"),
            b"",
        )
    }

    /// Status and body of the answer to a POST; an error when the process went away.
    pub fn post(&mut self, path: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {TEST_KEY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(&head, body)
    }

    fn send(&mut self, head: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let mut request = head.as_bytes().to_vec();
        request.extend_from_slice(body);
        self.0.get_mut().write_all(&request)?;
        let status_line = self.line()?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().map_err(invalid)?,
                Some(("transfer-encoding", "chunked")) => chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(invalid)?;
                self.take(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.take(length, &mut body)?;
        }
        Ok((status.ok_or_else(|| invalid(&status_line))?, body))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn take(&mut self, size: usize, body: &mut Vec<u8>) -> std::io::Result<()> {
        let start = body.len();
        body.resize(start + size, 0);
        self.0.read_exact(&mut body[start..])
    }
}

fn invalid(fault: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, fault.to_string())
}
