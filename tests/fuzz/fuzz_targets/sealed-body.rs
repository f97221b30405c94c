//! cargo-fuzz harness of `sealed-body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("sealed-body", data));
