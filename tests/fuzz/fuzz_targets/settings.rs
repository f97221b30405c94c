//! cargo-fuzz harness of `settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("settings", data));
