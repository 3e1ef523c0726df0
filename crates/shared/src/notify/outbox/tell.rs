//! What `/metrics` tells of alerts.

use std::collections::BTreeMap;

use super::rows::{DeliveryState, MOST_KEPT};
use crate::metrics::{Counter, Gauge, Registry};
use crate::notify::channel::{Channels, Kind};

/// Counters and gauges, by kind of channel; only for kinds that are configured.
pub(super) struct Tell {
    pending: BTreeMap<&'static str, Gauge>,
    ended: BTreeMap<(&'static str, &'static str), Counter>,
    attempts: BTreeMap<&'static str, Counter>,
    pub(super) waiting: Gauge,
    pub(super) digests: Counter,
    pub(super) digested: Counter,
    pub(super) deleted: Counter,
}

impl Tell {
    pub(super) fn new(registry: &Registry, channels: &Channels) -> Self {
        let mut tell = Self {
            pending: BTreeMap::new(),
            ended: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting: registry.gauge(
                "monlight_alerts_waiting",
                "Alerts that wait for the next digest.",
                &[],
            ),
            digests: registry.counter("monlight_alert_digests_total", "Digests made.", &[]),
            digested: registry.counter(
                "monlight_alerts_digested_total",
                "Alerts that were told as part of a digest.",
                &[],
            ),
            deleted: registry.counter(
                "monlight_alerts_deleted_total",
                "Old alerts deleted from the outbox.",
                &[],
            ),
        };
        registry
            .gauge(
                "monlight_alerts_kept_max",
                "The most alerts that the outbox keeps, those on their way left out.",
                &[],
            )
            .set(MOST_KEPT);
        for kind in Kind::ALL.map(Kind::name) {
            if channels
                .all()
                .iter()
                .any(|channel| channel.kind().name() == kind)
            {
                tell.add(registry, kind);
            }
        }
        tell
    }

    fn add(&mut self, registry: &Registry, kind: &'static str) {
        let labels = [("channel", kind)];
        self.pending.insert(
            kind,
            registry.gauge(
                "monlight_alert_deliveries_pending",
                "Deliveries that wait or are under way.",
                &labels,
            ),
        );
        self.attempts.insert(
            kind,
            registry.counter(
                "monlight_alert_attempts_total",
                "Attempts to deliver an alert, failed ones included.",
                &labels,
            ),
        );
        for state in DeliveryState::ALL {
            if state == DeliveryState::Pending {
                continue;
            }
            let labels = [("channel", kind), ("result", state.name())];
            let help = "Deliveries that have ended, by how.";
            let counter = registry.counter("monlight_alert_deliveries_total", help, &labels);
            self.ended.insert((kind, state.name()), counter);
        }
    }

    /// An attempt was made.
    pub(super) fn attempted(&self, kind: Kind) {
        if let Some(counter) = self.attempts.get(kind.name()) {
            counter.inc();
        }
    }

    /// A delivery is over. `key`: of its channel.
    pub(super) fn ended(&self, key: &str, state: DeliveryState) {
        let kind = key.split(':').next().unwrap_or_default();
        let found = self
            .ended
            .iter()
            .find(|((known, name), _)| *known == kind && *name == state.name());
        if let Some((_, counter)) = found {
            counter.inc();
        }
    }

    /// So many deliveries wait, by key of their channel.
    pub(super) fn pending(&self, by_channel: &[(String, i64)]) {
        for (kind, gauge) in &self.pending {
            let of_kind = by_channel
                .iter()
                .filter(|(key, _)| key.split(':').next() == Some(kind));
            gauge.set(of_kind.map(|(_, count)| count).sum());
        }
    }
}
