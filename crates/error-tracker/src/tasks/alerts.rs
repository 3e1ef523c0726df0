//! Tells people of errors. What there is to tell stands in the outbox; this only starts what empties it.

use crate::state::AppState;

/// Starts the tasks.
pub fn start(state: &AppState) {
    state.alerts.start();
}
