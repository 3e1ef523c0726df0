//! Stores what was done with the DSN keys: not with each request, which would cost a commit.

use std::time::Duration;

use monlight_shared::lifecycle::Lifecycle;

use crate::state::State;

/// What a crash can lose of the counts; of events it loses nothing.
const INTERVAL: Duration = Duration::from_secs(10);

pub(crate) fn start(lifecycle: &Lifecycle, state: &State) {
    let (state, ending) = (state.clone(), lifecycle.clone());
    lifecycle.spawn("counts of DSN keys", move || {
        let (state, ending) = (state.clone(), ending.clone());
        async move {
            loop {
                let ended = ending.sleep(INTERVAL).await;
                state.keys.store_used(&state.store).await?;
                if ended {
                    return Ok(());
                }
            }
        }
    });
}
