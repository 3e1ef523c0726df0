//! What each service with alerts has: the settings, the outbox, and what its pages show of both.

use std::collections::HashMap;

use axum::http::StatusCode;
use axum::response::Response;
use rusqlite::Connection;
use serde::Serialize;

use super::outbox::{
    self, AlertState, ChannelStanding, DeliveryState, Filter, ListedAlert, ListedDelivery, Source,
    Tested,
};
use super::{Channels, Message, Outbox, Settings};
use crate::clock::{iso_millis, iso_seconds};
use crate::config::{Reader, Var};
use crate::http::{ApiError, Query, json};
use crate::service::Context;
use crate::store::StoreError;

const USUAL_LIMIT: u32 = 50;
const MOST: u32 = 200;

/// How people are told.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// Over which channels, and how many.
    pub channels: Settings,
    /// Where people reach the service, without a slash at the end.
    pub base_url: String,
}

impl AlertSettings {
    /// Reads them; `base_url` is the service's own variable, because its default is.
    pub fn read(reader: &mut Reader<'_>, base_url: &'static Var) -> Self {
        Self {
            channels: Settings::read(reader),
            base_url: reader.url(base_url).unwrap_or_default(),
        }
    }
}

/// Telling people.
pub struct Alerts {
    /// What is on its way.
    pub outbox: Outbox,
    /// Where people reach the service, without a slash at the end.
    pub base_url: String,
    /// What keeps all alerts from being sent, in the contract's words.
    missing: Option<&'static str>,
    /// What is set and has no effect.
    warnings: Vec<&'static str>,
}

/// What became of a test on one channel, as shown.
#[derive(Serialize)]
pub struct TestedChannel {
    channel: &'static str,
    target: String,
    ok: bool,
    detail: String,
}

/// What a test is answered with: of which rule it was, or that it was one.
#[derive(Serialize)]
struct TestAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    channels: Vec<TestedChannel>,
}

/// The newest alerts, the channels, and the digest that is being collected. `A`: what a service says of an alert.
#[derive(Serialize)]
pub struct Shown<A> {
    alerts: Vec<ShownAlert<A>>,
    channels: Vec<ShownChannel>,
    collecting: Option<ShownCollecting>,
    told_last_hour: u32,
    alerts_per_hour: u32,
    limit: u32,
}

#[derive(Serialize)]
struct ShownAlert<A> {
    id: i64,
    kind: &'static str,
    #[serde(flatten)]
    about: A,
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

impl Alerts {
    /// Of a service of this name that is about to start.
    pub fn new(
        ctx: &Context,
        AlertSettings { channels, base_url }: AlertSettings,
        service: &'static str,
        source: impl Source,
    ) -> Self {
        let ways = Channels::new(&channels, service, &base_url);
        Self {
            outbox: Outbox::new(ctx, ways, channels.per_hour, source),
            missing: channels.missing(),
            warnings: channels.warnings(),
            base_url,
        }
    }

    /// Starts what empties the outbox.
    pub fn start(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        self.outbox.start();
    }

    /// Tries every channel, for at most ten seconds.
    ///
    /// # Errors
    /// 503 when there is no channel, and while another test is on its way.
    pub async fn test(&self, message: &Message) -> Result<Vec<TestedChannel>, ApiError> {
        if let Some(missing) = self.missing {
            return Err(ApiError::Unavailable {
                detail: missing.to_owned(),
                retry_after: 3_600,
            });
        }
        let tested = self.outbox.test(message).await?;
        let tested = tested.ok_or_else(|| ApiError::busy("A test alert is on its way already"))?;
        Ok(tested.into_iter().map(shown_test).collect())
    }

    /// Tries every channel and answers 202, whatever they say. `rule`: which one is tested.
    ///
    /// # Errors
    /// As [`Alerts::test`].
    pub async fn answer_test(
        &self,
        rule: Option<i64>,
        message: &Message,
    ) -> Result<Response, ApiError> {
        let answer = TestAnswer {
            rule,
            status: rule.is_none().then_some("test alert dispatched"),
            channels: self.test(message).await?,
        };
        Ok(json(StatusCode::ACCEPTED, &answer))
    }
}

/// What `GET /api/alerts` is asked.
pub struct List<A> {
    filter: Filter,
    limit: u32,
    name: fn(i64) -> &'static str,
    about: fn(&Connection, Option<i64>) -> Result<A, StoreError>,
}

impl<A> List<A> {
    /// Understands `limit` and `state`. `name` says what a kind of alert is called, and `about` what an alert about a
    /// subject shows of that; a digest has none.
    pub fn new(
        query: &Query,
        name: fn(i64) -> &'static str,
        about: fn(&Connection, Option<i64>) -> Result<A, StoreError>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            filter: filter(query)?,
            limit: limit(query)?,
            name,
            about,
        })
    }

    /// Reads it; `now` in unix milliseconds.
    pub fn read(
        &self,
        conn: &Connection,
        outbox: &Outbox,
        now: i64,
    ) -> Result<Shown<A>, StoreError> {
        let channels = outbox.channels();
        let standing = outbox::standing(conn, now)?;
        let alerts = outbox::list(conn, self.filter, self.limit, now)?;
        let collecting = standing.collecting.map(|collecting| ShownCollecting {
            alerts: collecting.alerts,
            since: iso_seconds(collecting.since_ms),
            due: iso_seconds(collecting.due_ms),
        });
        Ok(Shown {
            alerts: alerts
                .into_iter()
                .map(|alert| self.shown_alert(conn, alert, channels))
                .collect::<Result<_, _>>()?,
            channels: shown_channels(&outbox::channels(conn)?, channels),
            collecting,
            told_last_hour: standing.told_last_hour,
            alerts_per_hour: outbox.per_hour(),
            limit: self.limit,
        })
    }

    fn shown_alert(
        &self,
        conn: &Connection,
        alert: ListedAlert,
        channels: &Channels,
    ) -> Result<ShownAlert<A>, StoreError> {
        let digest = outbox::is_digest(alert.kind);
        Ok(ShownAlert {
            id: alert.id,
            kind: if digest {
                "digest"
            } else {
                (self.name)(alert.kind)
            },
            about: (self.about)(conn, (!digest).then_some(alert.subject))?,
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
        })
    }
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
