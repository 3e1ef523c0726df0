//! The service from outside: through its router, on files in a temporary directory, and as a process.

mod context;
mod crash;
mod entries;
mod fields;
mod files;
mod follow_model;
mod full_speed;
mod gzip;
mod histogram;
mod hostile;
mod http;
mod keeping;
mod legacy;
mod lists;
mod live;
mod move_in;
mod outage;
mod process;
mod queries;
mod rig;
mod ring;
mod rules;
mod search_text;
mod tail;
mod traces;
