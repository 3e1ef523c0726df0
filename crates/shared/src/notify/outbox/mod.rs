//! The outbox: what is noted in a transaction is told to people, at least once, however long their side is away.
//!
//! ```text
//! report's transaction ─▶ alerts (one row)                     [Outbox::note]
//! dispatcher: up to ALERTS_PER_HOUR one by one ─▶ alert_deliveries (one row a channel)
//!             beyond that: collected ─▶ one digest ─▶ alert_deliveries
//! one task a server: due? render from the database ─▶ try ─▶ sent · again later · failed · given up
//! ```
//!
//! **Digest.** When `ALERTS_PER_HOUR` alerts have been told within the last hour, all further ones are collected. The
//! digest is made one minute after the newest of them, so when the storm is over, and at the latest ten minutes after
//! the first; not within an hour of the digest before. Until it is made, nothing overtakes it.
//!
//! **Retries.** A delivery that fails waits 10 s, 20 s, 40 s, ... 1 h, and is given up a day after it was handed over; what is
//! refused for good has failed at once. A channel that fails is left alone for up to a minute, whatever is due; when it
//! works again, everything that waits for it is due at once.
//!
//! **Crashes.** All of this is in tables, so a restart goes on where it was. A kill between an attempt and its record
//! repeats the message with the same id.

mod deliver;
mod plan;
mod rows;
mod tell;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;
use tokio::sync::{Mutex, Notify, Semaphore};

use super::channel::{Channel, Channels, Kind};
use super::message::Message;
use crate::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::metrics::Registry;
use crate::service::Context;
use crate::store::{Lane, Store, StoreError};
use rows::Dispatched;
use tell::Tell;

pub use rows::{DIGEST, DeliveryState};
pub use view::{
    AlertState, ChannelStanding, Collecting, Filter, ListedAlert, ListedDelivery, Standing,
    channels, is_digest, list, standing,
};

/// The tables of the outbox, for a migration of the service.
pub const SCHEMA: &str = include_str!("schema.sql");

/// Attempts at the same time, over all servers: each holds a message and a connection in memory.
const MOST_AT_ONCE: usize = 8;
/// How often the tables are looked at without a reason.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How often old rows are deleted and what is too old is given up.
const UPKEEP: Duration = Duration::from_mins(10);
/// What the summary of a storm of a million alerts needs at most.
const SUMMARY_TIME: Duration = Duration::from_secs(30);
/// What a test of all channels may take.
const TEST_TIME: Duration = Duration::from_secs(10);

/// An alert as it was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its number.
    pub id: i64,
    /// For [`Message::id`]: unique over all installations.
    pub key: String,
    /// When it was noted, unix milliseconds.
    pub time_ms: i64,
    /// A kind of the service, or [`DIGEST`].
    pub kind: i64,
    /// What it is about; of a digest the number of alerts in it.
    pub subject: i64,
    /// Of a digest: what [`Source::summary`] answered.
    pub detail: Option<String>,
}

/// Which alerts a digest stands for: those with `told_at IS NULL` and an id in this range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The first number.
    pub first: i64,
    /// The last number.
    pub last: i64,
}

/// What a service knows of its alerts. What writes messages runs on a read connection, outside the
/// runtime's thread.
pub trait Source: Send + Sync + 'static {
    /// What to tell of an alert, from the database as it is now; `None` when there is nothing left to tell.
    fn message(&self, conn: &Connection, alert: &Alert) -> Result<Option<Message>, StoreError>;

    /// What a digest says of the alerts it stands for, in a form that [`Source::message`] understands. It is kept, so
    /// that the alerts themselves need not be.
    fn summary(&self, conn: &Connection, covered: Covered) -> Result<String, StoreError>;

    /// Which channels an alert of a kind about a subject is for: kinds of channels as in `slack`, or their keys as in
    /// `smtp:ops@example.com`; empty means all. Runs on the writer when the alert is handed over. A digest is for all.
    fn channels(
        &self,
        _conn: &Connection,
        _kind: i64,
        _subject: i64,
    ) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

