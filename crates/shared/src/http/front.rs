//! The pipeline in front of every route: one function, read from top to bottom in [`serve`].

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::FutureExt;
use tower::{Service, ServiceExt};
use tower_http::compression::Compression;
use tower_http::compression::CompressionLevel;

use super::address::Client;
use super::answers::{AnswerBudget, Packed};
use super::app::{Checks, Methods, wrong_method};
use super::assets::{self, Found, Site, accepts_gzip};
use super::auth::{Auth, Caller, Doors, Presented};
use super::body::{BodyBudget, BodyRules, check_declared};
use super::error::{ApiError, Cause};
use super::health::Health;
use super::observe::Observer;
use super::rate_limit::RateLimit;
use super::session_routes;
use crate::config::{Siblings, TrustedProxies};
use crate::lifecycle::{Lifecycle, panic_text};
use crate::metrics::Registry;
use crate::service::ServiceInfo;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Smaller answers are not worth compressing: they fit into one packet.
const COMPRESS_FROM_BYTES: u64 = 1024;

/// What the pipeline found out about a request, in its extensions; handlers can extract it.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Where it comes from.
    pub client: Client,
    /// Who is asking; `None` on open routes.
    pub caller: Option<Caller>,
    /// Names it in logs and in `X-Request-Id`.
    pub id: RequestId,
    /// How its body is to be read.
    pub body: BodyRules,
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            ApiError::internal(anyhow::anyhow!(
                "a route asks for its context outside of App"
            ))
        })
    }
}

/// The name of one request: what the client sent as `X-Request-Id` if that is fit for a log, else a
/// prefix of this process and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        // Both sources are ASCII.
        self.0.to_str().unwrap_or_default()
    }

    fn of(headers: &HeaderMap, ids: &Ids) -> Self {
        let sent = headers.get(REQUEST_ID).filter(|value| {
            let bytes = value.as_bytes();
            (1..=64).contains(&bytes.len())
                && bytes
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        });
        if let Some(value) = sent {
            return Self(value.clone());
        }
        let text = format!(
            "{:08x}-{:x}",
            ids.prefix,
            ids.next.fetch_add(1, Ordering::Relaxed)
        );
        Self(HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0")))
    }
}

/// Where request ids come from.
#[derive(Debug)]
pub(super) struct Ids {
    prefix: u32,
    next: AtomicU64,
}

impl Ids {
    /// Ids with a random prefix. Without randomness they repeat after a restart, which harms nobody.
    pub(super) fn new() -> Self {
        Self {
            prefix: getrandom::u32().unwrap_or_default(),
            next: AtomicU64::new(0),
        }
    }
}

/// Which unknown paths need the key.
#[derive(Clone, Copy, Debug)]
pub(super) enum ApiPaths {
    All,
    Under(&'static [&'static str]),
}

impl ApiPaths {
    fn cover(self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Under(prefixes) => prefixes.iter().any(|prefix| path.starts_with(prefix)),
        }
    }
}

