//! Follows Docker json-file logs and makes them searchable.
pub mod domain;
