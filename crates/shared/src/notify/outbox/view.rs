//! What is shown of the outbox.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::plan;
use super::rows::{self, DIGEST, DeliveryState};
use crate::store::StoreError;

/// How an alert is doing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// It waits for the next digest, or to be handed over in a moment.
    Waiting,
    /// It was told as part of this digest.
    InDigest(i64),
    /// It was never told: there was no channel for a day.
    Dropped,
    /// It was handed to the channels; the worst that became of it on any.
    Told(DeliveryState),
}

impl AlertState {
    /// As shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InDigest(_) => "in_digest",
            Self::Dropped => DeliveryState::GaveUp.name(),
            Self::Told(state) => state.name(),
        }
    }
}

/// Which alerts to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    All,
    /// Those that wait for a digest.
    Waiting,
    /// Those that are in a digest.
    InDigest,
    /// Those with a delivery in this state.
    Delivery(DeliveryState),
}

impl Filter {
    /// Reads what [`AlertState::name`] shows; `all` is no filter.
    pub fn parse(text: &str) -> Option<Self> {
        let delivery = || {
            DeliveryState::ALL
                .into_iter()
                .find(|state| state.name() == text)
        };
        match text {
            "all" => Some(Self::All),
            "waiting" => Some(Self::Waiting),
            "in_digest" => Some(Self::InDigest),
            _ => delivery().map(Self::Delivery),
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::All => "1",
            Self::Waiting => "a.told_at IS NULL AND a.id > s.dispatched",
            Self::InDigest => "a.told_at IS NULL AND a.id <= s.dispatched",
            Self::Delivery(DeliveryState::Pending) => {
                "EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.alert = a.id AND d.state = 0)"
            }
            Self::Delivery(DeliveryState::Sent) => {
                "EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.alert = a.id AND d.state = 1)"
            }
            Self::Delivery(DeliveryState::Failed) => {
                "EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.alert = a.id AND d.state = 2)"
            }
            Self::Delivery(DeliveryState::GaveUp) => {
                "EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.alert = a.id AND d.state = 3)"
            }
            Self::Delivery(DeliveryState::Skipped) => {
                "EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.alert = a.id AND d.state = 4)"
            }
        }
    }
}

/// An alert as shown.
#[derive(Clone, Debug)]
pub struct ListedAlert {
    /// Its number.
    pub id: i64,
    /// When it was noted, unix milliseconds.
    pub time_ms: i64,
    /// The service's kind, or [`DIGEST`].
    pub kind: i64,
    /// What it is about; of a digest the number of alerts in it.
    pub subject: i64,
    /// How it is doing.
    pub state: AlertState,
    /// Of each channel it was handed to.
    pub deliveries: Vec<ListedDelivery>,
}

/// An alert on one channel, as shown.
#[derive(Clone, Debug)]
pub struct ListedDelivery {
    /// The key of the channel, also of one that is not configured any more.
    pub channel: String,
    /// How it is doing.
    pub state: DeliveryState,
    /// Attempts so far.
    pub tries: i64,
    /// When it is tried next, while it is pending.
    pub next_try: Option<i64>,
    /// The last attempt.
    pub tried_at: Option<i64>,
    /// The last answer or fault.
    pub said: Option<String>,
}

