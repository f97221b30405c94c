//! cargo-fuzz harness of `frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("frame", data));
