//! The kernels that are installed on this host: the releases in /lib/modules, and what their own modules say of how they were
//! built.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use bundle_format::{Kernel, KernelRelease};
use rustix::fs::FileType;

use crate::identity::{HostIdentity, Mismatch};
use crate::paths::LIB_MODULES;
use files::Directory;
use files::FileSystem;
use files::{FileError, optional};

/// Most bytes of `modules.dep`, and of a module, that are read.
const MAX_READ: u64 = 32 << 20;

/// Where a kernel's own modules are below its directory, not those that were built later for it.
const OWN: &str = "kernel/";

/// What a module's `.modinfo` has before its vermagic.
const KEY: &[u8] = b"\0vermagic=";

/// This host, by which the kernels of a bundle are judged.
#[derive(Debug)]
pub(crate) struct HostKernels<'h> {
    identity: &'h HostIdentity,
    installed: Vec<KernelRelease>,
    vermagics: BTreeMap<KernelRelease, String>,
}

impl<'h> HostKernels<'h> {
    /// Reads /lib/modules.
    pub(crate) fn read(host: &FileSystem, identity: &'h HostIdentity) -> Result<Self, FileError> {
        let installed = installed_releases(host)?;
        let vermagic = |release: &KernelRelease| Some((release.clone(), vermagic(host, release)?));
        let vermagics = installed.iter().filter_map(vermagic).collect();
        Ok(Self { identity, installed, vermagics })
    }

    /// What the host says of itself.
    pub(crate) const fn identity(&self) -> &'h HostIdentity {
        self.identity
    }

    /// The installed releases, in their natural order.
    pub(crate) fn installed(&self) -> &[KernelRelease] {
        &self.installed
    }

    /// What separates this host from `kernel`: [`HostIdentity::mismatch`], and the vermagic where both are known. Whether it
    /// runs or not, a kernel loads no module of another vermagic.
    pub(crate) fn mismatch(&self, kernel: &Kernel) -> Option<Mismatch> {
        self.identity.mismatch(kernel).or_else(|| {
            let (bundle, host) = (kernel.vermagic.as_deref()?, self.vermagics.get(&kernel.release)?);
            let release = kernel.release.clone();
            let (bundle, host) = (bundle.trim_end().to_owned(), host.clone());
            (bundle != host).then_some(Mismatch::Vermagic { release, bundle, host })
        })
    }
}

/// The releases whose modules are on this host, in their natural order. A directory that holds only
/// what others left there, such as /lib/modules/REL/systemtap, is no installed kernel.
pub(crate) fn installed_releases(host: &FileSystem) -> Result<Vec<KernelRelease>, FileError> {
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

/// The vermagic of one of the release's own modules, without blanks at its end. What can't be read, or is packed by a program
/// that this one doesn't have (xz), is not known: that is no reason to refuse anything.
fn vermagic(host: &FileSystem, release: &KernelRelease) -> Option<String> {
    let directory = host.open_dir(Path::new(LIB_MODULES).join(release.as_str())).ok()?;
    let index = directory.read_file("modules.dep", MAX_READ).ok()?;
    let index = String::from_utf8(index).ok()?;
    let mut modules = index.lines().filter_map(|line| line.split_once(':')).map(|(module, _)| module);
    let readable =
        |module: &&str| module.starts_with(OWN) && (is_packed(module) || has_suffix(module, ".ko"));
    let found = vermagic_in(&module_bytes(host, &directory, modules.find(readable)?)?)?;
    // Of another release it would say nothing about this one.
    (found.split(' ').next() == Some(release.as_str())).then_some(found)
}

fn is_packed(module: &str) -> bool {
    has_suffix(module, ".ko.zst")
}

/// As depmod writes them: in small letters.
fn has_suffix(module: &str, suffix: &str) -> bool {
    module.strip_suffix(suffix).is_some()
}

fn module_bytes(host: &FileSystem, modules: &Directory, module: &str) -> Option<Vec<u8>> {
    let path = modules.path().join(module);
    let name = path.file_name()?.to_str()?;
    let bytes = host.open_dir(path.parent()?).ok()?.read_file(name, MAX_READ).ok()?;
    if !is_packed(module) {
        return Some(bytes);
    }
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(bytes.as_slice()).ok()?;
    decoder.take(MAX_READ).read_to_end(&mut plain).ok()?;
    Some(plain)
}

fn vermagic_in(module: &[u8]) -> Option<String> {
    let at = module.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let value = module.get(at..)?.split(|byte| *byte == 0).next()?;
    Some(std::str::from_utf8(value).ok()?.trim_end().to_owned())
}
