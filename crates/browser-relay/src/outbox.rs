//! Events that another service could not take when they came. They are kept on disk, answered 202, and delivered later
//! in the order in which they came, whichever of them failed first: what is still on its way holds up those that came after
//! it, see [`tasks::pace`](crate::tasks) for what may go before others. Each carries the idempotency key of its first
//! attempt, so that one whose answer got lost is not taken twice.
//!
//! The room is bounded by number, bytes and age. What does not fit is refused, so that nothing that was acknowledged has
//! to go; only what grows too old does. What the other service will not take, though the event is not at fault (as with
//! 401 or 404 for a single event of a batch), is dead: it is kept, but others do not wait behind it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use monlight_shared::clock::Clock;
use monlight_shared::idempotency::Key;
use monlight_shared::lifecycle::Lifecycle;
use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::service::Context;
use monlight_shared::store::{Lane, Store, StoreError};
use tokio::sync::{Notify, oneshot};

use crate::config::OutboxLimits;
use crate::store::outbox::{self as table, Fate, Share};
use crate::telemetry::EventKind;

/// What a row takes beside its document, about.
const ROW_BYTES: i64 = 100;
/// Of four parts of the room, what one DSN key may take: a storm at one site leaves room for the others.
const PARTS_OF_KEY: i64 = 3;

/// The outbox. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    lifecycle: Lifecycle,
    limits: OutboxLimits,
    room: Mutex<Room>,
    arrivals: Mutex<Arrivals>,
    /// Drawn at start, for the keys.
    random: u64,
    counter: AtomicU32,
    sides: [Side; 2],
}

/// The numbers of events, in the order in which they come; an event that is kept has its number as id.
struct Arrivals {
    last: i64,
    /// Of those of which it is not known yet whether they have to be kept; as many as are in flight, at most.
    under_way: [BTreeSet<i64>; 2],
}

/// An event that has come. Those that come after it do not leave the outbox before this is dropped.
pub(crate) struct Arrival {
    outbox: Outbox,
    kind: EventKind,
    number: i64,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let (outbox, kind) = (&self.outbox, self.kind);
        outbox.arrivals(|arrivals| arrivals.under_way[kind as usize].remove(&self.number));
        if outbox.holds(kind) {
            outbox.side(kind).wake.notify_one();
        }
    }
}

/// What concerns one of the services.
struct Side {
    /// Something waits.
    wake: Notify,
    events: Gauge,
    bytes: Gauge,
    dead_events: Gauge,
    queued: Counter,
    no_room: Counter,
    delivered: Counter,
    refused: Counter,
    expired: Counter,
    dead: Counter,
}

/// What is taken of the room, what is being stored included.
#[derive(Default)]
struct Room {
    sides: [Amount; 2],
    dead: [Amount; 2],
    keys: HashMap<i64, Amount>,
}

impl Room {
    fn of(&mut self, kind: EventKind, fate: Fate) -> &mut Amount {
        match fate {
            Fate::Waits => &mut self.sides[kind as usize],
            Fate::Dead => &mut self.dead[kind as usize],
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) events: i64,
    pub(crate) bytes: i64,
}

/// Why an event is not in the outbox any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    Delivered,
    /// The service does not want it.
    Refused,
    Expired,
}

impl Amount {
    fn of_row(document_bytes: usize) -> Self {
        Self {
            events: 1,
            bytes: document_bytes as i64 + ROW_BYTES,
        }
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.events -= other.events;
        self.bytes -= other.bytes;
    }
}

impl Outbox {
    pub(crate) fn new(
        ctx: &Context,
        limits: OutboxLimits,
        shares: &[Share],
        last_id: i64,
    ) -> anyhow::Result<Self> {
        let registry = &ctx.metrics;
        let random = getrandom::u64().map_err(|fault| anyhow::anyhow!("no randomness: {fault}"))?;
        let mut room = Room::default();
        for share in shares {
            let amount = Amount {
                events: share.events,
                bytes: share.bytes + share.events * ROW_BYTES,
            };
            room.of(share.kind, share.fate).add(amount);
            room.keys.entry(share.key_id).or_default().add(amount);
        }
        for (name, help, bound) in [
            (
                "monlight_relay_outbox_events_max",
                "The most events that are kept for other services.",
                limits.events,
            ),
            (
                "monlight_relay_outbox_bytes_max",
                "The most bytes of such events.",
                limits.bytes,
            ),
        ] {
            registry.gauge(name, help, &[]).set(bound);
        }
        let this = Self(Arc::new(Inner {
            store: ctx.store.clone(),
            clock: ctx.clock.clone(),
            lifecycle: ctx.lifecycle.clone(),
            limits,
            room: Mutex::new(room),
            arrivals: Mutex::new(Arrivals {
                last: last_id,
                under_way: Default::default(),
            }),
            random,
            counter: AtomicU32::new(0),
            sides: EventKind::ALL.map(|kind| Side::new(kind, registry)),
        }));
        for kind in EventKind::ALL {
            this.show(kind);
        }
        Ok(this)
    }

