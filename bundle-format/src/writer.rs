//! From a draft to a signed bundle. You can't write what you didn't sign: [`BundleDraft::pack`] gives
//! an [`UnsignedBundle`], which only [`UnsignedBundle::attach`] turns into a [`SignedBundle`].
//!
//! Deterministic: the same draft gives the same bytes. Frames are made in the natural order of the
//! releases, which puts neighbours side by side; each is tried against at most four earlier frames.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::container::{
    BundleKind, FORMAT, MANIFEST_NAME, SignatureEntry, member_header, padding, signatures_block,
};
use crate::digest::Digest;
use crate::draft::{BundleDraft, KernelDraft, ModuleDraft};
use crate::error::{BundleError, ContainerError, Part, io_while};
use crate::frame::{LEVEL, TRIAL_LEVEL, compress, zstd_version};
use crate::head::Head;
use crate::keys::{KeyId, PublicKey, Role};
use crate::limits::{END_MARK, MAX_FRAMES, MAX_MANIFEST, MAX_REFERENCE_AND_FRAME};
use crate::manifest::{BundleId, Extra, Frame, Kernel, Manifest, RootsRecord};
use crate::manifest_check;
use crate::names::{BundleVersion, ScriptName};
use crate::root::{Root, RootChain};
use crate::set::{SetDocument, modules_digest, write_plain};
use crate::strict_json;

/// How many earlier frames are tried as a reference for the next one.
const CANDIDATES: usize = 4;

