//! Rules at work: between the task that looks at metrics and the API, which changes rules and shows how they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::notify::service::{AlertSettings, Alerts};
use monlight_shared::service::{Context, Service as _};

use crate::MetricsCollector;
use crate::store::rule_alerts::RuleAlerts;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rules(Arc<Inner>);

struct Inner {
    alerts: Alerts,
    looks: Mutex<HashMap<i64, Look>>,
    told: Told,
}

/// What a rule saw when it last looked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Which version of the rule.
    pub(crate) revision: i64,
    /// The end of the window, milliseconds since 1970.
    pub(crate) end_ms: i64,
    /// Groups with a value.
    pub(crate) groups: usize,
    /// Groups that were not looked at, or have no place among those that fire.
    pub(crate) left_out: usize,
    /// The worst value of them.
    pub(crate) worst: Option<f64>,
    /// Why it could not look.
    pub(crate) fault: Option<String>,
}

/// What is said about rules at `GET /metrics`.
pub(crate) struct Told {
    pub(crate) rules: Gauge,
    pub(crate) pending: Gauge,
    pub(crate) firing: Gauge,
    pub(crate) left_out: Gauge,
    pub(crate) events: Gauge,
    pub(crate) ends_waiting: Gauge,
    pub(crate) looks: Counter,
    pub(crate) look_seconds: Counter,
    pub(crate) failed: Counter,
    pub(crate) postponed: Counter,
    pub(crate) fired: Counter,
    pub(crate) ended: Counter,
    pub(crate) events_forgotten: Counter,
}

impl Rules {
    pub(crate) fn new(ctx: &Context, settings: AlertSettings) -> Self {
        let source = RuleAlerts {
            base_url: settings.base_url.clone(),
        };
        Self(Arc::new(Inner {
            alerts: Alerts::new(ctx, settings, MetricsCollector::INFO.name, source),
            looks: Mutex::default(),
            told: Told::new(&ctx.metrics),
        }))
    }

    /// What tells people.
    pub(crate) fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    pub(crate) fn told(&self) -> &Told {
        &self.0.told
    }

    /// What the rule of this version saw.
    pub(crate) fn look(&self, rule: i64, revision: i64) -> Option<Look> {
        let look = self.looks().get(&rule).cloned();
        look.filter(|look| look.revision == revision)
    }

    /// Notes what a rule saw.
    pub(crate) fn saw(&self, rule: i64, look: Look) {
        self.looks().insert(rule, look);
    }

    /// Forgets what other rules than these saw. Answers how many groups were left out by all of these.
    pub(crate) fn keep(&self, rules: &[i64]) -> usize {
        let mut looks = self.looks();
        looks.retain(|rule, _| rules.contains(rule));
        looks.values().map(|look| look.left_out).sum()
    }

    fn looks(&self) -> MutexGuard<'_, HashMap<i64, Look>> {
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn new(metrics: &Registry) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]);
        let groups = |state| {
            metrics.gauge(
                "monlight_metrics_alert_groups",
                "Groups of alert rules that are pending or firing, at most 200 of a rule.",
                &[("state", state)],
            )
        };
        Self {
            rules: metrics.gauge(
                "monlight_metrics_alert_rules",
                "Alert rules that are looked at, 100 at most.",
                &[],
            ),
            pending: groups("pending"),
            firing: groups("firing"),
            left_out: metrics.gauge(
                "monlight_metrics_alert_groups_left_out",
                "Groups that alert rules have beyond the 1000 that are looked at and the 200 that can fire.",
                &[],
            ),
            events: metrics.gauge(
                "monlight_metrics_alert_events",
                "Events in the history of alert rules; at most 10000.",
                &[],
            ),
            ends_waiting: metrics.gauge(
                "monlight_metrics_alert_ends_waiting",
                "Ends of rules that were changed, switched off or deleted, which are told when quiet hours are over; at most as many as events.",
                &[],
            ),
            looks: counter(
                "monlight_metrics_alert_looks_total",
                "How often an alert rule looked at its metric.",
            ),
            look_seconds: metrics.seconds(
                "monlight_metrics_alert_look_seconds_total",
                "Time that alert rules took, waiting for the database included.",
                &[],
            ),
            failed: counter(
                "monlight_metrics_alert_looks_failed_total",
                "How often an alert rule could not look, or took longer than 2 seconds.",
            ),
            postponed: counter(
                "monlight_metrics_alert_looks_postponed_total",
                "How often there was no time left for an alert rule; it comes first the next time.",
            ),
            fired: counter(
                "monlight_metrics_alert_fired_total",
                "How often groups of alert rules began to fire.",
            ),
            ended: counter(
                "monlight_metrics_alert_resolved_total",
                "How often groups of alert rules ceased to fire.",
            ),
            events_forgotten: counter(
                "monlight_metrics_alert_events_deleted_total",
                "Events that were deleted from the history as too old or too many.",
            ),
        }
    }
}
