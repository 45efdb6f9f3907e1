//! From a draft to a signed bundle. You can't write what you didn't sign: [`BundleDraft::pack`] gives
//! an [`UnsignedBundle`], which only [`UnsignedBundle::attach`] turns into a [`SignedBundle`].
//!
//! Deterministic: the same draft gives the same bytes ([`Packing`]).

use std::io::{Read, Seek, SeekFrom, Write};

use crate::container::{ContainerKind, Head, MemberWriter, zstd_version};
use crate::document::{
    BaseBundle, BundleError, BundleKind, Extra, FORMAT, Frame, Kernel, Manifest, Root, RootChain,
    RootsRecord, SignatureEntry, io_while, manifest_check, modules_digest, signatures_block, strict_json,
};
use crate::limits::{END_MARK, MAX_MANIFEST};
use crate::names::{BundleId, BundleVersion, Digest, KeyId, MANIFEST_NAME, PublicKey, Role, ScriptName};
use crate::write::draft::{BundleDraft, KernelDraft};
use crate::write::packing::{FramePacked, Packing, pack_frames, sets_of};

/// A manifest and its frames, complete but for signatures; no reader takes it for a bundle.
#[derive(Debug)]
pub struct UnsignedBundle<S> {
    manifest: Manifest,
    raw: Vec<u8>,
    /// The `roots` member.
    roots: Vec<u8>,
    /// The content of the extras, in the manifest's order.
    extras: Vec<Vec<u8>>,
    /// The frames, one after another, without headers and padding.
    spool: S,
}

/// A bundle that at least one key has signed.
#[derive(Debug)]
pub struct SignedBundle<S> {
    bundle: UnsignedBundle<S>,
    signatures: Vec<SignatureEntry>,
}

impl BundleDraft {
    /// Makes the frames and the manifest as [`Packing::default`] has it. Frames go to `spool`, an empty file or
    /// buffer.
    pub fn pack<S: Read + Write + Seek>(
        &self,
        spool: S,
        progress: &mut dyn FnMut(FramePacked),
    ) -> Result<UnsignedBundle<S>, BundleError> {
        self.pack_with(Packing::default(), spool, progress)
    }

    /// Makes the frames and the manifest. Frames go to `spool`, an empty file or buffer; `progress` is told of each
    /// in its order. After an error there is no bundle, and what the spool holds is of no use.
    pub fn pack_with<S: Read + Write + Seek>(
        &self,
        packing: Packing<'_>,
        mut spool: S,
        progress: &mut dyn FnMut(FramePacked),
    ) -> Result<UnsignedBundle<S>, BundleError> {
        let order = self.kernels_in_order();
        for kernel in &order {
            self.check_cells(kernel)?;
        }
        let from = packing.base_bundle();
        let frames = pack_frames(&order, packing, &mut spool, progress)?;
        let mut kernels: Vec<Kernel> =
            order.into_iter().zip(frames).map(|(draft, frames)| kernel_record(draft, frames)).collect();
        kernels.sort_by_key(|kernel| kernel.id);
        let roots = match &self.roots {
            Some(chain) => chain.to_bytes().map_err(BundleError::Roots)?,
            None => Vec::new(),
        };
        let manifest = self.manifest(kernels, &roots, from);
        manifest_check::check(&manifest)?;
        Ok(UnsignedBundle { raw: write_manifest(&manifest)?, extras: Vec::new(), manifest, roots, spool })
    }

    /// Whether packing this would make exactly the frames of `manifest`, in the same order: then none needs to be packed.
    pub fn has_frames_of(&self, manifest: &Manifest) -> Result<bool, BundleError> {
        let wanted = sets_of(&self.kernels_in_order())?;
        let there: Vec<Digest> = manifest.frames().iter().map(|of| of.frame.set_sha256).collect();
        Ok(wanted == there)
    }

