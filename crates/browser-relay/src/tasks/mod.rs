//! Work in the background.

pub(crate) mod key_use;
pub(crate) mod map_upkeep;
pub(crate) mod outbox;
mod pace;
