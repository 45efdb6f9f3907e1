//! Why packages can't be imported.

use std::io;
use std::path::PathBuf;

use bundle_format::{KernelRelease, ScriptName};

use crate::bundle::AssemblyError;
use crate::job::ModuleError;

/// Most plain bytes for each compressed one: modules give 4 to 8, zeros 1000.
pub(super) const MAX_RATIO: u64 = 100;

/// Why packages don't make a bundle.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path}")]
    Package {
        path: PathBuf,
        #[source]
        source: PackageError,
    },
    #[error("{first} and {second} are both for {release}")]
    ReleaseTwice { release: KernelRelease, first: PathBuf, second: PathBuf },
    #[error("{first} and {second} disagree about {what}")]
    Disagree { what: String, first: PathBuf, second: PathBuf },
    #[error("{path}: {problem}")]
    Settings { path: PathBuf, problem: String },
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
}

/// Why an archive isn't a package of compiled scripts.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It can't be read, or isn't gzip or tar.
    #[error("not a package of the initscript (tar.gz)")]
    Read(#[source] io::Error),
    #[error("{what} has {found} {unit}, at most {limit} are allowed")]
    OverLimit { what: String, found: u64, unit: &'static str, limit: u64 },
    #[error("it unpacks to more than {MAX_RATIO} times its size, as no package of modules does")]
    Bomb,
    /// A name that has no place in a package.
    #[error(
        "`{name}` has no place in it: expected REL/NAME.ko, REL/NAME.opts and one configuration file, or the same below var/cache/systemtap/ and etc/systemtap/conf.d/"
    )]
    Name { name: String },
    /// A member that is neither a file nor a directory.
    #[error(
        "`{name}` is a {kind}; only plain files and directories are taken (pack with tar --format=ustar --hard-dereference)"
    )]
    Kind { name: String, kind: String },
    #[error("duplicate `{name}`")]
    Twice { name: String },
    #[error("it is for {first} and for {second}; make a package for each release")]
    TwoReleases { first: KernelRelease, second: KernelRelease },
    #[error("there is no REL/NAME.ko in it")]
    NoModule,
    #[error("it has {name}.opts but no {name}.ko")]
    OptionsAlone { name: ScriptName },
    #[error("`{name}` is not UTF-8 text")]
    NotText { name: String },
    #[error("bytes follow the end of the archive")]
    TrailingBytes,
    /// A module that a kernel before 3.5 needs and that bundles of this version don't carry.
    #[error("it has uprobes/uprobes.ko, for kernels before 3.5, which this version doesn't put into bundles")]
    Uprobes,
    /// A kernel signature that can't be kept.
    #[error(
        "module {name} carries a kernel signature, {why}: name the certificate of its key (--module-cert), or take the signature off (strip --strip-debug does)"
    )]
    Signed { name: ScriptName, why: &'static str },
    #[error("module {name}")]
    Module {
        name: ScriptName,
        #[source]
        source: ModuleError,
    },
}

impl PackageError {
    /// More of something than is allowed.
    pub(super) fn over(what: &str, found: u64, unit: &'static str, limit: u64) -> Self {
        Self::OverLimit { what: what.to_owned(), found, unit, limit }
    }
}
