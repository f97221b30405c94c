//! cargo-fuzz harness of `presence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("presence", data));
