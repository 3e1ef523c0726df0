//! What the error tracker knows about errors: pure functions and types. Nothing here reads a
//! clock, a socket or a database.

pub mod alert;
pub mod bulk;
pub mod cursor;
pub mod decision;
pub mod facet;
pub mod filter;
pub mod fingerprint;
pub mod group;
pub mod grouping;
pub mod json;
pub mod lifecycle;
pub mod query;
pub mod release_order;
pub mod report;
pub mod scrub;
pub mod session;
pub mod stacktrace;
pub mod symbolication;
pub mod time;
pub mod traceback;
pub mod user;
pub mod user_count;
pub mod variable_parts;
pub mod window;
