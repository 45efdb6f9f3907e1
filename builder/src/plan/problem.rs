//! All that can be wrong with a request, each with the next step where there is one.

use std::path::PathBuf;

use bundle_format::{KernelRelease, NameError, ScriptName};

use crate::inputs::{KernelTreeError, ToolchainError};
use crate::sandbox::{SandboxError, SysrootError};

/// One thing that is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum PlanProblem {
    /// Nothing was asked for.
    #[error("no kernel release is given")]
    NoReleases,
    /// There is nothing to compile.
    #[error("no script is given")]
    NoScripts,
    /// A path that isn't that of a build tree.
    #[error("`-r {given}` isn't a kernel's build tree: {reason}")]
    PathNotATree {
        /// As given.
        given: String,
        /// Why not.
        reason: String,
    },
    /// A path outside of all sysroots, of which there are several.
    #[error(
        "`-r {given}`, kernel {release}: several sysroots could compile for it; `--pin {release}=DIR` says which does"
    )]
    PathNeedsPin {
        /// As given.
        given: String,
        /// What the tree says.
        release: KernelRelease,
    },
    /// A pin to a directory that isn't one of the sysroots.
    #[error("--pin {release}={directory}: {directory} isn't one of the sysroots (--sysroot)")]
    PinToNoSysroot {
        /// The release as given.
        release: String,
        /// The directory as given.
        directory: PathBuf,
    },
    /// One release, two trees.
    #[error("kernel {release} was asked for twice, with the build trees {first} and {second}")]
    GivenTwice {
        /// The release.
        release: KernelRelease,
        /// One tree.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// All kernels were asked for, and there are none.
    #[error("no build tree of any kernel: there is none in {}", looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "))]
    NoBuildTrees {
        /// The directories looked at.
        looked_at: Vec<PathBuf>,
    },
    /// Not a release.
    #[error(transparent)]
    NotARelease(#[from] NameError),
    /// A sysroot can't be used.
    #[error(transparent)]
    Sysroot(#[from] SysrootError),
    /// The sandbox can't be used.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// No sysroot has a build tree of a release.
    #[error("no build tree of {release}: there is no {} ({})", listed(looked_at), headers_package(release))]
    NoBuildTree {
        /// The release.
        release: KernelRelease,
        /// The paths looked at.
        looked_at: Vec<PathBuf>,
    },
    /// Two sysroots have a build tree of a release.
    #[error(
        "{release} has a build tree in two sysroots, {first} and {second}; `--pin {release}=DIR` decides"
    )]
    TwoBuildTrees {
        /// The release.
        release: KernelRelease,
        /// One sysroot.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A build tree isn't what it should be.
    #[error("the build tree of {release} in sysroot {sysroot} can't be used")]
    Tree {
        /// The release.
        release: KernelRelease,
        /// The sysroot.
        sysroot: PathBuf,
        /// What is wrong.
        source: KernelTreeError,
    },
    /// The toolchain of a sysroot can't be used.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// It was cancelled while trees were read.
    #[error("cancelled while toolchains and build trees were read")]
    Cancelled,
    /// Two scripts have one name.
    #[error("two scripts are called {name}")]
    TwoScripts {
        /// The name.
        name: ScriptName,
    },
    /// A directory of tapsets can't be read.
    #[error("script {script}: the tapset directory {directory} (-I) can't be read")]
    TapsetDirectory {
        /// The script.
        script: ScriptName,
        /// The directory as given.
        directory: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A compile option that isn't there yet.
    #[error(
        "script {script}: the compile option {option} names a directory of this machine, which isn't supported yet"
    )]
    DirectoryOption {
        /// The script.
        script: ScriptName,
        /// The option.
        option: String,
    },
}

impl PlanProblem {
    /// The problem, with what is wrong with a build tree.
    pub(crate) fn in_one_line(&self) -> String {
        match self {
            Self::Tree { source, .. } => format!("{self}: {source}"),
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

fn headers_package(release: &KernelRelease) -> String {
    format!("the Debian package linux-headers-{release}, or Fedora's kernel-devel-{release}, would bring it")
}
