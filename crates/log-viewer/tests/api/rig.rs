//! The service on log files in a temporary directory. Nothing happens by itself: [`Rig::step`] is one step of the
//! ingestion, and the clock stands still until it is moved.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Method;
use flate2::Compression;
use flate2::write::GzEncoder;
use log_viewer::config::Config;
use log_viewer::tasks::ingest::{Ingest, Parts, Wake};
use log_viewer::{LogViewer, assemble};
use monlight_shared::config::{Reader, Var};
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::{Lane, Migration, TakeOver};
use monlight_shared::testing::{TestResponse, TestService};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static PARTS: RefCell<Option<Parts>> = const { RefCell::new(None) };
}

/// The log viewer without its threads.
struct ByHand;

impl Service for ByHand {
    const INFO: ServiceInfo = LogViewer::INFO;
    type Config = Config;

    fn vars() -> &'static [&'static Var] {
        LogViewer::vars()
    }

    fn configure(reader: &mut Reader<'_>) -> Config {
        LogViewer::configure(reader)
    }

    fn migrations() -> &'static [Migration] {
        LogViewer::migrations()
    }

    fn take_over() -> Option<TakeOver> {
        LogViewer::take_over()
    }

    fn start(ctx: Context, config: Config) -> anyhow::Result<Router> {
        let (router, parts) = assemble(&ctx, config);
        parts.rules.alerts().start();
        PARTS.set(Some(parts));
        Ok(router)
    }
}

/// A directory of containers, as Docker keeps it.
#[derive(Clone)]
pub(crate) struct Logs(Arc<TempDir>);

impl Logs {
    fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("a directory")))
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Makes a container's directory.
    pub(crate) fn container(&self, id: &str, name: &str) {
        self.config(id, &format!("{{\"ID\":\"{id}\",\"Name\":\"/{name}\"}}"));
    }

    pub(crate) fn config(&self, id: &str, text: &str) {
        fs::create_dir_all(self.root().join(id)).expect("a directory");
        fs::write(self.root().join(id).join("config.v2.json"), text).expect("written");
    }

    /// The current log file of a container.
    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.root().join(id).join(format!("{id}-json.log"))
    }

    /// A rotated log file of a container.
    pub(crate) fn rotated(&self, id: &str, number: u32) -> PathBuf {
        self.root().join(id).join(format!("{id}-json.log.{number}"))
    }

    /// A rotated log file of a container, compressed.
    pub(crate) fn compressed(&self, id: &str, number: u32) -> PathBuf {
        self.root()
            .join(id)
            .join(format!("{id}-json.log.{number}.gz"))
    }

    /// Compresses a rotated log file as Docker does: beside the plain one, which goes afterwards.
    pub(crate) fn compress(&self, id: &str, number: u32) {
        let content = fs::read(self.rotated(id, number)).expect("readable");
        fs::write(self.compressed(id, number), gzip(&content)).expect("written");
        fs::remove_file(self.rotated(id, number)).expect("removed");
    }

    /// Appends bytes to a container's file.
    pub(crate) fn write_raw(&self, id: &str, bytes: impl AsRef<[u8]>) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.log(id))
            .expect("opens");
        file.write_all(bytes.as_ref()).expect("written");
    }

    /// Appends records to a container's file, one per line of `text`, each a second later than the last.
    pub(crate) fn write(&self, id: &str, stream: &str, first_second: u32, text: &str) {
        for (line, second) in text.lines().zip(first_second..) {
            self.write_raw(id, record(line, stream, second));
        }
    }
}

/// A service that was ended, and what it left.
pub(crate) struct Stopped {
    database: Arc<TempDir>,
    settings: Vec<(String, String)>,
    logs: Logs,
}

impl Stopped {
    pub(crate) fn start(self) -> Rig {
        Rig::on(self.logs, self.database, self.settings)
    }
}

/// A service, its ingestion, and the directory of containers.
pub(crate) struct Rig {
    pub(crate) runtime: Runtime,
    pub(crate) service: TestService,
    pub(crate) ingest: Ingest,
    settings: Vec<(String, String)>,
    pub(crate) logs: Logs,
}

impl Deref for Rig {
    type Target = Logs;

    fn deref(&self) -> &Logs {
        &self.logs
    }
}

