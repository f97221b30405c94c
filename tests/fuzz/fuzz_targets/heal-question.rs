//! cargo-fuzz harness of `heal-question`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("heal-question", data));
