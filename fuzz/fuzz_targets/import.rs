//! See `fixtures::fuzz::packed` and `builder::ScriptsPackage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for package in [bytes, &fixtures::fuzz::packed(bytes)] {
        if let Err(error) = builder::ScriptsPackage::read(package) {
            fixtures::fuzz::assert_harmless(&error);
        }
    }
});
