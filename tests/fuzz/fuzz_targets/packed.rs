//! cargo-fuzz harness of `packed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("packed", data));
