//! Brings the index of the groups' texts up to date, some hundred milliseconds behind the reports. A search looks at
//! the texts of what is not in it yet, so nothing depends on this but time.

use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};

use crate::state::AppState;
use crate::store::search;

const EVERY: Duration = Duration::from_millis(250);
/// Merges behind each slice while there are more: about as much is written again as was written.
const MERGES: usize = 2;

/// Starts the task.
pub fn start(ctx: &Context, state: &AppState) {
    let (state, stop) = (state.clone(), ctx.lifecycle.soft());
    ctx.lifecycle.every("search index", EVERY, move || {
        let (state, stop) = (state.clone(), stop.clone());
        async move {
            // Cut at a stop: the watermark says where to go on.
            match stop.run_until_cancelled(step(&state)).await {
                Some(result) => Ok(super::unless_away(result, ())?),
                None => Ok(()),
            }
        }
    });
}

/// Indexes what is not indexed yet, slice by slice.
pub async fn step(state: &AppState) -> Result<(), StoreError> {
    let behind = || state.store.read(search::behind);
    if behind().await? == 0 {
        return Ok(());
    }
    while state
        .store
        .write(Lane::Upkeep, 0, search::index_some)
        .await?
    {
        state.tally.not_indexed.set(behind().await?);
        for _ in 0..MERGES {
            if !state
                .store
                .write(Lane::Upkeep, 0, search::merge_some)
                .await?
            {
                break;
            }
        }
    }
    state.tally.not_indexed.set(0);
    state.store.in_slices(search::merge_some).await
}
