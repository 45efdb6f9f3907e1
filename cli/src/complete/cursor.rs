//! From the words before the cursor to what may follow them.

use clap::{Arg, ArgAction, Command};

use super::values::{self, Typed};
use super::{Offer, Rest};

/// Where the words before the cursor lead.
struct Cursor<'c> {
    command: &'c Command,
    /// How many arguments that are no options are behind the command's name.
    positionals: usize,
    /// Behind `--` nothing is an option.
    is_behind_dashes: bool,
    /// The option whose value comes next.
    open: Option<&'c Arg>,
    typed: Typed,
}

/// What may stand behind `before` instead of `typed`.
pub(super) fn offer(command: &Command, before: &[String], typed: &str) -> Offer {
    let none = Typed::default();
    let mut cursor = Cursor { command, positionals: 0, is_behind_dashes: false, open: None, typed: none };
    for word in before {
        cursor.pass(word);
    }
    cursor.here(typed)
}

impl<'c> Cursor<'c> {
    fn pass(&mut self, word: &str) {
        if let Some(option) = self.open {
            // bash makes a word of its own of the sign in `--option=value`.
            if word != "=" {
                self.typed.note(option, word);
                self.open = None;
            }
        } else if self.is_behind_dashes || word == "-" || !word.starts_with('-') {
            self.pass_name(word);
        } else if word == "--" {
            self.is_behind_dashes = true;
        } else if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => {
                    if let Some(option) = self.long(name) {
                        self.typed.note(option, value);
                    }
                }
                None => self.open = self.long(long).filter(|option| takes_value(option)),
            }
        } else {
            self.pass_letters(word.get(1..).unwrap_or_default());
        }
    }

    fn pass_name(&mut self, word: &str) {
        match self.command.find_subcommand(word).filter(|_| self.positionals == 0) {
            Some(command) => self.command = command,
            None => self.positionals += 1,
        }
    }

    /// Letters behind one dash: flags, the last of them perhaps with a value.
    fn pass_letters(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let option = self.command.get_arguments().find(|arg| arg.get_short() == Some(letter));
            if let Some(option) = option.filter(|option| takes_value(option)) {
                match letters.get(at + letter.len_utf8()..).filter(|value| !value.is_empty()) {
                    Some(value) => self.typed.note(option, value),
                    None => self.open = Some(option),
                }
                return;
            }
        }
    }

    fn here(&self, typed: &str) -> Offer {
        if let Some(option) = self.open {
            return values::of(option, &self.typed);
        }
        if let Some((name, _)) = typed.split_once('=').filter(|_| typed.starts_with("--")) {
            let Some(option) = self.long(name.trim_start_matches('-')) else { return Offer::NOTHING };
            let mut offer = values::of(option, &self.typed);
            for (word, _) in &mut offer.words {
                word.insert_str(0, &format!("{name}="));
            }
            return offer;
        }
        if typed.starts_with('-') && !self.is_behind_dashes {
            return Offer { rest: Rest::Nothing, words: self.options(typed) };
        }
        self.names()
    }

    /// Commands, or what the next argument may be.
    fn names(&self) -> Offer {
        let mut words = Vec::new();
        if self.positionals == 0 {
            for command in self.command.get_subcommands().filter(|command| !command.is_hide_set()) {
                let meaning = command.get_about().map(ToString::to_string).unwrap_or_default();
                let names = std::iter::once(command.get_name()).chain(command.get_visible_aliases());
                words.extend(names.map(|name| (name.to_owned(), meaning.clone())));
            }
        }
        let mut offer = self.positional().map_or(Offer::NOTHING, |arg| values::of(arg, &self.typed));
        offer.words.splice(0..0, words);
        offer
    }

    fn positional(&self) -> Option<&'c Arg> {
        let last = self.command.get_positionals().last().filter(|arg| repeats(arg));
        self.command.get_positionals().nth(self.positionals).or(last)
    }

    fn options(&self, typed: &str) -> Vec<(String, String)> {
        let mut words = Vec::new();
        for option in self.command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()) {
            let meaning = option.get_help().map(ToString::to_string).unwrap_or_default();
            let meaning = meaning.lines().next().unwrap_or_default();
            let longs = option.get_long_and_visible_aliases().unwrap_or_default();
            let longs = longs.into_iter().map(|long| format!("--{long}"));
            let short = option.get_short().filter(|_| !typed.starts_with("--"));
            let short = short.map(|letter| format!("-{letter}"));
            words.extend(short.into_iter().chain(longs).map(|word| (word, meaning.to_owned())));
        }
        words
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        self.command
            .get_arguments()
            .find(|arg| arg.get_long_and_visible_aliases().is_some_and(|longs| longs.contains(&name)))
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|number| number.takes_values())
}

fn repeats(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg.get_num_args().is_some_and(|number| number.max_values() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that are offered behind `line`, whose last word is the one that is typed.
    fn offered(line: &str) -> (Rest, Vec<String>) {
        let mut command = crate::command();
        command.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (typed, before) = words.split_last().unwrap();
        let offer = offer(&command, before, typed);
        let words =
            offer.words.into_iter().map(|(word, _)| word).filter(|word| word.starts_with(typed.as_str()));
        (offer.rest, words.collect())
    }

    #[test]
    fn commands_are_offered_at_each_depth() {
        let (rest, words) = offered("");
        assert!(rest == Rest::Nothing && words.contains(&"install".to_owned()), "{words:?}");
        assert_eq!(offered("trust ro").1, ["root"]);
        let (_, words) = offered("--root host trust root ");
        assert!(words.contains(&"create".to_owned()) && words.contains(&"sign".to_owned()), "{words:?}");
        assert_eq!(offered("boot-guard s").1, ["show", "settle"]);
    }

    #[test]
    fn options_are_those_of_the_command() {
        assert_eq!(offered("install --all").1, ["--all-kernels", "--allow-downgrade", "--allow-removal"]);
        assert!(offered("install -").1.contains(&"-r".to_owned()));
        assert_eq!(offered("trust root create --ro").1, ["--root"]);
        assert!(offered("install -- --all").1.is_empty());
    }

    #[test]
    fn values_are_those_of_the_option() {
        for line in ["--color ", "--color =", "list --color "] {
            assert_eq!(
                offered(line).1.first().map(String::as_str),
                if line.ends_with('=') { None } else { Some("auto") }
            );
        }
        assert_eq!(offered("--color = al").1, ["always"]);
        assert_eq!(offered("--color=al").1, ["--color=always"]);
        assert_eq!(offered("build --sysroot ").0, Rest::Directories);
        assert_eq!(offered("build -j 4 --key ").0, Rest::Files);
        assert_eq!(offered("build -o").1, ["-o"]);
        assert_eq!(offered("build -o ").0, Rest::Files);
    }

    #[test]
    fn files_are_offered_where_a_file_is_meant() {
        for line in ["install ", "install one ", "inspect ", "trust add ", "diff old ", "trust root show "] {
            assert_eq!(offered(line), (Rest::Files, Vec::new()), "{line}");
        }
        assert_eq!(offered("verify one "), (Rest::Nothing, Vec::new()));
        assert_eq!(offered("extract one "), (Rest::Directories, Vec::new()));
        assert_eq!(offered("nonsense ").1, Vec::<String>::new());
    }
}
