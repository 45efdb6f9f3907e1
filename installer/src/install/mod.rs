//! `install`: from a stream of bytes to the current generation, in one pass.
//!
//! Nothing is written before the manifest is proven and a kernel of it is wanted. Then the lock is
//! taken, what a killed run left is removed, the bundle is checked against what was installed before,
//! and everything goes to a staging directory while it is read. Only a stream that held to its last
//! byte is made current. The order of writes is in `generation/staged.rs`.

mod choice;
mod error;
mod options;
mod order;
mod report;
mod stage;
mod tee;

pub(crate) use choice::installed_releases;
pub use error::{DoesNotFit, InstallError};
pub use options::{InstallOptions, KernelChoice};
pub use report::{InstallOutcome, InstallReport, InstallWarning, KernelInstalled};

use std::io::Read;

use bundle_format::{RawBundle, TrustedKeys};

use crate::compat::reconcile_locked;
use crate::events::{Events, InstallEvent};
use crate::generation::remove_left_overs;
use crate::history::{HistoryEvent, HistoryRecord, append};
use crate::identity::HostIdentity;
use crate::install::choice::choose;
use crate::install::stage::Installation;
use crate::install::tee::{Kept, Tee};
use crate::lock::WriterLock;
use crate::root::HostRoot;
use crate::trust::TrustStore;

/// Installs the bundle that `source` gives, from its first byte to its last.
pub fn install<R: Read>(
    host: &HostRoot,
    identity: &HostIdentity,
    source: R,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<InstallReport, InstallError> {
    let trusted = trusted_keys(host)?;
    let kept = Kept::in_memory();
    let bundle = RawBundle::read(Tee::new(source, kept.clone()))?.verify(&trusted)?;
    let manifest = bundle.manifest().clone();
    let (id, signers) = (bundle.id(), bundle.signers().to_vec());
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    events(InstallEvent::Verified { name, version, signers: signers.clone() });
    let installed = installed_releases(host)?;
    let chosen = choose(&manifest, identity, &installed, &options.kernels)?;

    let lock = WriterLock::acquire(host)?;
    let installation =
        Installation { host, lock: &lock, trusted: &trusted, manifest: &manifest, id, options, chosen };
    let placed = installation.run(bundle, &kept, events);
    let mut placed = match placed {
        Ok(placed) => placed,
        Err(error) => {
            // Best effort: the next writer does it too.
            let _ = remove_left_overs(&lock, events);
            return Err(error);
        }
    };
    if let InstallOutcome::Installed { from, generation } = placed.outcome {
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        let event =
            HistoryEvent::Install { from, to: generation, name, version, serial: manifest.serial, id };
        if let Err(error) = append(host, &lock, &HistoryRecord { time: options.now, event }) {
            placed
                .warnings
                .push(InstallWarning::History { problem: crate::generation::with_sources(&error) });
        }
    }
    events(InstallEvent::Reconciling);
    let compat = reconcile_locked(host, identity, &lock);
    Ok(InstallReport {
        outcome: placed.outcome,
        name: manifest.name,
        version: manifest.version,
        serial: manifest.serial,
        id,
        signers,
        kernels: placed.kernels,
        warnings: placed.warnings,
        compat,
    })
}

/// The keys that this host believes; an error if there is none.
fn trusted_keys(host: &HostRoot) -> Result<TrustedKeys, InstallError> {
    let store = TrustStore::open(host)?;
    let trusted = store.trusted_keys();
    if !trusted.is_empty() {
        return Ok(trusted);
    }
    // A pin that was passed over says more than that there is none.
    Err(store.into_problems().into_iter().next().map_or(InstallError::NoTrust, InstallError::Trust))
}
