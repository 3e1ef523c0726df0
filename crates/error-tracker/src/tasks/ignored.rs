//! Opens groups again that were to be ignored until a time that has come, and tells of them: the next report finds an
//! open group and is no news any more.

use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};
use rusqlite::Connection;

use crate::state::AppState;
use crate::store::{alerts, lifecycle};

const EVERY: Duration = Duration::from_mins(1);

/// Starts the task.
pub fn start(ctx: &Context, state: &AppState) {
    let (state, stop) = (state.clone(), ctx.lifecycle.soft());
    ctx.lifecycle.every("ignored", EVERY, move || {
        let (state, stop) = (state.clone(), stop.clone());
        async move {
            // Cut at a stop: what is left is found again at the next start.
            match stop.run_until_cancelled(step(&state)).await {
                Some(result) => Ok(result?),
                None => Ok(()),
            }
        }
    });
}

/// Opens all of them, slice by slice.
pub async fn step(state: &AppState) -> Result<(), StoreError> {
    let now = state.clock.now_ms();
    let mut opened = 0;
    loop {
        let outbox = state.alerts.outbox.clone();
        let slice = move |conn: &Connection| {
            let due = lifecycle::open_due(conn, now)?;
            for id in &due {
                alerts::note_back(&outbox, conn, *id, now)?;
            }
            Ok(due.len())
        };
        match state.store.write(Lane::Upkeep, 0, slice).await? {
            0 => break,
            groups => opened += groups,
        }
    }
    if opened > 0 {
        tracing::info!(groups = opened, "errors are no longer ignored");
    }
    Ok(())
}
