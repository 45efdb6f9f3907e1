//! The subcommands: one file each, `Args` is what may be typed and `run` is what happens.
//!
//! Words come in, an exit code or a failure goes out. `farm` and `host` are there if the program is built with them.

mod bundle;
mod completions;
mod config;
#[cfg(feature = "farm")]
pub(crate) mod farm;
#[cfg(feature = "host")]
pub(crate) mod host;
#[cfg(not(feature = "farm"))]
mod no_farm;
#[cfg(any(feature = "farm", feature = "host"))]
mod trust;
mod unknown;

use clap::Subcommand;
#[cfg(not(feature = "farm"))]
use no_farm as farm;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Farm(farm::Command),
    #[command(flatten)]
    Bundle(bundle::Command),
    #[cfg(any(feature = "farm", feature = "host"))]
    #[command(subcommand, display_order = 6)]
    Trust(trust::Args),
    #[cfg(feature = "host")]
    #[command(flatten)]
    Host(host::Command),
    #[command(subcommand, display_order = 14)]
    Config(config::Args),
    #[command(display_order = 15)]
    Completions(completions::Args),
    /// Any other word: a command of a later version, or a mistake.
    #[command(external_subcommand)]
    Other(Vec<String>),
}

impl Command {
    /// Carries it out.
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Farm(command) => command.run(global, ui),
            Self::Bundle(command) => command.run(global, ui),
            #[cfg(any(feature = "farm", feature = "host"))]
            Self::Trust(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Host(command) => command.run(global, ui),
            Self::Config(args) => args.run(global, ui),
            Self::Completions(args) => Ok(args.run(ui)),
            Self::Other(words) => Err(unknown::unknown(&words)),
        }
    }
}
