//! The words of a `NAME_OPT` value.
//!
//! The original splits at blanks only, so `-c 'ls -l'` falls apart (INIT-OPT-03). Here quotes
//! hold a word together as a shell would: `'…'`, `"…"` and `\x`. Nothing else is special: no
//! variable is expanded, no file name matched, and `#` begins no comment.

/// Why a value has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordError {
    /// This quote is never closed.
    Unterminated(char),
    /// The value ends in a backslash.
    EndsInBackslash,
}

/// Splits a value into words.
pub(super) fn split(text: &str) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(WordError::Unterminated('\'')),
                    }
                }
            }
            '"' => double_quotes(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(WordError::EndsInBackslash),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quotes(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordError> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(WordError::EndsInBackslash),
            },
            Some(c) => word.push(c),
            None => return Err(WordError::Unterminated('"')),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::writing::quote_word;

    #[test]
    fn init_opt_03_quotes_hold_a_word_together() {
        let words = |text| split(text).unwrap();
        assert_eq!(words("-D 'A B' -c 'ls -l'"), ["-D", "A B", "-c", "ls -l"]);
        assert_eq!(words(r#"-c"ls -l" a\ b "" 'it'\''s'"#), ["-cls -l", "a b", "", "it's"]);
        assert_eq!(words(r#""a\"b\n" # $X `x` *"#), [r#"a"b\n"#, "#", "$X", "`x`", "*"]);
        assert!(words(" \t\n").is_empty());
        assert_eq!(split("it's"), Err(WordError::Unterminated('\'')));
        assert_eq!(split("\"x"), Err(WordError::Unterminated('"')));
        assert_eq!(split("x\\"), Err(WordError::EndsInBackslash));
    }

    proptest! {
        #[test]
        fn any_text_is_split_without_panic(text in any::<String>()) {
            let _ = split(&text);
        }

        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec(any::<String>(), 0..6)) {
            let text: Vec<String> = words.iter().map(|word| quote_word(word)).collect();
            prop_assert_eq!(split(&text.join(" ")).unwrap(), words);
        }
    }
}
