//! Which modules the cache should show: for each release, the one kernel of it that fits this host.

use std::collections::BTreeMap;

use bundle_format::{Digest, Kernel, KernelId, KernelRelease, ScriptName};

use crate::compat::opts::{identity_problem, opts_text, uname_line};
use crate::generation::{CurrentGeneration, InstalledBundle, ModuleHandle, read_sets, running_kernel};
use crate::host::HostIdentity;
use files::{FileError, with_causes};

/// What one script's files in the cache should be.
#[derive(Debug, Clone)]
pub(super) struct CacheEntry {
    pub(super) kernel: KernelId,
    pub(super) opts: String,
    /// Digest of the script that it was made from.
    pub(super) source: Digest,
    /// Whether members of stapusr may load it.
    pub(super) for_users: bool,
    /// The way to its bytes.
    pub(super) module: ModuleHandle,
}

pub(super) type Wanted = BTreeMap<KernelRelease, BTreeMap<ScriptName, CacheEntry>>;

/// What the cache should show of `generation`; what can't be decided or proven is left out with a word. Where the disk doesn't tell
/// what is unpacked, nothing is known, and what is there stays.
pub(super) fn wanted(
    generation: &CurrentGeneration,
    identity: &HostIdentity,
    warnings: &mut Vec<String>,
) -> Result<Wanted, FileError> {
    let mut wanted = Wanted::new();
    for refused in generation.refused_bundles() {
        warnings.push(format!("bundle {} is refused: {}", refused.name, refused.reason));
    }
    if let Some(problem) = identity_problem(identity) {
        warnings.push(problem);
        return Ok(wanted);
    }
    for bundle in generation.bundles() {
        for kernel in kernels(bundle, identity, warnings)? {
            add(&mut wanted, bundle, kernel, identity, warnings);
        }
    }
    Ok(wanted)
}

fn add(
    wanted: &mut Wanted,
    bundle: &InstalledBundle,
    kernel: &Kernel,
    identity: &HostIdentity,
    warnings: &mut Vec<String>,
) {
    let sets = match read_sets(bundle, kernel) {
        Ok(Some(sets)) => sets,
        Ok(None) => return,
        Err(refusal) => {
            warnings.push(format!("bundle {}: {}", bundle.name, with_causes(&refusal)));
            return;
        }
    };
    let uname = uname_line(identity, kernel);
    let scripts = wanted.entry(kernel.release.clone()).or_default();
    for module in sets.modules() {
        let Some(record) = bundle.manifest.script(&module.name) else { continue };
        let Ok(handle) = sets.handle(kernel, &module.name) else { continue };
        let entry = CacheEntry {
            kernel: kernel.id,
            opts: opts_text(&uname, &record.opts_line),
            source: record.source_sha256,
            for_users: !record.users.is_empty(),
            module: handle,
        };
        scripts.insert(module.name.clone(), entry);
    }
}

/// One unpacked kernel for each release. Of several with one release the running one is known; of those
/// that don't run, nobody can say which is installed.
fn kernels<'b>(
    bundle: &'b InstalledBundle,
    identity: &HostIdentity,
    warnings: &mut Vec<String>,
) -> Result<Vec<&'b Kernel>, FileError> {
    let running = running_kernel(bundle, identity);
    let mut chosen: Vec<&Kernel> = running.into_iter().collect();
    let mut others: BTreeMap<&KernelRelease, Vec<&Kernel>> = BTreeMap::new();
    for kernel in &bundle.manifest.kernels {
        let runs = identity.release.as_ref() == Some(&kernel.release);
        let unpacked = bundle.raw_set(&kernel.id, 0)?.is_some();
        if !runs && unpacked && kernel.machine == identity.machine {
            others.entry(&kernel.release).or_default().push(kernel);
        }
    }
    for (release, kernels) in others {
        match kernels.as_slice() {
            [kernel] => chosen.push(kernel),
            several => warnings.push(format!(
                "bundle {} has {} kernels of release {release}: its cache is filled when it runs",
                bundle.name,
                several.len()
            )),
        }
    }
    Ok(chosen)
}