    fn kernels_in_order(&self) -> Vec<&KernelDraft> {
        let mut order: Vec<&KernelDraft> = self.kernels.iter().collect();
        order.sort_by(|a, b| a.release.cmp(&b.release).then(a.id().cmp(&b.id())));
        order
    }

    /// Every script is either a module or a red cell of `kernel`, and nothing else is.
    fn check_cells(&self, kernel: &KernelDraft) -> Result<(), BundleError> {
        let modules = kernel.modules.iter().map(|module| &module.record.name);
        let mut cells: Vec<&ScriptName> = modules.chain(kernel.red.iter().map(|cell| &cell.script)).collect();
        let mut scripts: Vec<&ScriptName> = self.scripts.iter().map(|script| &script.name).collect();
        cells.sort();
        scripts.sort();
        if cells == scripts {
            return Ok(());
        }
        let problem = format!("the cells of kernel {} are not one for each script", kernel.release);
        Err(BundleError::Manifest { problem })
    }

    /// The `roots` record of this chain, and the epoch that it allows.
    fn roots_record(&self, roots: &[u8]) -> (RootsRecord, u64) {
        let version = |root: Option<&Root>| root.map_or(0, Root::version);
        let chain = self.roots.as_ref();
        let record = RootsRecord {
            first: version(chain.and_then(|chain| chain.roots().first())),
            last: version(chain.map(RootChain::newest)),
            size: roots.len() as u64,
            sha256: Digest::of(roots),
        };
        (record, chain.map_or(0, |chain| chain.newest().document().epoch))
    }

    fn manifest(&self, kernels: Vec<Kernel>, roots: &[u8], from: Option<BaseBundle>) -> Manifest {
        let mut scripts = self.scripts.clone();
        scripts.sort_by(|a, b| a.name.cmp(&b.name));
        for script in &mut scripts {
            script.requires.sort();
        }
        let (roots, epoch) = self.roots_record(roots);
        let mut manifest = Manifest {
            format: FORMAT,
            minimum_reader: 0,
            kind: if from.is_some() { BundleKind::Delta } else { BundleKind::Full },
            name: self.name.clone(),
            version: self.version.clone(),
            serial: self.serial,
            epoch,
            created: self.created,
            best_before: self.best_before,
            critical: Vec::new(),
            from,
            roots,
            extras: Vec::new(),
            scripts,
            toolchains: self.toolchains.clone(),
            zstd: zstd_version(),
            kernels,
            content: Digest::of(b""),
        };
        manifest.content = manifest.content_digest();
        manifest
    }
}

fn kernel_record(draft: &KernelDraft, frames: Vec<Frame>) -> Kernel {
    let mut red = draft.red.clone();
    red.sort_by(|a, b| a.script.cmp(&b.script));
    Kernel {
        id: draft.id(),
        release: draft.release.clone(),
        machine: draft.machine.clone(),
        uname_v: draft.uname_v.clone(),
        symvers_sha256: draft.symvers_sha256,
        config_sha256: draft.config_sha256,
        compiler: draft.compiler.clone(),
        modules_compiler: draft.modules_compiler.clone(),
        vermagic: draft.vermagic.clone(),
        toolchain: draft.toolchain,
        frames,
        red,
        modules_sha256: modules_digest(draft.modules.iter().map(|module| &module.record), None),
    }
}

/// The bytes that are signed.
fn write_manifest(manifest: &Manifest) -> Result<Vec<u8>, BundleError> {
    let raw = strict_json::write(manifest)
        .map_err(|source| BundleError::Json { document: MANIFEST_NAME, source })?;
    if raw.len() as u64 > MAX_MANIFEST {
        let member = MANIFEST_NAME.to_owned();
        return Err(BundleError::OverLimit { member, len: raw.len() as u64, limit: MAX_MANIFEST });
    }
    Ok(raw)
}

impl<S> UnsignedBundle<S> {
    /// What will be signed about.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bundle's id.
    #[must_use]
    pub fn id(&self) -> BundleId {
        BundleId::of_manifest(&self.raw)
    }

