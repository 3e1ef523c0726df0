//! Lists of groups and of projects.

use std::ops::ControlFlow;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream::{self, Stream, StreamExt as _};
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::query::RawParams;
use monlight_shared::http::{ApiError, json_text};
use monlight_shared::store::{Store, StoreError};
use serde::Serialize;

use super::entry::append_to_list;
use super::text::{answer, write};
use crate::domain::cursor::Cursor;
use crate::domain::group::GroupId;
use crate::domain::query::ListQuery;
use crate::domain::window::Window;
use crate::state::AppState;
use crate::store::list::{self, Extras, Page};

/// Messages are shown whole and may be long, so an answer is made in pieces of about this size.
const CHUNK_BYTES: usize = 128 * 1024;

/// What stands behind the entries of a list.
#[derive(Serialize)]
struct End {
    total: i64,
    limit: u32,
    offset: u32,
    // From here on the original has nothing.
    total_exact: bool,
    next_cursor: Option<String>,
    took_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparkline_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparkline_step_seconds: Option<i64>,
}

#[derive(Serialize)]
struct Projects {
    projects: Vec<String>,
}

/// `GET /api/errors`.
pub(super) async fn list(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let (now, started) = (state.clock.now_ms(), state.clock.monotonic());
    let query = ListQuery::from_pairs(params.pairs(), now).map_err(super::refused)?;
    let (limit, offset) = (query.limit, query.offset);
    let window = query.sparkline.map(|range| range.window(now));
    let extras = Extras {
        sparkline: window,
        traceback: false,
    };
    let (page, done, text) = state
        .store
        .read(move |conn| {
            let mut text = b"{\"errors\": [".to_vec();
            let (page, done) = list::read(conn, &query, extras, |group| {
                append_to_list(&mut text, &group);
                until_full(&text)
            })?;
            Ok((page, done, text))
        })
        .await?;
    let took = state.clock.monotonic().saturating_sub(started);
    let end = end(&page, (limit, offset), window, took.as_secs_f64() * 1e3)?;
    let rest: Vec<GroupId> = page.ids.into_iter().skip(done).collect();
    Ok(json_text(
        StatusCode::OK,
        in_pieces(text, state.store, rest, extras, end),
    ))
}

/// `GET /api/projects`.
pub(super) async fn projects(State(state): State<AppState>) -> Result<Response, ApiError> {
    let projects = state.store.read(list::projects).await?;
    Ok(answer(StatusCode::OK, &Projects { projects }))
}

fn end(
    page: &Page,
    (limit, offset): (u32, u32),
    window: Option<Window>,
    took_ms: f64,
) -> Result<Vec<u8>, ApiError> {
    let end = End {
        total: page.total,
        limit,
        offset,
        total_exact: page.total_exact,
        next_cursor: page.next.map(Cursor::encode),
        took_ms: (took_ms * 100.0).round() / 100.0,
        sparkline_from: window.map(|window| iso_seconds(window.start_ms(0))),
        sparkline_step_seconds: window.map(Window::step_seconds),
    };
    let mut text = Vec::with_capacity(256);
    write(&mut text, &end).map_err(ApiError::internal)?;
    // The object was opened in front of the entries.
    text.splice(..1, *b"], ");
    Ok(text)
}

fn in_pieces(
    mut first: Vec<u8>,
    store: Store,
    rest: Vec<GroupId>,
    extras: Extras,
    last: Vec<u8>,
) -> Body {
    if rest.is_empty() {
        first.extend_from_slice(&last);
        return Body::from(first);
    }
    let first = stream::iter([Ok(Bytes::from(first))]);
    let last = stream::iter([Ok(Bytes::from(last))]);
    Body::from_stream(first.chain(following(store, rest, extras)).chain(last))
}

/// The pieces of a list behind the first, each read when the client has taken the one before it. A
/// failing read breaks the connection off, so that a cut list is not taken for a whole one.
fn following(
    store: Store,
    ids: Vec<GroupId>,
    extras: Extras,
) -> impl Stream<Item = Result<Bytes, StoreError>> {
    stream::try_unfold((store, ids), move |(store, ids)| async move {
        if ids.is_empty() {
            return Ok(None);
        }
        let (text, rest) = store
            .read(move |conn| {
                // The comma in front belongs to the entry before.
                let mut text = Vec::new();
                let done = list::summaries(conn, &ids, extras, |group| {
                    append_to_list(&mut text, &group);
                    until_full(&text)
                })?;
                Ok((text, ids.into_iter().skip(done).collect::<Vec<_>>()))
            })
            .await?;
        Ok(Some((Bytes::from(text), (store, rest))))
    })
}

fn until_full(text: &[u8]) -> ControlFlow<()> {
    if text.len() < CHUNK_BYTES {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
