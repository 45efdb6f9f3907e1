//! The initscript's command line as `clap` has it, for completions; it is read by `parse`.

use clap::{Arg, ArgAction, Command, ValueHint};

use super::parse::{WORDS, Word};

/// Its actions with their options.
pub(crate) fn command() -> Command {
    let action = |(spelling, word): &(&'static str, Word)| action(spelling, *word);
    Command::new("systemtap")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .subcommands(WORDS.iter().map(action))
}

fn action(spelling: &'static str, word: Word) -> Command {
    let config = Arg::new("config").short('c').value_name("FILE").value_hint(ValueHint::FilePath);
    let release = Arg::new("release").short('r').value_name("REL").help("another kernel release");
    let recursive = Arg::new("recursive").short('R').action(ArgAction::SetTrue);
    let yes = Arg::new("yes").short('y').action(ArgAction::SetTrue);
    let command = Command::new(spelling)
        .disable_help_flag(true)
        .about(about(word))
        .arg(config.help("another configuration file"))
        .arg(recursive.help("with what the scripts require"))
        .arg(yes.help("answer yes"));
    let takes_release = matches!(word, Word::Compile | Word::Cleanup | Word::Onboot);
    let command = if takes_release { command.arg(release) } else { command };
    let command = if word == Word::Onboot {
        let image = Arg::new("image").short('o').value_name("FILE").value_hint(ValueHint::FilePath);
        let keep = Arg::new("keep").short('b').action(ArgAction::SetTrue);
        command.arg(image.help("image to write")).arg(keep.help("keep the old image as .bak"))
    } else {
        command
    };
    command.arg(Arg::new("script").action(ArgAction::Append))
}

const fn about(word: Word) -> &'static str {
    match word {
        Word::Start => "start scripts",
        Word::Stop => "stop scripts",
        Word::Restart => "stop scripts and start them again",
        Word::TryRestart => "restart what runs",
        Word::Status => "show which scripts run",
        Word::Compile => "compile scripts on this host",
        Word::Cleanup => "remove compiled scripts",
        Word::Onboot => "put scripts into the initramfs",
    }
}
