//! Text in the form that bash reads back unchanged.

/// Returns `text` as one shell word, quoted only where it must be.
///
/// ```
/// assert_eq!(script_config::quote_word("-o"), "-o");
/// assert_eq!(script_config::quote_word("ls -l"), "'ls -l'");
/// ```
#[must_use]
pub fn quote_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,+:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Returns the line that assigns `text` to the variable `name`, without its line end.
///
/// Bash and [`parse_assignments`](crate::parse_assignments) read back the same text, unless it
/// has control characters, which the latter refuses.
#[must_use]
pub fn write_assignment(name: &str, text: &str) -> String {
    format!("{name}={}", quote_word(text))
}
