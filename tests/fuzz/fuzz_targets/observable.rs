//! cargo-fuzz harness of `observable`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("observable", data));
