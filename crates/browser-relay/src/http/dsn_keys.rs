//! `/api/dsn-keys`: create, list, deactivate.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::{ApiBytes, ApiError, PathText, json};
use monlight_shared::store::Lane;
use serde::Serialize;
use serde_json::json;

use super::id_of;
use crate::domain::dsn::{LONGEST_PROJECT, key_from_random};
use crate::domain::event::{INVALID_JSON, Refusal, open, text};
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
}

impl From<DsnKey> for Listed {
    fn from(key: DsnKey) -> Self {
        let DsnKey {
            id,
            public_key,
            project,
            active,
            created_at,
        } = key;
        Self {
            id,
            public_key,
            project,
            active,
            created_at: iso_seconds(created_at),
        }
    }
}

#[derive(Serialize)]
struct Created<'k> {
    public_key: &'k str,
    project: &'k str,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Response, ApiError> {
    let keys = state.store.read(dsn_keys::list).await?;
    let keys = keys.into_iter().map(Listed::from).collect();
    Ok(json(StatusCode::OK, &List { keys }))
}

pub(super) async fn create(
    Shared(state): Shared<State>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let project = read_project(&body).map_err(|refusal| ApiError::invalid(refusal.0))?;
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|fault| ApiError::internal(anyhow::anyhow!("no randomness: {fault}")))?;
    let (public_key, now) = (key_from_random(random), state.clock.now_ms());
    let created = state
        .store
        .write(Lane::Ingest, project.len(), move |conn| {
            dsn_keys::create(conn, &public_key, &project, now)
        })
        .await?
        .ok_or_else(|| {
            ApiError::Conflict(format!(
                "There are {MOST_KEYS} DSN keys already, the most there can be"
            ))
        })?;
    state.keys.add(&created);
    let answer = Created {
        public_key: &created.public_key,
        project: &created.project,
    };
    Ok(json(StatusCode::CREATED, &answer))
}

pub(super) async fn deactivate(
    Shared(state): Shared<State>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    let key = state
        .store
        .write(Lane::Ingest, 0, move |conn| dsn_keys::deactivate(conn, id))
        .await?;
    let key = key.ok_or_else(|| ApiError::not_found("DSN key not found"))?;
    state.keys.remove(&key);
    Ok(json(StatusCode::OK, &json!({"status": "deactivated"})))
}

fn read_project(body: &[u8]) -> Result<String, Refusal> {
    let mut json = open(body)?;
    let mut project = None;
    let mut members = json.open_object().map_err(|_| INVALID_JSON)?;
    while let Some(key) = json.next_member(&mut members).map_err(|_| INVALID_JSON)? {
        if key == "project" {
            project = text(&mut json)?;
        } else {
            json.skip().map_err(|_| INVALID_JSON)?;
        }
    }
    let project = project.ok_or(Refusal("Missing required field: project"))?;
    if project.is_empty() || project.len() > LONGEST_PROJECT {
        return Err(Refusal("Field 'project' must be 1-100 characters"));
    }
    Ok(project)
}
