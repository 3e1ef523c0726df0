//! Pure rules: from the bytes of a log file to entries, and from what people ask to what the index understands. Values
//! in, values out; the time is an argument.

pub mod ansi;
pub mod buckets;
pub mod cursor;
pub mod docker_line;
pub mod entry;
pub mod field_test;
pub mod fields;
pub mod filter;
pub mod level;
mod level_json;
pub mod matching;
pub mod multiline;
pub mod names;
pub mod partial;
pub mod pattern;
pub mod query_filter;
pub mod rule;
pub mod rule_alert;
pub mod rule_set;
pub mod search;
pub mod span;
pub mod taken_over;
pub mod trace;
