//! Looks at metrics with the rules, once every so many minutes, and notes what people have to be told.
//!
//! A window ends at a full minute and is looked at some time later, when the last points of clients that collect have come
//! in. What comes still later is in the next windows. Each rule is one read with a deadline of its own and one write, so
//! nothing that is stored waits for it; what there is no time for comes first the next time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;

use crate::domain::reading::{Outage, Reading};
use crate::domain::rule_state::{Phase, step};
use crate::rules::Look;
use crate::state::AppState;
use crate::store::measure::{Groups, MOST_LOOKED_AT};
use crate::store::rule_ends;
use crate::store::rules::{self, Change, Looked, StoredGroup, StoredRule};
use crate::store::{MINUTE_MS, snapshot};

/// Groups of a rule that are pending or firing.
const MOST_ACTIVE: usize = 200;
/// How long one rule may read.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// A pause between two looks that is longer than usual by this is an outage: nothing came in meanwhile.
const OUTAGE_MS: i64 = 2 * MINUTE_MS;

/// The task.
pub(crate) struct Evaluator {
    state: AppState,
    /// The rule that there was no time for.
    next: Mutex<i64>,
}

/// What one rule found.
struct Found {
    changes: Vec<Change>,
    look: Look,
}

impl Evaluator {
    pub(crate) fn new(state: &AppState) -> Self {
        Self {
            state: state.clone(),
            next: Mutex::new(0),
        }
    }

    /// The end of the newest window that can be looked at.
    fn end_ms(&self, now_ms: i64) -> i64 {
        let config = &self.state.config;
        let every = config.alert_interval.as_millis() as i64;
        let seen = now_ms - config.alert_delay.as_millis() as i64;
        seen - seen.rem_euclid(every)
    }

    /// How long until the next window can be looked at.
    pub(crate) fn pause(&self, now_ms: i64) -> Duration {
        let config = &self.state.config;
        let next =
            self.end_ms(now_ms) + (config.alert_interval + config.alert_delay).as_millis() as i64;
        Duration::from_millis((next - now_ms).max(1).unsigned_abs())
    }

    /// Looks with all rules at the windows that end at the newest full minute, unless that was done already.
    pub(crate) async fn step(&self, go_on: impl Fn() -> bool) -> anyhow::Result<()> {
        let state = &self.state;
        let (now_ms, started) = (state.clock.now_ms(), state.clock.monotonic());
        let end_ms = self.end_ms(now_ms);
        let (known, all) = state
            .store
            .read(|conn| Ok((rules::looked(conn)?, rules::all(conn)?)))
            .await?;
        // Before what fires anew, so that the end is not the last that people hear.
        self.tell_ends(end_ms, now_ms).await?;
        let is_idle = !all.iter().any(|stored| stored.rule.enabled);
        if known.at_ms == Some(end_ms) {
            return Ok(());
        }
        if is_idle && known.at_ms.is_none() {
            return self.forget(now_ms).await;
        }
        let looked = if is_idle {
            // Nobody looks, so time that passes is no outage.
            Looked::default()
        } else {
            self.passed(known, end_ms, now_ms)
        };
        let until = started + state.config.alert_interval / 2;
        let has_time = || go_on() && state.clock.monotonic() < until;
        self.look_with_all(&all, looked, now_ms, has_time).await?;
        let took = state.clock.monotonic().saturating_sub(started);
        state.rules.told().look_seconds.add(took.as_nanos() as u64);
        self.finish(&all, looked, now_ms).await
    }

    /// Tells of the ends of rules that were changed in quiet hours that are over.
    async fn tell_ends(&self, end_ms: i64, now_ms: i64) -> anyhow::Result<()> {
        let state = &self.state;
        let mut due = state.store.read(rule_ends::waiting).await?;
        let all = due.len();
        due.retain(|waiting| waiting.is_due(end_ms));
        let waiting = all - due.len();
        if !due.is_empty() {
            let outbox = state.rules.alerts().outbox.clone();
            let tell =
                move |conn: &Connection| rule_ends::tell_waiting(conn, &outbox, &due, now_ms);
            state.store.write(Lane::Upkeep, 0, tell).await?;
        }
        state.rules.told().ends_waiting.set(waiting as i64);
        Ok(())
    }

    /// The time that goes on to a window's end; a pause that is too long is an outage.
    fn passed(&self, known: Looked, end_ms: i64, now_ms: i64) -> Looked {
        let usual = self.state.config.alert_interval.as_millis() as i64;
        let outage = match known.at_ms {
            Some(at_ms) if end_ms - at_ms > usual + OUTAGE_MS => Outage {
                from_ms: at_ms,
                until_ms: now_ms,
            },
            // What is still to come was noted before the clock was set back.
            _ if known.outage.until_ms > now_ms => Outage::default(),
            _ => known.outage,
        };
        Looked {
            at_ms: Some(end_ms),
            outage,
        }
    }

