//! The build side: keys, builds, signatures, compile servers.

pub(super) mod attached_signature;
mod best_before;
pub(crate) mod build;
mod builder_options;
mod cache;
mod collect;
mod coverage;
mod directories;
mod host_reports;
mod import;
mod kernel;
pub(crate) mod key;
pub(super) mod key_failure;
mod merge;
pub(crate) mod module_keys;
mod module_pair;
mod roots;
pub(crate) mod server;
mod sign;
mod sign_modules;
pub(super) mod source_date;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// What to do on a farm.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Key(key::Args),
    Build(Box<build::Args>),
    Merge(Box<merge::Args>),
    #[command(subcommand)]
    Cache(cache::Args),
    Sign(sign::Args),
    SignModules(sign_modules::Args),
    Import(import::Args),
    Coverage(coverage::Args),
    Collect(collect::Args),
    #[command(subcommand)]
    Kernel(kernel::Args),
    #[command(subcommand)]
    Server(server::Args),
}

impl Command {
    /// Carries it out.
    pub(super) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Key(args) => args.run(ui),
            Self::Build(args) => args.run(global, ui),
            Self::Merge(args) => args.run(global, ui),
            Self::Cache(args) => args.run(ui),
            Self::Sign(args) => args.run(ui),
            Self::SignModules(args) => args.run(ui),
            Self::Import(args) => args.run(ui),
            Self::Coverage(args) => args.run(global, ui),
            Self::Collect(args) => args.run(ui),
            Self::Kernel(args) => args.run(ui),
            Self::Server(args) => args.run(global, ui),
        }
    }
}
