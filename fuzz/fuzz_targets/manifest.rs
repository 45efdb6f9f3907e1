//! See `fixtures::fuzz::manifest`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::manifest(bytes));
