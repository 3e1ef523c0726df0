//! The embedded pages.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Which path shows which file.
pub static PAGES: &[(&str, &str)] = &[("/", "index.html"), ("/index.html", "index.html")];