    /// The bytes to sign.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        Role::Manifest.signed_message(&self.raw)
    }

    /// The same content under another serial and version. The frames stay as they are.
    pub fn renumbered(mut self, serial: u64, version: BundleVersion) -> Result<Self, BundleError> {
        self.manifest.serial = serial;
        self.manifest.version = version;
        self.raw = write_manifest(&self.manifest)?;
        Ok(self)
    }

    /// The same content with these members between manifest and frames: name and content, in this order, in place of
    /// those that were there. What they say of the frames they can say now: the frames stay as they are.
    pub fn with_extras(mut self, extras: Vec<(String, Vec<u8>)>) -> Result<Self, BundleError> {
        let record = |(name, content): &(String, Vec<u8>)| Extra {
            name: name.clone(),
            size: content.len() as u64,
            sha256: Digest::of(content),
        };
        self.manifest.extras = extras.iter().map(record).collect();
        manifest_check::check(&self.manifest)?;
        self.raw = write_manifest(&self.manifest)?;
        self.extras = extras.into_iter().map(|(_, content)| content).collect();
        Ok(self)
    }

    /// Adds signatures; each is checked here, so that a farm never hands out a bundle that no host takes.
    pub fn attach(self, signatures: &[(PublicKey, [u8; 64])]) -> Result<SignedBundle<S>, BundleError> {
        let message = self.message();
        if let Some((key, _)) = signatures.iter().find(|(key, signature)| !key.verifies(&message, signature))
        {
            return Err(BundleError::BadSignature { key: key.id() });
        }
        let entries: Vec<SignatureEntry> = signatures
            .iter()
            .map(|(key, signature)| SignatureEntry { key: key.id(), signature: *signature })
            .collect();
        // Order, count and repetition are checked here and not when the file is half written.
        signatures_block(&entries)?;
        Ok(SignedBundle { signatures: entries, bundle: self })
    }
}

impl<S: Read + Seek> UnsignedBundle<S> {
    /// Writes the payload, which is to be signed elsewhere and which no reader takes for a bundle; returns its length.
    pub fn write_payload_to(&mut self, target: &mut dyn Write) -> Result<u64, BundleError> {
        let mut out = MemberWriter::new(target);
        self.head(Vec::new()).write(ContainerKind::Payload, &mut out)?;
        self.write_content(&mut out)?;
        Ok(out.written())
    }

    fn head(&self, signatures: Vec<SignatureEntry>) -> Head {
        Head { kind: self.manifest.kind, signatures, roots: self.roots.clone(), manifest: self.raw.clone() }
    }

    /// Writes what stands behind the manifest.
    fn write_content(&mut self, out: &mut MemberWriter<'_>) -> Result<(), BundleError> {
        for (extra, content) in self.manifest.extras.iter().zip(&self.extras) {
            out.member(&extra.name, content)?;
        }
        self.spool.seek(SeekFrom::Start(0)).map_err(io_while("reading the temporary file"))?;
        for of in self.manifest.frames() {
            out.copied_member(&of.member, of.frame.size, &mut self.spool)?;
        }
        out.bytes(&[0; END_MARK])
    }
}

impl<S: Read + Seek> SignedBundle<S> {
    /// What was signed.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.bundle.manifest
    }

    /// The bundle's id.
    #[must_use]
    pub fn id(&self) -> BundleId {
        self.bundle.id()
    }

    /// Whose signatures it carries.
    #[must_use]
    pub fn signers(&self) -> Vec<KeyId> {
        self.signatures.iter().map(|entry| entry.key).collect()
    }

    /// Writes the file; returns its length in bytes.
    pub fn write_to(&mut self, target: &mut dyn Write) -> Result<u64, BundleError> {
        let mut out = MemberWriter::new(target);
        self.bundle.head(self.signatures.clone()).write(ContainerKind::Bundle, &mut out)?;
        self.bundle.write_content(&mut out)?;
        Ok(out.written())
    }
}
