//! The fuzz targets, run on their seeds, so that they keep up with the domain between two runs of `make fuzz`.
#![expect(unreachable_pub, reason = "in their own crate they are reached")]

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/event.rs"]
mod event;
#[path = "../fuzz/src/source_map.rs"]
mod source_map;
#[path = "../fuzz/src/stack.rs"]
mod stack;
#[path = "../fuzz/src/upload.rs"]
mod upload;

#[track_caller]
fn check_seeds(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut count = 0;
    for seed in fs::read_dir(seeds).expect("a folder") {
        check(&fs::read(seed.expect("an entry").path()).expect("a seed"));
        count += 1;
    }
    assert!(count > 0, "{target} has no seeds");
}

#[test]
fn seeds_hold() {
    check_seeds("event", event::check);
    check_seeds("source_map", source_map::check);
    check_seeds("stack", stack::check);
    check_seeds("upload", upload::check);
}
