//! Deletes what has served its time: at the start, so that a service that is restarted every day
//! cleans up too, and then once a day.

use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};

use crate::state::AppState;
use crate::store::retention;

const EVERY: Duration = Duration::from_hours(24);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long reports are counted by the hour.
const HOURS_KEPT_MS: i64 = 30 * DAY_MS;

/// Starts the task.
pub fn start(ctx: &Context, state: &AppState, retention_days: i64) {
    let (state, stop) = (state.clone(), ctx.lifecycle.soft());
    ctx.lifecycle.every("retention", EVERY, move || {
        let (state, stop) = (state.clone(), stop.clone());
        async move {
            // Cut at a stop: what is left is found again at the next start.
            match stop.run_until_cancelled(step(&state, retention_days)).await {
                Some(result) => Ok(result?),
                None => Ok(()),
            }
        }
    });
}

/// Deletes everything that is due by now, slice by slice.
pub async fn step(state: &AppState, retention_days: i64) -> Result<(), StoreError> {
    let now = state.clock.now_ms();
    let mut deleted = 0;
    loop {
        let slice = state
            .store
            .write(Lane::Upkeep, 0, move |conn| {
                retention::delete_resolved(conn, now - retention_days * DAY_MS)
            })
            .await?;
        state.tally.deleted.add(slice as u64);
        deleted += slice;
        if slice == 0 {
            break;
        }
    }
    if deleted > 0 {
        tracing::info!(
            groups = deleted,
            "deleted errors that were resolved long ago"
        );
    }
    state
        .store
        .in_slices(move |conn| retention::delete_hours(conn, now - HOURS_KEPT_MS))
        .await?;
    state
        .store
        .write(Lane::Upkeep, 0, retention::delete_empty_projects)
        .await?;
    state.store.in_slices(retention::shrink).await
}
