//! cargo-fuzz harness of `proposal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("proposal", data));
