//! Alerts to people: channels, and the outbox before them.
//!
//! ```text
//! settings ─▶ channels: SMTP · Postmark · webhook · Slack · Discord · ntfy
//!                 ▲
//! a service's transaction ─▶ outbox (one small row) ─▶ task ─▶ message (rendered now) ─▶ each channel, by itself
//! ```
//!
//! Invariants: what was noted in a transaction that was committed is delivered, or is shown as not delivered with the
//! reason; no text of a report becomes a header, a command or markup; no secret is logged or shown; a target that is
//! slow or dead holds up nothing but itself; each wait, answer, text and table has a bound.

mod channel;
mod chat;
mod guard;
mod http;
mod lookup;
mod mail;
mod message;
pub mod outbox;
mod postmark;
pub mod rules;
pub mod service;
mod settings;
mod smtp;
pub mod text;
mod tls;
mod webhook;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use channel::{Channel, Channels, Failure, Kind, Scope};
pub use guard::is_public;
pub use message::{BLOCK_BYTES, Block, Fact, Item, Message, Tone};
pub use outbox::{Outbox, Source};
pub use settings::{PostmarkSettings, Settings, SmtpSettings, TargetUrl, TlsMode, VARS};