/// How long a body may be, by path.
#[derive(Clone, Debug)]
pub(super) struct BodyLimits {
    pub(super) usual: usize,
    pub(super) special: Vec<(&'static str, usize)>,
}

impl BodyLimits {
    fn of(&self, path: &str) -> usize {
        let special = self
            .special
            .iter()
            .find(|(prefix, _)| path.starts_with(prefix));
        special.map_or(self.usual, |(_, limit)| *limit)
    }
}

/// Everything the pipeline needs; made by [`App::build`](super::App::build).
pub(super) struct Front {
    pub(super) info: &'static ServiceInfo,
    pub(super) ids: Ids,
    pub(super) auth: Auth,
    /// By how the caller got in and from where: a session has a budget of its own, so that an error
    /// storm under the key never locks the operator out of the pages.
    pub(super) rate: Arc<RateLimit<(Option<Caller>, std::net::IpAddr)>>,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) siblings: Siblings,
    pub(super) budget: BodyBudget,
    pub(super) answers: AnswerBudget,
    pub(super) limits: BodyLimits,
    pub(super) checks: Checks,
    pub(super) methods: Methods,
    pub(super) api: Router,
    pub(super) api_paths: ApiPaths,
    pub(super) open: Vec<(&'static str, Router)>,
    pub(super) site: Site,
    pub(super) health: Health,
    pub(super) lifecycle: Lifecycle,
    pub(super) observer: Observer,
    pub(super) metrics: Registry,
}

/// On a request that came through a door where only open routes and `/health` are; see [`public_only`].
#[derive(Clone, Copy, Debug)]
struct PublicDoor;

/// The part of a service for strangers: its open routes and `/health`. Every other path is unknown there, whatever key a
/// request carries.
///
/// [`App::open`]: super::App::open
pub fn public_only(router: Router) -> Router {
    router.layer(Extension(PublicDoor))
}

/// Where a request goes.
enum Place<'f> {
    Health,
    Page(Found),
    Session,
    Open(&'f Router),
    Metrics,
    Api,
    Nowhere,
}

/// Answers one request.
pub(super) async fn serve(State(front): State<Arc<Front>>, request: Request) -> Response {
    let began = front.observer.now();
    let context = front.context(&request);
    let seen = Seen {
        method: request.method().clone(),
        uri: request.uri().clone(),
    };
    let gzip = accepts_gzip(request.headers());
    let id = context.id.clone();

    let answered = AssertUnwindSafe(front.dispatch(request, context))
        .catch_unwind()
        .await;
    let mut response = answered.unwrap_or_else(|panic| front.panicked(&*panic, &seen, &id));
    if gzip
        && is_worth_compressing(&response)
        && let Some(room) = front.answers.packer()
    {
        response = compress(response)
            .await
            .map(|body| axum::body::Body::new(Packed::new(body, room)));
    }
    finish_headers(&mut response, &id);
    let took = front.observer.finished(response.status(), began);
    log(&seen, &response, &id, took);
    response
}

impl Front {
    fn context(&self, request: &Request) -> RequestContext {
        RequestContext {
            client: Client::of(request, &self.trusted_proxies),
            caller: None,
            id: RequestId::of(request.headers(), &self.ids),
            body: BodyRules {
                limit: self.limits.of(request.uri().path()),
                budget: self.budget.clone(),
            },
        }
    }

    fn place(&self, request: &Request) -> Place<'_> {
        let (method, path) = (request.method(), request.uri().path());
        let reads = *method == Method::GET || *method == Method::HEAD;
        let mut open = self.open.iter();
        match path {
            "/health" => return Place::Health,
            _ if let Some((_, routes)) = open.find(|(prefix, _)| path.starts_with(prefix)) => {
                return Place::Open(routes);
            }
            _ if request.extensions().get::<PublicDoor>().is_some() => return Place::Nowhere,
            "/api/session" => return Place::Session,
            "/metrics" if reads => return Place::Metrics,
            _ => {}
        }
        if reads
            && !path.starts_with("/api/")
            && let Some(found) = self.site.find(path)
        {
            return Place::Page(found);
        }
        if self.api_paths.cover(path) {
            Place::Api
        } else {
            Place::Nowhere
        }
    }

    async fn dispatch(&self, mut request: Request, mut context: RequestContext) -> Response {
        let place = self.place(&request);
        let doors = match place {
            Place::Health => return self.health.answer(&self.lifecycle).await,
            Place::Page(found) => return assets::answer(&found, &request),
            Place::Session => return session_routes::answer(self, request, &context).await,
            Place::Open(routes) => {
                request.extensions_mut().insert(context);
                return self.answers.admit(call(routes, request).await).await;
            }
            Place::Metrics => Doors::WithBearer,
            Place::Api | Place::Nowhere => Doors::Usual,
        };
        if let Place::Nowhere = place {
            let checked = self
                .check_rate(None, &context.client)
                .and_then(|()| check_declared(request.headers(), context.body.limit));
            return checked
                .err()
                .unwrap_or_else(ApiError::no_route)
                .into_response();
        }
        match self.guard(&request, &context, doors) {
            Ok(caller) => context.caller = Some(caller),
            Err(refusal) => return refusal.into_response(),
        }
        if let Place::Metrics = place {
            return prometheus(&self.metrics);
        }
        request.extensions_mut().insert(context);
        self.answers.admit(call(&self.api, request).await).await
    }

