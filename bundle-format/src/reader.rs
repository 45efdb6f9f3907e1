//! From bytes to verified content. [`RawBundle`] knows signatures and raw bytes; only
//! [`RawBundle::verify`] parses the manifest, and only the [`VerifiedBundle`] it gives has content.
//!
//! One pass, front to back: a pipe is as good as a file. Every header is computed and compared, every
//! frame is hashed before it is decoded, and the end mark must end the bytes. A receiver must show
//! nothing to anyone before [`VerifiedBundle::read_content`] has returned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bases::{Bases, NoBases, base_of};
use crate::check::digest_problem;
use crate::container::{
    BundleKind, ContainerKind, HEADER_NAME, MANIFEST_NAME, PART_MAGIC, PAYLOAD_NAME, ROOTS_NAME,
    SIGNATURES_LEN, SIGNATURES_NAME, SignatureEntry, member_header, member_span, read_header_block,
    read_payload_block, read_signatures_block,
};
use crate::digest::Digest;
use crate::error::{BundleError, ContainerError, Part};
use crate::frames::{References, frame_of_header, needed_by, span_of_all};
use crate::head::Head;
use crate::kernel_id::KernelId;
use crate::key_set::{BadVote, Votes};
use crate::keys::{KeyId, Role};
use crate::limits::{BLOCK, MAX_MANIFEST, MAX_ROOTS};
use crate::manifest::{BaseBundle, BundleId, FrameOf, Kernel, Manifest};
use crate::manifest_check;
use crate::names::ScriptName;
use crate::root::Root;
use crate::set::{FileRecord, ModuleRecord, SetDocument, UPROBES_NAME, VerifiedSet, modules_digest};
use crate::source::{MemberReader, PASSED_OVER, Source};
use crate::sources::{SOURCES_NAME, check_packed_size, read_sources};
use crate::strict_json;
use crate::trust::{Judge, TrustedKeys};

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
        // Anything that isn't a bundle fails here, in its first block, with words for that.
        let not_a_bundle = |error| match error {
            BundleError::Io { .. } => error,
            _ => BundleError::Container(ContainerError::NotABundle),
        };
        let first = reader.block(HEADER_NAME).map_err(not_a_bundle)?;
        if first.starts_with(PART_MAGIC) {
            return Err(ContainerError::Part.into());
        }
        let (kind, signatures) = if first == member_header(HEADER_NAME, BLOCK as u64)? {
            let kind = read_header_block(&reader.block(HEADER_NAME)?)?;
            let signatures = reader.member(SIGNATURES_NAME, SIGNATURES_LEN as u64)?;
            (kind, read_signatures_block(&signatures)?)
        } else if first != member_header(PAYLOAD_NAME, BLOCK as u64)? {
            return Err(ContainerError::NotABundle.into());
        } else if kinds.contains(&ContainerKind::Payload) {
            (read_payload_block(&reader.block(PAYLOAD_NAME)?)?, Vec::new())
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
        let manifest = Arc::new(self.parse_manifest()?);
        check_by(&manifest, &judge)?;
        let id = self.claimed_id();
        let (head, reader) = self.into_parts();
        Ok(VerifiedBundle { id, signers, manifest, judge, reader, head, with_sources: false })
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
        let judge = Judge::of_nobody();
        let (head, reader) = self.into_parts();
        Ok(VerifiedBundle { id, signers: Vec::new(), manifest, judge, reader, head, with_sources: false })
    }

    /// Takes it for a bundle that was verified by another reader of the same file; that nobody changed it meanwhile is all
    /// that is checked.
    pub fn verify_twin(self, twin: &Twin) -> Result<VerifiedBundle<S>, BundleError> {
        if !self.is_twin(twin) {
            return Err(BundleError::Changed);
        }
        Ok(self.believed_as(twin, Vec::new(), Judge::of_nobody()))
    }

    /// The same as [`Self::verify`] for who may have verified this very bundle before: then its signatures and its manifest are
    /// known, and only whether they count is judged anew.
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
        Ok(self.believed_as(twin, signers, judge))
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

    fn believed_as(self, twin: &Twin, signers: Vec<KeyId>, judge: Judge) -> VerifiedBundle<S> {
        let (head, reader) = self.into_parts();
        let (id, manifest) = (twin.id, Arc::clone(&twin.manifest));
        VerifiedBundle { id, signers, manifest, judge, reader, head, with_sources: false }
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
                text.read::<manifest_check::Preface>().map_err(unreadable)?.check()?;
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
    let (first, last) = judge.roots();
    if (manifest.roots.first, manifest.roots.last) != (first, last) {
        let stated = &manifest.roots;
        let problem =
            format!("it names roots {} to {}, the file has {first} to {last}", stated.first, stated.last);
        return Err(BundleError::Manifest { problem });
    }
    if let Some(root) = judge.revoked_by(manifest) {
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        return Err(BundleError::Revoked { name, version, serial: manifest.serial, root });
    }
    if manifest.epoch > judge.epoch() {
        let (epoch, allowed) = (manifest.epoch, judge.epoch());
        let root = judge.root().map(Root::version);
        return Err(BundleError::Epoch { epoch, allowed, root });
    }
    Ok(())
}

