//! `trust root`: the farm's chains of roots. Each change makes or alters the next root in the file; it counts when
//! enough keys have signed it.

mod change;
mod file;
mod show;
mod sign;

use std::path::PathBuf;

use bundle_format::{KeyStatus, RootName};
use clap::Subcommand;

use crate::bundle_path::a_file;
use crate::commands::trust::root::change::{Revoke, add_key, change, create, read_keys, set_status};
use crate::commands::trust::root::file::read;
use crate::commands::trust::root::show::tell;
use crate::commands::trust::root::sign::Sign;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Make and sign the farm's chain of roots: which keys count, how many must sign, what is revoked
///
/// A file of roots (`.stapr`) holds the whole chain. A change makes the next root, or alters it while it isn't signed
/// by enough keys: as many as the root before it asks for, and as many as it asks for itself. `build --roots FILE` sends
/// the chain along with each bundle; `trust update FILE` on a host takes it alone.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Begin a chain: root 1 with these keys
    Create {
        /// A public key that may sign; may be given several times.
        #[arg(long, value_name = "NAME.pub", required = true)]
        key: Vec<PathBuf>,
        /// How many of the keys must sign a bundle or a root.
        #[arg(long, value_name = "K", default_value_t = 1)]
        threshold: u64,
        /// The chain's name.
        #[arg(long, default_value = "default")]
        name: RootName,
        /// The file to write.
        #[arg(short, long, value_name = "FILE.stapr", value_parser = a_file)]
        output: PathBuf,
    },
    /// Let further keys sign from the next root on
    AddKey {
        /// The file of roots.
        file: PathBuf,
        /// A public key; may be given several times.
        #[arg(long, value_name = "NAME.pub", required = true)]
        key: Vec<PathBuf>,
    },
    /// Let a key sign nothing new; what it signed before stays good
    RetireKey {
        /// The file of roots.
        file: PathBuf,
        /// The key id, or its beginning.
        #[arg(value_name = "KEY-ID")]
        id: String,
    },
    /// Change how many keys must sign
    SetThreshold {
        /// The file of roots.
        file: PathBuf,
        /// How many.
        #[arg(value_name = "K")]
        threshold: u64,
    },
    /// Revoke a key, or bundles, for ever: hosts refuse what is installed too
    Revoke(Revoke),
    /// Raise the epoch by one: bundles of a lower epoch are older than any of the new one
    RaiseEpoch {
        /// The file of roots.
        file: PathBuf,
    },
    /// Sign the next root, here or with a key that lives elsewhere
    ///
    /// For a key that lives elsewhere: --payload-out writes the bytes to sign, `openssl pkeyutl -sign -rawin` or any other
    /// tool signs them with Ed25519, and --attach adds the 64 bytes of the signature.
    Sign(Sign),
    /// Show the newest root, and which signatures it lacks
    Show {
        /// The file of roots.
        file: PathBuf,
    },
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Create { key, threshold, name, output } => create(&key, threshold, name, &output, ui),
            Self::AddKey { file, key } => {
                let keys = read_keys(&key)?;
                change(&file, ui, |root| keys.iter().try_for_each(|key| add_key(root, key)))
            }
            Self::RetireKey { file, id } => {
                change(&file, ui, |root| set_status(root, &id, KeyStatus::Retired))
            }
            Self::SetThreshold { file, threshold } => change(&file, ui, |root| {
                root.threshold = threshold;
                Ok(())
            }),
            Self::Revoke(revoke) => change(&revoke.file, ui, |root| revoke.apply(root)),
            Self::RaiseEpoch { file } => change(&file, ui, |root| {
                root.epoch = root.epoch.saturating_add(1);
                Ok(())
            }),
            Self::Sign(sign) => sign.run(ui),
            Self::Show { file } => {
                let roots = read(&file)?;
                tell(&roots, &file, ui);
                Ok(Exit::Done)
            }
        }
    }
}
