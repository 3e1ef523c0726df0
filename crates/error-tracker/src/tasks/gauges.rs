//! Keeps the number of stored groups in `/metrics` right. It is read from the database's own
//! counters, because a client that hangs up takes the answer with it that would have been counted.

use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::StoreError;

use crate::domain::group::State;
use crate::state::AppState;
use crate::store::list;

const EVERY: Duration = Duration::from_secs(15);

/// Starts the task.
pub fn start(ctx: &Context, state: &AppState) {
    let state = state.clone();
    ctx.lifecycle.every("gauges", EVERY, move || {
        let state = state.clone();
        async move { Ok(step(&state).await?) }
    });
}

/// Reads the counters once.
pub async fn step(state: &AppState) -> Result<(), StoreError> {
    for kind in State::ALL {
        let groups = state.store.read(|conn| list::count(conn, *kind)).await?;
        state.tally.groups(*kind, groups);
    }
    Ok(())
}