/// How much of a bundle's content to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Hash every member; decode what is wanted.
    Everything,
    /// Pass over what isn't needed for the wanted kernels.
    Wanted,
}

/// What of a bundle's frames is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Frames in the file.
    pub present: usize,
    /// Frames in the manifest.
    pub total: usize,
}

/// Takes a kernel's verified modules.
pub type Receive<'r> =
    dyn FnMut(&Kernel, &VerifiedSet<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'r;

/// By what a verified bundle is known again to one who reads its file a second time.
#[derive(Debug, Clone)]
pub struct Twin {
    /// The digest of the manifest, and so of all but the signatures.
    id: BundleId,
    signatures: Vec<SignatureEntry>,
    signers: Vec<KeyId>,
    manifest: Arc<Manifest>,
}

/// A bundle whose manifest is signed as asked.
#[derive(Debug)]
pub struct VerifiedBundle<S> {
    id: BundleId,
    signers: Vec<KeyId>,
    pub(crate) manifest: Arc<Manifest>,
    judge: Judge,
    pub(crate) reader: MemberReader<S>,
    /// As it was read, for those who write it again.
    pub(crate) head: Head,
    /// Whether [`Self::read_content`] looks into the scripts that travel along.
    with_sources: bool,
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

    /// Has what reads the content also check the scripts that travel along ([`SOURCES_NAME`]), if there are any.
    #[must_use]
    pub fn checking_sources(self, with_sources: bool) -> Self {
        Self { with_sources, ..self }
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

    /// Reads the frames; `receive` gets the content of each frame of a wanted kernel. A wanted kernel
    /// whose frames are absent is an error.
    pub fn read_content(
        self,
        wanted: &BTreeSet<KernelId>,
        extent: Extent,
        receive: &mut Receive<'_>,
    ) -> Result<Present, BundleError> {
        self.read_content_with(wanted, extent, &mut NoBases, receive).map(|(present, _)| present)
    }

    /// The same for a delta too: `bases` gives what its frames need. Also gives the kernels of which all frames are in
    /// the file.
    pub fn read_content_with(
        mut self,
        wanted: &BTreeSet<KernelId>,
        extent: Extent,
        bases: &mut dyn Bases,
        receive: &mut Receive<'_>,
    ) -> Result<(Present, BTreeSet<KernelId>), BundleError> {
        self.read_extras(extent)?;
        let frames = self.manifest.frames();
        let mut pass = Pass::new(&frames, wanted, extent);
        pass.run(&mut self.reader, &mut Content { bases, receive, from: self.manifest.from.as_ref() })?;
        pass.check_complete(&self.manifest)?;
        let kernels = self.manifest.kernels_of(&pass.present);
        Ok((Present { present: pass.present.len(), total: frames.len() }, kernels))
    }

    fn read_extras(&mut self, extent: Extent) -> Result<(), BundleError> {
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            if extent == Extent::Wanted {
                self.reader.skip(&extra.name, extra.size)?;
                continue;
            }
            if self.with_sources && extra.name == SOURCES_NAME {
                check_packed_size(extra.size)?;
                let packed = self.reader.body(&extra.name, extra.size)?;
                digest_problem(Part::Extra, &extra.name, &extra.sha256, Digest::of(&packed))?;
                read_sources(&packed, &self.manifest)?;
                continue;
            }
            let found = self.reader.hash_body(&extra.name, extra.size)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, found)?;
        }
        Ok(())
    }
}

