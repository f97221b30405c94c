//! cargo-fuzz harness of `heal-answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("heal-answer", data));
