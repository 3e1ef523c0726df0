//! Work that nobody asks for.

pub mod gauges;
pub mod ignored;
pub mod retention;
