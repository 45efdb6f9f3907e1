//! What a kernel's build tree says about the kernel.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle_format::{Digest, KernelRelease, Machine};

use super::architecture::{architecture_of, machines};
use super::kernel_config::{CONFIGURATION, compiler_of_config, machine_of_config, wants_symbol_versions};
use crate::kernels::{StoredPackage, vmlinux_places};
use crate::sandbox::{Overlay, Sysroot};
use crate::words::quoted;

/// A kernel to compile for: its build tree in one of the sysroots and what that tree says.
///
/// The vermagic isn't known yet: it's read from the modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelTarget {
    /// What `uname -r` prints.
    pub release: KernelRelease,
    /// What `uname -m` prints.
    pub machine: Machine,
    /// What `uname -v` prints, if the tree tells.
    pub uname_v: Option<String>,
    /// Digest of `Module.symvers`, if there is one.
    pub symvers: Option<Digest>,
    /// Digest of `include/config/auto.conf`, which the build reads; if there is one.
    pub config: Option<Digest>,
    /// What compiled the kernel, if the tree tells.
    pub kernel_compiler: Option<String>,
    /// What will compile its modules: what the compiler that kbuild calls says of its version.
    pub compiler: Option<String>,
    /// What make is given so that kbuild calls that compiler.
    pub make: Vec<String>,
    /// It loads no module without symbol versions: it has `CONFIG_MODVERSIONS`, and not `CONFIG_MODULE_FORCE_LOAD`.
    pub wants_symbol_versions: bool,
    /// It was given by the path of its tree.
    pub by_path: bool,
    /// Index of the sysroot in the plan.
    pub sysroot: usize,
    /// The build tree as seen inside the sysroot: absolute, without links.
    pub build_tree: PathBuf,
    /// Digest over every file of the build tree and of the trees it refers to.
    pub tree_digest: Digest,
    /// Digest over debuginfo and symbols of the kernel in the sysroot, if there are any.
    pub debuginfo: Option<Digest>,
    /// What of the kernel comes from outside of the sysroot, and where compiles find it.
    pub overlay: Overlay,
    /// The packages of the kernel store that are part of that.
    pub packages: Vec<StoredPackage>,
    /// Digest of the sizes and times by which stap names what it caches (hash.cxx), besides what the digests cover.
    pub stamp: Digest,
    /// Modification time of `Module.symvers`, seconds since 1970; 0 if there is none.
    pub modified: u64,
}

impl KernelTarget {
    /// The root in which compiles for it run: its sysroot, with what comes from outside.
    pub(crate) fn root(&self, sysroots: &[Arc<Sysroot>]) -> Sysroot {
        sysroots[self.sysroot].under(&self.overlay)
    }

    /// The options that stap is given for it besides `-r`: its architecture, which never is that of the farm, and its compiler.
    pub(crate) fn stap_options(&self) -> Vec<String> {
        let architecture = architecture_of(&self.machine).unwrap_or(self.machine.as_str());
        let make = self.make.iter().flat_map(|flag| ["-B", flag]);
        ["-a", architecture].into_iter().chain(make).map(str::to_owned).collect()
    }

    /// What `stap -r` is given.
    #[must_use]
    pub fn named_for_stap(&self) -> String {
        if self.by_path { self.build_tree.display().to_string() } else { self.release.to_string() }
    }
}

/// Why a directory isn't the build tree that was looked for.
#[derive(Debug, thiserror::Error)]
pub enum KernelTreeError {
    #[error("{path} can't be read")]
    Read {
        /// The file, as seen inside the sysroot.
        path: PathBuf,
        source: io::Error,
    },
    #[error("{tree} is a build tree of {found}, not of {wanted}")]
    OtherRelease {
        /// The tree, as seen inside the sysroot.
        tree: PathBuf,
        /// What its `utsrelease.h` says.
        found: String,
        wanted: KernelRelease,
    },
    /// Nothing in the tree tells for which machine it is.
    #[error(
        "{tree} doesn't tell its machine: neither UTS_MACHINE in include/generated/compile.h nor a known CONFIG_ in include/config/auto.conf"
    )]
    NoMachine {
        /// The tree, as seen inside the sysroot.
        tree: PathBuf,
    },
    #[error("{tree} is a build tree for {machine}; modules are made for {}", machines())]
    OtherMachine {
        /// The tree, as seen inside the sysroot.
        tree: PathBuf,
        /// What `uname -m` says there.
        machine: String,
    },
}

