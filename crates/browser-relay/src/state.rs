//! What handlers and tasks share. Cheap to clone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use monlight_shared::clock::Clock;
use monlight_shared::lifecycle::Lifecycle;
use monlight_shared::metrics::{Gauge, Registry};
use monlight_shared::service::Context;
use monlight_shared::store::{Lane, Store, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::budgets::Budgets;
use crate::config::Config;
use crate::keys::Keys;
use crate::lookups::LookUps;
use crate::outbox::Outbox;
use crate::store::dsn_keys;
use crate::store::outbox;
use crate::store::source_maps::{self, Totals};
use crate::telemetry::{EventKind, Telemetry};
use crate::upstream::{self, Upstream};

/// Uploads whose bodies are on their way to the disk at the same time.
const MOST_SPOOLS: usize = 4;

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) errors: Upstream,
    pub(crate) metrics: Upstream,
    pub(crate) outbox: Outbox,
    pub(crate) keys: Keys,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) in_flight: InFlight,
    pub(crate) outgoing: Outgoing,
    pub(crate) look_ups: LookUps,
    pub(crate) maps: Arc<Maps>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// What uploads and upkeep of source maps share.
pub(crate) struct Maps {
    pub(crate) spools: Semaphore,
    /// One map is decoded at a time. Upkeep takes it too, since it must not see a map that is half written.
    pub(crate) decoding: Arc<Semaphore>,
    /// Rows may have become unnamed, or maps too many.
    pub(crate) upkeep: Notify,
    pub(crate) max_map_bytes: u64,
    pub(crate) max_storage_bytes: i64,
    pub(crate) retention: Duration,
    count: Gauge,
    bytes: Gauge,
}

impl State {
    /// Connects the parts; creates the seeded keys.
    pub(crate) fn new(ctx: &Context, config: &Config) -> anyhow::Result<Self> {
        let Context {
            store,
            clock,
            metrics: registry,
            lifecycle,
            common,
        } = ctx;
        let (seeds, now) = (config.seeds.clone(), clock.now_ms());
        let begin = move |conn: &rusqlite::Connection| {
            dsn_keys::seed(conn, &seeds, now)?;
            let waiting = (outbox::shares(conn)?, outbox::last_id(conn)?);
            Ok((dsn_keys::list(conn)?, source_maps::totals(conn)?, waiting))
        };
        // On a thread of its own: the caller is inside the runtime, where waiting is not allowed.
        let begun = std::thread::scope(|scope| {
            let seeding = scope.spawn(|| store.write_blocking(Lane::Upkeep, 0, begin));
            seeding
                .join()
                .map_err(|_| anyhow::anyhow!("creating the seeded keys panicked"))
        });
        let (keys, totals, waiting) = begun?.context("DSN_KEYS: cannot create the keys")?;
        let client = upstream::client([&config.error_tracker, &config.metrics_collector])?;
        let running = (clock, lifecycle);
        let upstream = |name, target, path| {
            Upstream::new(name, target, path, client.clone(), running, registry)
        };
        let maps = Maps {
            spools: Semaphore::new(MOST_SPOOLS),
            decoding: Arc::new(Semaphore::new(1)),
            upkeep: Notify::new(),
            max_map_bytes: config.max_map_bytes,
            max_storage_bytes: config.max_map_storage_bytes,
            retention: config.map_retention,
            count: registry.gauge("monlight_relay_source_maps", "Source maps stored.", &[]),
            bytes: registry.gauge(
                "monlight_relay_source_map_bytes",
                "Texts of all stored source maps together, as they were uploaded.",
                &[],
            ),
        };
        maps.count(totals);
        Ok(Self {
            errors: upstream("error-tracker", &config.error_tracker, "/api/errors")?,
            metrics: upstream(
                "metrics-collector",
                &config.metrics_collector,
                "/api/metrics",
            )?,
            outbox: Outbox::new(ctx, config.outbox, &waiting.0, waiting.1)?,
            keys: Keys::new(&keys, config.origins.clone(), registry),
            budgets: Arc::new(Budgets::new(common.rate_limit, clock, registry)),
            in_flight: InFlight::new(registry),
            outgoing: Outgoing::new(registry),
            look_ups: LookUps::new(store, lifecycle, registry),
            maps: Arc::new(maps),
            telemetry: Arc::new(Telemetry::new(registry)),
            store: store.clone(),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
        })
    }
}

impl State {
    /// The service that events of this kind are for.
    pub(crate) fn upstream(&self, kind: EventKind) -> &Upstream {
        match kind {
            EventKind::Error => &self.errors,
            EventKind::Metrics => &self.metrics,
        }
    }
}

impl Maps {
    /// Shows how many maps there are.
    pub(crate) fn count(&self, totals: Totals) {
        self.count.set(totals.maps);
        self.bytes.set(totals.bytes);
    }

    /// Counts the maps anew.
    pub(crate) async fn recount(&self, store: &Store) -> Result<(), StoreError> {
        self.count(store.read(source_maps::totals).await?);
        Ok(())
    }
}

