//! What a compile server answers: see `builder::words_of_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let words = builder::words_of_answer(bytes);
    assert!(!words.iter().any(|text| text.chars().any(script_config::acts)), "{words:?}");
});