    /// A key for an event that came now, to be sent with every attempt to deliver it; `name` is that of an event which its
    /// page may send again.
    pub(crate) fn key(&self, name: Option<u64>) -> Key {
        if let Some(name) = name {
            return Key::named(self.0.clock.now_ms(), name);
        }
        let counter = self.0.counter.fetch_add(1, Ordering::Relaxed);
        Key::new(self.0.clock.now_ms(), self.0.random, counter)
    }

    /// Takes note of an event that has come.
    pub(crate) fn arrive(&self, kind: EventKind) -> Arrival {
        let number = self.arrivals(|arrivals| {
            arrivals.last += 1;
            arrivals.under_way[kind as usize].insert(arrivals.last);
            arrivals.last
        });
        Arrival {
            outbox: self.clone(),
            kind,
            number,
        }
    }

    /// The number of the first event that is under way to this service; all that came before it and has to be kept is on
    /// disk.
    pub(crate) fn first_under_way(&self, kind: EventKind) -> i64 {
        let first = self.arrivals(|arrivals| arrivals.under_way[kind as usize].first().copied());
        first.unwrap_or(i64::MAX)
    }

    /// Whether events wait for this service. Then new ones have to wait behind them.
    pub(crate) fn holds(&self, kind: EventKind) -> bool {
        self.amount(kind).events > 0
    }

    /// What waits for this service.
    pub(crate) fn amount(&self, kind: EventKind) -> Amount {
        self.room(|room| room.sides[kind as usize])
    }

    /// What is dead of this service.
    pub(crate) fn dead(&self, kind: EventKind) -> Amount {
        self.room(|room| room.dead[kind as usize])
    }

    pub(crate) fn limits(&self) -> OutboxLimits {
        self.0.limits
    }

    /// Keeps an event. When this answers true it is on disk; false: there is no room.
    pub(crate) async fn put(
        &self,
        arrival: Arrival,
        key_id: i64,
        key: Key,
        document: Bytes,
    ) -> Result<bool, StoreError> {
        let (kind, id) = (arrival.kind, arrival.number);
        let amount = Amount::of_row(document.len());
        if !self.reserve(kind, key_id, amount) {
            self.side(kind).no_room.inc();
            return Ok(false);
        }
        let (tell, told) = oneshot::channel();
        let (this, now) = (self.clone(), self.0.clock.now_ms());
        // To its end, also when the page goes away in between: what is counted must be what is stored.
        self.0.lifecycle.spawn_once(async move {
            let bytes = document.len();
            let job = move |conn: &_| table::put(conn, id, kind, key_id, key, &document, now);
            let stored = this.0.store.write(Lane::Ingest, bytes, job).await;
            match &stored {
                Ok(()) => {
                    this.side(kind).queued.inc();
                }
                Err(_) => this.release(kind, Fate::Waits, key_id, amount),
            }
            // The next may go; when nothing was stored it looks in vain.
            drop(arrival);
            // Nobody may be left to be told.
            drop(tell.send(stored));
        });
        told.await.unwrap_or(Err(StoreError::Closed))?;
        Ok(true)
    }

    /// Waits until something may wait for this service.
    pub(crate) async fn woken(&self, kind: EventKind) {
        self.side(kind).wake.notified().await;
    }

    /// Removes events, given as their ids, DSN keys and the lengths of their documents.
    pub(crate) async fn remove(
        &self,
        kind: EventKind,
        events: &[(i64, i64, usize)],
        why: Gone,
    ) -> Result<(), StoreError> {
        let ids: Vec<i64> = events.iter().map(|(id, ..)| *id).collect();
        self.0
            .store
            .write(Lane::Upkeep, 0, move |conn| table::remove(conn, &ids))
            .await?;
        self.side(kind).count(why, events.len());
        for (_, key_id, bytes) in events {
            self.release(kind, Fate::Waits, *key_id, Amount::of_row(*bytes));
        }
        Ok(())
    }

    /// Gives events up for dead, as [`Outbox::remove`] takes them; `reason` is what the service said.
    pub(crate) async fn bury(
        &self,
        kind: EventKind,
        events: &[(i64, i64, usize)],
        reason: String,
    ) -> Result<(), StoreError> {
        let ids: Vec<i64> = events.iter().map(|(id, ..)| *id).collect();
        self.0
            .store
            .write(Lane::Upkeep, 0, move |conn| {
                table::bury(conn, &ids, &reason)
            })
            .await?;
        self.side(kind).dead.add(events.len() as u64);
        let bytes = events.iter().map(|(.., bytes)| *bytes);
        self.shift(kind, bytes, Fate::Waits, Fate::Dead);
        Ok(())
    }

