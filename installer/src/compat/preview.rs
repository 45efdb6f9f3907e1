//! What reconciling would do to the cache after an install, for a dry run.

use std::collections::BTreeSet;

use bundle_format::{KernelId, Manifest};
use rustix::fs::FileType;

use crate::compat::link::{has_our_link, kind_word};
use crate::compat::opts_file_name;
use crate::compat::places::Places;
use crate::compat::report::{CompatError, ForeignFile, ReconcileReport};
use crate::generation::module_file_name;
use crate::identity::HostIdentity;
use crate::root::HostRoot;
use crate::storage::optional;

/// The links that would be made for the kernels `ids` of `manifest`, and what stands in their way. Nothing
/// is written. Links of ours that are there already lead through `current` and follow by themselves.
pub(crate) fn preview(
    host: &HostRoot,
    identity: &HostIdentity,
    manifest: &Manifest,
    ids: &BTreeSet<KernelId>,
) -> Result<ReconcileReport, CompatError> {
    let mut report = ReconcileReport::default();
    let places = Places::read(host, &mut report)?;
    let cache = optional(host.open_dir(&places.cache))?;
    let fits = |kernel: &&bundle_format::Kernel| {
        ids.contains(&kernel.id) && kernel.machine == identity.machine && identity.mismatch(kernel).is_none()
    };
    for kernel in manifest.kernels.iter().filter(fits) {
        let directory = match &cache {
            Some(cache) => optional(cache.open_dir(kernel.release.as_str()))?,
            None => None,
        };
        for script in manifest.scripts.iter().filter(|script| kernel.is_green(&script.name)) {
            let name = module_file_name(&script.name);
            let path = places.cache.join(kernel.release.as_str()).join(&name);
            let Some(directory) = &directory else {
                report.written.push(path);
                continue;
            };
            if has_our_link(directory, &name)? {
                continue;
            }
            let opts = opts_file_name(&script.name);
            let there = match directory.kind(&name)? {
                Some(kind) => Some((path.clone(), kind)),
                None => directory
                    .kind(&opts)?
                    .filter(|kind| *kind != FileType::RegularFile)
                    .map(|kind| (directory.path().join(&opts), kind)),
            };
            match there {
                Some((path, kind)) => {
                    report.foreign.push(ForeignFile { path, what: kind_word(kind).to_owned() });
                }
                None => report.written.push(path),
            }
        }
    }
    report.written.sort();
    Ok(report)
}
