//! Takes in reports.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::ApiError;
use monlight_shared::http::body::ApiBytes;
use monlight_shared::store::Lane;
use serde::Serialize;

use super::text::answer;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::group::Recorded;
use crate::domain::report::ErrorReport;
use crate::state::AppState;
use crate::store::record::{self, Incoming};

#[derive(Serialize)]
struct Created {
    status: &'static str,
    id: i64,
    fingerprint: String,
}

#[derive(Serialize)]
struct Known {
    status: &'static str,
    id: i64,
    count: i64,
}

/// `POST /api/errors`: 201 for a new or reopened group, 200 for one more of an open one, each after
/// it has reached the disk.
pub(super) async fn submit(
    State(state): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let report = ErrorReport::from_json(&body).map_err(|fault| {
        state.tally.invalid.inc();
        ApiError::invalid(fault.to_string())
    })?;
    drop(body);
    let size = report.size_bytes();
    let incoming = Incoming::new(report, state.clock.now_ms(), &state.intake);
    let fingerprint = incoming.fingerprint();
    let recorded = state
        .store
        .write(Lane::Ingest, size, move |conn| {
            record::record(conn, &incoming)
        })
        .await
        .inspect_err(|_| state.tally.failed.inc())?;
    state.tally.recorded(recorded);
    Ok(told(recorded, fingerprint))
}

fn told(recorded: Recorded, fingerprint: Fingerprint) -> Response {
    match recorded {
        Recorded::Created { id } => {
            let created = Created {
                status: "created",
                id: id.get(),
                fingerprint: fingerprint.to_string(),
            };
            answer(StatusCode::CREATED, &created)
        }
        Recorded::Incremented { id, count } => {
            let (status, id) = ("incremented", id.get());
            answer(StatusCode::OK, &Known { status, id, count })
        }
        Recorded::Reopened { id, count } => {
            let (status, id) = ("reopened", id.get());
            answer(StatusCode::CREATED, &Known { status, id, count })
        }
    }
}
