//! cargo-fuzz harness of `charter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("charter", data));
