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

use bundle_format::{RawBundle, RootChain, Source, VerifiedBundle};

use crate::compat::reconcile_locked;
use crate::events::{Events, InstallEvent};
use crate::generation::{CurrentGeneration, InstalledBundle, remove_left_overs};
use crate::history::{HistoryEvent, HistoryRecord, append};
use crate::identity::HostIdentity;
use crate::install::choice::choose;
use crate::install::stage::Installation;
use crate::install::tee::{Kept, Tee};
use crate::lock::WriterLock;
use crate::root::HostRoot;
use crate::roots::RootRecord;
use crate::trust::{TrustError, TrustStore};

/// Installs the bundle that `source` gives, from its first byte to its last.
pub fn install<R: Read>(
    host: &HostRoot,
    identity: &HostIdentity,
    source: R,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<InstallReport, InstallError> {
    let kept = Kept::in_memory();
    let raw = RawBundle::read(Tee::new(source, kept.clone()))?;
    let (bundle, record) = believed(host, raw, options.now, events)?;
    let manifest = bundle.manifest().clone();
    let (id, signers) = (bundle.id(), bundle.signers().to_vec());
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    events(InstallEvent::Verified { name, version, signers: signers.clone() });
    let installed = installed_releases(host)?;
    let chosen = choose(&manifest, identity, &installed, &options.kernels)?;

    let lock = WriterLock::acquire(host)?;
    // What was accepted or revoked while the manifest came in must count too.
    let store = TrustStore::open(host)?;
    let newest = bundle.judge().chain().map(RootChain::newest);
    if let Some(now) = store.chain().map(RootChain::newest)
        && newest.is_none_or(|newest| newest.digest() != now.digest())
    {
        return Err(TrustError::Overtaken { version: now.version() }.into());
    }
    let trust = store.host_trust();
    let installation =
        Installation { host, lock: &lock, trust, record, manifest: &manifest, id, options, chosen };
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

/// Judges the bundle by this host's trust. What its roots add to the accepted chain is stored first, and
/// stays whatever becomes of the bundle. A bundle that is installed now is judged as it was then, so that
/// more of its kernels can be unpacked after a rotation.
fn believed<S: Source>(
    host: &HostRoot,
    raw: RawBundle<S>,
    now: Option<u64>,
    events: &mut Events<'_>,
) -> Result<(VerifiedBundle<S>, Option<RootRecord>), InstallError> {
    let mut store = TrustStore::open(host)?;
    let trusted = store.trusted_keys();
    if trusted.is_empty() {
        // A pin that was passed over says more than that there is none.
        let problem = store.into_problems().into_iter().next();
        return Err(problem.map_or(InstallError::NoTrust, InstallError::Trust));
    }
    // A generation that can't be read is the locked part's matter.
    let current = CurrentGeneration::open(host).ok().flatten();
    let same = current
        .as_ref()
        .and_then(|current| current.bundles().iter().find(|bundle| bundle.id == raw.claimed_id()));
    let judge = raw.judge(same.map_or(&trusted, InstalledBundle::trusted))?;
    if let Some(update) = judge.chain().map(|chain| store.accept(host, chain, now)).transpose()?.flatten() {
        let newest = update.chain.newest();
        let name = newest.document().name.clone();
        events(InstallEvent::RootsAccepted { name, from: update.from, to: newest.version() });
    }
    let record = match same {
        Some(same) => same.root.clone(),
        None => judge.chain().map(RootRecord::of_newest),
    };
    Ok((raw.verify_by(judge)?, record))
}