impl KernelTreeError {
    /// For a manifest: without paths of this machine.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::Read { path, source } => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("its {} can't be read: {}", name.to_string_lossy(), source.kind())
            }
            Self::OtherRelease { found, .. } => format!("it is a build tree of {found}"),
            Self::NoMachine { .. } => "it doesn't tell its machine".to_owned(),
            Self::OtherMachine { machine, .. } => format!("it is a build tree for {machine}"),
        }
    }
}

/// Where the build tree of a release is looked for, as seen inside a sysroot.
#[must_use]
pub fn build_link(release: &KernelRelease) -> PathBuf {
    Path::new("/lib/modules").join(release.as_str()).join("build")
}

/// The facts that are in a few small files of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeFacts {
    pub machine: Machine,
    pub uname_v: Option<String>,
    pub kernel_compiler: Option<String>,
    pub wants_symbol_versions: bool,
}

/// The release that the tree at `tree` is for, or why that can't be told.
pub(crate) fn release_of(sysroot: &Sysroot, tree: &Path) -> Result<KernelRelease, String> {
    let utsrelease = tree.join("include/generated/utsrelease.h");
    let text = sysroot.read(&utsrelease).map_err(|error| format!("{}: {error}", utsrelease.display()))?;
    let found = defined(&text, "UTS_RELEASE").unwrap_or_default();
    found.parse().map_err(|error: bundle_format::NameError| format!("{}: {error}", utsrelease.display()))
}

/// Reads the facts of the tree at `tree` (inside the root) and checks that it's the tree of `release`.
pub(crate) fn read_facts(
    sysroot: &Sysroot,
    tree: &Path,
    release: &KernelRelease,
) -> Result<TreeFacts, KernelTreeError> {
    let utsrelease = tree.join("include/generated/utsrelease.h");
    let text =
        sysroot.read(&utsrelease).map_err(|source| KernelTreeError::Read { path: utsrelease, source })?;
    let found = defined(&text, "UTS_RELEASE").unwrap_or_default();
    if found != release.as_str() {
        return Err(KernelTreeError::OtherRelease { tree: tree.to_owned(), found, wanted: release.clone() });
    }
    let compile = sysroot.read(&tree.join("include/generated/compile.h")).unwrap_or_default();
    // Since 6.1 in a file of its own, before that in compile.h.
    let version = sysroot.read(&tree.join("include/generated/utsversion.h")).unwrap_or_default();
    let config = sysroot.read(&tree.join(CONFIGURATION)).unwrap_or_default();
    let machine = defined(&compile, "UTS_MACHINE")
        .or_else(|| machine_of_config(&config))
        .ok_or_else(|| KernelTreeError::NoMachine { tree: tree.to_owned() })?;
    let machine = match machine.parse() {
        Ok(known) if architecture_of(&known).is_some() => known,
        _ => return Err(KernelTreeError::OtherMachine { tree: tree.to_owned(), machine: quoted(&machine) }),
    };
    Ok(TreeFacts {
        machine,
        uname_v: defined(&version, "UTS_VERSION").or_else(|| defined(&compile, "UTS_VERSION")),
        kernel_compiler: defined(&compile, "LINUX_COMPILER").or_else(|| compiler_of_config(&config)),
        wants_symbol_versions: wants_symbol_versions(&config),
    })
}

/// The text in quotes that `#define NAME "…"` gives.
fn defined(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix("#define")?.trim_start().strip_prefix(name)?;
        let value = value.strip_prefix([' ', '\t'])?.trim();
        Some(value.strip_prefix('"')?.strip_suffix('"')?.to_owned())
    })
}

