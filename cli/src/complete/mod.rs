//! What may stand where the cursor is: the shells ask the program itself, so they know the options of the version that is installed,
//! and the scripts of this host.
//!
//! A shell's script runs `stap-bundle __complete PROGRAM WORD…`, the last word being the one that is typed. The answer's first line
//! says what else may stand there (`nothing`, `files` or `directories`); each further line is a word, a tab and what it means.

mod cursor;
mod values;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Command;

/// The word that asks.
const ASKS: &str = "__complete";

/// What else may stand at the cursor; the shell knows files better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Files,
    Directories,
}

/// What may stand at the cursor.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    rest: Rest,
    /// Words, each with what it means.
    words: Vec<(String, String)>,
}

impl Offer {
    const NOTHING: Self = Self { rest: Rest::Nothing, words: Vec::new() };

    /// The answer to a shell, of the words that begin with what is typed.
    fn text(&self, typed: &str) -> String {
        let mut text = match self.rest {
            Rest::Nothing => "nothing\n",
            Rest::Files => "files\n",
            Rest::Directories => "directories\n",
        }
        .to_owned();
        for (word, meaning) in self.words.iter().filter(|(word, _)| word.starts_with(typed)) {
            text.push_str(word);
            text.push('\t');
            text.push_str(meaning);
            text.push('\n');
        }
        text
    }
}

/// Answers a shell, if that is what the words behind the program's name ask for.
pub(crate) fn answer(mut words: impl Iterator<Item = String>) -> Option<ExitCode> {
    if words.next()? != ASKS {
        return None;
    }
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let (typed, before) =
        words.split_last().map_or(("", [].as_slice()), |(last, before)| (last.as_str(), before));
    let offer = command_of(&program).map_or(Offer::NOTHING, |mut command| {
        command.build();
        cursor::offer(&command, before, typed)
    });
    // Where nobody reads it, nobody waits for it.
    let _ = io::stdout().lock().write_all(offer.text(typed).as_bytes());
    Some(ExitCode::SUCCESS)
}

/// The command line that a program of this name takes.
fn command_of(program: &str) -> Option<Command> {
    match program {
        "stap-bundle" => Some(crate::command()),
        #[cfg(feature = "farm")]
        crate::stap_server::NAME => Some(crate::stap_server::command()),
        #[cfg(feature = "host")]
        name if crate::systemtap::NAMES.contains(&name) => Some(crate::systemtap::command()),
        _ => None,
    }
}
