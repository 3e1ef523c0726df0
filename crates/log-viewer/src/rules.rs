//! Rules at work: between the ingestion, which asks them, and the API, which changes them.
//!
//! ```text
//! ingestion: batch ─▶ Rules::look (before the write) ─▶ Rules::count (in the transaction of the batch) ─▶ outbox
//! API: write ─▶ Rules::load ─▶ the set that looks from now on
//! ```
//!
//! What was counted is stored with the entries, so a kill neither loses nor doubles an alert.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use monlight_shared::clock::Clock;
use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::notify::service::Alerts;
use monlight_shared::service::Context;
use monlight_shared::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{Mutex, MutexGuard};

use crate::domain::matching::Seen;
use crate::domain::rule_set::{Hit, RuleSet, Watched};
use crate::store::ring::{Batch, Stored};
use crate::store::rules::{self, Match, StoredRule};

/// How long patterns may look at one batch, all of them together. A batch holds a thousand entries or 256 KiB; a plain
/// pattern needs less than a millisecond for it.
const LOOK_TIME: Duration = Duration::from_millis(100);

/// Cheap to clone.
#[derive(Clone)]
pub struct Rules(Arc<Inner>);

struct Inner {
    /// Telling people.
    alerts: Arc<Alerts>,
    clock: Clock,
    set: RwLock<Arc<RuleSet>>,
    /// Held while rules are changed, so that the set that is loaded last is the newest.
    changing: Mutex<()>,
    enabled: Gauge,
    matches: Counter,
    fired: Counter,
    skipped: Counter,
}

impl Rules {
    /// None, until they are loaded.
    pub fn new(ctx: &Context, alerts: Arc<Alerts>) -> Self {
        let metrics: &Registry = &ctx.metrics;
        Self(Arc::new(Inner {
            alerts,
            clock: ctx.clock.clone(),
            set: RwLock::default(),
            changing: Mutex::default(),
            enabled: metrics.gauge(
                "monlight_log_alert_rules",
                "Alert rules that are looked at, 50 at most.",
                &[],
            ),
            matches: metrics.counter(
                "monlight_log_alert_matches_total",
                "Entries that alert rules found, for each rule that found them.",
                &[],
            ),
            fired: metrics.counter(
                "monlight_log_alert_rules_fired_total",
                "How often alert rules fired.",
                &[],
            ),
            skipped: metrics.counter(
                "monlight_log_alert_entries_skipped_total",
                "Entries that the pattern of an alert rule had no time for.",
                &[],
            ),
        }))
    }

    /// What tells people.
    pub fn alerts(&self) -> &Arc<Alerts> {
        &self.0.alerts
    }

    /// Held by who changes rules, until they are loaded again.
    pub async fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// Looks for these from now on.
    pub fn load(&self, stored: Vec<StoredRule>) {
        let watched = stored.into_iter().filter(|stored| stored.rule.enabled);
        let watched = watched.filter_map(|stored| match stored.rule.filter() {
            Ok(filter) => Some(Watched {
                id: stored.id,
                revision: stored.revision,
                filter,
            }),
            Err(fault) => {
                tracing::error!(
                    rule = stored.id,
                    fault,
                    "a stored rule cannot be understood"
                );
                None
            }
        });
        let set = RuleSet::new(watched.collect());
        self.0.enabled.set(set.len() as i64);
        *self.0.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// What they find in a batch. Costs nothing when there are none.
    pub fn look(&self, batch: &Batch) -> Vec<Hit> {
        let set = Arc::clone(&self.0.set.read().unwrap_or_else(PoisonError::into_inner));
        if set.is_empty() || batch.entries.is_empty() {
            return Vec::new();
        }
        let names = batch.containers.iter();
        let names: Vec<[&str; 3]> = names
            .map(|known| [known.name.as_str(), &known.project, &known.service])
            .collect();
        let entries = batch.entries.iter().map(|(container, entry)| {
            let [name, project, service] = names.get(*container).copied().unwrap_or_default();
            let seen = Seen {
                container: name,
                project,
                service,
                stream: entry.stream,
                level: entry.level,
                message: &entry.message,
                fields: entry.fields.as_deref(),
            };
            (*container, seen)
        });
        let until = self.0.clock.monotonic() + LOOK_TIME;
        let hits = set.look(&names, entries, &|| self.0.clock.monotonic() > until);
        for hit in &hits {
            self.0.skipped.add(hit.skipped.unsigned_abs());
        }
        hits
    }

    /// Counts what they found, as part of the transaction that stores the batch; answers how many fired.
    pub fn count(
        &self,
        conn: &Connection,
        hits: &[Hit],
        stored: &Stored,
    ) -> Result<u64, StoreError> {
        if hits.is_empty() {
            return Ok(0);
        }
        let found = hits.iter().filter(|hit| hit.entries > 0);
        let found: Vec<Match> = found.map(|hit| matched(hit, stored)).collect();
        let alerts = &self.0.alerts;
        rules::count(conn, &alerts.outbox, &found, self.0.clock.now_ms())
    }

    /// A batch was stored.
    pub fn note(&self, hits: &[Hit], fired: u64) {
        let matches: i64 = hits.iter().map(|hit| hit.entries).sum();
        self.0.matches.add(matches.unsigned_abs());
        self.0.fired.add(fired);
    }
}

/// With the ids that the entries got.
fn matched(hit: &Hit, stored: &Stored) -> Match {
    let ids = stored.order.iter().zip(stored.first_id..);
    let newest = ids.filter(|(place, _)| hit.newest.contains(place));
    Match {
        rule: hit.id,
        revision: hit.revision,
        entries: hit.entries,
        newest: newest.map(|(_, id)| id).collect(),
    }
}
