//! Words that are no command.

use clap::error::{ContextKind, ContextValue};

use crate::exit::Exit;
use crate::failure::Failure;

/// A word that is no command of this program.
pub(crate) fn unknown(words: &[String]) -> Failure {
    let word = words.first().map_or("", String::as_str);
    let shown: String = word.chars().take(40).flat_map(char::escape_default).collect();
    let command = crate::command();
    let known = command.get_subcommands().filter(|known| !known.is_hide_set());
    let known: Vec<&str> = known
        .flat_map(|known| std::iter::once(known.get_name()).chain(known.get_visible_aliases()))
        .collect();
    let failure = match script_config::nearest(word, known) {
        Some(near) => Failure::new(Exit::Usage, format!("unknown command `{shown}`; did you mean `{near}`?")),
        None => Failure::new(Exit::Usage, format!("unknown command `{shown}`")),
    };
    failure.hint("`stap-bundle --help` lists the commands")
}

/// The same for `help WORD`: the parser doesn't say what was meant.
pub(crate) fn asked_for_help(error: &clap::Error) -> Option<Failure> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let typed: Vec<String> =
        std::env::args().skip(1).filter(|typed| !typed.starts_with('-')).take(2).collect();
    (typed == ["help", word]).then(|| unknown(std::slice::from_ref(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_usage() {
        assert_eq!(unknown(&["frobnicate".to_owned()]).what, "unknown command `frobnicate`");
        assert_eq!(unknown(&[]).exit, Exit::Usage);
    }

    #[test]
    fn a_slip_is_answered_with_the_command_that_was_meant() {
        for (typed, meant) in
            [("biuld", "build"), ("isntall", "install"), ("stauts", "status"), ("trst", "trust")]
        {
            let failure = unknown(&[typed.to_owned()]);
            assert_eq!(failure.what, format!("unknown command `{typed}`; did you mean `{meant}`?"));
            assert_eq!(failure.exit, Exit::Usage);
        }
    }
}
