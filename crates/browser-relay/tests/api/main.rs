//! The relay through its real router, with real sockets to two services that do as they are told.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it is"
)]

mod admin_port;
mod cors;
mod crash;
mod dsn_keys;
mod errors;
mod legacy;
mod limits;
mod metrics;
mod order;
mod outbox;
mod repeats;
mod routes;
mod source_maps;
mod support;
mod together;
mod uploads;
mod upstream;
