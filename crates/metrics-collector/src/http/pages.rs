//! The built web pages, put into the binary by the build script.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));
