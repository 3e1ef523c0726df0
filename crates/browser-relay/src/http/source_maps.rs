//! `/api/source-maps`: upload, list, delete.

use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::{ApiError, PathText, RawParams, RequestContext, json, json_text};
use monlight_shared::store::Lane;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::id_of;
use super::spool::{Limits, Received, Spool};
use crate::domain::deobfuscate::described;
use crate::domain::source_map::MapFault;
use crate::domain::source_map::decode::{DecodeFault, Summary, decode};
use crate::domain::source_map::survey::survey;
use crate::domain::upload::{self, Form, Names, Upload, UploadFault};
use crate::state::State;
use crate::store::map_rows::{self, StoreSink};
use crate::store::source_maps::{self, NewMap, SourceMap};
use crate::store::symbols;

/// Maps in one answer.
const MOST_LISTED: u32 = 10_000;
/// How long an upload waits for its turn, first to be received and then to be decoded.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct List {
    source_maps: Vec<Listed>,
    /// All that match, however many are shown.
    total: i64,
}

#[derive(Serialize)]
struct Listed {
    id: i64,
    project: String,
    /// `null` as `file_url`: found by its debug id only.
    release: Option<String>,
    file_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug_id: Option<String>,
    uploaded_at: String,
}

impl From<SourceMap> for Listed {
    fn from(map: SourceMap) -> Self {
        let SourceMap {
            id,
            project,
            release,
            file_url,
            debug_id,
            uploaded_at,
        } = map;
        Self {
            id,
            project,
            release,
            file_url,
            debug_id,
            uploaded_at: iso_seconds(uploaded_at),
        }
    }
}

#[derive(Serialize)]
struct Uploaded<'u> {
    status: &'static str,
    project: &'u str,
    release: Option<&'u str>,
    file_url: Option<&'u str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug_id: Option<String>,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let project = query.first("project").map(str::to_owned);
    let number = |name| query.first(name).and_then(|text| text.parse::<i64>().ok());
    let limit = number("limit").map_or(MOST_LISTED, |limit| {
        limit.clamp(1, i64::from(MOST_LISTED)) as u32
    });
    let offset = number("offset").unwrap_or_default().max(0);
    let read = state
        .store
        .read(move |conn| source_maps::list(conn, project.as_deref(), limit, offset));
    let (maps, total) = read.await?;
    let source_maps = maps.into_iter().map(Listed::from).collect();
    Ok(json(StatusCode::OK, &List { source_maps, total }))
}

pub(super) async fn delete(
    Shared(state): Shared<State>,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    if !state
        .store
        .write(Lane::Ingest, 0, move |conn| source_maps::delete(conn, id))
        .await?
    {
        return Err(ApiError::not_found("Source map not found"));
    }
    state.maps.recount(&state.store).await?;
    state.maps.upkeep.notify_one();
    Ok(json(StatusCode::OK, &json!({"status": "deleted"})))
}

/// What a map says about a place of the generated code, for whoever wants to know why a frame looks as it does.
pub(super) async fn look_up(
    Shared(state): Shared<State>,
    PathText(id): PathText,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    let number = |name| {
        let number = query.first(name).and_then(|text| text.parse::<u32>().ok());
        number.filter(|number| *number > 0).ok_or_else(|| {
            ApiError::Invalid(format!(
                "Parameter '{name}' must be a whole number from 1 on"
            ))
        })
    };
    let (line, column) = (number("line")?, number("column")?);
    let found = state
        .store
        .read(move |conn| symbols::look_up_in(conn, id, line, column))
        .await?
        .ok_or_else(|| ApiError::not_found("Source map not found"))?;
    Ok(json_text(StatusCode::OK, described(&found)))
}

/// Takes a map in: the body goes to the disk, then the map in it is decoded, one at a time.
pub(super) async fn upload(
    Shared(state): Shared<State>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let _spooling = spool_turn(&state.maps.spools).await?;
    let limits = Limits {
        body: context.body.limit as u64,
        map: state.maps.max_map_bytes,
    };
    let directory = data_directory(&state);
    let received = Spool::receive(&parts.headers, body, directory, limits).await?;
    let (mut spool, names) = match received {
        Received::Json(spool) if spool.length() == 0 => {
            return Err(ApiError::invalid("Empty request body"));
        }
        Received::Json(spool) => (spool, None),
        Received::Form(spool, names) => (spool, Some(names)),
    };
    let turn = decode_turn(&state).await?;
    let began = state.clock.monotonic();
    let (shared, most) = (state.clone(), state.maps.max_map_bytes);
    let stored = tokio::task::spawn_blocking(move || {
        // Held by the work, not by the request: a client that goes away does not let a second decoding in.
        let _turn = turn;
        let stored = read_upload(&mut spool, names, most)
            .and_then(|upload| store_map(&shared, &mut spool, upload));
        shared.maps.upkeep.notify_one();
        stored
    });
    let names = stored.await.map_err(ApiError::internal)??;
    state
        .telemetry
        .uploaded(state.clock.monotonic().saturating_sub(began));
    state.maps.recount(&state.store).await?;
    Ok(json(StatusCode::CREATED, &Uploaded::from(&names)))
}

