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
mod manual;
#[cfg(not(feature = "farm"))]
mod no_farm;
#[cfg(any(feature = "farm", feature = "host"))]
mod trust;
mod unknown;

pub(crate) use bundle::Command as Bundle;
use clap::Subcommand;
pub(crate) use farm::Command as Farm;
#[cfg(feature = "host")]
pub(crate) use host::Command as Host;
#[cfg(not(feature = "farm"))]
use no_farm as farm;
pub(crate) use unknown::asked_for_help;

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
    #[command(subcommand)]
    Trust(trust::Args),
    #[cfg(feature = "host")]
    #[command(flatten)]
    Host(host::Command),
    #[command(subcommand)]
    Config(config::Args),
    Completions(completions::Args),
    Manual(manual::Args),
    /// Any other word.
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
            Self::Trust(args) => {
                let ended = args.run(global, ui);
                #[cfg(feature = "host")]
                host::onboot::after_change(global, ui);
                ended
            }
            #[cfg(feature = "host")]
            Self::Host(command) => command.run(global, ui),
            Self::Config(args) => args.run(global, ui),
            Self::Completions(args) => Ok(args.run(ui)),
            Self::Manual(args) => args.run(),
            Self::Other(words) => Err(unknown::unknown(&words)),
        }
    }
}
