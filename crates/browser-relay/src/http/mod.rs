//! The routes: those of operators behind the admin key, those of browsers behind a DSN key.

mod browser;
mod cors;
mod dsn_keys;
mod form;
mod outbox;
mod source_maps;
mod spool;

use axum::Router;
use axum::routing::{any, delete, get, post};
use monlight_shared::http::{ApiError, App, Checks, Methods};
use monlight_shared::service::Context;
use serde_json::{Map, Value};

use crate::INFO;
use crate::state::State;

/// What a JSON body with a map may hold beside the map's text.
const UPLOAD_OVERHEAD: usize = 64 * 1024;

/// The whole service. Checks come in the contract's order: rate limit, declared size, key, route.
pub(crate) fn router(ctx: &Context, state: State, max_body_bytes: Option<usize>) -> Router {
    // The text of a map grows by its escapes; twice is more than any map needs.
    let upload =
        usize::try_from(state.maps.max_map_bytes).unwrap_or(usize::MAX / 4) * 2 + UPLOAD_OVERHEAD;
    let admin = Router::new()
        .route("/api/dsn-keys", get(dsn_keys::list).post(dsn_keys::create))
        .route(
            "/api/dsn-keys/",
            delete(async || ApiError::invalid(INVALID_ID)),
        )
        .route(
            "/api/dsn-keys/{id}",
            delete(dsn_keys::deactivate).patch(dsn_keys::update),
        )
        .route("/api/outbox", get(outbox::show))
        .route("/api/outbox/retry", post(outbox::retry))
        .route(
            "/api/source-maps",
            get(source_maps::list).post(source_maps::upload),
        )
        .route(
            "/api/source-maps/",
            delete(async || ApiError::invalid(INVALID_ID)),
        )
        .route("/api/source-maps/{id}", delete(source_maps::delete))
        .route("/api/source-maps/{id}/lookup", get(source_maps::look_up))
        .with_state(state.clone());
    let browser = Router::new()
        .fallback(any(browser::answer))
        .with_state(state.clone());
    let mut app = App::new(ctx, &INFO)
        .api(admin)
        .api_at(&["/api/dsn-keys", "/api/outbox", "/api/source-maps"])
        .open("/api/browser/", browser)
        .checks(Checks::RateFirst)
        .methods(Methods::NotAllowed)
        .health(move || health(state.clone()))
        .body_limit("/api/source-maps", upload);
    if let Some(limit) = max_body_bytes {
        app = app.body_limit("/", limit);
    }
    app.build()
}

const INVALID_ID: &str = "Invalid ID";

/// The id in a path: a signed whole number.
fn id_of(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(INVALID_ID))
}

/// The database must answer. Trouble with another service is reported but is no reason to restart this one.
async fn health(state: State) -> Result<Map<String, Value>, String> {
    if let Some(reason) = state.store.sick() {
        return Err(reason);
    }
    let answer = state
        .store
        .read(|conn| Ok(conn.query_row("SELECT 1 FROM _meta LIMIT 1", [], |_| Ok(()))?));
    answer.await.map_err(|fault| fault.to_string())?;
    let trouble = [&state.errors, &state.metrics]
        .into_iter()
        .filter_map(|upstream| {
            Some((
                upstream.name().to_owned(),
                upstream.trouble()?.summary().into(),
            ))
        });
    let trouble: Map<_, _> = trouble.collect();
    Ok(if trouble.is_empty() {
        trouble
    } else {
        Map::from_iter([("upstreams".to_owned(), Value::Object(trouble))])
    })
}
