//! Patterns of names in which `*` stands for anything.

/// Whether `text` is what `pattern` says: `*` stands for any characters, also none; all else for itself.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_matches_as_stap_reads_it() {
        for (pattern, text, yes) in [
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("*", "x", true),
            ("a.*.c*", "a.b.cd", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern, text), yes, "{pattern} {text}");
        }
    }
}