/// The directories whose files go into modules for this tree, as seen inside the root, each once.
///
/// Distributions split the tree: Debian's `build` includes the Makefile of a "-common" tree and has links to a tree of
/// tools; `lib/modules/REL/source` leads to the first of them as well.
pub(crate) fn trees_of(sysroot: &Sysroot, tree: &Path, release: &KernelRelease) -> BTreeSet<PathBuf> {
    let mut trees = BTreeSet::from([tree.to_owned()]);
    let source = Path::new("/lib/modules").join(release.as_str()).join("source");
    trees.extend(sysroot.resolve(&source));
    for name in ["scripts", "tools"] {
        trees.extend(sysroot.resolve(&tree.join(name)).ok().filter(|target| !target.starts_with(tree)));
    }
    let makefile = sysroot.read(&tree.join("Makefile")).unwrap_or_default();
    let included = makefile.lines().filter_map(|line| line.strip_prefix("include "));
    for path in included.map(str::trim).filter(|path| path.starts_with('/')) {
        let directory = Path::new(path).parent().and_then(|directory| sysroot.resolve(directory).ok());
        trees.extend(directory.filter(|directory| directory.parent().is_some()));
    }
    // All that a stored kernel lays there may be reached from its tree.
    let laid = sysroot.overlay().iter().map(|(inside, _)| inside);
    let of_sources = laid.filter(|inside| {
        inside.starts_with("/usr/src") || inside.to_string_lossy().starts_with("/usr/lib/linux-kbuild-")
    });
    trees.extend(of_sources.filter_map(|inside| sysroot.resolve(inside).ok()));
    trees
}

/// Whether a sysroot has the debuginfo of a kernel itself.
pub(crate) fn has_debuginfo(sysroot: &Sysroot, release: &KernelRelease) -> bool {
    vmlinux_places(release).iter().any(|place| sysroot.host_path(place).is_ok_and(|path| path.is_file()))
}

/// Whether a sysroot has a kernel's own modules.
pub(crate) fn has_modules(sysroot: &Sysroot, release: &KernelRelease) -> bool {
    let own = Path::new("/lib/modules").join(release.as_str()).join("kernel");
    sysroot.host_path(&own).is_ok_and(|path| path.is_dir())
}

/// Where debuginfo and symbols of a kernel are, as far as they exist: what stap finds there goes into modules.
///
/// Separate files below `usr/lib/debug`; the kernel and its symbol table in `boot`; the kernel's own modules, whose build ids stap
/// reads. What is there by build id: `build_ids`.
pub(crate) fn debuginfo_of(sysroot: &Sysroot, release: &KernelRelease) -> BTreeSet<PathBuf> {
    let places = [
        format!("/usr/lib/debug/lib/modules/{release}"),
        format!("/usr/lib/debug/usr/lib/modules/{release}"),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/boot/System.map-{release}"),
        format!("/usr/lib/debug/boot/System.map-{release}"),
        format!("/boot/vmlinux-{release}"),
    ];
    let mut found: BTreeSet<PathBuf> =
        places.iter().filter_map(|place| sysroot.resolve(Path::new(place)).ok()).collect();
    let own = Path::new("/lib/modules").join(release.as_str());
    // `build` and `source` are links to trees that are digested themselves; lists and indexes beside them aren't read.
    let names = sysroot.names_in(&own).into_iter().map(|name| own.join(name));
    let is_read = |path: &PathBuf| {
        let place = sysroot.resolve(path.parent().unwrap_or(path)).unwrap_or_default();
        let name = path.file_name().unwrap_or_default();
        let is_directory =
            sysroot.below(&place.join(name)).symlink_metadata().is_ok_and(|kind| kind.is_dir());
        let is_tree = matches!(name.to_str(), Some("build" | "source"));
        (is_directory && !is_tree) || name.as_encoded_bytes().starts_with(b"vmlinux")
    };
    found.extend(names.filter(is_read).filter_map(|path| sysroot.resolve(&path).ok()));
    found
}

#[cfg(test)]
mod tests;
