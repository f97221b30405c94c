//! cargo-fuzz harness of `pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("pattern", data));
