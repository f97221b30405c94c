//! cargo-fuzz harness of `told`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("told", data));
