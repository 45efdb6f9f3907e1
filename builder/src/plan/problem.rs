//! All that can be wrong with a request, each with the next step where there is one.

use std::fmt;
use std::path::PathBuf;

use bundle_format::{KernelRelease, NameError, ScriptName};

use crate::inputs::{KernelTreeError, ToolchainError};
use crate::kernels::KernelStoreError;
use crate::sandbox::{SandboxError, SysrootError};
use crate::words::KernelPackages;

/// One thing that is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum PlanProblem {
    #[error("no kernel release is given")]
    NoReleases,
    #[error("no script is given")]
    NoScripts,
    /// A path that isn't that of a build tree.
    #[error("`-r {given}` isn't a kernel's build tree: {reason}")]
    PathNotATree { given: String, reason: String },
    /// A path outside of all sysroots, of which there are several.
    #[error(
        "`-r {given}`, kernel {release}: several sysroots could compile for it; `--pin {release}=DIR` says which does"
    )]
    PathNeedsPin { given: String, release: KernelRelease },
    /// A pin to a directory that isn't one of the sysroots.
    #[error("--pin {release}={directory}: {directory} isn't one of the sysroots (--sysroot)")]
    PinToNoSysroot { release: String, directory: PathBuf },
    /// A compiler for a kernel that isn't in the build.
    #[error("--compiler {release}={program}: kernel {release} isn't one of the build's")]
    CompilerOfNoKernel { release: String, program: String },
    /// A program whose changes no result would notice.
    #[error(
        "--compiler {release}={program}: {program} isn't the name of a compiler: gcc or clang, with a version, or a prefix such as aarch64-linux-gnu-"
    )]
    NoCompilerName { release: String, program: String },
    /// A compiler that isn't there.
    #[error(
        "--compiler {release}={program}: sysroot {sysroot} has no /usr/bin/{program}, or it can't be run there"
    )]
    NoSuchCompiler { release: KernelRelease, program: String, sysroot: PathBuf },
    #[error("kernel {release} was asked for twice, with the build trees {first} and {second}")]
    GivenTwice { release: KernelRelease, first: PathBuf, second: PathBuf },
    /// All kernels were asked for, and there are none.
    #[error("no build tree of any kernel: there is none in {}", looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "))]
    NoBuildTrees { looked_at: Vec<PathBuf> },
    #[error(transparent)]
    NotARelease(#[from] NameError),
    #[error(transparent)]
    Sysroot(#[from] SysrootError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// No sysroot has a build tree of a release.
    #[error(
        "no build tree for {release}: there is no {}{}{}; install {}, or take it into the kernel store (stap-bundle kernel add)",
        listed(looked_at),
        dangling.as_ref().map(ToString::to_string).unwrap_or_default(),
        nearest(release, others),
        headers_package(release)
    )]
    NoBuildTree {
        release: KernelRelease,
        looked_at: Vec<PathBuf>,
        /// The first of those that is a link to nothing.
        dangling: Option<DanglingLink>,
        /// Releases with a tree there.
        others: Vec<KernelRelease>,
    },
    /// Packages of the kernel store don't make a whole build tree.
    #[error(
        "the build tree of {release} in the kernel store refers to {lacks}, which is not there: add the package that has it \
         (stap-bundle kernel add)"
    )]
    Incomplete { release: KernelRelease, lacks: PathBuf },
    #[error("the kernel store can't be used")]
    Store(#[from] KernelStoreError),
    /// What a stored kernel has can't be laid over a sysroot.
    #[error("kernel {release} of the kernel store can't be read")]
    Overlay { release: KernelRelease, source: std::io::Error },
    /// Two sysroots have a build tree of a release.
    #[error(
        "{release} has a build tree in two sysroots, {first} and {second}; `--pin {release}=DIR` decides"
    )]
    TwoBuildTrees { release: KernelRelease, first: PathBuf, second: PathBuf },
    #[error("the build tree of {release} in sysroot {sysroot} can't be used")]
    Tree { release: KernelRelease, sysroot: PathBuf, source: KernelTreeError },
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error("cancelled while toolchains and build trees were read")]
    Cancelled,
    #[error("two scripts are called {name}")]
    TwoScripts { name: ScriptName },
    #[error("script {script}: the tapset directory {directory} (-I) can't be read")]
    TapsetDirectory { script: ScriptName, directory: PathBuf, source: std::io::Error },
    #[error(
        "script {script}: the compile option {option} names a directory of this machine, which isn't supported yet"
    )]
    DirectoryOption { script: ScriptName, option: String },
    #[error(
        "script {script}: the option -a in {script}_OPT: the architecture is that of each kernel's build tree; take the option out"
    )]
    ArchitectureOption { script: ScriptName },
}

/// A `build` link that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DanglingLink {
    /// As seen inside the sysroot.
    pub target: PathBuf,
}

impl fmt::Display for DanglingLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " (a link to {}, which isn't there)", self.target.display())
    }
}

impl PlanProblem {
    /// The kernel whose build tree is missing or bad, if that is the problem.
    pub(crate) fn release(&self) -> Option<&KernelRelease> {
        match self {
            Self::NoBuildTree { release, .. }
            | Self::TwoBuildTrees { release, .. }
            | Self::Incomplete { release, .. }
            | Self::Tree { release, .. } => Some(release),
            _ => None,
        }
    }

    /// The problem, with what is wrong with a build tree.
    pub(crate) fn in_one_line(&self) -> String {
        match self {
            Self::Tree { source, .. } => format!("{self}: {source}"),
            Self::Store(source) => format!("{self}: {source}"),
            Self::Overlay { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// Everything that is wrong with a request.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PlanError {
    /// At least one.
    pub problems: Vec<PlanProblem>,
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and no ")
}

/// The releases most like the one that is missing: it may have been mistyped.
fn nearest(release: &KernelRelease, others: &[KernelRelease]) -> String {
    const SHOWN: usize = 3;
    let wanted = release.as_str().as_bytes();
    let common = |other: &&KernelRelease| {
        wanted.iter().zip(other.as_str().as_bytes()).take_while(|(one, other)| one == other).count()
    };
    let mut others: Vec<&KernelRelease> = others.iter().collect();
    others.sort_by_key(|other| std::cmp::Reverse(common(other)));
    let named: Vec<&str> = others.iter().take(SHOWN).map(|other| other.as_str()).collect();
    match (named.join(", "), others.len().saturating_sub(SHOWN)) {
        (none, _) if none.is_empty() => none,
        (named, 0) => format!(", but {named}"),
        (named, more) => format!(", but {named} and {more} more"),
    }
}

/// The package with a release's build tree, by the name that its distribution gives it; where none is known, what the package has.
fn headers_package(release: &KernelRelease) -> String {
    let known = KernelPackages::of(release).and_then(|packages| packages.headers.into_iter().next());
    known.unwrap_or_else(|| {
        format!(
            "its distribution's package with /lib/modules/{release}/build (linux-headers, kernel-devel or the like)"
        )
    })
}
