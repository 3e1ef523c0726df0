//! Puts groups in their place in lists by count and by users: every two seconds those that were reported since, and all
//! groups at the start and when there were too many to remember.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};

use crate::state::AppState;
use crate::store::ranks;

const EVERY: Duration = Duration::from_secs(2);
/// Groups in one round. That bounds what the orders cost, whatever is reported.
const IN_ROUND: usize = 2_000;
/// Groups in one job of the writer: one or two milliseconds.
const IN_SLICE: usize = 100;

/// All groups up to here are known to be in their place, but for those reported since; `None`: all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpTo(pub Option<i64>);

impl Default for UpTo {
    /// Nothing is known.
    fn default() -> Self {
        Self(Some(0))
    }
}

/// Starts the task.
pub fn start(ctx: &Context, state: &AppState) {
    let (state, stop) = (state.clone(), ctx.lifecycle.soft());
    let up_to = Arc::new(Mutex::new(UpTo::default()));
    ctx.lifecycle.every("ranks", EVERY, move || {
        let (state, stop, up_to) = (state.clone(), stop.clone(), Arc::clone(&up_to));
        async move {
            let before = *up_to.lock().unwrap_or_else(PoisonError::into_inner);
            // Cut at a stop: all groups are looked at at the next start.
            if let Some(result) = stop.run_until_cancelled(step(&state, before)).await {
                // What could not be written is lost to memory.
                let after = super::unless_away(result, UpTo::default())?;
                *up_to.lock().unwrap_or_else(PoisonError::into_inner) = after;
            }
            Ok(())
        }
    });
}

/// One round.
pub async fn step(state: &AppState, UpTo(up_to): UpTo) -> Result<UpTo, StoreError> {
    let ids = state.changed.take(IN_ROUND);
    refresh(state, &ids).await?;
    let left = IN_ROUND - ids.len();
    let up_to = match up_to {
        Some(after) if left > 0 => {
            let look = state
                .store
                .read(move |conn| ranks::stale_above(conn, after, left))
                .await?;
            refresh(state, &look.ids).await?;
            look.up_to
        }
        // Asked when a look at all has ended, because what is missed meanwhile may be below.
        None if state.changed.has_missed() => Some(0),
        up_to => up_to,
    };
    state.tally.stale_ranks.set(state.changed.len() as i64);
    Ok(UpTo(up_to))
}

async fn refresh(state: &AppState, ids: &[i64]) -> Result<(), StoreError> {
    for slice in ids.chunks(IN_SLICE) {
        let slice = slice.to_vec();
        state
            .store
            .write(Lane::Upkeep, 0, move |conn| ranks::refresh(conn, &slice))
            .await?;
    }
    Ok(())
}