    /// Has the dead tried again; how many they were.
    pub(crate) async fn revive(&self, kind: EventKind) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            let revive = move |conn: &_| table::revive(conn, kind);
            let revived = self.0.store.write(Lane::Upkeep, 0, revive).await?;
            if revived.is_empty() {
                return Ok(count);
            }
            count += revived.len();
            let bytes = revived.into_iter().map(|bytes| bytes as usize);
            self.shift(kind, bytes, Fate::Dead, Fate::Waits);
            self.side(kind).wake.notify_one();
        }
    }

    fn shift(&self, kind: EventKind, documents: impl Iterator<Item = usize>, from: Fate, to: Fate) {
        self.room(|room| {
            for amount in documents.map(Amount::of_row) {
                room.of(kind, from).subtract(amount);
                room.of(kind, to).add(amount);
            }
        });
        self.show(kind);
    }

    /// Removes what is too old, which is said: it was acknowledged once. For the task that delivers, if it is what waits.
    pub(crate) async fn expire(&self, kind: EventKind, fate: Fate) -> Result<(), StoreError> {
        let age = i64::try_from(self.0.limits.age.as_millis()).unwrap_or(i64::MAX);
        let cutoff = self.0.clock.now_ms().saturating_sub(age);
        let mut expired = 0;
        loop {
            let expire = move |conn: &_| table::expire(conn, kind, fate, cutoff);
            let gone = self.0.store.write(Lane::Upkeep, 0, expire).await?;
            if gone.is_empty() {
                break;
            }
            expired += gone.len();
            self.side(kind).count(Gone::Expired, gone.len());
            for (key_id, bytes) in gone {
                self.release(kind, fate, key_id, Amount::of_row(bytes as usize));
            }
        }
        if expired > 0 {
            tracing::error!(
                upstream = kind.upstream(),
                events = expired,
                "gave up events that could not be delivered in time"
            );
        }
        Ok(())
    }

    fn reserve(&self, kind: EventKind, key_id: i64, amount: Amount) -> bool {
        let OutboxLimits { events, bytes, .. } = self.0.limits;
        let reserved = self.room(|room| {
            let (mut all, mut of_key) = (amount, amount);
            let kept = room.sides.iter().chain(&room.dead);
            kept.for_each(|side| all.add(*side));
            of_key.add(room.keys.get(&key_id).copied().unwrap_or_default());
            let fits = all.events <= events
                && all.bytes <= bytes
                && of_key.events * 4 <= events * PARTS_OF_KEY
                && of_key.bytes * 4 <= bytes * PARTS_OF_KEY;
            if fits {
                room.sides[kind as usize].add(amount);
                room.keys.insert(key_id, of_key);
            }
            fits
        });
        self.show(kind);
        reserved
    }

    fn release(&self, kind: EventKind, fate: Fate, key_id: i64, amount: Amount) {
        self.room(|room| {
            room.of(kind, fate).subtract(amount);
            if let Some(of_key) = room.keys.get_mut(&key_id) {
                of_key.subtract(amount);
                if of_key.events <= 0 {
                    room.keys.remove(&key_id);
                }
            }
        });
        self.show(kind);
    }

    fn show(&self, kind: EventKind) {
        let Amount { events, bytes } = self.amount(kind);
        self.side(kind).events.set(events);
        self.side(kind).bytes.set(bytes);
        self.side(kind).dead_events.set(self.dead(kind).events);
    }

    fn arrivals<T>(&self, look: impl FnOnce(&mut Arrivals) -> T) -> T {
        let mut arrivals = self
            .0
            .arrivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        look(&mut arrivals)
    }

    fn room<T>(&self, look: impl FnOnce(&mut Room) -> T) -> T {
        look(&mut self.0.room.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn side(&self, kind: EventKind) -> &Side {
        &self.0.sides[kind as usize]
    }
}

impl Side {
    fn new(kind: EventKind, registry: &Registry) -> Self {
        let upstream = [("upstream", kind.upstream())];
        let counter = |result| {
            registry.counter(
                "monlight_relay_outbox_total",
                "Events that another service could not take at once, by what became of them.",
                &[upstream[0], ("result", result)],
            )
        };
        Self {
            wake: Notify::new(),
            events: registry.gauge(
                "monlight_relay_outbox_events",
                "Events that wait for another service.",
                &upstream,
            ),
            bytes: registry.gauge(
                "monlight_relay_outbox_bytes",
                "Bytes of the events that wait.",
                &upstream,
            ),
            dead_events: registry.gauge(
                "monlight_relay_outbox_dead_events",
                "Events that another service will not take and that are kept until they are tried again or too old.",
                &upstream,
            ),
            queued: counter("queued"),
            no_room: counter("no_room"),
            delivered: counter("delivered"),
            refused: counter("refused"),
            expired: counter("expired"),
            dead: counter("dead"),
        }
    }

    fn count(&self, why: Gone, events: usize) {
        let counter = match why {
            Gone::Delivered => &self.delivered,
            Gone::Refused => &self.refused,
            Gone::Expired => &self.expired,
        };
        counter.add(events as u64);
    }
}
