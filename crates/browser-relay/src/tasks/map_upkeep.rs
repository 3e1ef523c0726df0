//! Deletes source maps that are too old or too many, and the rows of maps that are gone, and gives their room back.

use std::time::Duration;

use monlight_shared::lifecycle::Lifecycle;
use monlight_shared::store::Lane;

use crate::state::State;
use crate::store::{map_rows, source_maps};

/// From one look at the age of maps to the next; the first comes at start.
const INTERVAL: Duration = Duration::from_hours(24);

pub(crate) fn start(lifecycle: &Lifecycle, state: &State) {
    let daily = state.clone();
    lifecycle.every("source map retention", INTERVAL, move || {
        let state = daily.clone();
        async move {
            delete_old(&state).await?;
            // Also what a crash during an upload left behind.
            state.maps.upkeep.notify_one();
            Ok(())
        }
    });
    let (state, stop) = (state.clone(), lifecycle.soft());
    lifecycle.spawn("source map upkeep", move || {
        let (state, stop) = (state.clone(), stop.clone());
        async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = state.maps.upkeep.notified() => sweep(&state).await?,
                }
            }
        }
    });
}

/// Deletes the maps that are older than the retention.
pub(crate) async fn delete_old(state: &State) -> anyhow::Result<()> {
    let retention = i64::try_from(state.maps.retention.as_millis()).unwrap_or(i64::MAX);
    let cutoff = state.clock.now_ms().saturating_sub(retention);
    let mut deleted = 0;
    loop {
        let count = state
            .store
            .write(Lane::Upkeep, 0, move |conn| {
                source_maps::delete_older(conn, cutoff)
            })
            .await?;
        deleted += count;
        if count == 0 {
            break;
        }
    }
    if deleted > 0 {
        tracing::info!(maps = deleted, "deleted old source maps");
    }
    Ok(())
}

/// Deletes the oldest maps while all together are too large, then the rows that no map names.
pub(crate) async fn sweep(state: &State) -> anyhow::Result<()> {
    // While a map is decoded its rows are named by nothing; they must not be taken for garbage.
    let _turn = state.maps.decoding.acquire().await?;
    let most = state.maps.max_storage_bytes;
    while state
        .store
        .write(Lane::Upkeep, 0, move |conn| {
            source_maps::delete_oldest_beyond(conn, most)
        })
        .await?
    {
        tracing::warn!(
            max_bytes = most,
            "deleted the oldest source map, as there are too many"
        );
    }
    state.store.in_slices(map_rows::sweep).await?;
    state.store.in_slices(map_rows::shrink).await?;
    state.maps.recount(&state.store).await?;
    Ok(())
}
