//! Work that nobody asks for.

pub mod gauges;
pub mod retention;
