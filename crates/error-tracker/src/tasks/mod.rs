//! Work that nobody asks for.

use monlight_shared::store::StoreError;

pub mod alerts;
pub mod gauges;
pub mod ignored;
pub mod ranks;
pub mod retention;
pub mod search_index;

/// What a task that comes back anyway has reached, or `otherwise` when the database is away or busy: that is told by
/// whoever is in charge of it, and need not be told several times a second.
fn unless_away<T>(result: Result<T, StoreError>, otherwise: T) -> Result<T, StoreError> {
    match result {
        Err(
            StoreError::Full
            | StoreError::Busy
            | StoreError::Closed
            | StoreError::Unavailable { .. },
        ) => Ok(otherwise),
        result => result,
    }
}
