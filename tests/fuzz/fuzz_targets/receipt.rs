//! cargo-fuzz harness of `receipt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("receipt", data));
