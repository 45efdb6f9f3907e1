//! See `fixtures::fuzz::parts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::parts(bytes));
