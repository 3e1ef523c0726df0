//! `GET /api/outbox`: what waits for the other services. `POST /api/outbox/retry`: has the dead tried again.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::iso_seconds;
use monlight_shared::http::{ApiError, json};
use serde::Serialize;
use serde_json::json;

use crate::outbox::Amount;
use crate::state::State;
use crate::store::outbox as table;
use crate::telemetry::EventKind;
use crate::upstream::Failure;

#[derive(Serialize)]
struct Shown {
    upstreams: Vec<Side>,
    max_events: i64,
    max_bytes: i64,
    max_age_seconds: u64,
}

#[derive(Serialize)]
struct Side {
    upstream: &'static str,
    events: i64,
    bytes: i64,
    /// Since when the first of them waits.
    oldest: Option<String>,
    /// Events that the service will not take.
    dead: i64,
    /// What it said to the last of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_reason: Option<String>,
    /// What was wrong with the last request; `null`: nothing.
    trouble: Option<&'static str>,
}

pub(super) async fn show(Shared(state): Shared<State>) -> Result<Response, ApiError> {
    let mut upstreams = Vec::new();
    for kind in EventKind::ALL {
        let read =
            move |conn: &_| Ok((table::oldest(conn, kind)?, table::last_reason(conn, kind)?));
        let (oldest, dead_reason) = state.store.read(read).await?;
        let Amount { events, bytes } = state.outbox.amount(kind);
        let trouble = state.upstream(kind).trouble();
        upstreams.push(Side {
            upstream: kind.upstream(),
            events,
            bytes,
            oldest: oldest.map(iso_seconds),
            dead: state.outbox.dead(kind).events,
            dead_reason,
            trouble: trouble.map(Failure::summary),
        });
    }
    let limits = state.outbox.limits();
    let shown = Shown {
        upstreams,
        max_events: limits.events,
        max_bytes: limits.bytes,
        max_age_seconds: limits.age.as_secs(),
    };
    Ok(json(StatusCode::OK, &shown))
}

/// Has what is dead delivered, for when its reason is gone.
pub(super) async fn retry(Shared(state): Shared<State>) -> Result<Response, ApiError> {
    let mut retried = 0;
    for kind in EventKind::ALL {
        retried += state.outbox.revive(kind).await?;
    }
    Ok(json(StatusCode::OK, &json!({"retried": retried})))
}
