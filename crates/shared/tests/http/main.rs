//! The HTTP side of a service, seen from outside: through its real router, and over real sockets.

mod demo;
mod hostile;
mod limits;
mod pipeline;
mod relay;
mod sessions;
mod socket;
mod stopping;
