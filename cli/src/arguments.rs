//! What a user may type.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::commands::Command;

/// What the program is for, as `--help` says it.
const ABOUT: &str = "Build signed bundles of SystemTap modules on a build farm; install and start them on hosts that \
    have no compiler, no debuginfo and no network.\n\n\
    On the farm: key generate, build, inspect.\n\
    On the host: trust add, install, start, status, stop.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "stap-bundle",
    version,
    about = ABOUT,
    long_about = ABOUT,
    max_term_width = 100,
    propagate_version = false,
    after_long_help = crate::exit::table(),
    after_help = "Exit codes: see `stap-bundle --help`. Details of a command: `stap-bundle COMMAND --help`."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Take every path of the host relative to DIR; nothing outside it is touched.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) root: Option<PathBuf>,
    /// Write the result as JSON.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say nothing but results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Say more.
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub(crate) color: When,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
