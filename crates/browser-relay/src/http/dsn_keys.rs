//! `/api/dsn-keys`: create, list, change, deactivate.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::{ApiBytes, ApiError, PathText, json};
use monlight_shared::store::Lane;
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::id_of;
use crate::domain::dsn::key_from_random;
use crate::domain::key_settings::{self, KeySettings};
use crate::state::State;
use crate::store::dsn_keys::{self, DsnKey, MOST_KEYS};

#[derive(Serialize)]
struct List {
    keys: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    id: i64,
    public_key: String,
    project: String,
    active: bool,
    created_at: String,
    name: String,
    /// `null`: those of `CORS_ORIGINS`.
    origins: Option<Vec<String>>,
    allow_no_origin: bool,
    /// Requests a minute of one address; `null`: `RATE_LIMIT`.
    rate_limit: Option<u32>,
    /// Requests a minute of all addresses; `null`: no limit.
    total_limit: Option<u32>,
    last_used: Option<String>,
    events_taken: i64,
    events_refused: i64,
}

impl From<DsnKey> for Listed {
    fn from(key: DsnKey) -> Self {
        let KeySettings {
            name,
            origins,
            allow_no_origin,
            rate_limit,
            total_limit,
        } = key.settings;
        Self {
            id: key.id,
            public_key: key.public_key,
            project: key.project,
            active: key.active,
            created_at: iso_seconds(key.created_at),
            name,
            origins,
            allow_no_origin,
            rate_limit,
            total_limit,
            last_used: key.used.last.map(iso_seconds),
            events_taken: key.used.taken,
            events_refused: key.used.refused,
        }
    }
}

#[derive(Serialize)]
struct Created<'k> {
    public_key: &'k str,
    project: &'k str,
    id: i64,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Response, ApiError> {
    let keys = state.keys.list(&state.store).await?;
    let keys = keys.into_iter().map(Listed::from).collect();
    Ok(json(StatusCode::OK, &List { keys }))
}

pub(super) async fn create(
    Shared(state): Shared<State>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let (project, settings) = key_settings::new_key(&body).map_err(ApiError::invalid)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|fault| ApiError::internal(anyhow::anyhow!("no randomness: {fault}")))?;
    let (public_key, now) = (key_from_random(random), state.clock.now_ms());
    let created = to_the_end(state, async move |state| {
        let job = move |conn: &_| dsn_keys::create(conn, &public_key, &project, &settings, now);
        let created = state.store.write(Lane::Ingest, body.len(), job).await?;
        state.keys.put(created.as_slice());
        Ok(created)
    })
    .await?
    .ok_or_else(|| {
        ApiError::Conflict(format!(
            "There are {MOST_KEYS} DSN keys already, the most there can be"
        ))
    })?;
    let answer = Created {
        public_key: &created.public_key,
        project: &created.project,
        id: created.id,
    };
    Ok(json(StatusCode::CREATED, &answer))
}

/// Changes the settings of a key; also deactivates it and brings it back.
pub(super) async fn update(
    Shared(state): Shared<State>,
    PathText(id): PathText,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    let changed = to_the_end(state, async move |state| {
        let found = state
            .store
            .read(move |conn| dsn_keys::find(conn, id))
            .await?;
        let DsnKey {
            mut settings,
            active,
            ..
        } = found.ok_or_else(unknown)?;
        let active = key_settings::change(&body, &mut settings)
            .map_err(ApiError::invalid)?
            .unwrap_or(active);
        let job = move |conn: &_| dsn_keys::update(conn, id, &settings, active);
        let mut changed = state.store.write(Lane::Ingest, body.len(), job).await?;
        state.keys.put(changed.as_slice());
        if let Some(key) = &mut changed {
            state.keys.add_pending(key);
        }
        changed.ok_or_else(unknown)
    });
    Ok(json(StatusCode::OK, &Listed::from(changed.await?)))
}

pub(super) async fn deactivate(
    Shared(state): Shared<State>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    let deactivated = to_the_end(state, async move |state| {
        let job = move |conn: &_| dsn_keys::deactivate(conn, id);
        let key = state.store.write(Lane::Ingest, 0, job).await?;
        state.keys.put(key.as_slice());
        Ok(key)
    });
    deactivated.await?.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &json!({"status": "deactivated"})))
}

/// Changes keys, one request at a time, also when the client goes away in between: what is in memory must not be left
/// behind what is stored.
async fn to_the_end<T, F>(
    state: State,
    work: impl FnOnce(State) -> F + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    let lifecycle = state.lifecycle.clone();
    lifecycle.spawn_once(async move {
        let keys = state.keys.clone();
        let _changing = keys.change().await;
        // Nobody may be left to be told.
        drop(tell.send(work(state).await));
    });
    told.await.map_err(ApiError::internal)?
}

fn unknown() -> ApiError {
    ApiError::not_found("DSN key not found")
}