/// What the SETs of one kernel hold together.
#[derive(Default)]
pub(crate) struct Found {
    modules: BTreeMap<ScriptName, ModuleRecord>,
    uprobes: Option<FileRecord>,
}

impl Found {
    /// Takes in one more SET; the problem if something stands there a second time.
    pub(crate) fn add(&mut self, set: &SetDocument) -> Result<(), String> {
        for module in &set.modules {
            // Trailers are not part of what is compared later, and may be large.
            let record = ModuleRecord { trailers: Vec::new(), ..module.clone() };
            if self.modules.insert(module.name.clone(), record).is_some() {
                return Err(format!("module {} stands in two frames", module.name));
            }
        }
        if set.uprobes.is_some() && self.uprobes.is_some() {
            return Err(format!("{UPROBES_NAME} stands in two frames"));
        }
        self.uprobes = self.uprobes.take().or_else(|| set.uprobes.clone());
        Ok(())
    }

    /// Compares with what the manifest says of `kernel`; the problem if it isn't that.
    pub(crate) fn check(&self, manifest: &Manifest, kernel: &Kernel) -> Result<(), String> {
        let scripts = manifest.scripts.iter().map(|script| &script.name);
        if !scripts.filter(|name| kernel.is_green(name)).eq(self.modules.keys()) {
            return Err("its modules are not the green cells of the manifest".to_owned());
        }
        if self.modules.values().any(|module| module.needs_uprobes) != self.uprobes.is_some() {
            return Err(format!("{UPROBES_NAME} must be there exactly if a module needs it"));
        }
        let found = modules_digest(self.modules.values(), self.uprobes.as_ref());
        if found != kernel.modules_sha256 {
            return Err(format!("modules_sha256 is {}, computed {found}", kernel.modules_sha256));
        }
        Ok(())
    }
}

/// Where what is read goes to, and where bases come from.
struct Content<'c, 'r> {
    bases: &'c mut dyn Bases,
    receive: &'c mut Receive<'r>,
    from: Option<&'c BaseBundle>,
}

impl Content<'_, '_> {
    fn base(&mut self, of: &FrameOf<'_>, base: &Digest) -> Result<Arc<Vec<u8>>, BundleError> {
        base_of(self.bases, self.from, of, base)
    }
}

/// One pass over the frames.
struct Pass<'a> {
    frames: &'a [FrameOf<'a>],
    wanted: &'a BTreeSet<KernelId>,
    extent: Extent,
    /// Wanted frames and what they refer to.
    needed: BTreeSet<usize>,
    references: References,
    present: BTreeSet<usize>,
    /// What the SETs of each wanted kernel hold.
    found: BTreeMap<KernelId, Found>,
}

