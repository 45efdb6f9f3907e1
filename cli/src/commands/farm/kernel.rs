//! `kernel`: what a farm has of kernels besides its sysroots, and what it lacks.

mod add;
mod missing;
mod stored;

use std::path::Path;

use builder::KernelStoreError;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Look after a farm's kernels: take their packages in, and say what is missing
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    Missing(missing::MissingArgs),
    Add(add::AddArgs),
    List(stored::ListArgs),
    Show(stored::ShowArgs),
    Remove(stored::RemoveArgs),
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Missing(args) => args.run(ui),
            Self::Add(args) => args.run(ui),
            Self::List(args) => args.run(ui),
            Self::Show(args) => args.run(ui),
            Self::Remove(args) => args.run(ui),
        }
    }
}

const NOTHING_TAKEN: &str = "nothing was taken into the kernel store";

/// What went wrong with the store, or with what was given to it.
fn store_failure(error: &KernelStoreError, store: &Path) -> Failure {
    let failed = |exit| Failure::of(exit, error);
    match error {
        KernelStoreError::Package { why, .. } => {
            let exit = if why.is_of_trust() { Exit::Trust } else { Exit::Malformed };
            failed(exit).hint(NOTHING_TAKEN)
        }
        KernelStoreError::NotStored(_) => {
            failed(Exit::Usage).hint("`stap-bundle kernel list` shows what is there")
        }
        KernelStoreError::OtherVersion { .. } | KernelStoreError::Conflict { .. } => {
            failed(Exit::Conflict).hint(NOTHING_TAKEN)
        }
        KernelStoreError::NotServed { .. } => failed(Exit::Missing)
            .hint("stap-bundle kernel missing --debuginfo, for this kernel, names the packages"),
        KernelStoreError::Server { .. } => failed(Exit::Failed),
        KernelStoreError::NoPackages(_)
        | KernelStoreError::NoBuildId(_)
        | KernelStoreError::NoClient { .. }
        | KernelStoreError::Given(_)
        | KernelStoreError::Keyring { .. }
        | KernelStoreError::Index { .. }
        | KernelStoreError::NoVerifier { .. } => failed(Exit::Usage),
        KernelStoreError::Held(_) => failed(Exit::Locked),
        _ => failed(Exit::Storage).about(store.display()),
    }
}
