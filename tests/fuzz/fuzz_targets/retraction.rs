//! cargo-fuzz harness of `retraction`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("retraction", data));
