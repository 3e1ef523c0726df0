//! Work that nobody asks for.

pub mod alerts;
pub mod gauges;
pub mod ignored;
pub mod retention;
