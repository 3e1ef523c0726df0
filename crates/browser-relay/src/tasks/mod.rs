//! Work in the background.

pub(crate) mod map_upkeep;
