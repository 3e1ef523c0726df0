//! Follows Docker json-file logs and makes them searchable.
//!
//! ```text
//! *-json.log ─▶ tasks::ingest (one thread) ─▶ domain::docker_line ─▶ domain::partial ─▶ domain::multiline ─▶ domain::level
//!            ─▶ store::ring (entries and cursors in one transaction) ─▶ live (hub) ─▶ GET /api/logs/tail
//!            ─▶ rules (what alert rules find, counted in the same transaction) ─▶ outbox ─▶ mail, webhooks, chats
//! GET /api/logs ─▶ domain::{filter, search} ─▶ store::{plan, sweep} ─▶ store::{list, scan, histogram}
//! ```
//!
//! Invariants: every whole line of a file that grows, is renamed, or is deleted while we hold it becomes part of exactly
//! one entry, whenever the process is killed; what cannot be promised is what is truncated before it was read. No line,
//! file or client can make the process grow without bound. No text is a search error.

pub mod domain;
pub mod store;

pub mod json;
pub mod live;
pub mod rules;
pub mod tasks;

pub mod http;

pub mod config;
pub mod state;

use std::sync::Arc;

use axum::Router;
use monlight_shared::config::{ApiKeyName, Reader, Var};
use monlight_shared::notify::service::Alerts;
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::{Migration, TakeOver};

use config::Config;
use live::Hub;
use rules::Rules;
use state::{AppState, Sources};
use store::rule_alerts::RuleAlerts;
use tasks::ingest::Parts;

/// The service, as the shared skeleton runs it.
#[derive(Debug)]
pub struct LogViewer;

impl Service for LogViewer {
    const INFO: ServiceInfo = ServiceInfo {
        name: "log-viewer",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Follows Docker json-file logs and makes them searchable.",
        default_port: 5011,
        default_database: "./data/logs.db",
        default_rate_limit: 600,
        default_max_body: 65_536,
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
        let (router, parts) = assemble(&ctx, config);
        parts.rules.alerts().start();
        tasks::start(&ctx, parts)?;
        Ok(router)
    }
}

/// The routes, and what the ingestion needs to feed them. Nothing runs yet: tests drive the ingestion by hand.
pub fn assemble(ctx: &Context, config: Config) -> (Router, Parts) {
    let hub = Hub::new(&ctx.metrics);
    let sources = Sources::default();
    let source = RuleAlerts {
        base_url: config.alerts.base_url.clone(),
    };
    let alerts = Alerts::new(ctx, config.alerts, LogViewer::INFO.name, source);
    let rules = Rules::new(ctx, Arc::new(alerts));
    let parts = Parts {
        root: config.log_sources,
        wanted: config.containers,
        first_start: config.first_start,
        keep: config.keep,
        poll_interval: config.poll_interval,
        hub: hub.clone(),
        sources: sources.clone(),
        rules: rules.clone(),
    };
    let state = AppState {
        ctx: ctx.clone(),
        hub,
        sources,
        rules,
    };
    (http::router(ctx, state, config.tail_clients), parts)
}
