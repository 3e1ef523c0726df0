//! Takes counters, gauges and histograms and rolls them up.
//!
//! ```text
//! POST /api/metrics ─▶ domain::metric (parse) ─▶ store::dictionary (series) ─▶ store::ingest (one transaction) ─▶ 202
//! POST /api/import… ─▶ import: domain::exposition ─▶ domain::exposed ─▶ store::import (differences to what was read before)
//! every 30 seconds  ─▶ tasks::scrape: what targets expose ─▶ import
//! every interval    ─▶ tasks::aggregate: minutes from blocks of points, hours from minutes, days from hours
//! every minute      ─▶ tasks::evaluate: rules ─▶ store::measure ─▶ domain::rule_state ─▶ history and outbox
//! every 10 minutes  ─▶ tasks::retention: old points, rows and series
//! GET  /api/…       ─▶ store::plan ─▶ store::scan: rows where they are complete, blocks where they are not
//! ```
//!
//! Invariants: a batch that was answered with 202 is on disk, whole and once; there is exactly one row per series and
//! bucket, whatever the interval, restarts, clock steps and late points; an answer shows everything that was accepted;
//! percentiles are never made of percentiles; projects are never mixed; series, labels and answers are bounded.

mod domain;
mod store;

mod http;
mod tasks;

mod config;
mod import;
mod rules;
mod scraper;
mod state;

use axum::Router;
use monlight_shared::config::{ApiKeyName, Reader, Var};
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::{Migration, TakeOver};

pub use config::Config;
use state::AppState;
use tasks::aggregate::Aggregator;
use tasks::evaluate::Evaluator;

/// The service, as the shared skeleton runs it.
#[derive(Debug)]
pub struct MetricsCollector;

impl Service for MetricsCollector {
    const INFO: ServiceInfo = ServiceInfo {
        name: "metrics-collector",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Takes counters, gauges and histograms and rolls them up.",
        default_port: 5012,
        default_database: "./data/metrics.db",
        default_rate_limit: 6_000,
        default_max_body: 4 * 1024 * 1024,
        api_key: ApiKeyName::ApiKey,
    };
    type Config = Config;

    fn vars() -> &'static [&'static Var] {
        &config::VARS
    }

    fn configure(reader: &mut Reader<'_>) -> Config {
        Config::read(reader)
    }

    fn migrations() -> &'static [Migration] {
        store::MIGRATIONS
    }

    fn take_over() -> Option<TakeOver> {
        Some(store::legacy::TAKE_OVER)
    }

    fn start(ctx: Context, config: Config) -> anyhow::Result<Router> {
        let state = AppState::new(&ctx, config);
        state.rules.alerts().start();
        tasks::start(&state);
        monlight_shared::idempotency::start_forgetting(&ctx);
        Ok(http::router(&ctx, state))
    }
}

/// The service without its tasks, which are run by hand. For tests.
pub struct ByHand {
    /// All routes.
    pub router: Router,
    state: AppState,
    aggregator: Aggregator,
    evaluator: Evaluator,
}

impl ByHand {
    /// Puts it together on an open database.
    pub fn new(ctx: &Context, config: Config) -> Self {
        let state = AppState::new(ctx, config);
        Self {
            router: http::router(ctx, state.clone()),
            aggregator: Aggregator::new(&state),
            evaluator: Evaluator::new(&state),
            state,
        }
    }

    /// Rolls up every minute, hour and day that has ended; how many rows that made.
    pub async fn roll_up(&self) -> anyhow::Result<u64> {
        let rolled = self
            .aggregator
            .step(self.state.clock.now_ms(), || true)
            .await?;
        Ok(rolled.rows)
    }

    /// Starts to deliver alerts.
    pub fn deliver(&self) {
        self.state.rules.alerts().start();
    }

    /// Looks with the alert rules, unless they have looked at the newest full minute already.
    pub async fn look(&self) -> anyhow::Result<()> {
        self.evaluator.step(|| true).await
    }

    /// Scrapes each target once.
    pub async fn scrape(&self) -> anyhow::Result<()> {
        for place in 0..self.state.config.scraping.targets.len() {
            tasks::scrape::scrape(&self.state, place, None).await?;
        }
        Ok(())
    }

    /// Deletes what removed metrics have left, at most so many slices.
    pub async fn remove(&self, slices: usize) -> anyhow::Result<()> {
        let left = std::cell::Cell::new(slices);
        tasks::remove::step(&self.state, || {
            let before = left.get();
            left.set(before.saturating_sub(1));
            before > 0
        })
        .await
    }

    /// Deletes what is too old.
    pub async fn forget(&self) -> anyhow::Result<()> {
        tasks::retention::step(&self.state, self.state.clock.now_ms()).await
    }
}
