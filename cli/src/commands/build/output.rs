//! The file that a build writes: its place is tried before anything is compiled, and it is whole or not there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{BundleError, BundleId, KeyId, Manifest, SignedBundle, UnsignedBundle};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::new_file::{NewFile, parent_of};

/// What a build makes.
#[derive(Debug)]
pub(super) enum Product {
    Bundle(SignedBundle<File>),
    /// To be signed elsewhere.
    Payload(UnsignedBundle<File>),
}

impl Product {
    pub(super) const fn manifest(&self) -> &Manifest {
        match self {
            Self::Bundle(bundle) => bundle.manifest(),
            Self::Payload(payload) => payload.manifest(),
        }
    }

    pub(super) fn id(&self) -> BundleId {
        match self {
            Self::Bundle(bundle) => bundle.id(),
            Self::Payload(payload) => payload.id(),
        }
    }

    pub(super) fn signers(&self) -> Vec<KeyId> {
        match self {
            Self::Bundle(bundle) => bundle.signers(),
            Self::Payload(_) => Vec::new(),
        }
    }

    const fn suffix(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "stapb",
            Self::Payload(_) => "payload",
        }
    }

    fn write_to(&mut self, target: &mut dyn io::Write) -> Result<u64, BundleError> {
        match self {
            Self::Bundle(bundle) => bundle.write_to(target),
            Self::Payload(payload) => payload.write_payload_to(target),
        }
    }
}

/// The place where the product will stand.
#[derive(Debug)]
pub(super) struct Output {
    /// As given; else named after the bundle, in the current directory.
    path: Option<PathBuf>,
    file: NewFile,
}

impl Output {
    /// Makes the temporary file, and looks whether the report's directory is there.
    pub(super) fn prepare(path: Option<&Path>, report: Option<&Path>) -> Result<Self, Failure> {
        if let Some(report) = report.filter(|report| !parent_of(report).is_dir()) {
            let what = format!("{}: there is no directory for it", report.display());
            return Err(
                Failure::new(Exit::Storage, what).hint("make it first, or name another place with --report")
            );
        }
        let file = NewFile::beside(path.unwrap_or(Path::new("NAME-VERSION.stapb")))?;
        Ok(Self { path: path.map(Path::to_owned), file })
    }

    /// Writes the product and gives it its name; returns that and the length in bytes.
    pub(super) fn write(self, product: &mut Product) -> Result<(PathBuf, u64), Failure> {
        let path = self.path.unwrap_or_else(|| {
            let manifest = product.manifest();
            PathBuf::from(format!("{}-{}.{}", manifest.name, manifest.version, product.suffix()))
        });
        let size = self.file.replace(&path, |target| product.write_to(target))?;
        Ok((path, size))
    }
}
