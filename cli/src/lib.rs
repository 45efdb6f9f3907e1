//! The command line: one file per subcommand, the reporters, exit codes and hints.
//!
//! The libraries never print and never end the process; everything that a user sees comes from here. Along the way of a command:
//!
//! - what was typed: `arguments` and `global`, `help` and `complete` for those who ask what may be; `bundle_path`, `split_parts`, `given_file`, `steady_input` (bundles and files),
//!   `trust_options` (whose), `config_files`, `config_evaluation`, `script_directory` (the initscript's);
//! - what it does: `commands`, one room each for the farm, bundles, hosts and trust; `host` is what those of a host need, `kernel_clock` whether its clock
//!   is kept right; `systemtap` and `stap_server` are the command lines of the two systems before us;
//! - what it writes: `output` and `persist`;
//! - what is said: `ui`, `failure`, `way_out`, `documents` (JSON), `exit`, `question`, `tables`, `words`, and `message_log` for `LOG_FILE`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod arguments;
mod bundle_path;
mod commands;
mod complete;
mod config_evaluation;
mod config_files;
mod documents;
mod exit;
mod failure;
mod given_file;
mod global;
mod help;
#[cfg(feature = "host")]
mod host;
#[cfg(feature = "host")]
mod kernel_clock;
mod kernel_lists;
#[cfg(feature = "farm")]
mod message_log;
mod output;
mod persist;
#[cfg(any(feature = "farm", feature = "host"))]
mod question;
mod script_directory;
#[cfg(any(feature = "farm", feature = "host"))]
mod signals;
mod split_parts;
#[cfg(feature = "farm")]
mod stap_server;
#[cfg(feature = "host")]
mod steady_input;
#[cfg(feature = "host")]
mod systemtap;
mod tables;
mod trust_options;
mod ui;
mod way_out;
#[cfg(feature = "host")]
mod who;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

pub use exit::Exit;

/// Reads the command line, carries it out, and says how it ended.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(exit) =
        complete::answer(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
    {
        return exit;
    }
    #[cfg(feature = "host")]
    if let Some(words) = as_systemtap(&mut std::env::args_os()) {
        return systemtap::run(&words);
    }
    #[cfg(feature = "farm")]
    if called_as(stap_server::NAME) {
        return stap_server::run();
    }
    let matches = match help::with_groups(command()).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let arguments = match arguments::Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let mut ui = ui::Ui::new(&arguments.global);
    ui.command = documents::of_command(&matches);
    let documents = if ui.json { documents::refuse_without(&ui.command) } else { Ok(()) };
    let result = documents.and_then(|()| arguments.command.run(&arguments.global, &mut ui));
    let root = arguments.global.root.as_deref();
    let result = result.map_err(|failure| failure.of_command(&ui.command, root));
    ended(result, &mut ui)
}

/// Says how a command ended that has done its work.
#[cfg(any(feature = "farm", feature = "host"))]
fn ended(result: Result<Exit, failure::Failure>, ui: &mut ui::Ui) -> ExitCode {
    let exit = match result {
        Ok(exit) => signals::exit().unwrap_or(exit),
        Err(failure) => {
            ui.failure(&failure::Failure { exit: signals::exit().unwrap_or(failure.exit), ..failure })
        }
    };
    let exit = ui.lost_output().map_or(exit, |failure| ui.failure(&failure));
    signals::end_by_it();
    exit.into()
}

/// The same where no command watches for signals.
#[cfg(not(any(feature = "farm", feature = "host")))]
fn ended(result: Result<Exit, failure::Failure>, ui: &mut ui::Ui) -> ExitCode {
    let exit = result.unwrap_or_else(|failure| ui.failure(&failure));
    ui.lost_output().map_or(exit, |failure| ui.failure(&failure)).into()
}

/// The words behind the program's name, if that is the initscript's: a link of that name leads here.
#[cfg(feature = "host")]
fn as_systemtap(arguments: &mut dyn Iterator<Item = std::ffi::OsString>) -> Option<Vec<String>> {
    let called = std::path::PathBuf::from(arguments.next()?);
    let name = called.file_name()?.to_str()?;
    let is_one = systemtap::NAMES.contains(&name);
    is_one.then(|| arguments.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Whether the program was called by this name.
#[cfg(feature = "farm")]
fn called_as(name: &str) -> bool {
    let called = std::env::args_os().next().map(std::path::PathBuf::from);
    called.is_some_and(|called| called.file_name().is_some_and(|called| called == name))
}

/// The whole command line, from which manual pages and completions are made too.
#[must_use]
pub fn command() -> clap::Command {
    arguments::Arguments::command()
}

fn usage(error: &clap::Error) -> ExitCode {
    let json = error.use_stderr() && documents::are_wanted(std::env::args_os());
    let unknown = commands::asked_for_help(error);
    if json || unknown.is_some() {
        let global = global::Global { json, ..global::Global::default() };
        let failure = unknown.unwrap_or_else(|| documents::usage_failure(error));
        return ui::Ui::new(&global).failure(&failure).into();
    }
    // A closed pipe behind `--help | head` is no failure.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}
