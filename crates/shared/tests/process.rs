//! The life of a process: how it starts, what it answers to signals, with which status it ends.
//!
//! Each test runs this binary again as the service; see [`child_is_a_service`].

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use monlight_shared::config::{ADMIN_VARS, AdminAddress, ApiKeyName, Env, Reader, Var};
use monlight_shared::service::{Context, Service, ServiceInfo, main_with};
use monlight_shared::store::{Lane, Migration};

const ROLE: &str = "MONLIGHT_PROCESS_TEST_ROLE";
/// Far above what any step takes; a test that waits so long has found a hang.
const PATIENCE: Duration = Duration::from_secs(30);

static WORK_FOR_EVER: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000000000)
    SELECT count(*) FROM n;";
static QUICK: &[Migration] = &[Migration {
    version: 100,
    name: "first",
    sql: "CREATE TABLE item (id INTEGER PRIMARY KEY);",
}];
static ENDLESS: &[Migration] = &[Migration {
    version: 100,
    name: "endless",
    sql: "CREATE TABLE item AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0;",
}];

fn role() -> String {
    std::env::var_os(ROLE)
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

struct Demo;

impl Service for Demo {
    const INFO: ServiceInfo = ServiceInfo {
        name: "demo",
        version: "1.2.3",
        summary: "For tests.",
        default_port: 0,
        default_database: "demo.db",
        default_rate_limit: 0,
        default_max_body: 262_144,
        api_key: ApiKeyName::ApiKey,
    };
    type Config = AdminAddress;

    fn vars() -> &'static [&'static Var] {
        &ADMIN_VARS
    }

    fn configure(reader: &mut Reader<'_>) -> AdminAddress {
        AdminAddress::read(reader)
    }

    fn admin_address(admin: &AdminAddress) -> Option<SocketAddr> {
        admin.0
    }

    fn migrations() -> &'static [Migration] {
        if role() == "endless migration" {
            ENDLESS
        } else {
            QUICK
        }
    }

    fn start(ctx: Context, _: AdminAddress) -> anyhow::Result<Router> {
        match role().as_str() {
            // It never looks at its stop.
            "stuck thread" => {
                let (tell, begun) = mpsc::channel();
                ctx.lifecycle.thread("stuck", move |_| {
                    tell.send(())?;
                    loop {
                        std::thread::park();
                    }
                })?;
                begun.recv()?;
            }
            "stuck writer" => {
                let (store, (tell, begun)) = (ctx.store.clone(), mpsc::channel());
                std::thread::spawn(move || {
                    store.write_blocking(Lane::Ingest, 0, move |conn| {
                        // The service waits for it below.
                        let _ = tell.send(());
                        Ok(conn.query_row(WORK_FOR_EVER, [], |_| Ok(()))?)
                    })
                });
                begun.recv()?;
            }
            _ => {}
        }
        Ok(Router::new())
    }
}

/// Not a test of its own: without the variable it does nothing.
#[test]
fn child_is_a_service() {
    if role().is_empty() {
        return;
    }
    let code = main_with::<Demo>(&[], &Env::process());
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(role: &str, database: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .args(["--exact", "child_is_a_service", "--nocapture"])
            .env(ROLE, role)
            .env("API_KEY", "k")
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("DATABASE_PATH", database)
            .env("SHUTDOWN_SECONDS", "1")
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test has heard enough: the pipe ends here.
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    #[track_caller]
    fn until(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|fault| panic!("no {text:?}: {fault}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// The status, and all that was said. The process has ended when its end of the pipe has.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => said += &(line + "\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.child.kill().expect("killed");
                    self.child.wait().expect("ends");
                    panic!("it does not end; it said:\n{said}");
                }
            }
        }
        (self.child.wait().expect("ends"), said)
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("temp dir")
}

#[test]
fn asked_to_end_it_ends_with_status_0() {
    for signal in ["TERM", "INT"] {
        let dir = directory();
        let running = Running::start("plain", &dir.path().join("a.db"), &[]);
        running.until("listening on");
        running.signal(signal);
        let (status, said) = running.end();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains("stopped"), "{said}");
    }
}

