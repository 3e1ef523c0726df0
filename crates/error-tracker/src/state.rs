//! What handlers and tasks share.

use std::sync::Arc;

use monlight_shared::clock::Clock;
use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::service::Context;
use monlight_shared::store::Store;

use crate::config::AlertSettings;
use crate::domain::group::{Recorded, State};

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// What `/metrics` tells of errors.
    pub tally: Arc<Tally>,
    /// See [`AlertSettings`].
    pub alerts: Arc<AlertSettings>,
}

impl AppState {
    /// Of a service that is about to start.
    pub fn new(ctx: &Context, alerts: AlertSettings) -> Self {
        Self {
            store: ctx.store.clone(),
            clock: ctx.clock.clone(),
            tally: Arc::new(Tally::new(&ctx.metrics)),
            alerts: Arc::new(alerts),
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
    unresolved: Gauge,
    resolved: Gauge,
    /// Groups deleted by retention.
    pub deleted: Counter,
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
            unresolved: groups("unresolved"),
            resolved: groups("resolved"),
            deleted: registry.counter(
                "monlight_error_groups_deleted_total",
                "Resolved groups deleted because their time was over.",
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
            State::Unresolved => self.unresolved.set(groups),
            State::Resolved => self.resolved.set(groups),
        }
    }
}