impl Rig {
    /// On an empty directory of containers and an empty database.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        Self::prepared(settings, |_, _| {})
    }

    /// On a database and log files that `prepare` makes.
    pub(crate) fn prepared(settings: &[(&str, &str)], prepare: impl FnOnce(&Path, &Logs)) -> Self {
        let logs = Logs::new();
        let database = Arc::new(tempfile::tempdir().expect("a directory"));
        prepare(&database.path().join("test.db"), &logs);
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::on(logs, database, settings)
    }

    /// With one container called `web`, read whole.
    pub(crate) fn web() -> Self {
        let rig = Self::new(&[("TAIL_BUFFER", "all")]);
        rig.container("abc", "web");
        rig
    }

    fn on(logs: Logs, database: Arc<TempDir>, settings: Vec<(String, String)>) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let sources = logs.root().to_string_lossy().into_owned();
        let mut given = vec![("LOG_SOURCES", sources.as_str())];
        given.extend(
            settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let service = {
            let _inside = runtime.enter();
            TestService::on::<ByHand>(database, &given)
        };
        let parts = PARTS.take().expect("the service was assembled");
        let ingest = Ingest::new(&service.ctx, parts, None).expect("starts");
        Self {
            runtime,
            service,
            ingest,
            settings,
            logs,
        }
    }

    /// Ends the service, in order or as a kill would.
    pub(crate) fn stop(mut self, in_order: bool) -> Stopped {
        if in_order {
            self.ingest.finish().expect("stored");
        }
        drop(self.ingest);
        Stopped {
            database: self.runtime.block_on(self.service.stop()),
            settings: self.settings,
            logs: self.logs,
        }
    }

    /// Ends the service, in order or as a kill would, and starts it again with other settings.
    pub(crate) fn restart_with(self, in_order: bool, settings: &[(&str, &str)]) -> Self {
        let mut stopped = self.stop(in_order);
        for (name, value) in settings {
            stopped.settings.retain(|(known, _)| known != name);
            stopped
                .settings
                .push(((*name).to_owned(), (*value).to_owned()));
        }
        stopped.start()
    }

    /// Ends the service in order and starts it again.
    pub(crate) fn restart(self) -> Self {
        self.restart_with(true, &[])
    }

    /// Starts again without what was not stored yet.
    pub(crate) fn kill(self) -> Self {
        self.restart_with(false, &[])
    }

    /// Reads and stores what there is; lines may wait for others.
    pub(crate) fn step(&mut self) {
        self.ingest.step(&Wake::All, &|| false).expect("stored");
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.service.clock.advance(time);
    }

    /// Reads everything and lets all entries close.
    pub(crate) fn settle(&mut self) {
        self.step();
        for _ in 0..2 {
            self.pass(Duration::from_millis(1100));
            self.step();
        }
    }

    pub(crate) fn get(&self, path: &str) -> TestResponse {
        self.runtime.block_on(self.service.get(path))
    }

    /// Sends JSON; answers status and body, null when that is no JSON.
    pub(crate) fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.service.request(method, path);
        let request = request.body(Body::from(body.to_string()));
        let answer = self.service.send(request.expect("a request"));
        let answer = self.runtime.block_on(answer);
        let json = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status.as_u16(), json)
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        self.get(path).expect(200).json()
    }

    /// The messages of a list, newest first.
    pub(crate) fn messages(&self, path: &str) -> Vec<String> {
        let list = self.json(path);
        let logs = list.get("logs").and_then(Value::as_array).expect("a list");
        logs.iter().map(|entry| text(entry, "message")).collect()
    }

    /// All entries with their ids, newest first.
    fn all(&self) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        loop {
            let list = self.json(&format!("/api/logs?limit=500&offset={}", all.len()));
            let logs = list.get("logs").and_then(Value::as_array).expect("a list");
            if logs.is_empty() {
                return all;
            }
            all.extend(
                logs.iter()
                    .map(|entry| (number(entry, "id"), text(entry, "message"))),
            );
        }
    }

    /// All messages, in the order of their ids.
    pub(crate) fn all_messages(&self) -> Vec<String> {
        let mut all = self.all();
        all.sort();
        all.into_iter().map(|(_, message)| message).collect()
    }

    /// All messages, oldest first.
    pub(crate) fn all_messages_by_time(&self) -> Vec<String> {
        self.all()
            .into_iter()
            .rev()
            .map(|(_, message)| message)
            .collect()
    }

    #[track_caller]
    pub(crate) fn check(&self, path: &str, expected: &[&str]) {
        assert_eq!(self.messages(path), expected, "{path}");
    }

    /// Compares rows and index of every slot, and the counters with what the rows say.
    pub(crate) fn check_integrity(&self) {
        let check = self.service.ctx.store.write(Lane::Upkeep, 0, |conn| {
            for n in 0..10 {
                conn.execute_batch(&format!(
                    "INSERT INTO f{n}(f{n}, rank) VALUES ('integrity-check', 1)"
                ))?;
            }
            let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
            let rows = count("SELECT count(*) FROM log_entries")?;
            assert_eq!(count("SELECT next_id - floor FROM ring")?, rows);
            assert_eq!(count("SELECT coalesce(sum(n), 0) FROM tally")?, rows);
            assert_eq!(count("SELECT coalesce(sum(n), 0) FROM hist")?, rows);
            assert_eq!(count("SELECT count(*) FROM hist WHERE n <= 0")?, 0);
            let by_hour = "SELECT minute / 60, container, level, stream, sum(n) FROM hist GROUP BY 1, 2, 3, 4";
            assert_eq!(
                count(&format!("SELECT count(*) FROM (SELECT * FROM hist_hour EXCEPT {by_hour})"))?,
                0
            );
            assert_eq!(
                count(&format!("SELECT count(*) FROM ({by_hour} EXCEPT SELECT * FROM hist_hour)"))?,
                0
            );
            assert_eq!(
                count("SELECT coalesce(sum(n), 0) FROM tally WHERE level = 3")?,
                count("SELECT count(*) FROM log_entries WHERE level = 'ERROR'")?
            );
            Ok(())
        });
        self.runtime.block_on(check).expect("in agreement");
    }

    /// A number from `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").expect(200).text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("in memory");
    encoder.finish().expect("in memory")
}

/// One line of a json-file, `second` seconds after 2025-01-20T10:00:00Z.
pub(crate) fn record(line: &str, stream: &str, second: u32) -> String {
    let text = Value::from(format!("{line}\n"));
    let (hour, minute, second) = (10 + second / 3600, second / 60 % 60, second % 60);
    format!(
        "{{\"log\":{text},\"stream\":\"{stream}\",\"time\":\"2025-01-20T{hour:02}:{minute:02}:{second:02}.123456789Z\"}}\n"
    )
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {key} in {value}"))
        .to_owned()
}

pub(crate) fn number(value: &Value, key: &str) -> i64 {
    value
        .get(key)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}