/// Events of browsers that are being worked on: bounded for the process, and for each site to a part of that, so that a
/// storm at one site leaves room for the others while an upstream service is slow.
#[derive(Clone)]
pub(crate) struct InFlight(Arc<Mutex<Counts>>);

struct Counts {
    total: usize,
    sites: HashMap<i64, usize>,
    shown: Gauge,
}

/// Events at the same time.
pub(crate) const MOST_IN_FLIGHT: usize = 256;
/// Of one site.
pub(crate) const MOST_IN_FLIGHT_OF_SITE: usize = 96;

/// Room for one event; given back when dropped.
pub(crate) struct Room {
    counts: Arc<Mutex<Counts>>,
    key_id: i64,
}

impl InFlight {
    fn new(registry: &Registry) -> Self {
        let shown = registry.gauge(
            "monlight_relay_events_in_flight",
            "Browser events being worked on.",
            &[],
        );
        registry
            .gauge(
                "monlight_relay_events_in_flight_max",
                "The most browser events worked on at the same time.",
                &[],
            )
            .set(MOST_IN_FLIGHT as i64);
        Self(Arc::new(Mutex::new(Counts {
            total: 0,
            sites: HashMap::new(),
            shown,
        })))
    }

    /// Room for an event of a site, if there is any.
    pub(crate) fn enter(&self, key_id: i64) -> Option<Room> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let site = counts.sites.get(&key_id).copied().unwrap_or_default();
        if counts.total >= MOST_IN_FLIGHT || site >= MOST_IN_FLIGHT_OF_SITE {
            return None;
        }
        counts.total += 1;
        counts.sites.insert(key_id, site + 1);
        counts.shown.set(counts.total as i64);
        Some(Room {
            counts: Arc::clone(&self.0),
            key_id,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        match counts.sites.get_mut(&self.key_id) {
            Some(site) if *site > 1 => *site -= 1,
            _ => drop(counts.sites.remove(&self.key_id)),
        }
        counts.shown.set(counts.total as i64);
    }
}

/// What is made of events for the other services. It is longer than what came, several times when a stack becomes
/// readable, and waits while such a service is slow, so it is bounded in bytes. So are the events of which reports are
/// being made, which wait for the database.
#[derive(Clone)]
pub(crate) struct Outgoing {
    making: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// Bytes of events of which reports are being made at the same time.
const MOST_MAKING_BYTES: usize = 512 * 1024;
/// What an event counts for at least: what it takes beside its text.
const LEAST_OF_EVENT: usize = 8 * 1024;
/// How long an event waits for its turn to be worked on.
const LONGEST_WAIT_TO_MAKE: Duration = Duration::from_secs(2);
/// Bytes of all documents on their way.
pub(crate) const MOST_OUTGOING_BYTES: usize = 4 * 1024 * 1024;

impl Outgoing {
    fn new(registry: &Registry) -> Self {
        let room = Arc::new(Semaphore::new(MOST_OUTGOING_BYTES));
        let seen = Arc::downgrade(&room);
        registry.gauge_fn(
            "monlight_relay_outgoing_bytes",
            "Documents for the other services that were not taken yet.",
            &[],
            move || {
                seen.upgrade().map_or(0.0, |room| {
                    (MOST_OUTGOING_BYTES - room.available_permits()) as f64
                })
            },
        );
        registry
            .gauge(
                "monlight_relay_outgoing_bytes_max",
                "The most bytes of such documents.",
                &[],
            )
            .set(MOST_OUTGOING_BYTES as i64);
        Self {
            making: Arc::new(Semaphore::new(MOST_MAKING_BYTES)),
            room,
        }
    }

    /// The turn to make a report of an event of so many bytes; `None` when it does not come in time.
    pub(crate) async fn turn(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = bytes.clamp(LEAST_OF_EVENT, MOST_MAKING_BYTES) as u32;
        let turn = Arc::clone(&self.making).acquire_many_owned(bytes);
        tokio::time::timeout(LONGEST_WAIT_TO_MAKE, turn)
            .await
            .ok()?
            .ok()
    }

    /// Room for a document, if there is any now.
    pub(crate) fn room_for(&self, document: &str) -> Option<OwnedSemaphorePermit> {
        let bytes = document.len().min(MOST_OUTGOING_BYTES) as u32;
        Arc::clone(&self.room).try_acquire_many_owned(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_site_cannot_take_all_the_room() {
        let in_flight = InFlight::new(&Registry::default());
        let rooms: Vec<_> = (0..MOST_IN_FLIGHT_OF_SITE)
            .map(|_| in_flight.enter(1).expect("room"))
            .collect();
        assert!(in_flight.enter(1).is_none());
        assert!(in_flight.enter(2).is_some());
        drop(rooms);
        assert!(in_flight.enter(1).is_some());
        assert!(in_flight.0.lock().unwrap().sites.is_empty());
    }

    #[test]
    fn all_sites_together_are_bounded() {
        let in_flight = InFlight::new(&Registry::default());
        let rooms: Vec<_> = (0..1000).filter_map(|n| in_flight.enter(n)).collect();
        assert_eq!(rooms.len(), MOST_IN_FLIGHT);
    }
}
