//! Alerts of rules: trying the channels, and what is on its way.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, RawParams, json};
use monlight_shared::notify::service::List;
use monlight_shared::store::StoreError;
use rusqlite::Connection;
use serde::Serialize;

use crate::domain::rule_alert;
use crate::state::AppState;
use crate::store::rules;

/// `POST /api/test-alert`: tries every channel. 503 when there is none; 202 whatever the channels say.
pub(super) async fn test_alert(State(state): State<AppState>) -> Result<Response, ApiError> {
    let (alerts, now_ms) = (state.rules.alerts(), state.ctx.clock.now_ms());
    let message = rule_alert::test(&alerts.base_url, &format!("test.{now_ms}"), now_ms, None);
    alerts.answer_test(None, &message).await
}

/// What an alert is about; of a digest all is null.
#[derive(Serialize)]
struct About {
    rule_id: Option<i64>,
    rule: Option<String>,
    entries: Option<i64>,
}

/// `GET /api/alerts`: the newest alerts, the channels, and the digest that is being collected.
pub(super) async fn list(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let list = List::new(&query, rule_alert::kind_name, about)?;
    let (alerts, now_ms) = (Arc::clone(state.rules.alerts()), state.ctx.clock.now_ms());
    let read = move |conn: &Connection| list.read(conn, &alerts.outbox, now_ms);
    let shown = state.ctx.store.read(read).await?;
    Ok(json(StatusCode::OK, &shown))
}

fn about(conn: &Connection, firing: Option<i64>) -> Result<About, StoreError> {
    let fired = match firing {
        None => None,
        Some(firing) => rules::fired(conn, firing)?,
    };
    let (rule_id, rule, entries) = fired.map_or((None, None, None), |(id, name, entries)| {
        (Some(id), Some(name), Some(entries))
    });
    Ok(About {
        rule_id,
        rule,
        entries,
    })
}
