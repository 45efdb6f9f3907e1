//! See `fixtures::fuzz::roots`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::roots(bytes));
