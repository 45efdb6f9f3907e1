//! Called as `stap-server`: the command line and exit codes of systemtap's own program (facts SRV-CLI-… in
//! `docs/compatibility.md`). It is `stap-bundle server` by another name.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::commands::farm::server;
use crate::global::{Global, When};
use crate::ui::Ui;

/// The name under which the program takes that command line.
pub(crate) const NAME: &str = "stap-server";

/// Start, stop and show systemtap's compile servers.
#[derive(Debug, Parser)]
#[command(name = NAME, disable_help_subcommand = true, disable_version_flag = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    action: server::Args,
}

/// Its command line, for completions.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Carries out the words behind the program's name.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return crate::usage(&error),
    };
    let global = Global { root: None, json: false, quiet: false, verbose: false, color: When::Auto };
    let mut ui = Ui::new(&global);
    let result = arguments.action.run(&global, &mut ui);
    crate::ended(result, &mut ui)
}
