//! A bundle arrives: read, judged, measured by this host, then placed.

use std::fs::File;
use std::sync::Arc;

use bundle_format::{BundleError, BundleId, Judge, Positioned, RawBundle, SOURCES_NAME, VerifiedBundle};
use files::FileSystem;

use crate::generation::{Events, InstallEvent};
use crate::host::{HostIdentity, HostKernels};
use crate::install::believe::{Believed, believed};
use crate::install::choice::choose;
use crate::install::content::{Content, Incoming};
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::kept_frames::Available;
use crate::install::options::InstallOptions;
use crate::install::place::Placing;
use crate::install::report::InstallReport;
use crate::install::source::{Arriving, BundleSource, Remembering};
use crate::trust::Policy;

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
