//! cargo-fuzz harness of `charter-question`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("charter-question", data));
