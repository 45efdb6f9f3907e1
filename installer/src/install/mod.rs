//! `install`: from a bundle's bytes to the current generation.
//!
//! Nothing is written before the manifest is proven and a kernel of it is wanted. Then the lock is
//! taken, what a killed run left is removed, the bundle is checked against what was installed before,
//! and everything goes to a staging directory: wanted kernels are unpacked, and beside it the whole file is copied and
//! checked (`copyist.rs`). Only a file that holds to its last byte is made current. The order of writes is in
//! `generation/staged.rs`.
//!
//! A source that may stall is read to its end into a file without a name before the lock is taken
//! (`spool.rs`); so is one of which only what is whole is wanted.

mod bases;
mod choice;
mod content;
mod copyist;
mod error;
mod inbox;
mod installation;
mod kept_frames;
mod options;
mod order;
mod report;
mod source;
mod space;
mod spool;
mod stage;
mod symbols;

pub(crate) use choice::choose;
pub use error::{DoesNotFit, InstallError};
pub use inbox::{InboxChoice, PassedOver, newest_in_inbox};
pub use options::{InstallOptions, KernelChoice};
pub(crate) use order::Past;
pub use report::{InstallOutcome, InstallReport, InstallWarning, KernelInstalled};
pub use source::BundleSource;
pub(crate) use source::Remembering;
pub(crate) use stage::carry_others;
pub(crate) use symbols::compare_symbols;

use std::fs::File;
use std::sync::Arc;

use bundle_format::{
    BundleError, BundleId, Judge, KeyId, Positioned, RawBundle, Root, RootChain, SOURCES_NAME, Source,
    VerifiedBundle,
};

use crate::compat::{
    CompatError, Foreign, ReconcileReport, absent_sources, place_sources, preview, reconcile_locked,
};
use crate::events::{Events, InstallEvent};
use crate::floors::FloorState;
use crate::generation::{CurrentGeneration, InstalledBundle, remove_left_overs};
use crate::history::{HistoryEvent, HistoryRecord, append};
use crate::host_kernels::HostKernels;
use crate::identity::HostIdentity;
use crate::install::content::{Content, Incoming};
use crate::install::installation::{Installation, Placed};
use crate::install::kept_frames::{Available, KeptFrames};
use crate::install::source::Arriving;
use crate::install::symbols::leave_out_other_builds;
use crate::lock::WriterLock;
use crate::paths::{GENERATIONS, STATE};
use crate::policy::Policy;
use crate::roots::RootRecord;
use crate::trust::TrustStore;
use crate::trust_error::TrustError;
use files::Directory;
use files::FileSystem;
use files::optional;

/// Installs the bundle that `source` gives, from its first byte to its last.
pub fn install<'s>(
    host: &FileSystem,
    identity: &HostIdentity,
    source: impl Into<BundleSource<'s>>,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<InstallReport, InstallError> {
    match source.into() {
        BundleSource::File(file) => arrived(host, identity, file, options, events),
        BundleSource::Stream(source) => arrived(host, identity, Remembering::new(source), options, events),
    }
}

