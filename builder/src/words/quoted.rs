//! Others' text in messages.

/// Text that comes from outside, as a message may quote it: it must not act on a terminal, nor fill it.
pub(crate) fn quoted(text: &str) -> String {
    script_config::quoted(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_short_and_harmless() {
        assert_eq!(quoted("6.1\u{e}0 \u{1b}[2J"), "6.1\\u{e}0 \\u{1b}[2J");
        assert_eq!(quoted(&"x".repeat(10_000)).len(), 200);
    }
}
