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
    #[command(display_order = 3)]
    Inspect(inspect::Args),
    #[command(display_order = 4)]
    Verify(verify::Args),
    #[command(display_order = 4)]
    Diff(diff::Args),
    #[command(display_order = 5)]
    Extract(extract::Args),
    #[command(display_order = 5)]
    Subset(subset::Args),
    #[command(display_order = 5)]
    Split(split::Args),
    #[command(display_order = 5)]
    Join(join::Args),
    #[command(display_order = 6)]
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