    async fn look_with_all(
        &self,
        all: &[StoredRule],
        looked: Looked,
        now_ms: i64,
        has_time: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let told = self.state.rules.told();
        let first = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let enabled = || all.iter().filter(|stored| stored.rule.enabled);
        let mut turns = enabled()
            .filter(|stored| stored.id >= first)
            .chain(enabled().filter(|stored| stored.id < first));
        let mut next = 0;
        while let Some(stored) = turns.next() {
            if !has_time() {
                next = stored.id;
                told.postponed.add(1 + turns.count() as u64);
                tracing::warn!(
                    "there is no time left for some alert rules; they come first the next time"
                );
                break;
            }
            told.looks.inc();
            match self.look(stored, looked, now_ms).await {
                Ok(()) => {}
                Err(StoreError::Closed) => return Err(StoreError::Closed.into()),
                Err(fault) => self.failed(stored, looked, &fault),
            }
        }
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// How its groups are stays as it was.
    fn failed(&self, stored: &StoredRule, looked: Looked, fault: &StoreError) {
        let rules = &self.state.rules;
        rules.told().failed.inc();
        let fault = match fault {
            StoreError::Deadline => {
                format!("it took longer than {} seconds", LOOK_TIME.as_secs())
            }
            other => other.to_string(),
        };
        let known = rules.look(stored.id, stored.revision);
        if known.is_none_or(|look| look.fault.as_ref() != Some(&fault)) {
            tracing::warn!(rule = stored.id, fault, "an alert rule could not look");
        }
        let look = Look {
            revision: stored.revision,
            end_ms: looked.at_ms.unwrap_or_default(),
            fault: Some(fault),
            ..Look::default()
        };
        rules.saw(stored.id, look);
    }

    async fn look(
        &self,
        stored: &StoredRule,
        looked: Looked,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let state = &self.state;
        let (asked, end_ms) = (stored.clone(), looked.at_ms.unwrap_or(now_ms));
        let found = state
            .store
            .read_within(LOOK_TIME, move |conn| {
                snapshot(conn, |conn| {
                    let known = rules::groups(conn, asked.id)?;
                    let first: Vec<Vec<String>> =
                        known.iter().map(|known| known.labels.clone()).collect();
                    let groups = Groups::find(conn, &asked.rule, &first, MOST_LOOKED_AT, end_ms)?;
                    let readings = groups.readings(conn, &asked.rule, end_ms)?;
                    Ok(find(&asked, known, groups, &readings, looked))
                })
            })
            .await?;
        let Found { changes, look } = found;
        if !changes.is_empty() {
            let (outbox, asked) = (state.rules.alerts().outbox.clone(), stored.clone());
            let happened = state
                .store
                .write(Lane::Upkeep, 0, move |conn| {
                    rules::apply(conn, &outbox, &asked, &changes, (end_ms, now_ms))
                })
                .await?
                .unwrap_or_default();
            state.rules.told().fired.add(happened.fired);
            state.rules.told().ended.add(happened.ended);
        }
        state.rules.saw(stored.id, look);
        Ok(())
    }

    async fn finish(&self, all: &[StoredRule], looked: Looked, now_ms: i64) -> anyhow::Result<()> {
        let state = &self.state;
        let counts = state
            .store
            .write(Lane::Upkeep, 0, move |conn| {
                rules::finish(conn, looked)?;
                rules::group_counts(conn)
            })
            .await?;
        let told = state.rules.told();
        let enabled = all.iter().filter(|stored| stored.rule.enabled);
        let enabled: Vec<i64> = enabled.map(|stored| stored.id).collect();
        told.rules.set(enabled.len() as i64);
        told.left_out.set(state.rules.keep(&enabled) as i64);
        told.pending
            .set(counts.values().map(|[pending, _]| pending).sum());
        told.firing
            .set(counts.values().map(|[_, firing]| firing).sum());
        self.forget(now_ms).await
    }

    /// Forgets events that are too old or too many.
    async fn forget(&self, now_ms: i64) -> anyhow::Result<()> {
        let (store, told) = (&self.state.store, self.state.rules.told());
        loop {
            let forget = move |conn: &Connection| rules::forget(conn, now_ms);
            let [forgotten, left] = store.write(Lane::Upkeep, 0, forget).await?;
            told.events_forgotten.add(forgotten.unsigned_abs());
            told.events.set(left);
            if forgotten == 0 {
                return Ok(());
            }
        }
    }
}

/// What becomes of the groups of a rule. Those that are known come first; of the others the worst, as far as there is room.
fn find(
    stored: &StoredRule,
    mut known: Vec<StoredGroup>,
    groups: Groups,
    readings: &[Reading],
    looked: Looked,
) -> Found {
    let (rule, end_ms) = (&stored.rule, looked.at_ms.unwrap_or_default());
    let mut look = Look {
        revision: stored.revision,
        end_ms,
        left_out: groups.left_out,
        ..Look::default()
    };
    let (mut changes, mut others) = (Vec::new(), Vec::new());
    for (labels, &reading) in groups.keys.into_iter().zip(readings) {
        if let Reading::Value(value) = reading {
            look.groups += 1;
            let is_worse = |worst: f64| rule.limit.worse_first(value, worst).is_lt();
            if look.worst.is_none_or(is_worse) {
                look.worst = Some(value);
            }
        }
        let place = known.iter().position(|known| known.labels == labels);
        let known = place.map(|place| known.swap_remove(place));
        let group = known.as_ref().map(|known| known.group);
        let fires = group.is_some_and(|group| group.phase == Phase::Firing);
        let reading = looked.outage.doubts(rule, reading, end_ms, fires);
        let step = step(rule, group, reading, end_ms, looked.outage.until_ms);
        let change = Change {
            labels,
            // What nobody knows is as it was.
            value: match reading {
                Reading::Unknown => known.as_ref().and_then(|known| known.value),
                reading => reading.value(),
            },
            known,
            step,
        };
        if change.known.is_some() {
            changes.push(change);
        } else if change.step.group.is_some() {
            others.push(change);
        }
    }
    others.sort_by(|one, other| match (one.value, other.value) {
        (Some(one), Some(other)) => rule.limit.worse_first(one, other),
        _ => std::cmp::Ordering::Equal,
    });
    let room = MOST_ACTIVE.saturating_sub(changes.len());
    look.left_out += others.len().saturating_sub(room);
    others.truncate(room);
    changes.append(&mut others);
    Found { changes, look }
}
