//! What strangers and builds send, thrown at the relay's domain: stacks, events, source maps and their uploads.
//!
//! Each module has a `check` that takes any bytes, gives them to the code that the service gives them to, and holds what
//! must be true of the outcome. The domain is compiled from its files: it needs neither a server nor a database.

#[path = "../../src/domain/mod.rs"]
#[expect(dead_code, reason = "the service uses more of it than the targets do")]
mod domain;

pub mod event;
pub mod source_map;
pub mod stack;
pub mod upload;
