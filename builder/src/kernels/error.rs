//! Why a package isn't taken, or the store can't be used.

use std::io;
use std::path::PathBuf;

use bundle_format::KernelRelease;
use child::ChildError;
use files::{FileError, Held};

/// Why the store can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KernelStoreError {
    #[error("package {file} is refused: {why}")]
    Package { file: PathBuf, why: PackageRefusal },
    #[error("{0} has no packages: files that end with .deb or .rpm")]
    NoPackages(PathBuf),
    #[error("kernel {0} is not in the kernel store")]
    NotStored(KernelRelease),
    #[error("{record} is not understood")]
    Record { record: PathBuf, source: serde_json::Error },
    /// A stored kernel has one package by this name already.
    #[error(
        "kernel {release} has {name} {there}, and {file} is another build of it, {given}; remove the kernel first: stap-bundle kernel \
         remove {release}"
    )]
    OtherVersion { release: KernelRelease, name: String, there: String, file: PathBuf, given: String },
    /// Two packages of a kernel have one path.
    #[error("{first} and {second} both have {path}, with different content")]
    Conflict { path: PathBuf, first: String, second: String },
    #[error("keyring {path} can't be used: {why}")]
    Keyring { path: PathBuf, why: String },
    #[error("index {path} can't be used: {why}")]
    Index { path: PathBuf, why: String },
    #[error("the kernel store is in use: {0}")]
    Held(Held),
    #[error("signatures are checked by {program}: the package {program} would bring it")]
    NoVerifier { program: &'static str, source: ChildError },
    #[error(
        "kernel {0} has no image in the kernel store that tells its build id: name it (--build-id), as /sys/kernel/notes of a host has \
         it, or add the package of the kernel itself"
    )]
    NoBuildId(KernelRelease),
    #[error("{url} has no debuginfo of kernel {release}, build id {id}")]
    NotServed { release: KernelRelease, id: String, url: String },
    #[error("{url}: {said}")]
    Server { url: String, said: String },
    #[error("debuginfo is fetched by {program}: the Debian package debuginfod would bring it")]
    NoClient { program: &'static str, source: ChildError },
    /// A file that was named can't be read.
    #[error(transparent)]
    Given(FileError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{action} {path}")]
    Storage { action: &'static str, path: PathBuf, source: io::Error },
}

impl KernelStoreError {
    pub(super) fn storage(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { action, path, source }
    }
}

/// What is wrong with a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageRefusal {
    #[error("it is neither a .deb nor a .rpm")]
    NoPackage,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it can't be read: {0}")]
    Read(io::Error),
    #[error("its {what} is packed by {method}, which isn't known here; {known} are")]
    Compression { what: &'static str, method: String, known: &'static str },
    #[error("its member {member} leads out of the package")]
    Climbs { member: String },
    #[error("its member {member} is below a link")]
    BelowLink { member: String },
    #[error("its member {member} is a link, where packages of kernels have a directory")]
    LinkForDirectory { member: String },
    #[error("it is for {found} kernels, and a package is for at most {most}")]
    Releases { found: usize, most: usize },
    #[error("its member {member} is {kind}; a package of a kernel has files, directories and links")]
    Kind { member: String, kind: &'static str },
    #[error("its member {member} is there twice")]
    Twice { member: String },
    #[error("its member {member} is a hard link to {target}, which doesn't come before it")]
    HardLink { member: String, target: String },
    #[error("unpacked it has more than {most} bytes")]
    Bomb { most: u64 },
    #[error("it has more than {most} members")]
    Members { most: u64 },
    #[error("it has nothing that a compile reads: no build tree, module, symbols or debuginfo of a kernel")]
    Nothing,
    #[error("its SHA-256 is {found}, which is in no index and on no list that was given")]
    NotListed { found: String },
    #[error(
        "a .deb has no signature of its own: give InRelease and Packages of its archive, both (--index), or a list of digests"
    )]
    NoIndex,
    #[error("it has no signature")]
    Unsigned,
    #[error("its signature is by no key of the keyring: {said}")]
    Signature { said: String },
    #[error("its signature covers only its header, which has no digest of the rest")]
    HalfSigned,
}

impl PackageRefusal {
    /// Whether the package may be good, and nothing vouches for it.
    #[must_use]
    pub const fn is_of_trust(&self) -> bool {
        matches!(
            self,
            Self::NotListed { .. }
                | Self::NoIndex
                | Self::Unsigned
                | Self::Signature { .. }
                | Self::HalfSigned
        )
    }
}
