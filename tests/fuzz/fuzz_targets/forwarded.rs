//! cargo-fuzz harness of `forwarded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("forwarded", data));
