//! What `installer`'s current generation offers to the running kernel.

use std::collections::BTreeMap;

use bundle_format::{BundleName, KernelRelease, ModuleRecord, Trailer};
use files::FileSystem;
use installer::policy::OtherBuild;
use installer::{
    CurrentGeneration, HostIdentity, HostPrograms, Mismatch, ModuleHandle, ModuleKeys, OfferState, Policy,
};
use script_config::ScriptName;
use serde::Serialize;

use crate::kernel::ModuleRules;
use crate::offers::candidate::{
    Candidate, Candidates, OfferedBy, Origin, Signature, SignedScript, VerifiedModule,
};
use crate::reasons::{Reason, StartRefusal};

/// The scripts of all installed bundles, and the one way to their modules: through the whole chain from a trusted key.
pub(crate) struct Installed<'g> {
    pub(crate) candidates: Candidates,
    pub(crate) refused: Vec<LeftOutBundle>,
    pub(crate) read: Box<ReadInstalled<'g>>,
}

/// Reads and verifies the module of a script that has one.
pub(crate) type ReadInstalled<'g> = dyn Fn(&ScriptName) -> Result<VerifiedModule, StartRefusal> + Sync + 'g;

/// An installed bundle that isn't believed, so that nothing of it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutBundle {
    pub bundle: String,
    pub reason: Reason,
}

impl<'g> Installed<'g> {
    /// Of a host on which nothing is installed.
    pub(crate) fn nothing() -> Self {
        let read = Box::new(|_: &ScriptName| Err(StartRefusal::NotOffered));
        Self { candidates: Candidates::new(), refused: Vec::new(), read }
    }

    pub(crate) fn of(
        current: &'g CurrentGeneration,
        identity: &HostIdentity,
        files: &FileSystem,
        rules: &ModuleRules,
    ) -> Self {
        let programs = HostPrograms::of(files);
        // Half a policy is none.
        let rule = Policy::read(files).map(|policy| policy.programs.other_build).unwrap_or_default();
        let mut handles: BTreeMap<ScriptName, ModuleHandle> = BTreeMap::new();
        let mut candidates = Candidates::new();
        for offer in current.offers(identity) {
            let Some(bundle) = current.bundles().iter().find(|bundle| bundle.name == offer.bundle) else {
                continue;
            };
            let kernel = bundle.manifest.kernels.iter().find(|kernel| Some(kernel.id) == offer.kernel);
            let other_program = offer.kernel.and_then(|kernel| programs.other(&offer.record, &kernel));
            let cell = match offer.state {
                OfferState::Ready(handle) if handle.record().needs_uprobes => Err(StartRefusal::NeedsUprobes),
                OfferState::Ready(handle) => {
                    handles.insert(offer.script.clone(), handle);
                    Ok(())
                }
                other => Err(refusal_of(other, offer.bundle.clone(), identity.release.clone())),
            };
            let cell = match &other_program {
                Some(other) if rule == OtherBuild::Refuse => {
                    cell.and(Err(StartRefusal::AnotherProgram(other.clone())))
                }
                _ => cell,
            };
            let candidate = Candidate {
                name: offer.script.clone(),
                run: offer.record.run.clone(),
                options_from: None,
                requires: offer.record.requires.clone(),
                origin: Origin::Bundle(Box::new(SignedScript {
                    record: offer.record,
                    bundle: OfferedBy {
                        name: offer.bundle,
                        version: offer.version,
                        id: bundle.id,
                        generation: current.number(),
                    },
                    vermagic: kernel.and_then(|kernel| kernel.vermagic.clone()),
                })),
                other_program,
                cell,
            };
            candidates.insert(offer.script, candidate);
        }
        let mut refused = Vec::new();
        for bundle in current.refused_bundles() {
            let refusal =
                StartRefusal::Untrusted { bundle: bundle.name.clone(), reason: bundle.reason.clone() };
            refused.push(LeftOutBundle { bundle: bundle.name.clone(), reason: Reason::from(&refusal) });
            for script in &bundle.claimed_scripts {
                candidates.entry(script.clone()).or_insert_with(|| Candidate {
                    name: script.clone(),
                    origin: Origin::RefusedBundle(bundle.name.clone()),
                    run: Vec::new(),
                    options_from: None,
                    requires: Vec::new(),
                    other_program: None,
                    cell: Err(refusal.clone()),
                });
            }
        }
        let is_signed = handles.values().any(|handle| !handle.record().trailers.is_empty());
        let enforces = rules.enforces_signatures();
        let keys = if is_signed { ModuleKeys::of(files, current) } else { ModuleKeys::default() };
        let read = move |script: &ScriptName| {
            let handle = handles.get(script).ok_or(StartRefusal::NotOffered)?;
            let module = current.read_module(handle).map_err(|refusal| of_installer(&refusal))?;
            let sha256 = *module.sha256();
            let trailer = keys.to_load(handle.record(), enforces);
            let had_other_trailer = module.had_other_trailer();
            let bytes = module.with_trailer(trailer);
            let signature = signature_of(handle.record(), trailer, &keys);
            Ok(VerifiedModule::vouched_for(bytes, sha256).signed(signature, had_other_trailer))
        };
        Self { candidates, refused, read: Box::new(read) }
    }
}

fn signature_of(record: &ModuleRecord, given: Option<&Trailer>, keys: &ModuleKeys) -> Signature {
    if record.trailers.is_empty() {
        return Signature::None;
    }
    let signers = record.trailers.iter().map(|trailer| keys.name(&trailer.certificate)).collect();
    let has_key = given.and_then(|given| keys.is_known(&given.certificate));
    Signature::By { signers, has_key }
}

fn refusal_of(state: OfferState, bundle: BundleName, release: Option<KernelRelease>) -> StartRefusal {
    match (state, release) {
        (OfferState::Red { reason }, _) => StartRefusal::RedOnFarm { reason },
        (OfferState::Refused(refusal), _) => of_installer(&refusal),
        // Ready is no refusal; the caller has taken it out.
        (OfferState::Ready(_), _) => StartRefusal::Missing { detail: "it wasn't looked for".into() },
        (_, None) => StartRefusal::NoKernel { bundle },
        (
            OfferState::NoKernel { mismatch: Some(Mismatch::Version { bundle: built, host, .. }), .. },
            Some(release),
        ) => StartRefusal::AnotherBuild { bundle, release, built, running: host },
        (OfferState::NoKernel { .. }, Some(release)) => StartRefusal::AnotherKernel { bundle, release },
        (OfferState::NotMaterialised, Some(release)) => StartRefusal::NotUnpacked { bundle, release },
    }
}

fn of_installer(refusal: &installer::Refusal) -> StartRefusal {
    let detail = refusal.to_string();
    match refusal {
        installer::Refusal::Storage { .. } => StartRefusal::Missing { detail },
        installer::Refusal::Twin { .. } => StartRefusal::OfferedTwice { detail },
        _ => StartRefusal::Tampered { detail },
    }
}
