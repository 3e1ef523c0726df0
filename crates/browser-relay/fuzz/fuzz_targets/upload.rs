#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| browser_relay_fuzz::upload::check(data));
