//! What the relay knows, without a network, a database or a clock.
//!
//! Read in this order: [`dsn`], [`key_settings`] and [`origin`] decide who may speak, [`event`] and [`batch`] read what is said,
//! [`stack`] finds the frames of an error, [`debug_id`] names their scripts, [`source_map`] says where they came from, [`deobfuscate`] writes the
//! readable stack, [`user_agent`] and [`page_url`] say what is worth knowing of a browser and a page, [`secrets`] what of it may not be kept, [`enrich`] builds what is sent on.

pub(crate) mod dsn;
pub(crate) mod key_settings;
pub(crate) mod origin;

pub(crate) mod batch;
pub(crate) mod event;

pub(crate) mod stack;

pub(crate) mod debug_id;
pub(crate) mod function_scopes;
pub(crate) mod source_map;

pub(crate) mod page_url;
pub(crate) mod percent;
mod secrets;
pub(crate) mod user_agent;

pub(crate) mod deobfuscate;
pub(crate) mod enrich;

pub(crate) mod multipart;
pub(crate) mod upload;

pub(crate) mod json;
