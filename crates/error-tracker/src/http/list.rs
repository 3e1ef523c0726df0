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

use super::text::{answer, write};
use crate::domain::group::{GroupId, State as GroupState};
use crate::domain::query::ListQuery;
use crate::state::AppState;
use crate::store::list::{self, GroupSummary};

/// Messages are shown whole and may be long, so an answer is made in pieces of about this size.
const CHUNK_BYTES: usize = 128 * 1024;

#[derive(Serialize)]
struct Entry<'a> {
    id: i64,
    fingerprint: String,
    project: &'a str,
    exception_type: &'a str,
    message: &'a str,
    count: i64,
    first_seen: String,
    last_seen: String,
    resolved: bool,
    source: &'static str,
    // From here on the original has nothing.
    first_seen_ms: i64,
    last_seen_ms: i64,
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
    let query = ListQuery::from_pairs(params.pairs());
    let (limit, offset) = (query.limit, query.offset);
    let (page, done, mut text) = state
        .store
        .read(move |conn| {
            let mut text = b"{\"errors\": [".to_vec();
            let (page, done) = list::read(conn, &query, |group| append(&mut text, &group))?;
            Ok((page, done, text))
        })
        .await?;
    let end = format!(
        "], \"total\": {}, \"limit\": {limit}, \"offset\": {offset}}}",
        page.total
    );
    let rest: Vec<GroupId> = page.ids.into_iter().skip(done).collect();
    let body = if rest.is_empty() {
        text.extend_from_slice(end.as_bytes());
        Body::from(text)
    } else {
        in_pieces(text, following(state.store, rest), end)
    };
    Ok(json_text(StatusCode::OK, body))
}

/// `GET /api/projects`.
pub(super) async fn projects(State(state): State<AppState>) -> Result<Response, ApiError> {
    let projects = state.store.read(list::projects).await?;
    Ok(answer(StatusCode::OK, &Projects { projects }))
}

fn in_pieces(
    first: Vec<u8>,
    following: impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static,
    last: String,
) -> Body {
    let first = stream::iter([Ok(Bytes::from(first))]);
    let last = stream::iter([Ok(Bytes::from(last))]);
    Body::from_stream(first.chain(following).chain(last))
}

/// The pieces of a list behind the first, each read when the client has taken the one before it. A
/// failing read breaks the connection off, so that a cut list is not taken for a whole one.
fn following(store: Store, ids: Vec<GroupId>) -> impl Stream<Item = Result<Bytes, StoreError>> {
    stream::try_unfold((store, ids), |(store, ids)| async {
        if ids.is_empty() {
            return Ok(None);
        }
        let (text, rest) = store
            .read(move |conn| {
                // The comma in front belongs to the entry before.
                let mut text = Vec::new();
                let done = list::summaries(conn, &ids, |group| append(&mut text, &group))?;
                Ok((text, ids.into_iter().skip(done).collect::<Vec<_>>()))
            })
            .await?;
        Ok(Some((Bytes::from(text), (store, rest))))
    })
}

fn append(text: &mut Vec<u8>, group: &GroupSummary<'_>) -> ControlFlow<()> {
    let entry = Entry {
        id: group.id.get(),
        fingerprint: group.fingerprint.to_string(),
        project: group.project,
        exception_type: group.exception_type,
        message: group.message,
        count: group.count,
        first_seen: iso_seconds(group.first_seen),
        last_seen: iso_seconds(group.last_seen),
        resolved: group.state == GroupState::Resolved,
        source: group.source.name(),
        first_seen_ms: group.first_seen,
        last_seen_ms: group.last_seen,
    };
    // Only the first entry of the answer follows the opening bracket.
    if text.last() != Some(&b'[') {
        text.push(b',');
    }
    // Texts and numbers always have a JSON form.
    let written = write(text, &entry);
    debug_assert!(written.is_ok(), "an entry has a JSON form");
    if text.len() < CHUNK_BYTES {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
