//! The kernels that are installed on this host: the releases in /lib/modules, and what their own modules say of how they were
//! built.

use std::collections::BTreeMap;
use std::path::Path;

use bundle_format::{Kernel, KernelId, KernelRelease};
use files::{Directory, FileError, FileSystem, optional};
use kernel_module::{Compression, Fields};
use rustix::fs::FileType;

use crate::host::identity::{HostIdentity, Mismatch};
use crate::host::paths::LIB_MODULES;

/// Most bytes of `modules.dep`, and of a module, that are read.
const MAX_READ: u64 = 32 << 20;

/// Where a kernel's own modules are below its directory, not those that were built later for it.
const OWN: &str = "kernel/";

/// How many of them are tried, should the first be damaged.
const TRIES: usize = 4;

/// This host, by which the kernels of a bundle are judged.
#[derive(Debug)]
pub(crate) struct HostKernels<'h> {
    identity: &'h HostIdentity,
    installed: Vec<KernelRelease>,
    vermagics: BTreeMap<KernelRelease, String>,
    /// Kernels of a bundle that are other builds than this host's.
    other_builds: BTreeMap<KernelId, Mismatch>,
}

impl<'h> HostKernels<'h> {
    /// Reads /lib/modules.
    pub(crate) fn read(host: &FileSystem, identity: &'h HostIdentity) -> Result<Self, FileError> {
        let installed = installed_releases(host)?;
        let vermagic = |release: &KernelRelease| Some((release.clone(), kernel_vermagic(host, release)?));
        let vermagics = installed.iter().filter_map(vermagic).collect();
        Ok(Self { identity, installed, vermagics, other_builds: BTreeMap::new() })
    }

    /// What the host says of itself.
    pub(crate) const fn identity(&self) -> &'h HostIdentity {
        self.identity
    }

    /// The installed releases, in their natural order.
    pub(crate) fn installed(&self) -> &[KernelRelease] {
        &self.installed
    }

    /// Takes kernels of a bundle for what their modules' symbols show them to be (`install/symbols.rs`).
    pub(crate) fn learn(&mut self, other_builds: BTreeMap<KernelId, Mismatch>) {
        self.other_builds.extend(other_builds);
    }

    /// What separates this host from `kernel`: [`HostIdentity::mismatch`], the vermagic where both are known, and what was
    /// [learnt](Self::learn). Whether it runs or not, a kernel loads no module of another vermagic.
    pub(crate) fn mismatch(&self, kernel: &Kernel) -> Option<Mismatch> {
        let mismatch = self.identity.mismatch(kernel).or_else(|| self.other_vermagic(kernel));
        mismatch.or_else(|| self.other_builds.get(&kernel.id).cloned())
    }

    fn other_vermagic(&self, kernel: &Kernel) -> Option<Mismatch> {
        let bundle = kernel.vermagic.as_deref()?.trim_end().to_owned();
        let host = self.vermagics.get(&kernel.release)?.clone();
        let release = kernel.release.clone();
        (bundle != host).then_some(Mismatch::Vermagic { release, bundle, host })
    }
}

/// The releases whose modules are on this host, in their natural order. A directory that holds only
/// what others left there, such as /lib/modules/REL/systemtap, is no installed kernel.
pub fn installed_releases(host: &FileSystem) -> Result<Vec<KernelRelease>, FileError> {
    let Some(all) = optional(host.open_dir(LIB_MODULES))? else { return Ok(Vec::new()) };
    let mut releases = Vec::new();
    for name in all.entries()? {
        let Ok(release) = name.parse::<KernelRelease>() else { continue };
        if all.kind(&name)? != Some(FileType::Directory) {
            continue;
        }
        let inside = all.open_dir(&name)?;
        if inside.kind("modules.order")?.is_some() || inside.kind("kernel")?.is_some() {
            releases.push(release);
        }
    }
    releases.sort();
    Ok(releases)
}

/// The vermagic of one of the release's own modules, without blanks at its end. What can't be read is not known: that is no reason to
/// refuse anything.
#[must_use]
pub fn kernel_vermagic(host: &FileSystem, release: &KernelRelease) -> Option<String> {
    let directory = host.open_dir(Path::new(LIB_MODULES).join(release.as_str())).ok()?;
    let index = directory.read_file("modules.dep", MAX_READ).ok()?;
    let index = String::from_utf8(index).ok()?;
    let modules = index.lines().filter_map(|line| line.split_once(':')).map(|(module, _)| module);
    let own = modules.filter(|module| module.starts_with(OWN) && Compression::of_module(module).is_some());
    let found = own.take(TRIES).find_map(|module| vermagic_of(host, &directory, module))?;
    // Of another release it would say nothing about this one.
    (found.split(' ').next() == Some(release.as_str())).then_some(found)
}

fn vermagic_of(host: &FileSystem, modules: &Directory, module: &str) -> Option<String> {
    let path = modules.path().join(module);
    let name = path.file_name()?.to_str()?;
    let bytes = host.open_dir(path.parent()?).ok()?.read_file(name, MAX_READ).ok()?;
    let plain = Compression::of_module(name)?.unpack(&bytes, MAX_READ).ok()?;
    Fields::read(&plain).ok()?.vermagic().map(str::to_owned)
}
