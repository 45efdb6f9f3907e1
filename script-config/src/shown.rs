//! Text of others, shown to people: what comes from a file, a bundle, a record or another program must not act on a terminal.
//!
//! One place decides what acts: control characters, and the marks that turn the direction of writing, with which a name can be
//! shown as another one.

use std::borrow::Cow;

/// Most characters of a text that a message quotes.
const MOST_QUOTED: usize = 200;

/// A text on one line: what acts on a terminal, or begins a line, is shown as an escape such as `\\u{1b}`.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// The same for a text of several lines: ends of lines and tabs stay.
#[must_use]
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && !matches!(c, '\n' | '\t'))
}

/// The beginning of a text, as a message quotes it: it must not fill a terminal either.
#[must_use]
pub fn quoted(text: &str) -> String {
    let cut: String = shown(text).chars().take(MOST_QUOTED).collect();
    cut
}

/// Whether a character does something to a terminal besides being seen.
#[must_use]
pub const fn acts(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_escaped(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_acts_on_a_terminal() {
        assert_eq!(shown("na\u{ef}ve 6.1"), "na\u{ef}ve 6.1");
        assert_eq!(shown("a\u{1b}[2J\nb\u{9b}m\u{202e}c"), "a\\u{1b}[2J\\nb\\u{9b}m\\u{202e}c");
        assert_eq!(shown_lines("a\n\tb\r"), "a\n\tb\\r");
        assert_eq!(quoted(&"x".repeat(10_000)).len(), MOST_QUOTED);
    }
}