#[test]
fn a_second_port_ends_with_the_first() {
    let dir = directory();
    let settings = [("ADMIN_PORT", "0")];
    let running = Running::start("plain", &dir.path().join("a.db"), &settings);
    let admin = running.until("listening for operators on 127.0.0.1:");
    let port = admin
        .rsplit(':')
        .next()
        .and_then(|port| port.trim().parse().ok());
    let address = SocketAddr::from(([127, 0, 0, 1], port.expect("a port")));
    running.until("listening on");
    // A connection without a request does not keep it.
    let _idle = TcpStream::connect(address).expect("connects");
    running.signal("TERM");
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn a_second_port_that_is_taken_is_named() {
    let dir = directory();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let settings = [("ADMIN_PORT", port.as_str())];
    let (status, said) = Running::start("plain", &dir.path().join("a.db"), &settings).end();
    assert_eq!(status.code(), Some(1), "{said}");
    let fault = format!("ADMIN_PORT: cannot listen on 127.0.0.1:{port}");
    assert!(
        said.contains(&fault) && !said.contains("listening"),
        "{said}"
    );
}

#[test]
fn a_thread_that_never_ends_does_not_keep_the_process() {
    let dir = directory();
    let running = Running::start("stuck thread", &dir.path().join("a.db"), &[]);
    running.until("listening on");
    running.signal("TERM");
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("stopped before all requests and tasks were done"),
        "{said}"
    );
}

#[test]
fn a_database_that_does_not_close_does_not_keep_the_process() {
    let dir = directory();
    let running = Running::start("stuck writer", &dir.path().join("a.db"), &[]);
    running.until("listening on");
    running.signal("TERM");
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("could not be closed in time"), "{said}");
}

#[test]
fn a_second_signal_ends_it_whatever_it_is_doing() {
    for role in ["stuck thread", "stuck writer"] {
        let dir = directory();
        let patient = [("SHUTDOWN_SECONDS", "300")];
        let running = Running::start(role, &dir.path().join("a.db"), &patient);
        running.until("listening on");
        running.signal("TERM");
        running.until("stopping: finishing");
        running.signal("TERM");
        let (status, said) = running.end();
        assert_eq!(status.code(), Some(1), "{said}");
    }
}

#[test]
fn signals_are_heard_during_a_migration() {
    let dir = directory();
    let path = dir.path().join("a.db");
    let running = Running::start("endless migration", &path, &[]);
    // The journal of the first transaction: the migration has begun.
    let begun = dir.path().join("a.db-wal");
    while !begun.exists() {
        std::thread::yield_now();
    }
    running.signal("TERM");
    running.until("stopping: finishing");
    running.signal("TERM");
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(1), "{said}");
    let running = Running::start("plain", &path, &[]);
    running.until("listening on");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn a_file_or_port_that_is_taken_ends_the_second_copy_with_status_1() {
    let dir = directory();
    let path = dir.path().join("a.db");
    let first = Running::start("plain", &path, &[]);
    first.until("listening on");
    let (status, said) = Running::start("plain", &path, &[]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("FATAL: DATABASE_PATH") && said.contains("in use"),
        "{said}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("address").port().to_string();
    let (status, said) =
        Running::start("plain", &dir.path().join("b.db"), &[("PORT", &port)]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&port), "{said}");
    first.signal("TERM");
    assert_eq!(first.end().0.code(), Some(0));
}

#[test]
fn a_reader_of_the_log_that_goes_away_takes_nobody_along() {
    let dir = directory();
    let mut running = Running::start("plain", &dir.path().join("a.db"), &[("LOG_LEVEL", "trace")]);
    running.until("listening on");
    // Nobody is left to hear it: the pipe ends with the thread that reads it.
    let (_, nobody) = mpsc::channel();
    running.lines = nobody;
    running.signal("TERM");
    assert_eq!(running.child.wait().expect("ends").code(), Some(0));
}
