//! What handlers and tasks share.

use std::sync::Arc;

use monlight_shared::clock::Clock;
use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::notify::service::{AlertSettings, Alerts};
use monlight_shared::service::{Context, Service as _};
use monlight_shared::store::Store;

use crate::ErrorTracker;
use crate::domain::group::{Recorded, State};
use crate::store::alerts::ErrorAlerts;
use crate::store::ranks::Changed;
use crate::store::record::Intake;

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// What `/metrics` tells of errors.
    pub tally: Arc<Tally>,
    /// Telling people of errors.
    pub alerts: Arc<Alerts>,
    /// See [`Intake`].
    pub intake: Arc<Intake>,
    /// See [`Changed`].
    pub changed: Arc<Changed>,
}

impl AppState {
    /// Of a service that is about to start.
    pub fn new(ctx: &Context, alerts: AlertSettings, intake: Intake) -> Self {
        let source = ErrorAlerts {
            base_url: alerts.base_url.clone(),
        };
        Self {
            store: ctx.store.clone(),
            clock: ctx.clock.clone(),
            tally: Arc::new(Tally::new(&ctx.metrics)),
            alerts: Arc::new(Alerts::new(ctx, alerts, ErrorTracker::INFO.name, source)),
            intake: Arc::new(intake),
            changed: Arc::default(),
        }
    }
}

/// Counters and gauges of this service.
#[derive(Debug)]
pub struct Tally {
    created: Counter,
    incremented: Counter,
    reopened: Counter,
    /// Reports that were no reports.
    pub invalid: Counter,
    /// Reports that could not be stored; their clients were told so.
    pub failed: Counter,
    open: Gauge,
    resolved: Gauge,
    ignored: Gauge,
    deleted: [Counter; Reason::ALL.len()],
    /// Groups that the index of texts does not hold yet.
    pub not_indexed: Gauge,
    /// Groups that wait for their place in lists by count or users.
    pub stale_ranks: Gauge,
}

/// Why the service deletes groups by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Resolved long ago.
    Resolved,
    /// Not seen for long.
    Unseen,
    /// The database is larger than it may be.
    Size,
}

impl Reason {
    const ALL: [Self; 3] = [Self::Resolved, Self::Unseen, Self::Size];

    /// As shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Unseen => "unseen",
            Self::Size => "size",
        }
    }
}

impl Tally {
    fn new(registry: &Registry) -> Self {
        let reports = |result| {
            let help = "Reports by what became of them.";
            registry.counter("monlight_error_reports_total", help, &[("result", result)])
        };
        let groups = |state| {
            let help = "Groups of errors that are stored.";
            registry.gauge("monlight_error_groups", help, &[("state", state)])
        };
        Self {
            created: reports("created"),
            incremented: reports("incremented"),
            reopened: reports("reopened"),
            invalid: reports("invalid"),
            failed: reports("failed"),
            open: groups("open"),
            resolved: groups("resolved"),
            ignored: groups("ignored"),
            deleted: Reason::ALL.map(|reason| {
                let help = "Groups that the service deleted by itself, by reason.";
                let labels = [("reason", reason.name())];
                registry.counter("monlight_error_groups_deleted_total", help, &labels)
            }),
            not_indexed: registry.gauge(
                "monlight_error_groups_not_indexed",
                "Groups that the full-text index does not hold yet; searches read their texts.",
                &[],
            ),
            stale_ranks: registry.gauge(
                "monlight_error_stale_ranks",
                "Groups that wait for their place in lists by count or users, 8192 at most.",
                &[],
            ),
        }
    }

    /// A report was stored and its client told so.
    pub fn recorded(&self, recorded: Recorded) {
        match recorded {
            Recorded::Created { .. } => self.created.inc(),
            Recorded::Incremented { .. } => self.incremented.inc(),
            Recorded::Reopened { .. } => self.reopened.inc(),
        }
    }

    /// So many groups are in a state.
    pub fn groups(&self, state: State, groups: i64) {
        match state {
            State::Open => self.open.set(groups),
            State::Resolved => self.resolved.set(groups),
            State::Ignored => self.ignored.set(groups),
        }
    }

    /// So many groups were deleted for a reason.
    pub fn deleted(&self, reason: Reason, groups: usize) {
        self.deleted[reason as usize].add(groups as u64);
    }
}
