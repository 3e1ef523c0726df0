//! Deletes what has served its time: at the start, so that a service that is restarted every day
//! cleans up too, and then once a day. What is too much for the size budget goes within a minute.

use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;

use crate::config::Retention;
use crate::state::{AppState, Reason};
use crate::store::retention;

const EVERY: Duration = Duration::from_hours(24);
const BUDGET_EVERY: Duration = Duration::from_mins(1);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const MB: u64 = 1_000_000;

/// Starts the tasks.
pub fn start(ctx: &Context, state: &AppState, settings: Retention) {
    let steps = {
        let (state, stop) = (state.clone(), ctx.lifecycle.soft());
        move || {
            let (state, stop) = (state.clone(), stop.clone());
            // Cut at a stop: what is left is found again at the next start.
            async move {
                match stop.run_until_cancelled(step(&state, settings)).await {
                    Some(result) => Ok(result?),
                    None => Ok(()),
                }
            }
        }
    };
    ctx.lifecycle.every("retention", EVERY, steps);
    let Some(limit) = settings.max_bytes() else {
        return;
    };
    let (state, stop) = (state.clone(), ctx.lifecycle.soft());
    ctx.lifecycle.every("size-budget", BUDGET_EVERY, move || {
        let (state, stop) = (state.clone(), stop.clone());
        async move {
            match stop.run_until_cancelled(keep_size(&state, limit)).await {
                Some(result) => Ok(result?),
                None => Ok(()),
            }
        }
    });
}

/// Deletes everything that is due by now, slice by slice.
pub async fn step(state: &AppState, settings: Retention) -> Result<(), StoreError> {
    let now = state.clock.now_ms();
    let before = now - settings.resolved_days * DAY_MS;
    let resolved = move |conn: &Connection| retention::delete_resolved(conn, before);
    delete(state, Reason::Resolved, resolved).await?;
    if let Some(days) = settings.open_days {
        let before = now - days * DAY_MS;
        let unseen = move |conn: &Connection| retention::delete_unseen(conn, before);
        delete(state, Reason::Unseen, unseen).await?;
    }
    let mut after = Some(0);
    while let Some(group) = after {
        let slice = move |conn: &Connection| retention::delete_group_hours(conn, group, now);
        after = state.store.write(Lane::Upkeep, 0, slice).await?;
    }
    let hours = move |conn: &Connection| retention::delete_project_hours(conn, now);
    state.store.in_slices(hours).await?;
    state
        .store
        .write(Lane::Upkeep, 0, retention::delete_empty)
        .await?;
    state.store.in_slices(retention::tidy_search).await?;
    state.store.in_slices(retention::shrink).await
}

/// Deletes the least useful groups when the database holds more than `limit` bytes, down to nine tenths of that, so
/// that not every new group costs an old one.
pub async fn keep_size(state: &AppState, limit: u64) -> Result<(), StoreError> {
    let used = state.store.read(retention::used_bytes).await?;
    if used <= limit {
        return Ok(());
    }
    let goal = limit / 10 * 9;
    let mut deleted = 0;
    loop {
        let slice = move |conn: &Connection| {
            let deleted = retention::delete_least_useful(conn, goal)?;
            if deleted > 0 {
                retention::tidy_search(conn)?;
            }
            Ok(deleted)
        };
        let slice = state.store.write(Lane::Upkeep, 0, slice).await?;
        state.tally.deleted(Reason::Size, slice);
        deleted += slice;
        if slice == 0 {
            break;
        }
    }
    tracing::warn!(
        groups = deleted,
        used_mb = used / MB,
        "the database was larger than MAX_DB_MB allows: deleted the least useful errors, resolved ones first"
    );
    state.store.in_slices(retention::shrink).await
}

async fn delete(
    state: &AppState,
    reason: Reason,
    slice: impl Fn(&Connection) -> Result<usize, StoreError> + Clone + Send + 'static,
) -> Result<(), StoreError> {
    let mut deleted = 0;
    loop {
        let slice = state.store.write(Lane::Upkeep, 0, slice.clone()).await?;
        state.tally.deleted(reason, slice);
        deleted += slice;
        if slice == 0 {
            break;
        }
    }
    if deleted > 0 {
        tracing::info!(
            groups = deleted,
            reason = reason.name(),
            "deleted errors whose time was over"
        );
    }
    Ok(())
}