fn arrived(
    host: &FileSystem,
    identity: &HostIdentity,
    source: impl Arriving,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<InstallReport, InstallError> {
    let raw = RawBundle::read(source)?;
    let policy = Policy::read(host)?;
    let Believed { bundle, record, again } = believed(host, raw, options, events)?;
    let bundle = bundle.checking_sources(options.with_source);
    let manifest = bundle.shared_manifest();
    let (id, signers) = (bundle.id(), bundle.signers().to_vec());
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    if options.with_source && manifest.extras.iter().all(|extra| extra.name != SOURCES_NAME) {
        return Err(InstallError::NoSources { name, version });
    }
    events(InstallEvent::Verified { name, version, signers: signers.clone() });
    policy.check(&manifest, &signers)?;
    let here = HostKernels::read(host, identity)?;
    let mut chosen = choose(&manifest, &here, &options.kernels)?;
    let judge = bundle.judge().clone();
    let placing = |chosen, available| Placing {
        host,
        identity,
        options,
        judge: &judge,
        here,
        installation: Installation {
            host,
            record,
            manifest: &manifest,
            id,
            options,
            policy: &policy,
            chosen,
            available,
        },
    };
    let incoming = Incoming { host, manifest: &manifest, judge: &judge, options };
    let (placed, compat) = match incoming.content(bundle, again.as_ref(), &mut chosen)? {
        Content::AsItCame(bundle, again) => {
            placing(chosen, Available::default()).run(bundle, &again, events)?
        }
        Content::Made(file, available) => {
            let (bundle, file) = opened(file, id, &judge, options)?;
            if bundle.signers() != signers {
                return Err(BundleError::Changed.into());
            }
            placing(chosen, available).run(bundle, &file, events)?
        }
        Content::Kept(file) => {
            let (bundle, file) = opened(file, id, &judge, options)?;
            placing(chosen, Available::default()).run(bundle, &file, events)?
        }
    };
    Ok(InstallReport {
        outcome: placed.outcome,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        serial: manifest.serial,
        id,
        signers,
        kernels: placed.kernels,
        warnings: placed.warnings,
        compat,
    })
}

/// The bundle with that id in a file that was made of what came. What came is judged already, and it alone: another bundle
/// meanwhile behind the same name is none of it.
fn opened(
    file: File,
    id: BundleId,
    judge: &Judge,
    options: &InstallOptions,
) -> Result<(VerifiedBundle<Positioned>, Positioned), InstallError> {
    let file = Positioned::new(Arc::new(file));
    let bundle = RawBundle::read(file.clone())?.verify_by(judge.clone())?;
    if bundle.id() != id {
        return Err(BundleError::Changed.into());
    }
    Ok((bundle.checking_sources(options.with_source), file))
}

/// A proven bundle, and what is needed to give it its place.
struct Placing<'p> {
    host: &'p FileSystem,
    identity: &'p HostIdentity,
    options: &'p InstallOptions,
    judge: &'p Judge,
    here: HostKernels<'p>,
    installation: Installation<'p>,
}

type Reconciled = Result<ReconcileReport, CompatError>;

