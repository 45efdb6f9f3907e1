//! From bytes to a verified manifest. [`RawBundle`] knows signatures and raw bytes; only [`RawBundle::verify`] and its
//! likes parse the manifest, and only the [`VerifiedBundle`] that they give has content.

use std::sync::Arc;

use crate::container::{
    ContainerKind, Head, MemberReader, PART_MAGIC, Source, member_header, read_first_block,
};
use crate::document::{
    BadVote, BaseBundle, BundleError, BundleKind, ContainerError, Likeness, Manifest, Part, Preface, Root,
    SIGNATURES_LEN, SignatureEntry, Votes, manifest_check, read_signatures_block, strict_json,
};
use crate::limits::{BLOCK, MAX_MANIFEST, MAX_ROOTS};
use crate::names::{
    BundleId, Digest, HEADER_NAME, KeyId, MANIFEST_NAME, PAYLOAD_NAME, ROOTS_NAME, Role, SIGNATURES_NAME,
};
use crate::read::trust::{Judge, TrustedKeys, Versions};
use crate::read::verified::{Twin, VerifiedBundle};

/// The first four members, unverified. It has no content to give: only a [`VerifiedBundle`] has.
///
/// ```compile_fail,E0599
/// # fn content(file: std::fs::File) -> Result<(), bundle_format::BundleError> {
/// let raw = bundle_format::RawBundle::read(file)?;
/// raw.read_content(&Default::default(), bundle_format::Extent::Everything, &mut |_, _| Ok(()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RawBundle<S> {
    kind: BundleKind,
    signatures: Vec<SignatureEntry>,
    roots: Vec<u8>,
    manifest: Vec<u8>,
    reader: MemberReader<S>,
}

/// What the manifest says if you believe it: for showing, never for acting.
#[derive(Debug)]
pub struct UnverifiedManifest(pub Manifest);

impl<S: Source> RawBundle<S> {
    /// Reads up to the manifest.
    pub fn read(source: S) -> Result<Self, BundleError> {
        Self::read_as(source, &[ContainerKind::Bundle])
    }

    /// Reads up to the manifest of a file that is one of `kinds`.
    pub(crate) fn read_as(source: S, kinds: &[ContainerKind]) -> Result<Self, BundleError> {
        let mut reader = MemberReader::new(source);
        let first = reader.beginning()?;
        if first.starts_with(PART_MAGIC) {
            return Err(ContainerError::Part.into());
        }
        let (kind, signatures) = if first == member_header(HEADER_NAME, BLOCK as u64)? {
            let kind = read_first_block(ContainerKind::Bundle, &reader.block(HEADER_NAME)?)?;
            let signatures = reader.member(SIGNATURES_NAME, SIGNATURES_LEN as u64)?;
            (kind, read_signatures_block(&signatures)?)
        } else if first != member_header(PAYLOAD_NAME, BLOCK as u64)? {
            // Anything that isn't a bundle fails here, in its first block, with words for that.
            return Err(Likeness::of(&first)
                .map_or(ContainerError::NotABundle, ContainerError::LooksLike)
                .into());
        } else if kinds.contains(&ContainerKind::Payload) {
            (read_first_block(ContainerKind::Payload, &reader.block(PAYLOAD_NAME)?)?, Vec::new())
        } else {
            return Err(ContainerError::Payload.into());
        };
        let roots = reader.sized_member(ROOTS_NAME, MAX_ROOTS)?;
        let manifest = reader.sized_member(MANIFEST_NAME, MAX_MANIFEST)?;
        Ok(Self { kind, signatures, roots, manifest, reader })
    }

    /// The keys that claim to have signed.
    #[must_use]
    pub fn claimed_signers(&self) -> Vec<KeyId> {
        self.signatures.iter().map(|entry| entry.key).collect()
    }

    /// Whether it is full or a delta, by its own account.
    #[must_use]
    pub const fn claimed_kind(&self) -> BundleKind {
        self.kind
    }

    /// Bytes of the raw manifest.
    #[must_use]
    pub fn manifest_len(&self) -> usize {
        self.manifest.len()
    }

