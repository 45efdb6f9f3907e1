//! See `fixtures::fuzz::configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::configuration(bytes));
