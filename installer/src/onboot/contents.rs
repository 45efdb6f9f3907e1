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

use bundle_format::{BundleError, Kernel, ScriptName};
use files::{Directory, FileError, FileSystem};

use crate::generation::{
    CurrentGeneration, InstalledBundle, OfferState, Refusal, module_file_name, set_file_name,
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
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kept bundle isn't what it was.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// Puts what a start of these scripts needs into the image whose root is `into`, for the kernel of `identity`. Each module is proven
/// before it is written. A script that no bundle has for this kernel is passed over.
pub fn copy_into_image(
    host: &FileSystem,
    into: &FileSystem,
    current: &CurrentGeneration,
    identity: &HostIdentity,
    scripts: &BTreeSet<ScriptName>,
) -> Result<(), ImageError> {
    copy_trust(host, into)?;
    let state = into.ensure_dir(STATE)?;
    let number = current.number().to_string();
    let generation = state.create_dir(GENERATIONS)?.create_dir(&number)?;
    let bundles = generation.create_dir(BUNDLES)?;
    let kernels = generation.create_dir(KERNELS)?;
    for offer in current.offers(identity) {
        let OfferState::Ready(handle) = &offer.state else { continue };
        let bundle = current.bundles().iter().find(|bundle| bundle.name == offer.bundle);
        let kernel = bundle.and_then(|bundle| {
            let is_it = |kernel: &&Kernel| Some(kernel.id) == offer.kernel;
            Some((bundle, bundle.manifest.kernels.iter().find(is_it)?))
        });
        let (true, Some((bundle, kernel))) = (scripts.contains(&offer.script), kernel) else { continue };
        if bundles.kind(bundle.name.as_str())?.is_none() {
            copy_account(bundle, kernel, &bundles.create_dir(bundle.name.as_str())?)?;
        }
        let module = current.read_module(handle)?;
        let directory = kernels.ensure_dir(&kernel.id.short())?;
        directory.write_new(&module_file_name(&offer.script), module.as_installed())?;
    }
    state.symlink(&format!("{GENERATIONS}/{number}"), CURRENT)?;
    Ok(())
}

fn copy_trust(host: &FileSystem, into: &FileSystem) -> Result<(), FileError> {
    let records = Path::new(RECORDS);
    copy::tree(host, into, Path::new(TRUST))?;
    copy::some(host, into, Path::new(ADMINISTRATION), &[POLICY])?;
    copy::some(host, into, Path::new(STATE), &[STATE_LAYOUT])?;
    copy::some(host, into, records, &[FLOORS[0], FLOORS[1], MASKS])?;
    copy::tree(host, into, &records.join(ROOTS))
}

/// The signatures, the account and what travels with it, and the accounts of one kernel's modules.
fn copy_account(bundle: &InstalledBundle, kernel: &Kernel, to: &Directory) -> Result<(), ImageError> {
    let mut file = to.create_file(BUNDLE_FILE)?;
    bundle.verified()?.write_subset(&BTreeSet::new(), &mut file)?;
    let from = bundle.directory();
    if from.kind(ROOT_RECORD)?.is_some() {
        copy::file(from, to, ROOT_RECORD)?;
    }
    let sets = to.create_dir(SETS)?;
    let there = from.open_dir(SETS)?;
    for position in 0..kernel.frames.len() {
        copy::file(&there, &sets, &set_file_name(&kernel.id, position))?;
    }
    Ok(())
}