    /// The id that the bundle has if its signatures hold.
    #[must_use]
    pub fn claimed_id(&self) -> BundleId {
        BundleId::of_manifest(&self.manifest)
    }

    /// Bytes of the `roots` member; 0 without roots.
    #[must_use]
    pub fn roots_len(&self) -> usize {
        self.roots.len()
    }

    /// Parses the manifest without any proof of who wrote it.
    pub fn unverified_manifest(&self) -> Result<UnverifiedManifest, BundleError> {
        self.parse_manifest().map(UnverifiedManifest)
    }

    /// Verifies the bundle's roots, if it has any, and says whose signatures count. The chain that it
    /// gives is good whether or not the bundle is: a host stores it before it goes on.
    pub fn judge(&self, trusted: &TrustedKeys) -> Result<Judge, BundleError> {
        trusted.judge(&self.roots).map_err(BundleError::Roots)
    }

    /// Verifies the roots, then the signatures over the raw manifest, then reads it.
    pub fn verify(self, trusted: &TrustedKeys) -> Result<VerifiedBundle<S>, BundleError> {
        let judge = self.judge(trusted)?;
        self.verify_by(judge)
    }

    /// Checks the signatures over the raw manifest, then reads it.
    ///
    /// Every signature by a key that `judge` knows must hold, also beyond the threshold; one by another
    /// key is neither counted nor checked.
    pub fn verify_by(self, judge: Judge) -> Result<VerifiedBundle<S>, BundleError> {
        let (manifest, signers) = self.believed_by(&judge)?;
        Ok(self.believed(Arc::new(manifest), signers, judge))
    }

    /// The manifest, if the signatures over its raw bytes hold: what [`Self::verify_by`] verifies, for who has yet to choose
    /// among several judges by what it says.
    pub fn signed_manifest(&self, judge: &Judge) -> Result<Manifest, BundleError> {
        self.believed_by(judge).map(|(manifest, _)| manifest)
    }

    fn believed_by(&self, judge: &Judge) -> Result<(Manifest, Vec<KeyId>), BundleError> {
        let message = Role::Manifest.signed_message(&self.manifest);
        let votes = judge.keys().votes(&message, &self.signatures);
        let Votes { valid: signers, withdrawn } =
            votes.map_err(|BadVote(key)| BundleError::BadSignature { key })?;
        let threshold = judge.threshold();
        if signers.len() < threshold {
            return Err(match withdrawn {
                Some((key, status)) => {
                    BundleError::Withdrawn { key, status, valid: signers.len(), threshold }
                }
                None if signers.is_empty() => BundleError::NotTrusted { signers: self.claimed_signers() },
                None => BundleError::Threshold { valid: signers.len(), threshold },
            });
        }
        let manifest = self.parse_manifest()?;
        check_by(&manifest, judge)?;
        Ok((manifest, signers))
    }

    /// Reads the manifest of the bundle that a believed delta names as its base. Its id is the digest of the raw manifest,
    /// so what names it proves it: keys that signed it may have been taken back since (`docs/bundle-spec.md`, section 8.6).
    /// Another bundle is [`BundleError::NoBase`].
    pub fn verify_named(self, from: &BaseBundle) -> Result<VerifiedBundle<S>, BundleError> {
        let id = self.claimed_id();
        if id != from.id {
            let problem = format!(
                "it is bundle {}, not {}, from which the delta was made",
                id.short(),
                from.id.short()
            );
            return Err(BundleError::NoBase { problem });
        }
        let manifest = Arc::new(self.parse_manifest()?);
        Ok(self.believed(manifest, Vec::new(), Judge::of_nobody()))
    }

    /// Takes it for a bundle that was verified by another reader of the same file; that nobody changed it meanwhile is all
    /// that is checked.
    pub fn verify_twin(self, twin: &Twin) -> Result<VerifiedBundle<S>, BundleError> {
        if !self.is_twin(twin) {
            return Err(BundleError::Changed);
        }
        Ok(self.believed(Arc::clone(&twin.manifest), Vec::new(), Judge::of_nobody()))
    }

