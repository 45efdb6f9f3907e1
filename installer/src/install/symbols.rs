//! Other builds of a kernel with the release and the options of the bundle's: recognised by the CRCs of the symbols that modules use.
//!
//! A kernel with `CONFIG_MODVERSIONS` refuses a module that has another CRC for one of its symbols. So where a host has the
//! Module.symvers of a kernel, and it isn't the one that the farm compiled against, the modules are read before anything is unpacked.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::{
    Digest, Extent, Judge, Kernel, KernelId, KernelRelease, Manifest, Positioned, RawBundle, Source,
    VerifiedBundle, VerifiedSet,
};
use files::{FileSystem, optional};
use kernel_module::{Compression, Symvers, symbol_versions};

use crate::generation::CurrentGeneration;
use crate::host::{HostKernels, Mismatch};
use crate::install::bases::HostBases;
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::options::KernelChoice;
use crate::install::report::InstallWarning;
use crate::state::State;
use files::with_causes;

/// Most bytes of a Module.symvers that are read, packed or not; those of distributions have 1 to 3 MiB.
const MAX_SYMVERS: u64 = 64 << 20;

/// What comparing symbols brings to light.
#[derive(Debug, Default)]
pub(crate) struct SymbolCheck {
    /// Kernels that are another build than this host's.
    pub(crate) mismatches: BTreeMap<KernelId, Mismatch>,
    /// What couldn't be compared.
    pub(crate) warnings: Vec<InstallWarning>,
}

/// Compares the modules for `kernels` with the Module.symvers of this host. `open` gives the bundle once more, and is called only if modules must
/// be read; one that can't be read brings nothing to light here, since the install reads it again and says why.
pub(crate) fn compare_symbols<S: Source>(
    host: &FileSystem,
    manifest: &Manifest,
    kernels: &BTreeSet<KernelId>,
    current: Option<&CurrentGeneration>,
    open: impl FnOnce() -> Option<VerifiedBundle<S>>,
) -> SymbolCheck {
    let mut check = SymbolCheck::default();
    let mut suspects = BTreeMap::new();
    for kernel in manifest.kernels.iter().filter(|kernel| kernels.contains(&kernel.id)) {
        let found = HostSymvers::of(host, &kernel.release, &mut check.warnings);
        let found = found.filter(|found| kernel.symvers_sha256 != Some(found.digest));
        suspects.extend(found.map(|found| (kernel.id, found)));
    }
    let parsed = suspects.iter().filter_map(|(id, found)| Some((*id, Comparison::with(found)?)));
    let mut comparisons: BTreeMap<KernelId, Comparison<'_>> = parsed.collect();
    if comparisons.is_empty() {
        return check;
    }
    let Some(bundle) = open() else { return check };
    let wanted = comparisons.keys().copied().collect();
    let mut bases = HostBases::new(current, &manifest.name);
    let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
        if let Some(comparison) = comparisons.get_mut(&kernel.id) {
            comparison.add(kernel, set);
        }
        Ok(())
    };
    // What fails here fails again when it is unpacked.
    let _ = bundle.read_content_with(&wanted, Extent::Wanted, &mut bases, &mut receive);
    for (id, comparison) in comparisons {
        if let Some(mismatch) = comparison.mismatch {
            check.mismatches.insert(id, mismatch);
        } else if let Some(kernel) = manifest.kernels.iter().find(|kernel| kernel.id == id) {
            check.warnings.extend(comparison.unknown_to(&kernel.release));
        }
    }
    check
}

/// Leaves out of an installation the kernels that are other builds than this host's, although release and options agree. Who asks for all, or for
/// kernels by their ids, may be on another host.
pub(super) fn leave_out_other_builds(
    state: &State<'_>,
    here: &mut HostKernels<'_>,
    installation: &mut Installation<'_>,
    judge: &Judge,
    file: &Positioned,
) -> Result<(), InstallError> {
    let Installation { manifest, options, chosen, .. } = installation;
    if matches!(options.kernels, KernelChoice::All | KernelChoice::These(_)) {
        return Ok(());
    }
    // A generation that can't be read is the locked part's matter.
    let current = state.current(None).ok().flatten();
    let open = || RawBundle::read(file.again()).ok()?.verify_by(judge.clone()).ok();
    let found = compare_symbols(state.host, manifest, &chosen.kernels, current.as_ref(), open);
    chosen.warnings.extend(found.warnings);
    if found.mismatches.is_empty() {
        return Ok(());
    }
    here.learn(found.mismatches);
    Ok(chosen.leave_out_others(manifest, here, &options.kernels)?)
}

