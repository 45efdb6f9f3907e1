//! See `fixtures::fuzz::tail`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::tail(bytes));
