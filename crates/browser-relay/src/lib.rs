//! The public door for browser telemetry.
//!
//! ```text
//! page ──X-Monlight-Key──▶ rate limit ▶ size ▶ key ▶ validate ▶ readable stack ▶ enrich ──X-API-Key──▶ error-tracker
//!                                                                                       ├─────────────▶ metrics-collector
//!                                               what they cannot take now ▶ outbox ──later──┘
//! build ──X-API-Key──▶ source map ▶ disk ▶ decode once ▶ small rows ◀── one look-up for each frame
//! ```
//!
//! It is the only service that strangers reach, so every byte is taken to be hostile: an event costs no more memory
//! than its text, a map no more than a few buffers, and nothing a page says about itself outweighs what its key says.

mod budgets;
mod config;
mod domain;
#[cfg(test)]
mod fuzzed;
mod http;
mod keys;
mod lookups;
mod outbox;
mod state;
mod store;
mod tasks;
mod telemetry;
mod upstream;

use std::net::SocketAddr;

use axum::Router;
use monlight_shared::config::{ApiKeyName, Reader, Var};
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::{Migration, TakeOver};

pub use config::Config;

static INFO: ServiceInfo = ServiceInfo {
    name: "browser-relay",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Takes errors and metrics from browsers and hands them on.",
    default_port: 5013,
    default_database: "./data/browser-relay.db",
    default_rate_limit: 300,
    default_max_body: 65_536,
    api_key: ApiKeyName::AdminApiKey,
};

/// The browser relay.
#[derive(Debug)]
pub struct BrowserRelay;

impl Service for BrowserRelay {
    const INFO: ServiceInfo = INFO;
    type Config = Config;

    fn vars() -> &'static [&'static Var] {
        &config::VARS
    }

    fn configure(reader: &mut Reader<'_>) -> Config {
        Config::read(reader)
    }

    fn migrations() -> &'static [Migration] {
        &store::MIGRATIONS
    }

    fn admin_address(config: &Config) -> Option<SocketAddr> {
        config.admin.0
    }

    fn max_connections_per_address(config: &Config) -> Option<usize> {
        Some(config.max_connections_per_address)
    }

    fn take_over() -> Option<TakeOver> {
        Some(store::legacy::TAKE_OVER)
    }

    fn start(ctx: Context, config: Config) -> anyhow::Result<Router> {
        let state = state::State::new(&ctx, &config)?;
        let lifecycle = &ctx.lifecycle;
        tasks::map_upkeep::start(lifecycle, &state);
        tasks::key_use::start(lifecycle, &state);
        tasks::outbox::start(lifecycle, &state);
        Ok(http::router(&ctx, state, config.max_body_bytes))
    }
}
