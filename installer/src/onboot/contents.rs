//! What an image has of the installed bundles: as on the host, but for one kernel and the scripts of the list.
//!
//! ```text
//! /etc/stap-bundle/trust, policy.toml            as they are
//! /var/lib/stap-bundle/state/                    floors, roots, masks: as they are
//! /var/lib/stap-bundle/current -> generations/N  the host's own number
//!   generations/N/bundles/NAME/                  the signed account and what belongs to it, and no module's frame
//!   generations/N/kernels/ID/SCRIPT.ko           the modules
//! ```
//!
//! So a start proves in the initramfs what it proves on the host: signatures → account → bytes.

use std::collections::BTreeSet;
use std::path::Path;

use bundle_format::{BundleError, Digest, Kernel, ScriptName};
use files::{Directory, FileError, FileSystem, Unprotected};

use crate::generation::{
    CurrentGeneration, InstalledBundle, Offer, OfferState, Refusal, module_file_name, set_file_name,
};
use crate::host::HostIdentity;
use crate::host::paths::{
    ADMINISTRATION, BUNDLE_FILE, BUNDLES, CURRENT, FLOORS, GENERATIONS, KERNELS, MASKS, POLICY, RECORDS,
    ROOT_RECORD, ROOTS, SETS, STATE, STATE_LAYOUT, TRUST,
};
use crate::onboot::copy;

/// Why nothing was put into an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error(transparent)]
    Storage(#[from] FileError),
    /// Others could have written what an image would believe.
    #[error("what an image would believe is not protected")]
    Unprotected(#[source] Unprotected),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kept bundle isn't what it was.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl From<Unprotected> for ImageError {
    fn from(error: Unprotected) -> Self {
        error.or(Self::Unprotected)
    }
}

/// A digest of whom this host believes, and of its policy: all that an image is given of them.
pub fn trust_digest(host: &FileSystem) -> Result<Digest, ImageError> {
    let mut all = Vec::new();
    each_believed_file(host, &mut |directory, name, bytes| {
        all.extend(directory.join(name).as_os_str().as_encoded_bytes());
        all.extend(Digest::of(bytes).as_bytes());
        Ok(())
    })?;
    Ok(Digest::of(&all))
}

/// Puts what a start of these scripts needs into the image whose root is `into`, for a kernel, of which there may be several builds: `builds`
/// are the host as it would be under each. Each module is proven before it is written. A script that no bundle has is passed over.
pub fn copy_into_image(
    host: &FileSystem,
    into: &FileSystem,
    current: &CurrentGeneration,
    builds: &[HostIdentity],
    scripts: &BTreeSet<ScriptName>,
) -> Result<(), ImageError> {
    let mut write =
        |directory: &Path, name: &str, bytes: &[u8]| into.ensure_dir(directory)?.write_new(name, bytes);
    each_believed_file(host, &mut write)?;
    copy::some(host, Path::new(STATE), &[STATE_LAYOUT], &mut write)?;
    copy::some(host, Path::new(RECORDS), &[FLOORS[0], FLOORS[1], MASKS], &mut write)?;
    let state = into.ensure_dir(STATE)?;
    let number = current.number().to_string();
    let generation = state.create_dir(GENERATIONS)?.create_dir(&number)?;
    let bundles = generation.create_dir(BUNDLES)?;
    let kernels = generation.create_dir(KERNELS)?;
    for identity in builds {
        for offer in current.offers(identity) {
            let OfferState::Ready(handle) = &offer.state else { continue };
            let Some((bundle, kernel)) = origin(current, &offer) else { continue };
            if scripts.contains(&offer.script) {
                copy_account(bundle, kernel, &bundles)?;
                let module = current.read_module(handle)?;
                let directory = kernels.ensure_dir(&kernel.id.short())?;
                write_once(&directory, &module_file_name(&offer.script), module.as_installed())?;
            }
        }
    }
    state.symlink(&format!("{GENERATIONS}/{number}"), CURRENT)?;
    Ok(())
}

fn each_believed_file(host: &FileSystem, take: &mut copy::Take<'_>) -> Result<(), Unprotected> {
    copy::tree(host, Path::new(TRUST), take)?;
    copy::some(host, Path::new(ADMINISTRATION), &[POLICY], take)?;
    copy::tree(host, &Path::new(RECORDS).join(ROOTS), take)
}

fn origin<'c>(current: &'c CurrentGeneration, offer: &Offer) -> Option<(&'c InstalledBundle, &'c Kernel)> {
    let bundle = current.bundles().iter().find(|bundle| bundle.name == offer.bundle)?;
    let kernel = bundle.manifest.kernels.iter().find(|kernel| Some(kernel.id) == offer.kernel)?;
    Some((bundle, kernel))
}

/// The signatures, the account and what travels with it, and the accounts of one kernel's modules.
fn copy_account(bundle: &InstalledBundle, kernel: &Kernel, bundles: &Directory) -> Result<(), ImageError> {
    let from = bundle.directory();
    let to = bundles.ensure_dir(bundle.name.as_str())?;
    if to.kind(BUNDLE_FILE)?.is_none() {
        bundle.verified()?.write_subset(&BTreeSet::new(), &mut to.create_file(BUNDLE_FILE)?)?;
        if from.kind(ROOT_RECORD)?.is_some() {
            copy::file(from, &to, ROOT_RECORD)?;
        }
    }
    let sets = to.ensure_dir(SETS)?;
    let there = from.open_dir(SETS)?;
    for position in 0..kernel.frames.len() {
        let name = set_file_name(&kernel.id, position);
        if sets.kind(&name)?.is_none() {
            copy::file(&there, &sets, &name)?;
        }
    }
    Ok(())
}

/// One kernel may fit two builds.
fn write_once(directory: &Directory, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    if directory.kind(name)?.is_some() { Ok(()) } else { directory.write_new(name, bytes) }
}
