//! `GET /api/logs`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

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
use crate::store::list::{self, Listing};

/// Text that is held at a time. Most pages are smaller than this and are answered in one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// A page of entries.
pub(super) async fn list(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let started = state.ctx.clock.monotonic();
    let filter = params::filter(&state, &query).await?;
    let page = params::page(&query)?;
    let budget = params::budget(&state, &query)?;
    let (listing, entries, done) = state
        .ctx
        .store
        .read(move |conn| {
            let listing = list::page(conn, &filter, page, &budget)?;
            let (entries, done) = list::entries(conn, &listing.ids, PIECE_BYTES)?;
            Ok((listing, entries, done))
        })
        .await?;
    let mut head = String::from("{\"logs\":[");
    push_entries(&mut head, &entries);
    let tail = tail(&listing, page, params::took(&state, started));
    let rest: VecDeque<i64> = listing.ids.into_iter().skip(done).collect();
    if rest.is_empty() {
        return Ok(json_text(StatusCode::OK, head + &tail));
    }
    Ok(Pieces::answer(state.ctx.store, head, rest, tail))
}

/// What stands behind the entries.
fn tail(listing: &Listing, page: Page, took: Duration) -> String {
    let mut text = String::from("],");
    if let Some(total) = listing.total {
        let _ = write!(
            text,
            "\"total\":{},\"total_exact\":{},",
            total.count, total.is_exact
        );
    }
    let _ = write!(text, "\"limit\":{},\"offset\":{},", page.limit, page.offset);
    let next = listing.next.map_or("null".to_owned(), |id| id.to_string());
    let _ = write!(text, "\"next\":{next},");
    if let Some(progress) = listing.progress {
        let to = progress.to_ns.map_or("null".to_owned(), |time_ns| {
            format!("\"{}\"", json::nanos(time_ns))
        });
        let _ = write!(
            text,
            "\"scanned\":{},\"scanned_to\":{to},\"incomplete\":{},",
            progress.entries, progress.is_incomplete
        );
    }
    let _ = write!(text, "\"took_ms\":{:?}}}", json::millis(took));
    text
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
    fn answer(store: Store, head: String, rest: VecDeque<i64>, tail: String) -> Response {
        let pieces = Self {
            store,
            head: Some(head),
            rest,
            tail: Some(tail),
        };
        let mut response = Response::new(Body::from_stream(stream::unfold(pieces, Self::next)));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    }

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
