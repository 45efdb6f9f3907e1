//! A bundle whose manifest is proven, before its content is read: what the readers and the writers of content share.

use std::sync::Arc;

use crate::container::{Head, MemberReader, Source};
use crate::document::{BundleError, Manifest, RootChain, SignatureEntry};
use crate::names::{BundleId, KeyId};
use crate::read::trust::Judge;

/// By what a verified bundle is known again to one who reads its file a second time.
#[derive(Debug, Clone)]
pub struct Twin {
    /// The digest of the manifest, and so of all but the signatures.
    pub(crate) id: BundleId,
    pub(crate) signatures: Vec<SignatureEntry>,
    pub(crate) signers: Vec<KeyId>,
    pub(crate) manifest: Arc<Manifest>,
}

/// A bundle whose manifest is signed as asked.
#[derive(Debug)]
pub struct VerifiedBundle<S> {
    pub(crate) id: BundleId,
    pub(crate) signers: Vec<KeyId>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) judge: Judge,
    pub(crate) reader: MemberReader<S>,
    /// As it was read, for those who write it again.
    pub(crate) head: Head,
    /// Whether [`Self::read_content`] looks into the scripts that travel along.
    pub(crate) with_sources: bool,
    /// Whether the extras were read already.
    pub(crate) extras_passed: bool,
}

impl<S: Source> VerifiedBundle<S> {
    /// The bundle's id.
    #[must_use]
    pub const fn id(&self) -> BundleId {
        self.id
    }

    /// The trusted keys whose signatures hold.
    #[must_use]
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// Whose keys and threshold decided.
    #[must_use]
    pub const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The signed account.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same, for who keeps it: of many kernels it is large.
    #[must_use]
    pub fn shared_manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.manifest)
    }

    /// Has what reads the content also check the scripts that travel along ([`crate::SOURCES_NAME`]), if there are any.
    #[must_use]
    pub fn checking_sources(self, with_sources: bool) -> Self {
        Self { with_sources, ..self }
    }

    /// The farm's roots that travel along, if there are any.
    pub fn roots(&self) -> Result<Option<RootChain>, BundleError> {
        if self.head.roots.is_empty() {
            return Ok(None);
        }
        // They were verified before the manifest was.
        RootChain::read_trusted(&self.head.roots).map(Some).map_err(BundleError::Roots)
    }

    /// For another reader of the same file.
    #[must_use]
    pub fn twin(&self) -> Twin {
        Twin {
            id: self.id,
            signatures: self.head.signatures.clone(),
            signers: self.signers.clone(),
            manifest: self.shared_manifest(),
        }
    }

    /// The source, read up to the end of the manifest.
    #[must_use]
    pub const fn source(&self) -> &S {
        self.reader.source()
    }

    /// The source, for who changes what it does with what is read.
    pub const fn source_mut(&mut self) -> &mut S {
        self.reader.source_mut()
    }

    /// Leaves all but the source, read up to the end of the manifest.
    #[must_use]
    pub fn into_source(self) -> S {
        self.reader.into_source()
    }

    /// The account, and what reads on behind the manifest.
    pub(crate) fn into_parts(self) -> (Arc<Manifest>, MemberReader<S>) {
        (self.manifest, self.reader)
    }
}
