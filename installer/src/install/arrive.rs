//! A bundle arrives: read, judged, measured by this host, then placed.

use std::fs::File;
use std::sync::Arc;

use bundle_format::{BundleError, BundleId, Judge, Positioned, RawBundle, SOURCES_NAME, VerifiedBundle};
use files::FileSystem;

use crate::generation::{Events, InstallEvent, ModuleKeys};
use crate::host::{HostIdentity, HostKernels};
use crate::install::believe::{Believed, believed};
use crate::install::choice::choose;
use crate::install::content::Content;
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::kept_frames::Available;
use crate::install::options::InstallOptions;
use crate::install::place::Placing;
use crate::install::report::{InstallReport, InstallWarning};
use crate::install::source::{Arriving, BundleSource, Remembering};
use crate::state::State;

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
    let mut before = State::of(host);
    before.policy()?;
    let alarms = before.trust()?.alarms();
    let Believed { bundle, domain, record, again } = believed(&mut before, raw, options, events)?;
    let bundle = bundle.checking_sources(options.with_source);
    let manifest = bundle.shared_manifest();
    let name = manifest.name.clone();
    let version = manifest.version.clone();
    if options.with_source && manifest.extras.iter().all(|extra| extra.name != SOURCES_NAME) {
        return Err(InstallError::NoSources { name, version });
    }
    let id = bundle.id();
    let signers = bundle.signers().to_vec();
    events(InstallEvent::Verified { name, version, signers: signers.clone() });
    before.policy()?.check(&manifest, &signers)?;
    let here = HostKernels::read(host, identity)?;
    let mut chosen = choose(&manifest, &here, &options.kernels)?;
    let left = before.trust()?.alarms();
    let (spoilt, mended): (Vec<_>, Vec<_>) = alarms.into_iter().partition(|alarm| left.contains(alarm));
    let spoilt = spoilt.into_iter().map(|(file, problem)| InstallWarning::ChainSpoilt { file, problem });
    let mended = mended.into_iter().map(|(file, problem)| InstallWarning::ChainMended { file, problem });
    chosen.warnings.extend(mended.chain(spoilt));
    let judge = bundle.judge().clone();
    let installation = Installation {
        domain,
        record,
        manifest: &manifest,
        id,
        signers: &signers,
        identity,
        options,
        chosen,
        available: Available::default(),
        module_keys: ModuleKeys::default(),
    };
    let mut placing = Placing { before, judge: &judge, here, installation };
    match placing.content(bundle, again.as_ref())? {
        Content::AsItCame(bundle, again) => placing.run(*bundle, &again, events),
        Content::Made(file) => {
            let (bundle, file) = opened(file, id, &judge, options)?;
            if bundle.signers() != signers {
                return Err(BundleError::Changed.into());
            }
            placing.run(bundle, &file, events)
        }
        Content::Kept(file) => {
            let (bundle, file) = opened(file, id, &judge, options)?;
            placing.run(bundle, &file, events)
        }
    }
}

/// The bundle with that id in a file that was made of what came. What came is judged already, and it alone: a bundle
/// that lies behind the same name by now doesn't count.
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
