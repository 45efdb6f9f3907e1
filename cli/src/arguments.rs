//! What a user may type.

use clap::Parser;

use crate::commands::Command;
use crate::global::Global;

/// What the program is for, as `--help` says it.
#[cfg(feature = "farm")]
const ABOUT: &str = "Build signed bundles of SystemTap modules on a build farm; install and start them on hosts that \
    have no compiler, no debuginfo and no network.";

/// What the program is for, built without the build side.
#[cfg(not(feature = "farm"))]
const ABOUT: &str = "Install signed bundles of SystemTap modules on this host, and start them without compiler, \
    debuginfo and network.\n\n\
    Bundles are built elsewhere, with the full stap-bundle.";

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
