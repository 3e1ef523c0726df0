//! Two services to try things on: one that checks as the API services do, one as the relay does.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use monlight_shared::config::{ApiKeyName, Reader, Var};
use monlight_shared::http::sse::{Event, Pace, Slots, respond};
use monlight_shared::http::{
    ApiBytes, ApiError, App, Asset, Caller, Checks, Methods, RawParams, RequestContext, json,
    json_text,
};
use monlight_shared::service::{Context, Service, ServiceInfo};
use monlight_shared::store::Migration;
use serde_json::json as value;

pub(crate) static INFO: ServiceInfo = ServiceInfo {
    name: "demo",
    version: "1.2.3",
    summary: "For tests.",
    default_port: 0,
    default_database: "demo.db",
    default_rate_limit: 0,
    default_max_body: 262_144,
    api_key: ApiKeyName::ApiKey,
};

pub(crate) static ASSETS: &[Asset] = &[
    Asset {
        path: "app.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"0123456789abcdef\"",
        bytes: b"console.log(1)",
        gzip: Some(b"not really gzip"),
    },
    Asset {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        etag: "\"fedcba9876543210\"",
        bytes: b"<!doctype html><title>Demo</title>",
        gzip: None,
    },
];

static MIGRATIONS: &[Migration] = &[Migration {
    version: 100,
    name: "init",
    sql: "CREATE TABLE things (id INTEGER PRIMARY KEY)",
}];

/// Key first, 404 for wrong methods.
pub(crate) struct Demo;

impl Service for Demo {
    const INFO: ServiceInfo = INFO;
    type Config = ();

    fn vars() -> &'static [&'static Var] {
        &[]
    }

    fn configure(_: &mut Reader<'_>) -> Self::Config {}

    fn migrations() -> &'static [Migration] {
        MIGRATIONS
    }

    fn start(ctx: Context, (): ()) -> anyhow::Result<Router> {
        let store = ctx.store.clone();
        Ok(App::new(&ctx, &INFO)
            .api(things(&ctx))
            .pages(
                ASSETS,
                &[("/", "index.html"), ("/things/{id}", "index.html")],
            )
            .body_limit("/api/large", 1_000_000)
            .health(move || {
                let store = store.clone();
                async move {
                    let count = store.read(|conn| {
                        Ok(conn.query_row("SELECT count(*) FROM things", [], |row| {
                            row.get::<_, i64>(0)
                        })?)
                    });
                    let count = count.await.map_err(|fault| fault.to_string())?;
                    Ok(serde_json::Map::from_iter([(
                        "things".to_owned(),
                        count.into(),
                    )]))
                }
            })
            .build())
    }
}

fn things(ctx: &Context) -> Router {
    let (lifecycle, slots) = (ctx.lifecycle.clone(), Slots::new(2, &ctx.metrics));
    let events = move || {
        let (lifecycle, slot) = (lifecycle.clone(), slots.take());
        async move {
            let slot = slot.ok_or_else(|| ApiError::busy("Too many streams"))?;
            let events = stream::iter([Event::data("hello")]).chain(stream::pending());
            Ok::<_, ApiError>(respond(&lifecycle, slot, Pace::default(), events))
        }
    };
    Router::new()
        .route("/api/things", get(list).post(submit))
        .route("/api/large", post(submit))
        .route("/api/panic", get(panics))
        .route("/api/fault", get(fails))
        .route("/api/long", get(long))
        .route("/api/packed", get(packed))
        .route("/api/pieces", get(pieces))
        .route("/api/events", get(events))
        .route(
            "/api/unread",
            post(async || json(StatusCode::OK, &value!({"read": false}))),
        )
}

async fn list(RawParams(query): RawParams, ctx: RequestContext) -> Response {
    let caller = match ctx.caller {
        Some(Caller::Key) => "key",
        Some(Caller::Internal) => "internal",
        Some(Caller::Session) => "session",
        None => "nobody",
    };
    let answer = value!({
        "project": query.first("project"),
        "caller": caller,
        "client": ctx.client.address.to_string(),
    });
    json(StatusCode::OK, &answer)
}

async fn submit(ApiBytes(body): ApiBytes) -> Result<Response, ApiError> {
    if body.is_empty() {
        return Err(ApiError::invalid("Empty request body"));
    }
    Ok(json(StatusCode::CREATED, &value!({"bytes": body.len()})))
}

async fn panics() -> Response {
    panic!("this handler is broken")
}

async fn fails() -> Result<Response, ApiError> {
    Err(ApiError::internal(anyhow::anyhow!(
        "no such table: secrets"
    )))
}

async fn long() -> Response {
    json(StatusCode::OK, &value!({"text": "0123456789".repeat(1000)}))
}

/// 16 MiB in pieces.
async fn pieces() -> Response {
    let piece = || Ok::<_, std::convert::Infallible>("0123456789abcdef".repeat(16 * 1024));
    let pieces = stream::iter((0..64).map(move |_| piece()));
    json_text(StatusCode::OK, Body::from_stream(pieces))
}

async fn packed() -> Response {
    let mut response = json(StatusCode::OK, &"0123456789".repeat(1000));
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    response
}

/// Rate limit first, open routes, 405 for wrong methods.
pub(crate) struct Relay;

impl Service for Relay {
    const INFO: ServiceInfo = ServiceInfo {
        api_key: ApiKeyName::AdminApiKey,
        ..INFO
    };
    type Config = ();

    fn vars() -> &'static [&'static Var] {
        &[]
    }

    fn configure(_: &mut Reader<'_>) -> Self::Config {}

    fn migrations() -> &'static [Migration] {
        MIGRATIONS
    }

    fn start(ctx: Context, (): ()) -> anyhow::Result<Router> {
        let public = Router::new()
            .route("/api/browser/events", post(submit))
            .fallback(async || json(StatusCode::NOT_FOUND, &value!({"detail": "no such door"})));
        Ok(App::new(&ctx, &INFO)
            .api(Router::new().route("/api/keys", get(list).post(submit)))
            .api_at(&["/api/keys", "/api/maps"])
            .open("/api/browser/", public)
            .checks(Checks::RateFirst)
            .methods(Methods::NotAllowed)
            .body_limit("/api/maps", 5_000_000)
            .build())
    }
}
