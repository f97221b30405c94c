//! cargo-fuzz harness of `invite`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hanse_tests::fuzz::feed("invite", data));
