//! `installer`'s current generation as the one source of offers.

use std::collections::BTreeMap;

use installer::{CurrentGeneration, HostIdentity, Mismatch, ModuleHandle, OfferState};
use script_config::ScriptName;

use crate::offers::offer::{CompiledWith, Offer, OfferedBy, RefusedBundle, Source, VerifiedModule};
use crate::reasons::{Reason, Refusal};

/// The current generation, seen from the running kernel.
#[derive(Debug)]
pub(crate) struct Generation<'g> {
    current: &'g CurrentGeneration,
    offers: Vec<Offer>,
    handles: BTreeMap<ScriptName, ModuleHandle>,
}

/// A host on which nothing is installed.
#[derive(Debug)]
pub(crate) struct Nothing;

impl<'g> Generation<'g> {
    pub(crate) fn new(current: &'g CurrentGeneration, identity: &HostIdentity) -> Self {
        let release = identity.release.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut handles = BTreeMap::new();
        let mut offers: Vec<Offer> = Vec::new();
        for offered in current.offers(identity) {
            let bundle = current.bundles().iter().find(|bundle| bundle.name == offered.bundle);
            let kernel = bundle.and_then(|bundle| {
                bundle.manifest.kernels.iter().find(|kernel| Some(kernel.id) == offered.kernel)
            });
            let cell = match offered.state {
                OfferState::Ready(handle) if handle.record().needs_uprobes => Err(Refusal::NeedsUprobes),
                OfferState::Ready(handle) => {
                    handles.insert(offered.script.clone(), handle);
                    Ok(())
                }
                other => Err(refusal_of(other, offered.bundle.as_str(), &release)),
            };
            offers.push(Offer {
                name: offered.script,
                compiled_with: CompiledWith::Options {
                    compile: offered.record.compile,
                    arguments: offered.record.arguments,
                    opts_line: offered.record.opts_line,
                },
                run: offered.record.run,
                options_from: None,
                requires: offered.record.requires,
                bundle: OfferedBy {
                    name: offered.bundle.to_string(),
                    version: offered.version.to_string(),
                    id: bundle.map(|bundle| bundle.id.to_string()).unwrap_or_default(),
                    generation: current.number(),
                },
                vermagic: kernel.and_then(|kernel| kernel.vermagic.clone()),
                cell,
            });
        }
        add_refused_bundles(current, &mut offers);
        Self { current, offers, handles }
    }
}

/// Scripts of bundles that aren't believed. They are offered only so far that their refusal can be told.
fn add_refused_bundles(current: &CurrentGeneration, offers: &mut Vec<Offer>) {
    for refused in current.refused_bundles() {
        for script in &refused.claimed_scripts {
            if offers.iter().any(|offer| offer.name == *script) {
                continue;
            }
            offers.push(Offer {
                name: script.clone(),
                compiled_with: CompiledWith::Line(String::new()),
                run: Vec::new(),
                options_from: None,
                requires: Vec::new(),
                bundle: OfferedBy {
                    name: refused.name.clone(),
                    version: String::new(),
                    id: String::new(),
                    generation: current.number(),
                },
                vermagic: None,
                cell: Err(disbelief(refused)),
            });
        }
    }
    offers.sort_by(|a, b| a.name.cmp(&b.name));
}

fn disbelief(refused: &installer::RefusedBundle) -> Refusal {
    Refusal::Untrusted { bundle: refused.name.clone(), reason: refused.reason.clone() }
}

fn refusal_of(state: OfferState, bundle: &str, release: &str) -> Refusal {
    let (bundle, release) = (bundle.to_owned(), release.to_owned());
    match state {
        OfferState::Red { reason } => Refusal::RedOnFarm { reason },
        OfferState::NoKernel { mismatch: Some(Mismatch::Version { bundle: built, host, .. }), .. } => {
            Refusal::AnotherBuild { bundle, release, built, running: host }
        }
        OfferState::NoKernel { .. } if release.is_empty() => Refusal::NoKernel { bundle },
        OfferState::NoKernel { .. } => Refusal::AnotherKernel { bundle, release },
        OfferState::NotMaterialised => Refusal::NotUnpacked { bundle, release },
        OfferState::Refused(refusal) => of_installer(&refusal),
        // Ready is no refusal; the caller has taken it out.
        OfferState::Ready(_) => Refusal::Missing { detail: "it wasn't looked for".into() },
    }
}

fn of_installer(refusal: &installer::Refusal) -> Refusal {
    let detail = refusal.to_string();
    match refusal {
        installer::Refusal::Storage { .. } => Refusal::Missing { detail },
        installer::Refusal::Twin { .. } => Refusal::OfferedTwice { detail },
        _ => Refusal::Tampered { detail },
    }
}

impl Source for Generation<'_> {
    fn offers(&self) -> &[Offer] {
        &self.offers
    }

    fn refused_bundles(&self) -> Vec<RefusedBundle> {
        let told = |refused: &installer::RefusedBundle| RefusedBundle {
            bundle: refused.name.clone(),
            reason: Reason::from(&disbelief(refused)),
        };
        self.current.refused_bundles().iter().map(told).collect()
    }

    fn read(&self, offer: &Offer) -> Result<VerifiedModule, Refusal> {
        let handle = self.handles.get(&offer.name).ok_or(Refusal::NotOffered)?;
        let module = self.current.read_module(handle).map_err(|refusal| of_installer(&refusal))?;
        let sha256 = module.sha256().to_string();
        Ok(VerifiedModule::vouched_for(module.into_bytes(), sha256))
    }
}

impl Source for Nothing {
    fn offers(&self) -> &[Offer] {
        &[]
    }

    fn refused_bundles(&self) -> Vec<RefusedBundle> {
        Vec::new()
    }

    fn read(&self, _offer: &Offer) -> Result<VerifiedModule, Refusal> {
        Err(Refusal::NotOffered)
    }
}
