//! Alerts: trying the channels, and what is on its way.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, RawParams};
use monlight_shared::notify::service::{List, TestedChannel};
use serde::Serialize;

use super::text::answer;
use crate::domain::alert::{self, AlertKind};
use crate::state::AppState;

#[derive(Serialize)]
struct Dispatched {
    status: &'static str,
    detail: &'static str,
    channels: Vec<TestedChannel>,
}

/// `POST /api/test-alert`: tries every channel. 503 when there is none; 202 whatever the channels say.
pub(super) async fn test_alert(State(state): State<AppState>) -> Result<Response, ApiError> {
    let now = state.clock.now_ms();
    let message = alert::test(&state.alerts.base_url, &format!("test.{now}"), now);
    let dispatched = Dispatched {
        status: "test alert dispatched",
        detail: "Check service logs for SMTP transaction result",
        channels: state.alerts.test(&message).await?,
    };
    Ok(answer(StatusCode::ACCEPTED, &dispatched))
}

/// What an alert is about.
#[derive(Serialize)]
struct About {
    /// The group; of a digest null.
    error_id: Option<i64>,
}

/// `GET /api/alerts`: the newest alerts, the channels, and the digest that is being collected.
pub(super) async fn list(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let list = List::new(
        &query,
        |kind| AlertKind::from_stored(kind).name(),
        |_, error_id| Ok(About { error_id }),
    )?;
    let (alerts, now) = (Arc::clone(&state.alerts), state.clock.now_ms());
    let shown = state
        .store
        .read(move |conn| list.read(conn, &alerts.outbox, now))
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}
