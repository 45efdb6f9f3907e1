//! Options that every command takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Take every path of the host relative to DIR; nothing outside it is touched.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) root: Option<PathBuf>,
    /// Write the result as JSON.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say only what is wrong; a result is the exit code, or what --json writes.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