    /// The same as [`Self::verify`] for who may have verified this very bundle before: then its signatures and its manifest are
    /// known, and only whether they count is judged again.
    pub fn verify_again(
        self,
        trusted: &TrustedKeys,
        twin: Option<&Twin>,
    ) -> Result<VerifiedBundle<S>, BundleError> {
        let judge = self.judge(trusted)?;
        let Some(twin) = twin.filter(|twin| self.is_twin(twin)) else { return self.verify_by(judge) };
        let keys = judge.keys();
        let signers: Vec<KeyId> =
            self.signatures.iter().map(|entry| entry.key).filter(|key| keys.knows(key)).collect();
        let is_known = signers.iter().all(|key| keys.counts(key) && twin.signers.contains(key));
        if !is_known || signers.len() < judge.threshold() {
            return self.verify_by(judge);
        }
        check_by(&twin.manifest, &judge)?;
        Ok(self.believed(Arc::clone(&twin.manifest), signers, judge))
    }

    /// Kind and roots are the manifest's, or it wouldn't have been verified.
    fn is_twin(&self, twin: &Twin) -> bool {
        let roots = &twin.manifest.roots;
        self.signatures == twin.signatures
            && self.kind == twin.manifest.kind
            && self.roots.len() as u64 == roots.size
            && Digest::of(&self.roots) == roots.sha256
            && self.claimed_id() == twin.id
    }

    fn believed(self, manifest: Arc<Manifest>, signers: Vec<KeyId>, judge: Judge) -> VerifiedBundle<S> {
        let id = self.claimed_id();
        let (head, reader) = self.into_parts();
        VerifiedBundle {
            id,
            signers,
            manifest,
            judge,
            reader,
            head,
            with_sources: false,
            extras_passed: false,
        }
    }

    /// The source, read up to the end of the manifest.
    #[must_use]
    pub fn into_source(self) -> S {
        self.reader.into_source()
    }

    /// What was read, and the source behind it.
    pub(crate) fn into_parts(self) -> (Head, MemberReader<S>) {
        let Self { kind, signatures, roots, manifest, reader } = self;
        (Head { kind, signatures, roots, manifest }, reader)
    }

    fn parse_manifest(&self) -> Result<Manifest, BundleError> {
        let unreadable = |source| BundleError::Json { document: MANIFEST_NAME, source };
        let text = strict_json::Text::new(&self.manifest).map_err(unreadable)?;
        let manifest: Manifest = match text.read() {
            Ok(manifest) => manifest,
            Err(error) => {
                // First, because what it forbids to read may have another shape.
                let preface: Preface = text.read().map_err(unreadable)?;
                preface.check().map_err(|what| BundleError::Critical { what })?;
                return Err(unreadable(error));
            }
        };
        manifest_check::check(&manifest)?;
        let found = Digest::of(&self.roots);
        if manifest.roots.sha256 != found || manifest.roots.size != self.roots.len() as u64 {
            let expected = manifest.roots.sha256;
            return Err(BundleError::Digest {
                part: Part::Roots,
                what: "`roots`".to_owned(),
                expected,
                found,
            });
        }
        if manifest.kind != self.kind {
            let problem = format!("its kind is {}, the first member says {}", manifest.kind, self.kind);
            return Err(BundleError::Manifest { problem });
        }
        Ok(manifest)
    }
}

/// What the manifest says of roots, epoch and itself must fit the roots.
fn check_by(manifest: &Manifest, judge: &Judge) -> Result<(), BundleError> {
    let stated = Versions { first: manifest.roots.first, last: manifest.roots.last };
    let Versions { first, last } = judge.roots();
    if stated != judge.roots() {
        let problem =
            format!("it names roots {} to {}, the file has {first} to {last}", stated.first, stated.last);
        return Err(BundleError::Manifest { problem });
    }
    if let Some(root) = judge.revoked_by(manifest) {
        let Manifest { name, version, serial, .. } = manifest.clone();
        return Err(BundleError::Revoked { name, version, serial, root });
    }
    if manifest.epoch > judge.epoch() {
        let root = judge.root().map(Root::version);
        return Err(BundleError::Epoch { epoch: manifest.epoch, allowed: judge.epoch(), root });
    }
    Ok(())
}
