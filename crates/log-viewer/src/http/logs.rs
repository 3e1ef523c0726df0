//! `GET /api/logs`.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use monlight_shared::http::{ApiError, RawParams, json_text};
use monlight_shared::store::{Store, StoreError};

use super::params;
use crate::domain::entry::Entry;
use crate::domain::filter::Page;
use crate::json;
use crate::state::AppState;
use crate::store::list;

/// Text that is held at a time. Most pages are smaller than this and are answered in one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// A page of entries, newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let filter = params::filter(&query)?;
    let page = Page::parse(query.pairs());
    let (listing, entries, done) = state
        .ctx
        .store
        .read(move |conn| {
            let listing = list::page(conn, &filter, page)?;
            let (entries, done) = list::entries(conn, &listing.ids, PIECE_BYTES)?;
            Ok((listing, entries, done))
        })
        .await?;
    let mut head = String::from("{\"logs\":[");
    push_entries(&mut head, &entries);
    let tail = format!(
        "],\"total\":{},\"total_exact\":{},\"limit\":{},\"offset\":{}}}",
        listing.total, listing.total_exact, page.limit, page.offset
    );
    let rest: VecDeque<i64> = listing.ids.into_iter().skip(done).collect();
    if rest.is_empty() {
        return Ok(json_text(StatusCode::OK, head + &tail));
    }
    let pieces = Pieces {
        store: state.ctx.store.clone(),
        head: Some(head),
        rest,
        tail: Some(tail),
    };
    let mut response = Response::new(Body::from_stream(stream::unfold(pieces, Pieces::next)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

fn push_entries(out: &mut String, entries: &[Entry]) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&json::entry(entry));
    }
}

/// A page too large to be held, read as the client takes it: nothing is read ahead.
struct Pieces {
    store: Store,
    head: Option<String>,
    rest: VecDeque<i64>,
    tail: Option<String>,
}

impl Pieces {
    /// An error cuts the connection, so that half a page cannot be taken for a whole one.
    async fn next(mut self) -> Option<(Result<Bytes, StoreError>, Self)> {
        if let Some(head) = self.head.take() {
            return Some((Ok(Bytes::from(head)), self));
        }
        if self.rest.is_empty() {
            let tail = self.tail.take()?;
            return Some((Ok(Bytes::from(tail)), self));
        }
        let ids: Vec<i64> = self.rest.iter().copied().collect();
        let read = self
            .store
            .read(move |conn| list::entries(conn, &ids, PIECE_BYTES));
        let (entries, done) = match read.await {
            Ok(read) => read,
            Err(fault) => return Some((Err(fault), self)),
        };
        self.rest.drain(..done);
        let mut piece = String::new();
        for entry in &entries {
            piece.push(',');
            piece.push_str(&json::entry(entry));
        }
        Some((Ok(Bytes::from(piece)), self))
    }
}
