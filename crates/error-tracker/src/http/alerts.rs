//! Alerts: trying the channels, and what is on its way.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::clock::{iso_millis, iso_seconds};
use monlight_shared::http::{ApiError, Query, RawParams};
use monlight_shared::notify::outbox::{
    self, AlertState, ChannelStanding, DeliveryState, Filter, ListedAlert, ListedDelivery, Tested,
};
use monlight_shared::notify::{Channels, Outbox};
use monlight_shared::store::StoreError;
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashMap;

use super::text::answer;
use crate::domain::alert::{self, AlertKind};
use crate::state::AppState;

const USUAL_LIMIT: u32 = 50;
const MOST: u32 = 200;

#[derive(Serialize)]
struct Dispatched {
    status: &'static str,
    detail: &'static str,
    channels: Vec<TestedChannel>,
}

#[derive(Serialize)]
struct TestedChannel {
    channel: &'static str,
    target: String,
    ok: bool,
    detail: String,
}

/// `POST /api/test-alert`: tries every channel. 503 when there is none; 202 whatever the channels say.
pub(super) async fn test_alert(State(state): State<AppState>) -> Result<Response, ApiError> {
    if let Some(missing) = state.alerts.missing {
        return Err(ApiError::Unavailable {
            detail: missing.to_owned(),
            retry_after: 3_600,
        });
    }
    let now = state.clock.now_ms();
    let message = alert::test(&state.alerts.base_url, &format!("test.{now}"), now);
    let tested = state.alerts.outbox.test(&message).await?;
    let tested = tested.ok_or_else(|| ApiError::busy("A test alert is on its way already"))?;
    let dispatched = Dispatched {
        status: "test alert dispatched",
        detail: "Check service logs for SMTP transaction result",
        channels: tested.into_iter().map(shown_test).collect(),
    };
    Ok(answer(StatusCode::ACCEPTED, &dispatched))
}

fn shown_test(tested: Tested) -> TestedChannel {
    let ok = tested.result.is_ok();
    let (Ok(detail) | Err(detail)) = tested.result;
    TestedChannel {
        channel: tested.kind.name(),
        target: tested.target,
        ok,
        detail,
    }
}

#[derive(Serialize)]
struct Shown {
    alerts: Vec<ShownAlert>,
    channels: Vec<ShownChannel>,
    collecting: Option<ShownCollecting>,
    told_last_hour: u32,
    alerts_per_hour: u32,
    limit: u32,
}

#[derive(Serialize)]
struct ShownAlert {
    id: i64,
    kind: &'static str,
    /// The group; of a digest null.
    error_id: Option<i64>,
    /// Of a digest: how many alerts it stands for.
    alerts: Option<i64>,
    time: String,
    time_ms: i64,
    state: &'static str,
    digest_id: Option<i64>,
    deliveries: Vec<ShownDelivery>,
}

#[derive(Serialize)]
struct ShownDelivery {
    channel: String,
    target: String,
    state: &'static str,
    tries: i64,
    next_try: Option<String>,
    last_try: Option<String>,
    answer: Option<String>,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct ShownChannel {
    channel: &'static str,
    target: String,
    pending: i64,
    failures: i64,
    last_success: Option<String>,
    last_failure: Option<String>,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct ShownCollecting {
    alerts: i64,
    since: String,
    due: String,
}

/// `GET /api/alerts`: the newest alerts, the channels, and the digest that is being collected.
pub(super) async fn list(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let limit = limit(&query)?;
    let filter = filter(&query)?;
    let (outbox, now) = (state.alerts.outbox.clone(), state.clock.now_ms());
    let shown = state
        .store
        .read(move |conn| read(conn, &outbox, filter, limit, now))
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

fn limit(query: &Query) -> Result<u32, ApiError> {
    let Some(text) = query.last_nonempty("limit") else {
        return Ok(USUAL_LIMIT);
    };
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    let limit: u32 = limit.ok_or_else(|| {
        ApiError::invalid(format!("limit: {text:?} is no number from 1 to {MOST}"))
    })?;
    Ok(limit.min(MOST))
}

fn filter(query: &Query) -> Result<Filter, ApiError> {
    let text = query.last_nonempty("state").unwrap_or("all");
    Filter::parse(text).ok_or_else(|| {
        ApiError::invalid(format!(
            "state: {text:?} is unknown; expected all, waiting, in_digest, pending, sent, failed, gave_up or skipped"
        ))
    })
}

fn read(
    conn: &Connection,
    outbox: &Outbox,
    filter: Filter,
    limit: u32,
    now: i64,
) -> Result<Shown, StoreError> {
    let channels = outbox.channels();
    let standing = outbox::standing(conn, now)?;
    let alerts = outbox::list(conn, filter, limit, now)?;
    let collecting = standing.collecting.map(|collecting| ShownCollecting {
        alerts: collecting.alerts,
        since: iso_seconds(collecting.since_ms),
        due: iso_seconds(collecting.due_ms),
    });
    Ok(Shown {
        alerts: alerts
            .into_iter()
            .map(|alert| shown_alert(alert, channels))
            .collect(),
        channels: shown_channels(&outbox::channels(conn)?, channels),
        collecting,
        told_last_hour: standing.told_last_hour,
        alerts_per_hour: outbox.per_hour(),
        limit,
    })
}

fn shown_alert(alert: ListedAlert, channels: &Channels) -> ShownAlert {
    let digest = outbox::is_digest(alert.kind);
    ShownAlert {
        id: alert.id,
        kind: if digest {
            "digest"
        } else {
            AlertKind::from_stored(alert.kind).name()
        },
        error_id: (!digest).then_some(alert.subject),
        alerts: digest.then_some(alert.subject),
        time: iso_millis(alert.time_ms),
        time_ms: alert.time_ms,
        state: alert.state.name(),
        digest_id: match alert.state {
            AlertState::InDigest(digest) => Some(digest),
            _ => None,
        },
        deliveries: alert
            .deliveries
            .into_iter()
            .map(|delivery| shown_delivery(delivery, channels))
            .collect(),
    }
}

fn shown_delivery(delivery: ListedDelivery, channels: &Channels) -> ShownDelivery {
    let known = channels.all().iter();
    let mut known = known.filter(|channel| channel.key() == delivery.channel);
    let (kind, rest) = delivery.channel.split_once(':').unwrap_or_default();
    let target = match known.next() {
        Some(channel) => channel.target().to_owned(),
        // Of mail the address; the rest of others says nothing to people.
        None if rest.contains('@') => format!("{rest} (not configured any more)"),
        None => "not configured any more".to_owned(),
    };
    let sent = delivery.state == DeliveryState::Sent;
    let (answer, last_error) = if sent {
        (delivery.said, None)
    } else {
        (None, delivery.said)
    };
    ShownDelivery {
        channel: kind.to_owned(),
        target,
        state: delivery.state.name(),
        tries: delivery.tries,
        next_try: delivery.next_try.map(iso_seconds),
        last_try: delivery.tried_at.map(iso_seconds),
        answer,
        last_error,
    }
}

fn shown_channels(
    standings: &HashMap<String, ChannelStanding>,
    channels: &Channels,
) -> Vec<ShownChannel> {
    let shown = channels.all().iter().map(|channel| {
        let standing = standings.get(channel.key()).cloned().unwrap_or_default();
        ShownChannel {
            channel: channel.kind().name(),
            target: channel.target().to_owned(),
            pending: standing.pending,
            failures: standing.failures,
            last_success: standing.ok_at.map(iso_seconds),
            last_failure: standing.failed_at.map(iso_seconds),
            last_error: standing.fault,
        }
    });
    shown.collect()
}
