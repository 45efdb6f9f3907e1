//! Text of others that may reach a terminal.

use crate::limits::MAX_TEXT;

/// Printable ASCII, not over long: what may reach a terminal.
pub(crate) fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// The beginning of any text, without characters that act on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}
