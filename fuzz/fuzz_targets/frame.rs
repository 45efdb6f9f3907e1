//! See `fixtures::fuzz::frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::frame(bytes));
