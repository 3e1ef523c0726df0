//! What runs beside requests: the rollup, removed metrics, alert rules, scraping and retention.

pub(crate) mod aggregate;
pub(crate) mod evaluate;
pub(crate) mod remove;
pub(crate) mod retention;
pub(crate) mod scrape;

use std::time::Duration;

use crate::state::AppState;
use aggregate::Aggregator;
use evaluate::Evaluator;

/// A minute is left alone for so long after its end, so that the last points of clients that collect come in first.
const LONGEST_GRACE: Duration = Duration::from_secs(15);
/// How long the last rollup may take when the service ends: half of what tasks have, as the bucket it is at is finished.
const LAST_RUN: Duration = Duration::from_secs(2);
const RETENTION_INTERVAL: Duration = Duration::from_mins(10);

/// Rules look at the clock of the day at least this often: it may step.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Starts all of it.
pub(crate) fn start(state: &AppState) {
    let for_rollup = state.clone();
    state
        .lifecycle
        .spawn("rollup", move || roll_up(for_rollup.clone()));
    let for_rules = state.clone();
    state
        .lifecycle
        .spawn("alert rules", move || evaluate(for_rules.clone()));
    scrape::start(state);
    let for_retention = state.clone();
    state
        .lifecycle
        .every("retention", RETENTION_INTERVAL, move || {
            let state = for_retention.clone();
            async move { retention::step(&state, state.clock.now_ms()).await }
        });
}

/// Rolls up at once, then every interval, then once more at the end; in between it deletes what removed metrics have left. The first and the last run take every minute that
/// has ended, so that a restart leaves nothing behind.
async fn roll_up(state: AppState) -> anyhow::Result<()> {
    let aggregator = Aggregator::new(&state);
    let interval = state.config.aggregation_interval;
    let grace = LONGEST_GRACE.min(interval / 2);
    let soft = state.lifecycle.soft();
    let mut waited = Duration::ZERO;
    loop {
        let ended_by = state.clock.now_ms() - waited.as_millis() as i64;
        aggregator.step(ended_by, || !soft.is_cancelled()).await?;
        let until = state.clock.monotonic() + interval / 2;
        let has_time = || !soft.is_cancelled() && state.clock.monotonic() < until;
        remove::step(&state, has_time).await?;
        if state.lifecycle.sleep(interval).await {
            break;
        }
        waited = grace;
    }
    let until = state.clock.monotonic() + LAST_RUN;
    aggregator
        .step(state.clock.now_ms(), || state.clock.monotonic() < until)
        .await?;
    Ok(())
}

/// Looks with the alert rules whenever another window can be looked at.
async fn evaluate(state: AppState) -> anyhow::Result<()> {
    let evaluator = Evaluator::new(&state);
    let soft = state.lifecycle.soft();
    loop {
        evaluator.step(|| !soft.is_cancelled()).await?;
        let pause = evaluator.pause(state.clock.now_ms()).min(LONGEST_PAUSE);
        if state.lifecycle.sleep(pause).await {
            return Ok(());
        }
    }
}