/// The newest alerts.
pub fn list(
    conn: &Connection,
    filter: Filter,
    limit: u32,
    now: i64,
) -> Result<Vec<ListedAlert>, StoreError> {
    // All statements see the same state of the database.
    let _snapshot = conn.unchecked_transaction()?;
    let resume = resume_times(conn)?;
    let sql = format!(
        "SELECT a.id, a.time, a.kind, a.subject, a.told_at, a.id <= s.dispatched,
           (SELECT g.id FROM alerts g WHERE g.covers_to >= a.id AND g.covers_from <= a.id ORDER BY g.covers_to LIMIT 1)
         FROM alerts a, alert_state s WHERE {} ORDER BY a.id DESC LIMIT ?1",
        filter.sql()
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| {
        let told_at: Option<i64> = row.get(4)?;
        let state = match (told_at, row.get(5)?, row.get(6)?) {
            (Some(_), ..) => AlertState::Told(DeliveryState::Pending),
            (None, false, _) => AlertState::Waiting,
            (None, true, Some(digest)) => AlertState::InDigest(digest),
            (None, true, None) => AlertState::Dropped,
        };
        Ok(ListedAlert {
            id: row.get(0)?,
            time_ms: row.get(1)?,
            kind: row.get(2)?,
            subject: row.get(3)?,
            state,
            deliveries: Vec::new(),
        })
    };
    let mut alerts: Vec<ListedAlert> = statement
        .query_map([limit], read)?
        .collect::<Result<_, _>>()?;
    for alert in &mut alerts {
        if let AlertState::Told(worst) = &mut alert.state {
            alert.deliveries = deliveries(conn, alert.id, &resume, now)?;
            *worst = worst_of(&alert.deliveries);
        }
    }
    Ok(alerts)
}

/// What needs most attention comes first.
fn worst_of(deliveries: &[ListedDelivery]) -> DeliveryState {
    use DeliveryState::{Failed, GaveUp, Pending, Sent, Skipped};
    [Pending, GaveUp, Failed, Sent]
        .into_iter()
        .find(|state| deliveries.iter().any(|delivery| delivery.state == *state))
        .unwrap_or(Skipped)
}

fn resume_times(conn: &Connection) -> Result<HashMap<String, i64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT channel, resume_at FROM alert_channels")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn deliveries(
    conn: &Connection,
    alert: i64,
    resume: &HashMap<String, i64>,
    now: i64,
) -> Result<Vec<ListedDelivery>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT channel, state, tries, due, tried_at, said FROM alert_deliveries WHERE alert = ?1 ORDER BY channel",
    )?;
    let read = |row: &Row<'_>| {
        let channel: String = row.get(0)?;
        let state = DeliveryState::from_stored(row.get(1)?);
        let due = plan::plausible(row.get(3)?, now);
        let resume_at = resume
            .get(&channel)
            .map_or(0, |at| plan::plausible(*at, now));
        Ok(ListedDelivery {
            state,
            tries: row.get(2)?,
            next_try: (state == DeliveryState::Pending).then_some(due.max(resume_at)),
            tried_at: row.get(4)?,
            said: row.get(5)?,
            channel,
        })
    };
    let rows = statement.query_map([alert], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How a channel is doing, as shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelStanding {
    /// When it last took something.
    pub ok_at: Option<i64>,
    /// When it last failed.
    pub failed_at: Option<i64>,
    /// How it last failed.
    pub fault: Option<String>,
    /// Failures in a row.
    pub failures: i64,
    /// Deliveries that wait for it.
    pub pending: i64,
}

/// All channels that are known, by key.
pub fn channels(conn: &Connection) -> Result<HashMap<String, ChannelStanding>, StoreError> {
    let mut statement = conn
        .prepare_cached("SELECT channel, ok_at, failed_at, fault, failures FROM alert_channels")?;
    let read = |row: &Row<'_>| {
        let standing = ChannelStanding {
            ok_at: row.get(1)?,
            failed_at: row.get(2)?,
            fault: row.get(3)?,
            failures: row.get(4)?,
            pending: 0,
        };
        Ok((row.get(0)?, standing))
    };
    let mut all: HashMap<String, ChannelStanding> =
        statement.query_map([], read)?.collect::<Result<_, _>>()?;
    for (channel, pending) in rows::pending(conn)? {
        all.entry(channel).or_default().pending = pending;
    }
    Ok(all)
}

/// The digest that is being collected, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collecting {
    /// Alerts in it so far.
    pub alerts: i64,
    /// Since when.
    pub since_ms: i64,
    /// When it is made, if no further alert comes.
    pub due_ms: i64,
}

/// What decides about the next alerts, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Alerts told one by one within the last hour.
    pub told_last_hour: u32,
    /// Alerts are being collected for a digest.
    pub collecting: Option<Collecting>,
}

/// What decides about the next alerts.
pub fn standing(conn: &Connection, now: i64) -> Result<Standing, StoreError> {
    let (dispatched, known) = rows::standing(conn, now)?;
    let (_, alerts) = rows::waiting(conn, dispatched)?;
    let collecting = known
        .collecting_since
        .zip(known.newest)
        .map(|(since, newest)| Collecting {
            alerts,
            since_ms: since,
            due_ms: plan::digest_due(since, newest, known.digest_at, now).max(now),
        });
    Ok(Standing {
        told_last_hour: known.told,
        collecting,
    })
}

/// Whether a kind is that of a digest.
pub fn is_digest(kind: i64) -> bool {
    kind == DIGEST
}
