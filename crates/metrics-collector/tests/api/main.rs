//! The service through its real router, with a clock that stands still and tasks that are run by hand.

mod crash;
mod dashboard;
mod discover;
mod export;
mod hostile;
mod import;
mod import_crash;
mod ingest;
mod legacy;
mod model;
mod once;
mod process;
mod query;
mod question;
mod remove;
mod retention;
mod rollup;
mod rules;
mod scrape;
mod series;
mod soak;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_collector::{ByHand, Config, MetricsCollector};
use monlight_shared::config::{Env, Reader, Var};
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::{Migration, TakeOver};
use monlight_shared::testing::{TEST_START_SECONDS, TestResponse, TestService};
use serde_json::{Value, json};
use tempfile::TempDir;

/// When the manual clock starts: 2025-01-20T10:00:00Z, a full hour.
const START_MS: i64 = TEST_START_SECONDS * 1000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The collector's settings and schema without its routes and tasks.
struct Bare;

impl Service for Bare {
    const INFO: ServiceInfo = MetricsCollector::INFO;
    type Config = Config;

    fn vars() -> &'static [&'static Var] {
        MetricsCollector::vars()
    }

    fn configure(reader: &mut Reader<'_>) -> Config {
        MetricsCollector::configure(reader)
    }

    fn migrations() -> &'static [Migration] {
        MetricsCollector::migrations()
    }

    fn take_over() -> Option<TakeOver> {
        MetricsCollector::take_over()
    }

    fn start(_: Context, _: Config) -> anyhow::Result<Router> {
        Ok(Router::new())
    }
}

/// A collector under test.
struct Collector {
    service: TestService,
    tasks: ByHand,
    settings: Vec<(String, String)>,
}

impl Collector {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self::on(
            Arc::new(tempfile::tempdir().expect("a directory")),
            settings,
        )
    }

    fn on(dir: Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        Self::around(TestService::on::<Bare>(dir, settings), settings)
    }

    fn around(mut service: TestService, settings: &[(&str, &str)]) -> Self {
        let env = Env::of(settings.iter().copied());
        let mut reader = Reader::new(&env);
        let config = MetricsCollector::configure(&mut reader);
        let tasks = ByHand::new(&service.ctx, config);
        service.router = tasks.router.clone();
        let settings = settings
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            service,
            tasks,
            settings,
        }
    }

    /// Ends it and starts it again on the same file, at the same time.
    async fn restart(self) -> Self {
        let (clock, hand) = (self.service.ctx.clock.clone(), self.service.clock.clone());
        let dir = self.service.stop().await;
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Self::around(
            TestService::with_clock::<Bare>(dir, &settings, clock, hand),
            &settings,
        )
    }

    fn now_ms(&self) -> i64 {
        self.service.ctx.clock.now_ms()
    }

    fn advance(&self, ms: i64) {
        self.service
            .clock
            .advance(Duration::from_millis(ms.cast_unsigned()));
    }

    async fn get(&self, path: &str) -> Value {
        self.service.get(path).await.expect(200).json()
    }

    async fn post(&self, batch: &Value) -> TestResponse {
        self.service.post_json("/api/metrics", batch).await
    }

    async fn accept(&self, batch: Value) {
        let count = batch.as_array().map_or(0, Vec::len);
        let answer = self.post(&batch).await.expect(202).json();
        assert_eq!(answer, json!({"status": "accepted", "count": count}));
    }

    async fn roll_up(&self) {
        self.tasks.roll_up().await.expect("rolls up");
    }

    async fn forget(&self) {
        self.tasks.forget().await.expect("forgets");
    }

    /// The answer of a statement that gives one number.
    async fn number(&self, sql: &'static str) -> i64 {
        let read = self
            .service
            .ctx
            .store
            .read(move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?));
        read.await.expect("reads")
    }
}

/// RFC 3339 with milliseconds.
fn at(ms: i64) -> String {
    monlight_shared::clock::iso_millis(ms)
}

/// The name of a bucket.
fn bucket(ms: i64) -> String {
    monlight_shared::clock::iso_seconds(ms)
}

fn counter(name: &str, value: f64, ms: i64) -> Value {
    json!({"name": name, "type": "counter", "value": value, "timestamp": at(ms)})
}

fn histogram(name: &str, value: f64, ms: i64) -> Value {
    json!({"name": name, "type": "histogram", "value": value, "timestamp": at(ms)})
}

/// Adds members to an item.
fn with(mut item: Value, more: Value) -> Value {
    let (Some(item_members), Value::Object(more)) = (item.as_object_mut(), more) else {
        panic!("objects")
    };
    item_members.extend(more);
    item
}

/// Every byte percent-encoded.
fn encoded(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    bytes.concat()
}
