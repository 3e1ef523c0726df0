//! Serves a service: one builder for the routes, one pipeline in front of them, one server below.
//!
//! ```text
//! socket ─▶ server: time-outs, head and body limits, connection cap
//!        ─▶ front: request id, panic net, counters, compression
//!        ─▶ /health · pages · /api/session                        open
//!        ─▶ key ─▶ rate limit ─▶ declared size ─▶ /metrics · API    guarded
//! ```
//!
//! A service describes itself with [`App`]; its handlers are plain axum handlers that return
//! `Result<Response, ApiError>`:
//!
//! ```
//! use axum::Router;
//! use axum::http::StatusCode;
//! use axum::response::Response;
//! use axum::routing::{get, post};
//! use monlight_shared::http::{ApiBytes, ApiError, App, Asset, RawParams, json};
//! use monlight_shared::service::{Context, ServiceInfo};
//! use serde_json::json as value;
//!
//! static ASSETS: &[Asset] = &[];
//!
//! async fn list(RawParams(query): RawParams) -> Result<Response, ApiError> {
//!     let project = query.first("project").unwrap_or("all");
//!     Ok(json(StatusCode::OK, &value!({"project": project})))
//! }
//!
//! async fn submit(ApiBytes(body): ApiBytes) -> Result<Response, ApiError> {
//!     if body.is_empty() {
//!         return Err(ApiError::invalid("Empty request body"));
//!     }
//!     Ok(json(StatusCode::CREATED, &value!({"bytes": body.len()})))
//! }
//!
//! fn start(ctx: &Context, info: &'static ServiceInfo) -> Router {
//!     let store = ctx.store.clone();
//!     App::new(ctx, info)
//!         .api(Router::new().route("/api/things", get(list).post(submit)))
//!         .pages(ASSETS, &[("/", "index.html"), ("/things/{id}", "index.html")])
//!         .health(move || {
//!             let store = store.clone();
//!             async move {
//!                 let count = store.read(|conn| Ok(conn.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?));
//!                 let count = count.await.map_err(|fault| fault.to_string())?;
//!                 Ok(serde_json::Map::from_iter([("things".to_owned(), count.into())]))
//!             }
//!         })
//!         .build()
//! }
//! ```
//!
//! The relay, whose contract checks in another order, says so with [`App::checks`],
//! [`App::api_at`] and [`App::methods`], and serves its public routes through [`App::open`] with
//! [`rate_limit::RateLimit`], [`body::check_declared`] and [`RequestContext`] as its own pieces.

pub mod address;
pub mod answers;
pub mod assets;
pub mod auth;
pub mod body;
pub mod error;
pub mod query;
pub mod rate_limit;
pub mod server;
pub mod sse;

mod app;
mod front;
mod health;
mod observe;
mod path;
mod session_routes;

pub use address::{Client, Peer, client_addr};
pub use app::{App, Checks, Methods};
pub use assets::Asset;
pub use auth::{Auth, Caller};
pub use body::ApiBytes;
pub use error::{ApiError, json, json_text};
pub use front::{RequestContext, RequestId, public_only};
pub use path::PathText;
pub use query::{Query, RawParams};
pub use rate_limit::{RateLimit, RateLimiter, RetryAfter};

#[cfg(test)]
pub(crate) mod testing {
    //! What the unit tests of this module share.

    use crate::config::{Common, Env, Reader, TrustedProxies};
    use crate::service::ServiceInfo;

    /// A service for tests.
    pub(crate) static INFO: ServiceInfo = ServiceInfo {
        name: "test-service",
        version: "1.2.3",
        summary: "For tests.",
        default_port: 0,
        default_database: "test.db",
        default_rate_limit: 0,
        default_max_body: 262_144,
        api_key: crate::config::ApiKeyName::ApiKey,
    };

    /// The proxies that `TRUSTED_PROXIES` names.
    pub(crate) fn proxies(text: &str) -> TrustedProxies {
        let env = Env::of([("API_KEY", "k"), ("TRUSTED_PROXIES", text)]);
        let mut reader = Reader::new(&env);
        let common = Common::read(&mut reader, &INFO);
        reader.finish().expect("the setting is well formed");
        common.trusted_proxies
    }
}
