//! Words that are no command: one of a later version, or a mistake.

use crate::exit::Exit;
use crate::failure::Failure;

/// What the two carried-on systems have, or a later version will, and this one doesn't.
const LATER: &[(&str, &str)] = &[("onboot", "put scripts into the initramfs")];

/// A word that is no command of this program.
pub(crate) fn unknown(words: &[String]) -> Failure {
    let word = words.first().map_or("", String::as_str);
    if let Some((_, purpose)) = LATER.iter().find(|(name, _)| *name == word) {
        return Failure::new(Exit::NotBuilt, format!("`{word}` ({purpose}) is not in this version yet"))
            .hint("nothing was done; `stap-bundle --help` lists what is there");
    }
    let shown: String = word.chars().take(40).flat_map(char::escape_default).collect();
    Failure::new(Exit::Usage, format!("`{shown}` is no command"))
        .hint("`stap-bundle --help` lists the commands")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_command_says_so_and_a_mistake_is_usage() {
        assert_eq!(unknown(&["onboot".to_owned()]).exit, Exit::NotBuilt);
        assert_eq!(unknown(&["isntall".to_owned()]).exit, Exit::Usage);
        assert_eq!(unknown(&[]).exit, Exit::Usage);
    }

    #[test]
    fn no_later_command_is_there_already() {
        let command = crate::command();
        for (name, _) in LATER {
            assert!(command.find_subcommand(name).is_none(), "{name}");
        }
    }
}