/// The modules for a kernel beside the symbols of this host's.
struct Comparison<'h> {
    host: &'h HostSymvers,
    symvers: Symvers<'h>,
    mismatch: Option<Mismatch>,
    unknown: BTreeSet<String>,
}

impl<'h> Comparison<'h> {
    fn with(host: &'h HostSymvers) -> Option<Self> {
        let symvers = Symvers::parse(&host.text)?;
        Some(Self { host, symvers, mismatch: None, unknown: BTreeSet::new() })
    }

    /// What is no module is the business of who loads it; here it only has no symbols.
    fn add(&mut self, kernel: &Kernel, set: &VerifiedSet<'_>) {
        for module in set.modules() {
            for symbol in symbol_versions(module.bytes).unwrap_or_default() {
                let host = self.symvers.crc(&symbol.name).filter(|_| symbol.crc != 0);
                match host {
                    None => {
                        self.unknown.insert(symbol.name);
                    }
                    Some(host) if host != symbol.crc && self.mismatch.is_none() => {
                        self.mismatch = Some(Mismatch::Symbol {
                            release: kernel.release.clone(),
                            script: module.record.name.clone(),
                            symbol: symbol.name,
                            bundle: symbol.crc,
                            host,
                            file: self.host.path.clone(),
                        });
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn unknown_to(self, release: &KernelRelease) -> Option<InstallWarning> {
        let symbol = self.unknown.first()?.clone();
        Some(InstallWarning::SymbolsUnknown {
            release: release.clone(),
            file: self.host.path.clone(),
            symbol,
            more: self.unknown.len() - 1,
        })
    }
}

/// The Module.symvers of a kernel, as this host has it.
struct HostSymvers {
    path: String,
    text: String,
    digest: Digest,
}

impl HostSymvers {
    /// The first that is there: a kernel's own package has it beside its image or modules, its headers' package in the build tree.
    fn of(host: &FileSystem, release: &KernelRelease, warnings: &mut Vec<InstallWarning>) -> Option<Self> {
        for (path, packing) in places(release) {
            match read(host, &path, packing) {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(problem) => {
                    let release = release.clone();
                    warnings.push(InstallWarning::SymversUnread { release, file: path, problem });
                }
            }
        }
        None
    }
}

fn places(release: &KernelRelease) -> Vec<(String, Compression)> {
    let stems = [format!("/lib/modules/{release}/symvers"), format!("/boot/symvers-{release}")];
    let packed = stems.iter().flat_map(|stem| {
        Compression::SUFFIXES.into_iter().map(move |(packing, suffix)| (format!("{stem}{suffix}"), packing))
    });
    let trees = [
        format!("/lib/modules/{release}/build"),
        format!("/usr/src/linux-headers-{release}"),
        format!("/usr/src/kernels/{release}"),
    ];
    let plain = trees.into_iter().map(|tree| (format!("{tree}/Module.symvers"), Compression::Plain));
    packed.chain(plain).collect()
}

/// `None` if nothing is there; why it can't be read otherwise.
fn read(host: &FileSystem, path: &str, packing: Compression) -> Result<Option<HostSymvers>, String> {
    let bytes = optional(host.read_file(path, MAX_SYMVERS)).map_err(|error| with_causes(&error))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let plain = packing.unpack(&bytes, MAX_SYMVERS).map_err(|error| error.to_string())?;
    let digest = Digest::of(&plain);
    let text = String::from_utf8(plain).ok().filter(|text| Symvers::parse(text).is_some());
    let text = text.ok_or_else(|| "expected lines `0xCRC SYMBOL MODULE`".to_owned())?;
    Ok(Some(HostSymvers { path: path.to_owned(), text, digest }))
}
