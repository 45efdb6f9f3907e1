//! `trust`: which farms this host believes, and, on the farm, the roots that say so.

mod display;
#[cfg(feature = "host")]
mod domains;
#[cfg(feature = "host")]
mod pins;
#[cfg(feature = "host")]
mod removal;
#[cfg(feature = "farm")]
mod root;

use clap::Subcommand;

#[cfg(not(feature = "farm"))]
use crate::commands::no_farm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// Say which farms this host believes, by keys or by chains of roots
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    #[cfg(feature = "host")]
    #[command(flatten)]
    Pins(pins::Args),
    #[cfg(feature = "farm")]
    #[command(subcommand)]
    Root(root::Args),
    /// Make and sign chains of roots (not in this build)
    #[cfg(not(feature = "farm"))]
    #[command(hide = true)]
    Root(no_farm::Args),
}

impl Args {
    #[cfg_attr(not(feature = "host"), expect(unused_variables, reason = "only a host has a root"))]
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            #[cfg(feature = "host")]
            Self::Pins(args) => args.run(global, ui),
            #[cfg(feature = "farm")]
            Self::Root(args) => args.run(ui),
            #[cfg(not(feature = "farm"))]
            Self::Root(_) => Err(crate::failure::no_farm("trust root")),
        }
    }
}
