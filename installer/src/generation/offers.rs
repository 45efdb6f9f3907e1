//! What the current generation offers to the kernel that runs.

use bundle_format::{BundleName, BundleVersion, Kernel, KernelId, KernelRelease, ScriptName, ScriptRecord};

use crate::generation::current::CurrentGeneration;
use crate::generation::installed::InstalledBundle;
use crate::generation::module::{ModuleHandle, ReadSet, Refusal, read_sets};
use crate::host::HostIdentity;
use files::with_causes;

/// One script of an installed bundle, seen from the running kernel.
#[derive(Debug, Clone)]
pub struct Offer {
    pub script: ScriptName,
    /// Its signed record.
    pub record: ScriptRecord,
    pub bundle: BundleName,
    pub version: BundleVersion,
    /// The bundle's kernel that is the running one; `None` if it has none.
    pub kernel: Option<KernelId>,
    /// Whether it can be loaded.
    pub state: OfferState,
}

/// Whether a script can be loaded into the running kernel, and why not.
#[derive(Debug, Clone)]
pub enum OfferState {
    /// [`CurrentGeneration::read_module`] gives its bytes.
    Ready(ModuleHandle),
    /// It failed to compile for this kernel.
    Red {
        /// The signed reason.
        reason: String,
    },
    /// The bundle has nothing for this kernel.
    NoKernel {
        /// The releases that it has, in their natural order.
        covered: Vec<KernelRelease>,
        /// What separates the running kernel from one of the same release.
        mismatch: Option<crate::Mismatch>,
    },
    /// The bundle has the module but it wasn't unpacked: the kernel came after the bundle.
    NotMaterialised,
    /// What was unpacked isn't what was signed.
    Refused(Refusal),
}

impl CurrentGeneration {
    /// All scripts of all believed bundles, by name, as the running kernel of `identity` finds them.
    #[must_use]
    pub fn offers(&self, identity: &HostIdentity) -> Vec<Offer> {
        let mut offers: Vec<Offer> = Vec::new();
        for bundle in self.bundles() {
            let kernel = running_kernel(bundle, identity);
            let sets = kernel.map(|kernel| read_sets(bundle, kernel));
            for record in &bundle.manifest.scripts {
                let state = match (kernel, &sets) {
                    (Some(kernel), Some(sets)) => state_of(kernel, sets, record),
                    _ => no_kernel(bundle, identity),
                };
                offers.push(Offer {
                    script: record.name.clone(),
                    record: record.clone(),
                    bundle: bundle.name.clone(),
                    version: bundle.version.clone(),
                    kernel: kernel.map(|kernel| kernel.id),
                    state,
                });
            }
        }
        offers.sort_by(|a, b| a.script.cmp(&b.script));
        refuse_twins(&mut offers);
        offers
    }
}

/// The bundle's kernel that runs; one that states its `uname -v` goes before one that doesn't.
pub(crate) fn running_kernel<'b>(bundle: &'b InstalledBundle, identity: &HostIdentity) -> Option<&'b Kernel> {
    let runs = bundle.manifest.kernels.iter().filter(|kernel| identity.runs(kernel));
    runs.max_by_key(|kernel| kernel.uname_v.is_some())
}

fn no_kernel(bundle: &InstalledBundle, identity: &HostIdentity) -> OfferState {
    let kernels = bundle.manifest.kernels_by_release();
    let same_release = kernels.iter().find(|kernel| Some(&kernel.release) == identity.release.as_ref());
    let mismatch = same_release.and_then(|kernel| identity.mismatch(kernel));
    let mut covered: Vec<KernelRelease> = kernels.iter().map(|kernel| kernel.release.clone()).collect();
    covered.dedup();
    OfferState::NoKernel { covered, mismatch }
}

fn state_of(kernel: &Kernel, sets: &Result<Option<ReadSet>, Refusal>, record: &ScriptRecord) -> OfferState {
    if let Some(cell) = kernel.red.iter().find(|cell| cell.script == record.name) {
        return OfferState::Red { reason: cell.reason.clone() };
    }
    match sets {
        Err(refusal) => OfferState::Refused(refusal.clone()),
        Ok(None) => OfferState::NotMaterialised,
        Ok(Some(set)) => match set.handle(kernel, &record.name) {
            Ok(handle) => OfferState::Ready(handle),
            Err(refusal) => OfferState::Refused(refusal),
        },
    }
}

/// An install refuses two bundles with one script. Where a generation has them all the same, neither is
/// offered: which one a user means can't be known.
fn refuse_twins(offers: &mut [Offer]) {
    let names: Vec<(ScriptName, BundleName)> =
        offers.iter().map(|offer| (offer.script.clone(), offer.bundle.clone())).collect();
    for offer in offers {
        let twin = names.iter().find(|(script, bundle)| *script == offer.script && *bundle != offer.bundle);
        if let Some((_, other)) = twin {
            offer.state = OfferState::Refused(Refusal::Twin { other: other.clone() });
        }
    }
}

impl From<&files::FileError> for Refusal {
    fn from(error: &files::FileError) -> Self {
        Self::Storage { problem: with_causes(error), unreadable: error.is_device() }
    }
}
