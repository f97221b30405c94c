//! cargo-fuzz harness of `signing-key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("signing-key", data));
