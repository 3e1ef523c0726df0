//! Receives reports of errors, groups them by fingerprint, and keeps the newest of each group.
//!
//! ```text
//! POST /api/errors ─▶ domain::report (parse) ─▶ domain::fingerprint ─▶ store::record (one transaction) ─▶ 200 or 201
//! GET  /api/errors ─▶ domain::query ─▶ store::list ─▶ JSON in chunks
//! new or back      ─▶ store::alerts (in the report's transaction) ─▶ outbox ─▶ mail, webhooks, chats
//! daily            ─▶ tasks::retention ─▶ store::retention (slices)
//! ```
//!
//! Invariants: a report that was answered with 2xx is on disk; a group is unique by project and fingerprint; the cost of
//! a report is linear in its length; no list reads more groups than it skips and shows; nothing of a report is ever
//! executed, shown as markup, or logged; whoever is to be told of an error is told at least once.

pub mod domain;
pub mod store;

pub mod http;
pub mod tasks;

pub mod config;
pub mod state;

use axum::Router;
use monlight_shared::config::{ApiKeyName, Reader, Var};
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::{Migration, TakeOver};

use config::Config;
use state::AppState;

/// The service, as the shared skeleton runs it.
#[derive(Debug)]
pub struct ErrorTracker;

impl Service for ErrorTracker {
    const INFO: ServiceInfo = ServiceInfo {
        name: "error-tracker",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Receives reports of errors, groups them, and keeps the newest of each group.",
        default_port: 5010,
        default_database: "./data/errors.db",
        default_rate_limit: 6_000,
        default_max_body: 262_144,
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
        let state = AppState::new(&ctx, config.alerts, config.intake);
        tasks::alerts::start(&state);
        tasks::gauges::start(&ctx, &state);
        tasks::ignored::start(&ctx, &state);
        tasks::search_index::start(&ctx, &state);
        tasks::ranks::start(&ctx, &state);
        tasks::retention::start(&ctx, &state, config.retention);
        monlight_shared::idempotency::start_forgetting(&ctx);
        Ok(http::router(&ctx, state))
    }
}
