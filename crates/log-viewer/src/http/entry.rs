//! `GET /api/logs/{id}` and `GET /api/logs/{id}/context`.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, Query, RawParams, json, json_text};
use monlight_shared::store::StoreError;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::params::{self, unexpected};
use crate::domain::entry::Entry;
use crate::domain::fields;
use crate::domain::filter::{Filter, MAX_LIMIT};
use crate::domain::names::NameFilter;
use crate::json::{self, millis};
use crate::state::AppState;
use crate::store::list;

/// Neighbours on either side unless the caller says otherwise.
const USUAL_CONTEXT: u32 = 20;
/// The most text of one answer; what is beyond is left out at the far ends.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// An entry between its neighbours, oldest first.
struct Context {
    before: Vec<Entry>,
    entry: Entry,
    after: Vec<Entry>,
}

#[derive(Serialize)]
struct ContextJson {
    before: Vec<Box<RawValue>>,
    entry: Box<RawValue>,
    after: Vec<Box<RawValue>>,
    took_ms: f64,
}

/// One entry with what is in it.
pub(super) async fn entry(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let found = state.ctx.store.read(move |conn| one(conn, id)).await?;
    let (entry, origin) = found.ok_or_else(no_entry)?;
    let mut text = json::entry(&entry);
    // The contract's keys come first, as in a list.
    text.pop();
    let more = serde_json::to_string(&more(&entry, origin)).map_err(ApiError::internal)?;
    text.push(',');
    text.push_str(more.strip_prefix('{').unwrap_or(&more));
    Ok(json_text(StatusCode::OK, text))
}

/// What stood around an entry when it was written.
pub(super) async fn context(
    State(state): State<AppState>,
    Path(id): Path<String>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let started = state.ctx.clock.monotonic();
    let id = parse_id(&id)?;
    let (before, after) = (count(&query, "before")?, count(&query, "after")?);
    let container = query.last_nonempty("container").map(ToOwned::to_owned);
    let found = state
        .ctx
        .store
        .read(move |conn| around(conn, id, container.as_deref(), (before, after)))
        .await?;
    let context = found.ok_or_else(no_entry)?;
    let answer = context_json(&context, params::took(&state, started));
    Ok(json(StatusCode::OK, &answer.map_err(ApiError::internal)?))
}

fn context_json(context: &Context, took: Duration) -> serde_json::Result<ContextJson> {
    let raw = |entry: &Entry| RawValue::from_string(json::entry(entry));
    Ok(ContextJson {
        before: context.before.iter().map(raw).collect::<Result<_, _>>()?,
        entry: raw(&context.entry)?,
        after: context.after.iter().map(raw).collect::<Result<_, _>>()?,
        took_ms: millis(took),
    })
}

/// An id of any form but that of one names nothing.
fn parse_id(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| ApiError::no_route())
}

fn no_entry() -> ApiError {
    ApiError::not_found("Log entry not found")
}

fn count(query: &Query, name: &str) -> Result<u32, ApiError> {
    let Some(text) = query.last_nonempty(name) else {
        return Ok(USUAL_CONTEXT);
    };
    text.parse()
        .ok()
        .filter(|count| *count <= MAX_LIMIT)
        .ok_or_else(|| unexpected(name, text, &format!("a number from 0 to {MAX_LIMIT}")))
}

/// Project and service of a container.
type Origin = (String, String);

fn one(conn: &Connection, id: i64) -> Result<Option<(Entry, Origin)>, StoreError> {
    let (mut found, _) = list::entries(conn, &[id], usize::MAX)?;
    let Some(entry) = found.pop() else {
        return Ok(None);
    };
    let origin = list::origin(conn, id)?;
    Ok(Some((entry, origin)))
}

fn more(entry: &Entry, (project, service): Origin) -> Map<String, Value> {
    let mut values: Map<String, Value> = Map::new();
    for field in fields::parse(&entry.message) {
        let value = Value::from(field.value);
        match values.get_mut(&field.key) {
            // The elements of a list.
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                values.insert(field.key, value);
            }
        }
    }
    Map::from_iter([
        ("project".to_owned(), Value::from(project)),
        ("service".to_owned(), Value::from(service)),
        ("fields".to_owned(), Value::from(values)),
    ])
}

/// The entry between its neighbours, of its own container unless others are asked for.
fn around(
    conn: &Connection,
    id: i64,
    container: Option<&str>,
    wanted: (u32, u32),
) -> Result<Option<Context>, StoreError> {
    let (mut found, _) = list::entries(conn, &[id], usize::MAX)?;
    let Some(entry) = found.pop() else {
        return Ok(None);
    };
    let container = match container {
        Some("all") => None,
        Some(names) => Some(NameFilter::new(names.split(','))),
        None => Some(NameFilter::new([&entry.container])),
    };
    let filter = Filter {
        container,
        ..Filter::default()
    };
    let Some(mut around) = list::around(conn, &filter, id, wanted)? else {
        return Ok(None);
    };
    // The nearest first, so that it is the farthest that are left out.
    around.before.reverse();
    let (mut before, _) = list::entries(conn, &around.before, MOST_BYTES)?;
    before.reverse();
    let (after, _) = list::entries(conn, &around.after, MOST_BYTES)?;
    Ok(Some(Context {
        before,
        entry,
        after,
    }))
}
