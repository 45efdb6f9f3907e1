//! See `fixtures::fuzz::container`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fixtures::fuzz::container(bytes));