impl<'a> Pass<'a> {
    fn new(frames: &'a [FrameOf<'a>], wanted: &'a BTreeSet<KernelId>, extent: Extent) -> Self {
        let needed = needed_by(frames, |of| wanted.contains(&of.kernel.id));
        let decoded = frames.iter().map(|of| of.frame).filter(|frame| needed.contains(&frame.index));
        let references = References::of(decoded);
        Self { frames, wanted, extent, needed, references, present: BTreeSet::new(), found: BTreeMap::new() }
    }

    fn run<S: Source>(
        &mut self,
        reader: &mut MemberReader<S>,
        content: &mut Content<'_, '_>,
    ) -> Result<(), BundleError> {
        if self.extent == Extent::Wanted && reader.remaining()? == Some(span_of_all(self.frames)) {
            return self.run_direct(reader, content);
        }
        let mut next = 0;
        loop {
            let offset = reader.offset();
            let block = reader.block("a frame's header")?;
            if block == [0; BLOCK] {
                return reader.end(BLOCK);
            }
            let index = frame_of_header(self.frames, next, &block, offset)?;
            self.frame(index, reader, content)?;
            next = index + 1;
        }
    }

    /// The file has all frames, so each one's place is known: only needed ones are touched.
    fn run_direct<S: Source>(
        &mut self,
        reader: &mut MemberReader<S>,
        content: &mut Content<'_, '_>,
    ) -> Result<(), BundleError> {
        let mut passed = 0;
        for (index, of) in self.frames.iter().enumerate() {
            if self.needed.contains(&index) {
                reader.skip(PASSED_OVER, std::mem::take(&mut passed))?;
                reader.header(&of.member, of.frame.size)?;
                self.frame(index, reader, content)?;
            } else {
                self.present.insert(index);
                passed += member_span(of.frame.size);
            }
        }
        reader.skip(PASSED_OVER, passed)?;
        reader.end(0)
    }

    fn frame<S: Source>(
        &mut self,
        index: usize,
        reader: &mut MemberReader<S>,
        content: &mut Content<'_, '_>,
    ) -> Result<(), BundleError> {
        let Some(of) = self.frames.get(index) else { return Ok(()) };
        let (frame, name) = (of.frame, of.member.as_str());
        if let Some(reference) = frame.reference.filter(|reference| !self.present.contains(reference)) {
            let problem = format!("frame {reference}, which it refers to, is absent");
            return Err(BundleError::Frame { frame: name.to_owned(), problem });
        }
        self.present.insert(index);
        if !self.needed.contains(&index) {
            if self.extent == Extent::Wanted {
                return reader.skip(name, frame.size);
            }
            let found = reader.hash_body(name, frame.size)?;
            return digest_problem(Part::Frame, name, &frame.sha256, found);
        }
        let compressed = reader.body(name, frame.size)?;
        digest_problem(Part::Frame, name, &frame.sha256, Digest::of(&compressed))?;
        let plain = self.references.decode(of, &compressed, &mut |base| content.base(of, base))?;
        self.deliver(of, &plain, content.receive)
    }

    fn deliver(
        &mut self,
        of: &FrameOf<'_>,
        plain: &[u8],
        receive: &mut Receive<'_>,
    ) -> Result<(), BundleError> {
        if !self.wanted.contains(&of.kernel.id) {
            return Ok(());
        }
        let set = VerifiedSet::read(plain, &of.frame.set_sha256, &of.member)?;
        let wrong = |problem: String| BundleError::Set { frame: of.member.clone(), problem };
        if set.document().kernel != of.kernel.id {
            return Err(wrong(format!("SET.json is for kernel {}", set.document().kernel)));
        }
        self.found.entry(of.kernel.id).or_default().add(set.document()).map_err(wrong)?;
        receive(of.kernel, &set).map_err(BundleError::Receiver)
    }

    /// Each wanted kernel's modules are exactly its green cells.
    fn check_complete(&self, manifest: &Manifest) -> Result<(), BundleError> {
        let absent = self
            .frames
            .iter()
            .enumerate()
            .find(|(index, of)| self.wanted.contains(&of.kernel.id) && !self.present.contains(index));
        if let Some((_, of)) = absent {
            return Err(BundleError::AbsentFrame {
                release: of.kernel.release.clone(),
                kernel: of.kernel.id,
            });
        }
        let nothing = Found::default();
        for kernel in manifest.kernels.iter().filter(|kernel| self.wanted.contains(&kernel.id)) {
            let found = self.found.get(&kernel.id).unwrap_or(&nothing);
            found.check(manifest, kernel).map_err(|problem| BundleError::Set {
                frame: format!("kernel {}", kernel.release),
                problem,
            })?;
        }
        Ok(())
    }
}
