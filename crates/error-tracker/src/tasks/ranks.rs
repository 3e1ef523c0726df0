//! Brings the ranks that lists by count and by users follow up to date: those of the groups that were seen since the
//! last time, and of all groups at the start and now and then, because clocks are set.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};

use crate::state::AppState;
use crate::store::ranks;

const EVERY: Duration = Duration::from_secs(2);
/// A report counts by the time it arrived, which is some time before it is stored.
const OVERLAP_MS: i64 = 2_000;
const ALL_AGAIN_MS: i64 = 10 * 60 * 1_000;

/// What has been looked at. Unix milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// All groups, and those seen since, were right at these times.
    times: Option<(i64, i64)>,
}

/// Starts the task.
pub fn start(ctx: &Context, state: &AppState) {
    let (state, stop) = (state.clone(), ctx.lifecycle.soft());
    let done = Arc::new(Mutex::new(Done::default()));
    ctx.lifecycle.every("ranks", EVERY, move || {
        let (state, stop, done) = (state.clone(), stop.clone(), Arc::clone(&done));
        async move {
            let before = *done.lock().unwrap_or_else(PoisonError::into_inner);
            // Cut at a stop: all groups are looked at at the next start.
            if let Some(result) = stop.run_until_cancelled(step(&state, before)).await {
                *done.lock().unwrap_or_else(PoisonError::into_inner) =
                    super::unless_away(result, before)?;
            }
            Ok(())
        }
    });
}

/// Brings the ranks up to date once, slice by slice.
pub async fn step(state: &AppState, done: Done) -> Result<Done, StoreError> {
    let now = state.clock.now_ms();
    let (all, since) = match done.times {
        Some((all, last)) if (all..all + ALL_AGAIN_MS).contains(&now) => {
            (all, last.min(now) - OVERLAP_MS)
        }
        _ => (now, i64::MIN),
    };
    let stale = state
        .store
        .read(move |conn| ranks::stale(conn, since))
        .await?;
    state.tally.stale_ranks.set(stale.len() as i64);
    for slice in stale.slices() {
        state
            .store
            .write(Lane::Upkeep, 0, move |conn| ranks::refresh(conn, &slice))
            .await?;
    }
    Ok(Done {
        times: Some((all, now)),
    })
}
