//! See `fixtures::fuzz::set`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::set(bytes));
