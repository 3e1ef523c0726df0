//! What several Monlight services need: mechanism, never policy.
//!
//! Read in this order: [`service`] puts a process together from the other parts, [`config`] reads its settings,
//! [`store`] keeps its data, [`http`] serves it, [`lifecycle`] starts and ends its tasks, [`metrics`] lets it speak
//! about itself. [`idempotency`] lets a request that is sent again be carried out once. [`clock`] and [`secret`] are small types the others share, [`search_text`] is what people type into
//! a search. With the feature `outgoing` there are requests to other servers, with `notify` alerts to people, too.

pub mod service;

pub mod cli;
pub mod config;

pub mod store;

pub mod http;
pub mod idempotency;

pub mod lifecycle;
pub mod metrics;
pub mod telemetry;

pub mod clock;
pub mod search_text;
pub mod secret;
pub mod time_span;

#[cfg(feature = "outgoing")]
pub mod outgoing;

#[cfg(feature = "notify")]
pub mod notify;

#[cfg(feature = "testing")]
pub mod testing;
