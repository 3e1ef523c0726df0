//! All groups that a filter leaves, one JSON object a line.

use std::ops::ControlFlow;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream::{self, Stream};
use monlight_shared::http::ApiError;
use monlight_shared::http::query::RawParams;
use monlight_shared::store::{Store, StoreError};

use super::entry::append_line;
use crate::domain::group::GroupId;
use crate::domain::query::ListQuery;
use crate::state::AppState;
use crate::store::list::{self, Extras};

/// About so much is held in memory; texts may be long.
const CHUNK_BYTES: usize = 128 * 1024;
/// Groups that are looked up at a time.
const GROUPS_AT_A_TIME: u32 = 1_000;

/// `GET /api/errors/export`: the same filters and orders as the list.
pub(super) async fn export(
    State(state): State<AppState>,
    RawParams(params): RawParams,
) -> Result<Response, ApiError> {
    let now = state.clock.now_ms();
    let query = ListQuery::for_export(params.pairs(), now).map_err(super::refused)?;
    let extras = Extras {
        sparkline: query.sparkline.map(|range| range.window(now)),
        traceback: true,
    };
    let mut export = Export::new(state.store, query, extras);
    // The first piece is made before anything is answered, so that a fault has its status.
    let first = export.piece().await?;
    let rest = stream::try_unfold(export, |mut export| async {
        Ok::<_, StoreError>(export.piece().await?.map(|piece| (piece, export)))
    });
    let mut response = Response::new(body(first, rest));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"errors.ndjson\""),
    );
    Ok(response)
}

fn body(
    first: Option<Bytes>,
    rest: impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static,
) -> Body {
    use stream::StreamExt as _;
    match first {
        None => Body::empty(),
        Some(first) => Body::from_stream(stream::iter([Ok(first)]).chain(rest)),
    }
}

/// Where an export stands. Each piece is read when the client has taken the one before it; a failing read breaks the
/// connection off.
struct Export {
    store: Store,
    /// What follows behind `ids`; `None` when nothing does.
    next: Option<ListQuery>,
    /// Found, but not written yet.
    ids: Vec<GroupId>,
    extras: Extras,
}

impl Export {
    fn new(store: Store, query: ListQuery, extras: Extras) -> Self {
        let next = ListQuery {
            limit: GROUPS_AT_A_TIME,
            ..query
        };
        Self {
            store,
            next: Some(next),
            ids: Vec::new(),
            extras,
        }
    }

    /// The next piece; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            if self.ids.is_empty() && !self.look_up().await? {
                return Ok(None);
            }
            let (ids, extras) = (std::mem::take(&mut self.ids), self.extras);
            let read = self.store.read(move |conn| {
                let mut text = Vec::new();
                let done = list::summaries(conn, &ids, extras, |group| {
                    append_line(&mut text, &group);
                    if text.len() < CHUNK_BYTES {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })?;
                Ok((text, ids.into_iter().skip(done).collect()))
            });
            let text: Vec<u8>;
            (text, self.ids) = read.await?;
            // All of them may have been deleted meanwhile.
            if !text.is_empty() {
                return Ok(Some(Bytes::from(text)));
            }
        }
    }

    /// Finds the next groups; `false` when there are none.
    async fn look_up(&mut self) -> Result<bool, StoreError> {
        let Some(query) = self.next.take() else {
            return Ok(false);
        };
        let (page, query) = self
            .store
            .read(move |conn| Ok((list::uncounted(conn, &query)?, query)))
            .await?;
        self.next = page.next.map(|cursor| ListQuery {
            after: Some(cursor),
            offset: 0,
            ..query
        });
        self.ids = page.ids;
        Ok(!self.ids.is_empty())
    }
}