/// What packing has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePacked {
    /// Frames made.
    pub done: usize,
    /// Frames in all.
    pub total: usize,
    /// Bytes of the plain tar.
    pub plain: u64,
    /// Bytes of the frame.
    pub compressed: u64,
    /// The frame it refers to.
    pub reference: Option<usize>,
}

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
    /// Makes the frames and the manifest. Frames go to `spool`, an empty file or buffer.
    pub fn pack<S: Read + Write + Seek>(
        &self,
        mut spool: S,
        progress: &mut dyn FnMut(FramePacked),
    ) -> Result<UnsignedBundle<S>, BundleError> {
        let mut order: Vec<&KernelDraft> = self.kernels.iter().collect();
        order.sort_by(|a, b| a.release.cmp(&b.release).then(a.id().cmp(&b.id())));
        let total = order.iter().map(|kernel| kernel.frames().len()).sum();
        if total > MAX_FRAMES {
            let problem = format!("{total} frames, limit {MAX_FRAMES}");
            return Err(BundleError::Manifest { problem });
        }
        for kernel in &order {
            self.check_cells(kernel)?;
        }
        let mut packer = Packer { spool: &mut spool, roots: Vec::new(), done: 0, total, progress };
        let mut kernels = Vec::with_capacity(order.len());
        for draft in order {
            kernels.push(packer.kernel(draft)?);
        }
        kernels.sort_by_key(|kernel| kernel.id);
        let roots = match &self.roots {
            Some(chain) => chain.to_bytes().map_err(BundleError::Roots)?,
            None => Vec::new(),
        };
        let manifest = self.manifest(kernels, &roots);
        manifest_check::check(&manifest)?;
        Ok(UnsignedBundle { raw: write_manifest(&manifest)?, extras: Vec::new(), manifest, roots, spool })
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

    fn manifest(&self, kernels: Vec<Kernel>, roots: &[u8]) -> Manifest {
        let mut scripts = self.scripts.clone();
        scripts.sort_by(|a, b| a.name.cmp(&b.name));
        for script in &mut scripts {
            script.requires.sort();
        }
        let (roots, epoch) = self.roots_record(roots);
        let mut manifest = Manifest {
            format: FORMAT,
            minimum_reader: 0,
            kind: BundleKind::Full,
            name: self.name.clone(),
            version: self.version.clone(),
            serial: self.serial,
            epoch,
            created: self.created,
            best_before: self.best_before,
            critical: Vec::new(),
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

/// Makes frames one after another.
struct Packer<'p, S> {
    spool: &'p mut S,
    /// Frames without a reference, the newest last: the candidates. A frame that refers to one of them
    /// differs from it by a few kilobytes and would make no better reference.
    roots: Vec<(usize, Vec<u8>)>,
    done: usize,
    total: usize,
    progress: &'p mut dyn FnMut(FramePacked),
}

impl<S: Write> Packer<'_, S> {
    fn kernel(&mut self, draft: &KernelDraft) -> Result<Kernel, BundleError> {
        let id = draft.id();
        let mut red = draft.red.clone();
        red.sort_by(|a, b| a.script.cmp(&b.script));
        let frames = draft
            .frames()
            .into_iter()
            .map(|modules| {
                let records = modules.iter().map(|module| module.record.clone()).collect();
                let set = SetDocument { kernel: id, modules: records, uprobes: None };
                let bodies = modules.into_iter().map(read_body).collect::<Result<Vec<_>, _>>()?;
                self.frame(&set, &bodies)
            })
            .collect::<Result<Vec<_>, BundleError>>()?;
        Ok(Kernel {
            id,
            release: draft.release.clone(),
            machine: draft.machine.clone(),
            uname_v: draft.uname_v.clone(),
            symvers_sha256: draft.symvers_sha256,
            config_sha256: draft.config_sha256,
            compiler: draft.compiler.clone(),
            vermagic: draft.vermagic.clone(),
            toolchain: draft.toolchain,
            frames,
            red,
            modules_sha256: modules_digest(draft.modules.iter().map(|module| &module.record), None),
        })
    }

    fn frame(&mut self, set: &SetDocument, bodies: &[Vec<u8>]) -> Result<Frame, BundleError> {
        let (plain, set_sha256) = write_plain(set, bodies)?;
        let chosen = self.choose_reference(&plain)?;
        let reference = chosen.and_then(|position| self.roots.get(position));
        let compressed = compress(&plain, reference.map(|(_, plain)| plain.as_slice()), LEVEL)
            .map_err(io_while("compressing a frame"))?;
        let frame = Frame {
            index: self.done,
            reference: reference.map(|(index, _)| *index),
            base: None,
            size: compressed.len() as u64,
            sha256: Digest::of(&compressed),
            plain_size: plain.len() as u64,
            plain_sha256: Digest::of(&plain),
            set_sha256,
        };
        self.spool.write_all(&compressed).map_err(io_while("writing a frame to the temporary file"))?;
        if frame.reference.is_none() {
            self.roots.push((frame.index, plain));
            if self.roots.len() > CANDIDATES {
                self.roots.remove(0);
            }
        }
        self.done += 1;
        (self.progress)(FramePacked {
            done: self.done,
            total: self.total,
            plain: frame.plain_size,
            compressed: frame.size,
            reference: frame.reference,
        });
        Ok(frame)
    }

    /// The candidate that makes `plain` smallest, by a cheap trial; none if no candidate helps.
    fn choose_reference(&self, plain: &[u8]) -> Result<Option<usize>, BundleError> {
        let trial = |reference: Option<&[u8]>| {
            compress(plain, reference, TRIAL_LEVEL)
                .map(|bytes| bytes.len())
                .map_err(io_while("compressing a frame"))
        };
        if self.roots.is_empty() {
            return Ok(None);
        }
        let mut best = (trial(None)?, None);
        for (position, (_, candidate)) in self.roots.iter().enumerate().rev() {
            if (plain.len() + candidate.len()) as u64 > MAX_REFERENCE_AND_FRAME {
                continue;
            }
            let size = trial(Some(candidate))?;
            if size < best.0 {
                best = (size, Some(position));
            }
        }
        Ok(best.1)
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

fn read_body(module: &ModuleDraft) -> Result<Vec<u8>, BundleError> {
    let bytes = module.bytes.read().map_err(io_while("reading a compiled module"))?;
    let found = Digest::of(&bytes);
    if found == module.record.sha256 && bytes.len() as u64 == module.record.size {
        return Ok(bytes);
    }
    Err(BundleError::Digest {
        part: Part::Module,
        what: format!("module {}", module.record.name),
        expected: module.record.sha256,
        found,
    })
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
        self.head(Vec::new()).write_payload(&mut out)?;
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
        self.bundle.head(self.signatures.clone()).write_bundle(&mut out)?;
        self.bundle.write_content(&mut out)?;
        Ok(out.written())
    }
}

/// Writes members to a file.
pub(crate) struct MemberWriter<'t> {
    target: &'t mut dyn Write,
    written: u64,
}

impl<'t> MemberWriter<'t> {
    pub(crate) fn new(target: &'t mut dyn Write) -> Self {
        Self { target, written: 0 }
    }

    /// Bytes so far.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// The zeros after a member of `len` bytes.
    pub(crate) fn padding(&mut self, len: u64) -> Result<(), BundleError> {
        self.bytes(&vec![0; padding(len)])
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.target.write_all(bytes).map_err(io_while("writing the bundle"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn member(&mut self, name: &str, content: &[u8]) -> Result<(), BundleError> {
        self.copied_member(name, content.len() as u64, &mut io::Cursor::new(content))
    }

    fn copied_member(&mut self, name: &str, len: u64, content: &mut dyn Read) -> Result<(), BundleError> {
        let header = member_header(name, len)?;
        self.bytes(&header)?;
        let copied =
            io::copy(&mut content.take(len), &mut self.target).map_err(io_while("writing the bundle"))?;
        if copied != len {
            return Err(ContainerError::Path { path: format!("{name}: {copied} of {len} bytes") }.into());
        }
        self.written += len;
        self.padding(len)
    }
}
