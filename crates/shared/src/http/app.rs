//! The builder with which a service describes its HTTP side.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use serde_json::{Map, Value};

use super::answers::{AnswerBudget, ON_THEIR_WAY_BYTES};
use super::assets::{Asset, Site};
use super::auth::Auth;
use super::body::{BodyBudget, IN_FLIGHT_BYTES};
use super::error::ApiError;
use super::front::{self, ApiPaths, BodyLimits, Front, Ids};
use super::health::Health;
use super::observe::Observer;
use super::rate_limit::RateLimit;
use crate::service::{Context, ServiceInfo};

/// The order in which a guarded route checks a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Key, rate limit, declared size, route: so 401 wins over 429, 429 over 413, 413 over 404.
    KeyFirst,
    /// Rate limit, declared size, key, route, also for unknown paths.
    RateFirst,
}

/// What a known path answers to a method it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// 404, as for an unknown path.
    NotFound,
    /// 405 with `Allow`.
    NotAllowed,
}

/// Puts the HTTP side of a service together; see the [module](super) for an example.
///
/// It adds by itself: `GET /metrics` (key, or `Authorization: Bearer`), `POST`, `GET` and `DELETE
/// /api/session` (the cookie for browsers), `GET /health` (open), request ids, the panic net,
/// compression, security headers, counters, and JSON answers for unknown paths and methods.
#[must_use = "an App does nothing until it is built"]
pub struct App {
    ctx: Context,
    info: &'static ServiceInfo,
    api: Router,
    api_paths: ApiPaths,
    open: Vec<(&'static str, Router)>,
    site: Site,
    health: Health,
    checks: Checks,
    methods: Methods,
    limits: Vec<(&'static str, usize)>,
}

impl App {
    /// A service without routes of its own.
    pub fn new(ctx: &Context, info: &'static ServiceInfo) -> Self {
        Self {
            ctx: ctx.clone(),
            info,
            api: Router::new(),
            api_paths: ApiPaths::All,
            open: Vec::new(),
            site: Site::default(),
            health: Health::plain(),
            checks: Checks::KeyFirst,
            methods: Methods::NotFound,
            limits: Vec::new(),
        }
    }

    /// The routes behind the key. Can be called more than once.
    pub fn api(mut self, routes: Router) -> Self {
        self.api = self.api.merge(routes);
        self
    }

    /// Says that only paths that begin with one of `prefixes` (and `/metrics`) need the key; any
    /// other unknown path is a plain 404. Without this, every path but pages and `/health` needs it.
    pub fn api_at(mut self, prefixes: &'static [&'static str]) -> Self {
        self.api_paths = ApiPaths::Under(prefixes);
        self
    }

    /// Routes without a key: every request whose path is below `prefix` goes to `routes`, whatever
    /// its method, and with its whole path. No check is made before; see [`RequestContext`].
    ///
    /// [`RequestContext`]: super::RequestContext
    pub fn open(mut self, prefix: &'static str, routes: Router) -> Self {
        self.open.push((prefix, routes));
        self
    }

    /// The pages: every asset is served at its path and, for each `(pattern, path)`, the asset of
    /// that path at the pattern, in which `{...}` stands for a segment of digits. `GET` and `HEAD`.
    pub fn pages(
        mut self,
        assets: &'static [Asset],
        pages: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.site = Site::new(assets, pages, self.ctx.common.ui_dir.clone());
        self
    }

    /// What `GET /health` looks at: the members it adds to `{"status": "ok"}`, or why the service
    /// is not well. It should read the database. A task that keeps failing is reported without it.
    pub fn health<F>(mut self, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Map<String, Value>, String>> + Send + 'static,
    {
        self.health = Health::new(check);
        self
    }

    /// The order of the checks; [`Checks::KeyFirst`] unless said otherwise.
    pub fn checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self
    }

    /// The answer to a wrong method; [`Methods::NotFound`] unless said otherwise.
    pub fn methods(mut self, methods: Methods) -> Self {
        self.methods = methods;
        self
    }

    /// Another body limit, in bytes, for paths that begin with `prefix`. Elsewhere it is
    /// `MAX_BODY_BYTES`.
    pub fn body_limit(mut self, prefix: &'static str, limit: usize) -> Self {
        self.limits.push((prefix, limit));
        self
    }

    /// The whole service as a router.
    pub fn build(self) -> Router {
        let Context {
            clock,
            metrics,
            lifecycle,
            common,
            ..
        } = self.ctx;
        let methods = self.methods;
        let api = self
            .api
            .fallback(async || ApiError::no_route())
            .method_not_allowed_fallback(async move || wrong_method(methods));
        let auth = Auth::new(
            self.info.name,
            &common.api_key,
            common.internal_api_key.as_ref(),
            &clock,
            &metrics,
        );
        let rate = Arc::new(RateLimit::new(common.rate_limit, "api", &clock, &metrics));
        let clients = Arc::downgrade(&rate);
        metrics.gauge_fn(
            "monlight_http_rate_limit_clients",
            "Clients that the rate limit remembers.",
            &[],
            move || clients.upgrade().map_or(0.0, |rate| rate.clients() as f64),
        );
        let front = Front {
            info: self.info,
            ids: Ids::new(),
            auth,
            rate,
            trusted_proxies: common.trusted_proxies.clone(),
            siblings: common.siblings.clone(),
            budget: BodyBudget::new(IN_FLIGHT_BYTES, &metrics),
            answers: AnswerBudget::new(ON_THEIR_WAY_BYTES, &metrics),
            limits: BodyLimits {
                usual: common.max_body_bytes,
                special: self.limits,
            },
            checks: self.checks,
            methods,
            api,
            api_paths: self.api_paths,
            open: self.open,
            site: self.site,
            health: self.health,
            lifecycle,
            observer: Observer::new(&metrics, &clock),
            metrics,
        };
        Router::new()
            .fallback(front::serve)
            .with_state(Arc::new(front))
    }
}

/// The answer to a method that a known path does not have; the router adds `Allow`.
pub(super) fn wrong_method(methods: Methods) -> ApiError {
    match methods {
        Methods::NotFound => ApiError::no_route(),
        Methods::NotAllowed => ApiError::MethodNotAllowed { allow: "" },
    }
}
