//! Asking the user, as the initscript does: `TEXT [y/N]: ` (INIT-COMP-03).

use std::io::{BufRead, Write};

use script_config::{FALSE_WORDS, TRUE_WORDS};

/// Asks until there is an answer; an empty line and the end of the input mean no, so a call without a terminal changes
/// nothing. The words are those of the configuration's switches.
pub(crate) fn ask(question: &str, to: &mut dyn Write, from: &mut dyn BufRead) -> bool {
    loop {
        let asked = write!(to, "{question} [y/N]: ").and_then(|()| to.flush());
        let mut answer = String::new();
        if asked.is_err() || from.read_line(&mut answer).is_err() {
            return false;
        }
        match answer.trim() {
            "" => return false,
            word if TRUE_WORDS.contains(&word) => return true,
            word if FALSE_WORDS.contains(&word) => return false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(input: &str) -> (bool, String) {
        let mut asked = Vec::new();
        let yes = ask("Remove them?", &mut asked, &mut input.as_bytes());
        (yes, String::from_utf8(asked).unwrap())
    }

    #[test]
    fn init_comp_03_only_a_plain_yes_is_one() {
        assert_eq!(answer("y\n"), (true, "Remove them? [y/N]: ".into()));
        assert!(answer("YES\n").0 && answer("1\n").0);
        for no in ["", "\n", "n\n", "No\n", "0\n"] {
            assert!(!answer(no).0, "{no:?}");
        }
        let (yes, asked) = answer("perhaps\nyes\n");
        assert_eq!((yes, asked.matches("[y/N]").count()), (true, 2));
    }
}