    /// Key, rate limit, declared size, in the order of the service.
    fn guard(
        &self,
        request: &Request,
        context: &RequestContext,
        doors: Doors,
    ) -> Result<Caller, ApiError> {
        let caller = self
            .auth
            .check(&Presented::by(request, context.client), doors);
        let fits = || check_declared(request.headers(), context.body.limit);
        match self.checks {
            Checks::KeyFirst => {
                let caller = caller?;
                self.check_rate(Some(caller), &context.client)?;
                fits()?;
                Ok(caller)
            }
            Checks::RateFirst => {
                self.check_rate(caller.as_ref().ok().copied(), &context.client)?;
                fits()?;
                caller
            }
        }
    }

    fn check_rate(&self, caller: Option<Caller>, client: &Client) -> Result<(), ApiError> {
        if caller == Some(Caller::Internal) {
            return Ok(());
        }
        Ok(self.rate.check(&(caller, client.network()))?)
    }

    pub(super) fn wrong_method(&self, allow: &'static str) -> ApiError {
        match wrong_method(self.methods) {
            ApiError::MethodNotAllowed { .. } => ApiError::MethodNotAllowed { allow },
            other => other,
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send), seen: &Seen, id: &RequestId) -> Response {
        self.observer.panicked();
        let text = panic_text(panic);
        tracing::error!(request_id = id.as_str(), method = %seen.method, path = seen.uri.path(), "request {text}");
        // Without a cause in it, so it is not logged a second time.
        super::error::json(
            StatusCode::INTERNAL_SERVER_ERROR,
            &serde_json::json!({"detail": super::error::INTERNAL}),
        )
    }
}

async fn call(routes: &Router, request: Request) -> Response {
    let mut routes = routes.clone();
    // A router is always ready and never fails.
    let Ok(response) = Service::<Request>::call(&mut routes, request).await;
    response
}

fn prometheus(metrics: &Registry) -> Response {
    let mut response = Response::new(metrics.render().into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// Text of some length that is not compressed yet and does not have to arrive piece by piece.
fn is_worth_compressing(response: &Response) -> bool {
    let headers = response.headers();
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| {
            !kind.starts_with("text/event-stream")
                && (kind.starts_with("text/") || kind.starts_with("application/"))
        });
    text && !headers.contains_key(header::CONTENT_ENCODING)
        && response
            .body()
            .size_hint()
            .exact()
            .is_none_or(|length| length >= COMPRESS_FROM_BYTES)
}

async fn compress(response: Response) -> Response {
    let mut ready = Some(response);
    let inner = tower::service_fn(move |_: axum::http::Request<()>| {
        std::future::ready(Ok::<_, Infallible>(ready.take().unwrap_or_default()))
    });
    let mut asked = axum::http::Request::new(());
    asked
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let Ok(compressed) = Compression::new(inner)
        .quality(CompressionLevel::Fastest)
        .oneshot(asked)
        .await;
    compressed.map(axum::body::Body::new)
}

fn finish_headers(response: &mut Response, id: &RequestId) {
    let wrong_path = response.status() == StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.0.clone());
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(const { HeaderValue::from_static("nosniff") });
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(const { HeaderValue::from_static("no-store") });
    if wrong_path {
        // The router says which methods a path has even where we say that there is no such path.
        headers.remove(header::ALLOW);
    }
}

/// What of a request is still needed when it has been answered.
struct Seen {
    method: Method,
    uri: Uri,
}

/// The query is never logged: it may hold a key.
fn log(seen: &Seen, response: &Response, id: &RequestId, took: Duration) {
    let (method, path, status) = (&seen.method, seen.uri.path(), response.status().as_u16());
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        tracing::error!(request_id = id.as_str(), %method, path, cause = &**cause, "request failed");
    }
    tracing::debug!(
        request_id = id.as_str(),
        %method,
        path,
        status,
        duration_ms = took.as_secs_f64() * 1e3,
        "request"
    );
}