/// The outbox of a service. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    lifecycle: Lifecycle,
    channels: Channels,
    keys: Vec<String>,
    per_hour: u32,
    source: Arc<dyn Source>,
    tell: Tell,
    /// There may be something to dispatch.
    noted: Notify,
    /// There is something to deliver over a server.
    handed_over: Vec<Notify>,
    /// The number of pending deliveries has changed.
    recount: Notify,
    turns: Semaphore,
    testing: Mutex<()>,
}

/// What became of a test message on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The kind of channel.
    pub kind: Kind,
    /// What people know it by.
    pub target: String,
    /// The answer, or what went wrong.
    pub result: Result<String, String>,
}

impl Outbox {
    /// An outbox over these channels. Nothing is delivered before [`Outbox::start`].
    pub fn new(ctx: &Context, channels: Channels, per_hour: u32, source: impl Source) -> Self {
        Self::with(
            ctx.store.clone(),
            ctx.clock.clone(),
            ctx.lifecycle.clone(),
            &ctx.metrics,
            channels,
            per_hour,
            source,
        )
    }

    fn with(
        store: Store,
        clock: Clock,
        lifecycle: Lifecycle,
        metrics: &Registry,
        channels: Channels,
        per_hour: u32,
        source: impl Source,
    ) -> Self {
        let keys = channels
            .all()
            .iter()
            .map(|channel| channel.key().to_owned());
        Self(Arc::new(Inner {
            store,
            clock,
            lifecycle,
            keys: keys.collect(),
            per_hour,
            source: Arc::new(source),
            tell: Tell::new(metrics, &channels),
            noted: Notify::new(),
            handed_over: (0..channels.lanes()).map(|_| Notify::new()).collect(),
            recount: Notify::new(),
            turns: Semaphore::new(MOST_AT_ONCE),
            testing: Mutex::new(()),
            channels,
        }))
    }

    /// The channels it delivers to.
    pub fn channels(&self) -> &Channels {
        &self.0.channels
    }

    /// Alerts told one by one within an hour.
    pub fn per_hour(&self) -> u32 {
        self.0.per_hour
    }

    /// Notes an alert as part of the transaction that is under way on the writer: one small row. Nothing without a
    /// channel.
    pub fn note(
        &self,
        conn: &Connection,
        kind: i64,
        subject: i64,
        time_ms: i64,
    ) -> Result<(), StoreError> {
        if self.0.channels.is_empty() {
            return Ok(());
        }
        rows::note(conn, kind, subject, time_ms)?;
        // Before the commit: the dispatcher asks the same thread, so it comes after it.
        self.0.noted.notify_one();
        Ok(())
    }

    /// Starts the tasks.
    pub fn start(&self) {
        let life = &self.0.lifecycle;
        let outbox = self.clone();
        life.every("alerts upkeep", UPKEEP, move || {
            let outbox = outbox.clone();
            async move { Ok(outbox.upkeep().await?) }
        });
        if self.0.channels.is_empty() {
            return;
        }
        let outbox = self.clone();
        life.spawn("alerts", move || {
            let outbox = outbox.clone();
            async move { outbox.run_dispatcher().await }
        });
        for lane in 0..self.0.channels.lanes() {
            let name = self.0.channels.of_lane(lane).next().map(Channel::kind);
            let name = name.map_or("alerts", task_name);
            let outbox = self.clone();
            life.spawn(name, move || {
                let outbox = outbox.clone();
                async move { outbox.run_lane(lane).await }
            });
        }
    }