impl<'u> From<&'u Names> for Uploaded<'u> {
    fn from(names: &'u Names) -> Self {
        Self {
            status: "uploaded",
            project: &names.project,
            release: names.release.as_deref(),
            file_url: names.file_url.as_deref(),
            debug_id: names.debug_id.map(|id| id.to_string()),
        }
    }
}

fn busy() -> ApiError {
    ApiError::Unavailable {
        detail: "Too many uploads at the same time".to_owned(),
        retry_after: 5,
    }
}

async fn spool_turn(spools: &Semaphore) -> Result<SemaphorePermit<'_>, ApiError> {
    match tokio::time::timeout(LONGEST_WAIT, spools.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(busy()),
    }
}

async fn decode_turn(state: &State) -> Result<OwnedSemaphorePermit, ApiError> {
    match tokio::time::timeout(LONGEST_WAIT, state.maps.decoding.clone().acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(busy()),
    }
}

/// Where the database is: the one directory that is known to be writable and large enough.
fn data_directory(state: &State) -> PathBuf {
    match state.store.path().parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `names` are those of a form, whose map is all that was spooled.
fn read_upload(
    spool: &mut Spool,
    names: Option<Names>,
    most_map_bytes: u64,
) -> Result<Upload, ApiError> {
    if let Some(names) = names {
        return Ok(Upload {
            names,
            form: Form::Plain,
            map_bytes: spool.length(),
        });
    }
    let input = spool.read_from(0).map_err(ApiError::internal)?;
    upload::read(input, most_map_bytes).map_err(upload_fault)
}

/// Reads the map twice, to check and to decode it, and stores it. A map that is refused half-way leaves rows that
/// nothing names; upkeep removes them.
fn store_map(state: &State, spool: &mut Spool, upload: Upload) -> Result<Names, ApiError> {
    let Upload {
        mut names,
        form,
        map_bytes,
    } = upload;
    let input = spool.read_from(form.offset()).map_err(ApiError::internal)?;
    let survey = upload::map_text(input, form, |text| survey(text)).map_err(upload_fault)?;
    names.debug_id = names
        .debug_id
        .or(survey.as_ref().ok().and_then(|survey| survey.debug_id));
    // In the contract's order: what is missing beside the map, then the map.
    if let Some(missing) = names.missing() {
        return Err(ApiError::invalid(missing));
    }
    let survey = survey.map_err(map_fault)?;
    let now = state.clock.now_ms();
    let map_set = state
        .store
        .write_blocking(Lane::Upkeep, 0, move |conn| map_rows::begin(conn, now))?;
    let mut sink = StoreSink::new(&state.store, map_set);
    let input = spool.read_from(form.offset()).map_err(ApiError::internal)?;
    let summary: Summary = upload::map_text(input, form, |text| decode(text, &survey, &mut sink))
        .map_err(upload_fault)?
        .map_err(|fault| match fault {
            DecodeFault::Map(fault) => map_fault(fault),
            DecodeFault::Sink(fault) => fault.into(),
        })?;
    sink.flush()?;
    let map = NewMap {
        names: names.clone(),
        map_set,
        size_bytes: map_bytes as i64,
        summary,
    };
    state.store.write_blocking(Lane::Upkeep, 0, move |conn| {
        source_maps::put(conn, &map, now)
    })?;
    Ok(names)
}

fn upload_fault(fault: UploadFault) -> ApiError {
    match fault {
        UploadFault::Invalid(detail) => ApiError::invalid(detail),
        UploadFault::TooLarge => ApiError::TooLarge,
        UploadFault::Read(fault) => ApiError::internal(fault),
    }
}

fn map_fault(fault: MapFault) -> ApiError {
    match fault {
        MapFault::Invalid(_) => ApiError::Invalid(fault.to_string()),
        MapFault::Read(fault) => ApiError::internal(fault),
    }
}