impl Placing<'_> {
    fn run(
        mut self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<(Placed, Reconciled), InstallError> {
        leave_out_other_builds(&mut self.here, &mut self.installation, self.judge, file)?;
        if self.options.dry_run { self.try_out(bundle, events) } else { self.place(bundle, file, events) }
    }

    fn place(
        self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<(Placed, Reconciled), InstallError> {
        let Self { host, identity, options, judge, installation, .. } = self;
        let lock = WriterLock::wait(host, options.wait)?;
        let trust = trust_of_now(host, judge, bundle.signers())?;
        let (manifest, known) = (installation.manifest, bundle.twin());
        let mut placed = match installation.run(&lock, &trust, bundle, file, events) {
            Ok(placed) => placed,
            Err(error) => {
                // Best effort: the next writer does it too.
                let _ = remove_left_overs(&lock, events);
                return Err(error);
            }
        };
        if let Some(event) = placed.history(manifest) {
            placed.remember(append(host, &lock, &HistoryRecord { time: options.now, event }));
        }
        events(InstallEvent::Reconciling);
        let foreign = if options.adopt { Foreign::Adopt } else { Foreign::Leave };
        // Before the rest, which brings the times of the modules up to those of their scripts.
        let scripts =
            if options.with_source { place_sources(host, &lock, &manifest.name) } else { Ok(Vec::new()) };
        let compat = reconcile_locked(host, identity, &lock, foreign, Some(&known));
        let moved = compat.iter().flat_map(|report| report.adopted.clone()).collect::<Vec<_>>();
        if !moved.is_empty() {
            let event = HistoryEvent::Adopt { moved };
            placed.remember(append(host, &lock, &HistoryRecord { time: options.now, event }));
        }
        let compat = compat.and_then(|mut report| {
            report.written.extend(scripts?);
            Ok(report)
        });
        Ok((placed, compat))
    }

    /// The same without a lock and without a write.
    fn try_out(
        self,
        bundle: VerifiedBundle<impl Source>,
        events: &mut Events<'_>,
    ) -> Result<(Placed, Reconciled), InstallError> {
        let Self { host, identity, judge, installation, options, .. } = self;
        let trust = trust_of_now(host, judge, bundle.signers())?;
        let manifest = installation.manifest;
        let placed = installation.try_out(&trust, bundle, events)?;
        let ids = placed.kernels.iter().map(|kernel| kernel.id).collect();
        let compat = preview(host, identity, manifest, &ids).and_then(|mut report| {
            if options.with_source {
                report.written.extend(absent_sources(host, manifest)?);
            }
            Ok(report)
        });
        Ok((placed, compat))
    }
}

/// This host's trust under the lock: what was accepted or revoked while the manifest came in must count too.
fn trust_of_now(host: &FileSystem, judge: &Judge, signers: &[KeyId]) -> Result<TrustStore, InstallError> {
    let store = TrustStore::open(host)?;
    if judge.root().is_none() {
        let keys = store.trusted_keys().keys();
        let counted = signers.iter().filter(|id| keys.iter().any(|key| key.id() == **id)).count();
        if counted < judge.threshold() {
            // A pin that can't be read now is another matter than one that was taken back.
            let problem = store.into_problems().into_iter().next();
            let taken_back = || BundleError::NotTrusted { signers: signers.to_vec() }.into();
            return Err(problem.map_or_else(taken_back, InstallError::Trust));
        }
    }
    let newest = judge.chain().map(RootChain::newest);
    let other = |now: &&Root| newest.is_none_or(|newest| newest.digest() != now.digest());
    // A dry run has not stored what the bundle's own roots add.
    let is_newer = |now: &&Root| newest.is_none_or(|newest| newest.version() <= now.version());
    match store.chain().map(RootChain::newest).filter(other).filter(is_newer) {
        Some(now) => Err(TrustError::Overtaken { version: now.version() }.into()),
        None => Ok(store),
    }
}

/// The state's directory of generations and what is current, as they are before a first install too.
fn generations_of(host: &FileSystem) -> Result<Option<Directory>, InstallError> {
    let Some(state) = optional(host.open_dir(STATE))? else { return Ok(None) };
    Ok(optional(state.open_dir(GENERATIONS))?)
}

/// Reads the floors and what is kept on disk.
fn past(
    host: &FileSystem,
    generations: Option<&Directory>,
    trust: &TrustStore,
) -> Result<Past, InstallError> {
    Ok(Past::read(FloorState::read(host)?, generations, trust.host_trust())?)
}

/// A bundle that is believed.
struct Believed<S> {
    bundle: VerifiedBundle<S>,
    /// By which root it was accepted.
    record: Option<RootRecord>,
    /// What is kept of the same bundle, if it is installed now.
    again: Option<KeptFrames>,
}

/// Judges the bundle by this host's trust. What its roots add to the accepted chain is stored first, and
/// stays whatever becomes of the bundle. A bundle that is installed now is judged as it was then, so that
/// more of its kernels can be unpacked after a rotation.
fn believed<S: Source>(
    host: &FileSystem,
    raw: RawBundle<S>,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<Believed<S>, InstallError> {
    let mut store = TrustStore::open(host)?;
    let trusted = store.trusted_keys();
    if trusted.is_empty() {
        // A pin that was passed over says more than that there is none.
        let problem = store.into_problems().into_iter().next();
        return Err(problem.map_or(InstallError::NoTrust, InstallError::Trust));
    }
    // A generation that can't be read is the locked part's matter.
    let current = CurrentGeneration::open(host).ok().flatten();
    let same = current.as_ref().and_then(|current| {
        let id = raw.claimed_id();
        current.bundles().iter().find(|bundle| bundle.id == id)
    });
    // One whose record of that is gone is judged as if it came for the first time.
    let recorded = same.filter(|same| same.root_problem().is_none());
    let judge = raw.judge(recorded.map_or(&trusted, InstalledBundle::trusted))?;
    let accepted = judge.chain().filter(|_| !options.dry_run);
    let accepted = accepted.map(|chain| store.accept(host, chain, options.now, options.wait)).transpose()?;
    if let Some(update) = accepted.flatten() {
        let newest = update.chain.newest();
        let name = newest.document().name.clone();
        events(InstallEvent::RootsAccepted { name, from: update.from, to: newest.version() });
    }
    let record = match recorded {
        Some(same) => same.root.clone(),
        None => judge.chain().map(RootRecord::of_newest),
    };
    let again = same.and_then(KeptFrames::of);
    Ok(Believed { bundle: raw.verify_by(judge)?, record, again })
}
