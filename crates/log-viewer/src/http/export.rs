//! `GET /api/logs/export`: all that a filter matches, as a file.
//!
//! It is read page by page as the client takes it, each page with a read of its own: nothing is held meanwhile, neither
//! memory nor a snapshot of the database. What comes after the start is not part of it; what is dropped from the ring
//! before it was read is missing.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use jiff::Timestamp;
use monlight_shared::http::{ApiError, Query, RawParams};
use monlight_shared::store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::params::{self, unexpected};
use crate::domain::ansi;
use crate::domain::entry::Entry;
use crate::domain::filter::{Filter, MAX_LIMIT, Order, Page};
use crate::json;
use crate::state::AppState;
use crate::store::list;

/// Exports at the same time; each takes its turns at the database.
const MOST_EXPORTS: usize = 4;
/// Text that is held at a time, for each export.
const PIECE_BYTES: usize = 256 * 1024;

/// What the route needs besides the usual.
#[derive(Clone)]
pub(super) struct ExportState {
    app: AppState,
    places: Arc<Semaphore>,
}

impl ExportState {
    pub(super) fn new(app: AppState) -> Self {
        Self {
            app,
            places: Arc::new(Semaphore::new(MOST_EXPORTS)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// An entry as JSON per line.
    Ndjson,
    /// Time, level, container and message per line.
    Text,
}

/// Streams the entries.
pub(super) async fn export(
    State(state): State<ExportState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let format = format(&query)?;
    let filter = params::filter(&state.app, &query).await?;
    let left = most(&query)?;
    let page = params::page(&query)?;
    let place = state
        .places
        .try_acquire_owned()
        .map_err(|_| ApiError::busy("Too many exports"))?;
    let last_id = state.app.ctx.store.read(list::last_id).await?;
    let name = file_name(state.app.ctx.clock.now(), format);
    let export = Export {
        app: state.app,
        filter: Arc::new(filter),
        page: Page {
            limit: MAX_LIMIT,
            offset: 0,
            last_id,
            // Between two bounds the order is the one that is asked for, and nothing is counted.
            before: page.before.or(Some(i64::MAX)),
            after: page.after.or(Some(0)),
            ..page
        },
        format,
        left,
        ids: Vec::new(),
        is_over: false,
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(export, Export::next));
    answer(body, format, &name)
}

fn answer(body: Body, format: Format, name: &str) -> Result<Response, ApiError> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(match format {
            Format::Ndjson => "application/x-ndjson",
            Format::Text => "text/plain; charset=utf-8",
        }),
    );
    let disposition = format!("attachment; filename=\"{name}\"");
    let disposition = HeaderValue::try_from(disposition).map_err(ApiError::internal)?;
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

fn format(query: &Query) -> Result<Format, ApiError> {
    match query.last_nonempty("format") {
        None | Some("ndjson") => Ok(Format::Ndjson),
        Some("text") => Ok(Format::Text),
        Some(other) => Err(unexpected("format", other, "ndjson or text")),
    }
}

/// How many entries at most; without a limit all.
fn most(query: &Query) -> Result<u64, ApiError> {
    match query.last_nonempty("limit") {
        None => Ok(u64::MAX),
        Some(text) => text
            .parse()
            .map_err(|_| unexpected("limit", text, "a number of entries")),
    }
}

fn file_name(now: Timestamp, format: Format) -> String {
    let ending = match format {
        Format::Ndjson => "ndjson",
        Format::Text => "txt",
    };
    let second = now.strftime("%Y-%m-%dT%H-%M-%SZ");
    format!("logs-{second}.{ending}")
}

struct Export {
    app: AppState,
    filter: Arc<Filter>,
    /// The page that comes next.
    page: Page,
    format: Format,
    /// Entries that may still be sent.
    left: u64,
    /// Found and not read yet.
    ids: Vec<i64>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Export {
    /// The next piece of the file. An error cuts the connection, so that a part cannot be taken for the whole.
    async fn next(mut self) -> Option<(Result<Bytes, StoreError>, Self)> {
        if self.is_over && self.ids.is_empty() || self.left == 0 {
            return None;
        }
        match self.read().await {
            Ok(entries) => {
                self.left -= (entries.len() as u64).min(self.left);
                let mut text = String::new();
                for entry in &entries {
                    self.format.push(&mut text, entry);
                }
                Some((Ok(text.into()), self))
            }
            Err(fault) => {
                tracing::warn!(%fault, "an export was cut");
                (self.is_over, self.left) = (true, 0);
                Some((Err(fault), self))
            }
        }
    }

    /// Entries for one piece; none when a second pass needs more time.
    async fn read(&mut self) -> Result<Vec<Entry>, StoreError> {
        if self.ids.is_empty() {
            self.find().await?;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        self.ids.truncate(most);
        let ids = std::mem::take(&mut self.ids);
        let (entries, rest) = self
            .app
            .ctx
            .store
            .read(move |conn| {
                let (entries, done) = list::entries(conn, &ids, PIECE_BYTES)?;
                Ok((entries, ids.get(done..).unwrap_or_default().to_vec()))
            })
            .await?;
        self.ids = rest;
        Ok(entries)
    }

    async fn find(&mut self) -> Result<(), StoreError> {
        let (filter, page) = (Arc::clone(&self.filter), self.page);
        let budget = params::usual_budget(&self.app);
        let listing = self
            .app
            .ctx
            .store
            .read(move |conn| list::page(conn, &filter, page, &budget))
            .await?;
        self.ids = listing.ids;
        match (listing.next, self.page.order) {
            (None, _) => self.is_over = true,
            (next, Order::Newest) => self.page.before = next,
            (next, Order::Oldest) => self.page.after = next,
        }
        Ok(())
    }
}

impl Format {
    fn push(self, out: &mut String, entry: &Entry) {
        match self {
            Self::Ndjson => out.push_str(&json::entry(entry)),
            Self::Text => {
                for part in [
                    json::nanos(entry.time_ns).as_str(),
                    entry.level.name(),
                    &entry.container,
                ] {
                    out.push_str(part);
                    out.push(' ');
                }
                out.push_str(&ansi::strip(&entry.message));
            }
        }
        out.push('\n');
    }
}
