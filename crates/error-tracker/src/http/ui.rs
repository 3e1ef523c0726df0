//! The pages, embedded at build time.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Which path shows which file. The detail page opens whether or not the error exists.
pub static PAGES: &[(&str, &str)] = &[
    ("/", "index.html"),
    ("/index.html", "index.html"),
    ("/errors/{id}", "errors/index.html"),
];
