#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| browser_relay_fuzz::source_map::check(data));