    async fn run_dispatcher(&self) -> anyhow::Result<()> {
        let inner = &self.0;
        let soft = inner.lifecycle.soft();
        self.adopt().await?;
        loop {
            let next = self.dispatch().await?;
            inner.count_pending().await?;
            if let Some(at) = next {
                // What is noted meanwhile is collected; it changes nothing before then.
                inner.sleep_until(at).await;
            } else {
                tokio::select! {
                    () = inner.noted.notified() => {}
                    () = inner.recount.notified() => {}
                    _ = inner.lifecycle.sleep(LOOK_AGAIN) => {}
                }
            }
            if soft.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// What waits for channels of an earlier configuration goes to those there are now.
    async fn adopt(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        let mut adopted = 0;
        loop {
            let (keys, now) = (inner.keys.clone(), inner.clock.now_ms());
            let slice = move |conn: &Connection| rows::adopt(conn, &keys, now);
            match inner.store.write(Lane::Upkeep, 0, slice).await? {
                0 => break,
                some => adopted += some,
            }
        }
        if adopted > 0 {
            tracing::info!(
                deliveries = adopted,
                "alerts that waited for channels that are not configured any more go to the others"
            );
            for lane in &inner.handed_over {
                lane.notify_one();
            }
        }
        Ok(())
    }

    /// Hands over everything that can be told by now. Answers when to look again, in unix milliseconds.
    async fn dispatch(&self) -> Result<Option<i64>, StoreError> {
        let inner = &self.0;
        loop {
            let (keys, per_hour, clock) = (inner.keys.clone(), inner.per_hour, inner.clock.clone());
            let source = Arc::clone(&inner.source);
            let done = inner
                .store
                .write(Lane::Upkeep, 0, move |conn| {
                    rows::dispatch(conn, &*source, per_hour, &keys, clock.now_ms())
                })
                .await?;
            match done {
                Dispatched::Idle => {
                    inner.tell.waiting.set(0);
                    return Ok(None);
                }
                Dispatched::Waiting { until, count } => {
                    inner.tell.waiting.set(count);
                    return Ok(Some(until));
                }
                Dispatched::Again { told } => {
                    if told {
                        inner.wake_lanes();
                    }
                }
                Dispatched::DigestDue { after, last, count } => {
                    self.make_digest(after, last, count).await?;
                }
            }
        }
    }

    /// The summary may read many rows, so it is made on a read connection; what it stands for does not change any more.
    async fn make_digest(&self, after: i64, last: i64, count: i64) -> Result<(), StoreError> {
        let inner = &self.0;
        let source = Arc::clone(&inner.source);
        let covered = Covered {
            first: after + 1,
            last,
        };
        let summary = inner
            .store
            .read_within(SUMMARY_TIME, move |conn| source.summary(conn, covered))
            .await?;
        let (keys, now) = (inner.keys.clone(), inner.clock.now_ms());
        inner
            .store
            .write(Lane::Upkeep, summary.len(), move |conn| {
                rows::add_digest(conn, (after, last), count, &summary, &keys, now)
            })
            .await?;
        tracing::info!(
            alerts = count,
            "too many alerts within an hour: a digest tells of them"
        );
        inner.tell.digests.inc();
        inner.tell.digested.add(u64::try_from(count).unwrap_or(0));
        inner.wake_lanes();
        Ok(())
    }

    async fn run_lane(&self, lane: usize) -> anyhow::Result<()> {
        let inner = &self.0;
        loop {
            let next = self.serve_lane(lane).await?;
            let Some(handed_over) = inner.handed_over.get(lane) else {
                return Ok(());
            };
            let longest = inner.clock.now_ms() + LOOK_AGAIN.as_millis() as i64;
            let until = next.map_or(longest, |at| at.min(longest));
            tokio::select! {
                () = handed_over.notified() => {}
                () = inner.sleep_until(until) => {}
            }
            if inner.lifecycle.soft().is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Gives up what is too old and deletes what has served its time.
    async fn upkeep(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        let now = inner.clock.now_ms();
        loop {
            let expire = move |conn: &Connection| rows::expire(conn, now);
            let given_up = inner.store.write(Lane::Upkeep, 0, expire).await?;
            if given_up.is_empty() {
                break;
            }
            tracing::warn!(deliveries = given_up.len(), "alerts given up after a day");
            for key in &given_up {
                inner.tell.ended(key, DeliveryState::GaveUp);
            }
        }
        let mut excess = inner.store.read(rows::excess).await?;
        while excess > 0 {
            let deleted = self.trim(Some(excess), now).await?;
            if deleted == 0 {
                break;
            }
            excess -= deleted;
        }
        while self.trim(None, now).await? > 0 {}
        let keys = inner.keys.clone();
        inner
            .store
            .write(Lane::Upkeep, 0, move |conn| {
                rows::forget_channels(conn, &keys)
            })
            .await?;
        inner.count_pending().await
    }

    async fn trim(&self, most: Option<i64>, now: i64) -> Result<i64, StoreError> {
        let trim = move |conn: &Connection| rows::trim(conn, most, now);
        let deleted = self.0.store.write(Lane::Upkeep, 0, trim).await?;
        self.0.tell.deleted.add(u64::try_from(deleted).unwrap_or(0));
        Ok(deleted)
    }

    /// Sends a message over every channel now, for at most ten seconds. `None` while another test is under way. Nothing
    /// of it goes into the outbox, but a channel that takes it counts as working.
    pub async fn test(&self, message: &Message) -> Result<Option<Vec<Tested>>, StoreError> {
        let inner = &self.0;
        let Ok(_only) = inner.testing.try_lock() else {
            return Ok(None);
        };
        let until = tokio::time::Instant::now() + TEST_TIME;
        let turns = Semaphore::new(MOST_AT_ONCE);
        let lanes =
            (0..inner.channels.lanes()).map(|lane| self.test_lane(lane, message, until, &turns));
        let mut tested = Vec::new();
        for lane in join_all(lanes).await {
            tested.extend(lane);
        }
        let results = tested.clone();
        let now = inner.clock.now_ms();
        let store = move |conn: &Connection| {
            for (key, lane, one) in &results {
                match &one.result {
                    Ok(_) => rows::works(conn, key, lane, now)?,
                    Err(fault) => rows::failed_test(conn, key, fault, now)?,
                }
            }
            Ok(())
        };
        inner.store.write(Lane::Upkeep, 0, store).await?;
        inner.wake_lanes();
        Ok(Some(tested.into_iter().map(|(_, _, one)| one).collect()))
    }

    async fn test_lane(
        &self,
        lane: usize,
        message: &Message,
        until: tokio::time::Instant,
        turns: &Semaphore,
    ) -> Vec<(String, Vec<String>, Tested)> {
        let inner = &self.0;
        let keys = inner.lane_keys(lane);
        let mut tested = Vec::new();
        for channel in inner.channels.of_lane(lane) {
            let sending = async {
                let _turn = turns.acquire().await;
                inner.tell.attempted(channel.kind());
                inner
                    .channels
                    .send(channel, message, inner.clock.now_ms())
                    .await
            };
            let result = match tokio::time::timeout_at(until, sending).await {
                Ok(result) => result.map_err(|failure| failure.detail().to_owned()),
                Err(_) => Err(format!("no answer within {} s", TEST_TIME.as_secs())),
            };
            let one = Tested {
                kind: channel.kind(),
                target: channel.target().to_owned(),
                result,
            };
            tested.push((channel.key().to_owned(), keys.clone(), one));
        }
        tested
    }
}

impl Inner {
    fn lane_keys(&self, lane: usize) -> Vec<String> {
        let keys = self
            .channels
            .of_lane(lane)
            .map(|channel| channel.key().to_owned());
        keys.collect()
    }

    fn wake_lanes(&self) {
        for lane in &self.handed_over {
            lane.notify_one();
        }
    }

    async fn count_pending(&self) -> Result<(), StoreError> {
        let pending = self.store.read(rows::pending).await?;
        self.tell.pending(&pending);
        Ok(())
    }

    /// Sleeps until a time of day, at most a minute, since that clock may step, and not beyond the end of the service.
    async fn sleep_until(&self, at_ms: i64) {
        let left = u64::try_from(at_ms - self.clock.now_ms()).unwrap_or(0);
        let left = Duration::from_millis(left).min(LOOK_AGAIN);
        self.lifecycle.sleep(left).await;
    }
}

fn task_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Smtp => "alerts by smtp",
        Kind::Postmark => "alerts by postmark",
        Kind::Webhook => "alerts by webhook",
        Kind::Slack => "alerts by slack",
        Kind::Discord => "alerts by discord",
        Kind::Ntfy => "alerts by ntfy",
    }
}

#[cfg(test)]
mod tests;
