//! Bundles as files: looked into, verified, compared, taken apart. Neither a farm nor a host is needed.

mod diff;
mod export;
mod extract;
pub(super) mod inspect;
mod join;
mod split;
mod subset;
mod verify;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// What to do with bundles as files.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(inspect::Args),
    Verify(verify::Args),
    Diff(diff::Args),
    Extract(extract::Args),
    Subset(subset::Args),
    Split(split::Args),
    Join(join::Args),
    Export(export::Args),
}

impl Command {
    /// Carries it out.
    pub(super) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Inspect(args) => args.run(global, ui),
            Self::Verify(args) => args.run(global, ui),
            Self::Diff(args) => args.run(global, ui),
            Self::Extract(args) => args.run(global, ui),
            Self::Subset(args) => args.run(global, ui),
            Self::Split(args) => args.run(ui),
            Self::Join(args) => args.run(ui),
            Self::Export(args) => args.run(global, ui),
        }
    }
}
