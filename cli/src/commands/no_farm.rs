//! The build side's commands in a program that is built without it. None pretends.

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::{Failure, no_farm};
use crate::global::Global;
use crate::ui::Ui;

/// Whatever follows the name of an absent command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<String>,
}

/// What a farm's program would do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make signing keys (not in this build)
    #[command(hide = true)]
    Key(Args),
    /// Compile scripts and write a bundle (not in this build)
    #[command(hide = true)]
    Build(Args),
    /// Pack what the parts of a build have compiled (not in this build)
    #[command(hide = true)]
    Merge(Args),
    /// Look after the results that builds keep (not in this build)
    #[command(hide = true)]
    Cache(Args),
    /// Sign a payload, or add a signature to a bundle (not in this build)
    #[command(hide = true)]
    Sign(Args),
    /// Make a payload of stap-scripts-RELEASE.tar.gz packages (not in this build)
    #[command(hide = true)]
    Import(Args),
    /// Say what a farm lacks for kernels (not in this build)
    #[command(hide = true)]
    Kernel(Args),
    /// Control compile servers (not in this build)
    #[command(hide = true)]
    Server(Args),
}

impl Command {
    /// Refuses it.
    pub(super) fn run(self, _global: &Global, _ui: &mut Ui) -> Result<Exit, Failure> {
        Err(no_farm(match self {
            Self::Key(_) => "key",
            Self::Build(_) => "build",
            Self::Merge(_) => "merge",
            Self::Cache(_) => "cache",
            Self::Sign(_) => "sign",
            Self::Import(_) => "import",
            Self::Kernel(_) => "kernel",
            Self::Server(_) => "server",
        }))
    }
}
