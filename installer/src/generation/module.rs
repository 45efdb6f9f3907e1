//! From a signed account to the bytes of one module: signatures → manifest → SET.json → bytes.

use bundle_format::{
    BundleName, Digest, FileRecord, Kernel, KernelId, KernelRelease, Machine, ModuleRecord, ScriptName,
    SetDocument, Trailer, limits::MAX_TRAILER, read_set,
};
use files::FileError;

use crate::generation::current::CurrentGeneration;
use crate::generation::installed::{InstalledBundle, set_digest};
use files::with_causes;

/// The way to one module; made only from a verified account.
#[derive(Debug, Clone)]
pub struct ModuleHandle {
    script: ScriptName,
    kernel: KernelId,
    release: KernelRelease,
    machine: Machine,
    vermagic: Option<String>,
    record: ModuleRecord,
}

/// Why a module of the current generation isn't loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The unpacked SET.json isn't the signed one.
    #[error("the account of kernel {kernel} is damaged: {problem}")]
    Set {
        /// The kernel's id, short.
        kernel: String,
        problem: String,
        /// Whether the system couldn't read it.
        unreadable: bool,
    },
    /// No SET.json of the kernel names the module.
    #[error("the account of kernel {kernel} does not name {script}")]
    NotInSet {
        /// The kernel's id, short.
        kernel: String,
        script: ScriptName,
    },
    /// Another length than signed.
    #[error("{script}.ko has {found} bytes, signed are {expected}")]
    Length {
        script: ScriptName,
        /// Signed.
        expected: u64,
        /// On the disk; for a longer file, one more than signed.
        found: u64,
    },
    /// Other bytes than signed.
    #[error("{script}.ko has SHA-256 {found}, signed is {expected}")]
    Digest {
        script: ScriptName,
        /// Signed.
        expected: Digest,
        found: Digest,
    },
    /// A kernel signature that no trusted key vouches for. The kernel isn't given it, so it keeps nothing from starting.
    #[error("{script}.ko ends with a kernel signature that its bundle doesn't list")]
    OtherTrailer { script: ScriptName },
    /// Another bundle offers the script too.
    #[error("bundle {other} offers it too")]
    Twin { other: BundleName },
    /// The file is missing, a link, or can't be read.
    #[error("{problem}")]
    Storage {
        /// What was being done and why it failed.
        problem: String,
        /// Whether the system couldn't read it, though it may be there.
        unreadable: bool,
    },
}

/// A module's bytes, equal to what a trusted key signed.
#[derive(Debug)]
pub struct VerifiedModuleBytes {
    handle: ModuleHandle,
    /// The body, and behind it a trailer of the signed account, if the file has one.
    bytes: Vec<u8>,
    /// Whether the file had a kernel signature that isn't in the account; it was dropped.
    had_other_trailer: bool,
}

impl VerifiedModuleBytes {
    /// The module's name, and the script's.
    #[must_use]
    pub const fn name(&self) -> &ScriptName {
        &self.handle.script
    }

    /// The body: the ELF without a kernel signature.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(..self.body_len()).unwrap_or(&self.bytes)
    }

    /// The file as it was installed: with its kernel signature, if it has one.
    #[must_use]
    pub fn as_installed(&self) -> &[u8] {
        &self.bytes
    }

    /// The body with this signature behind it, or with none.
    #[must_use]
    pub fn with_trailer(mut self, trailer: Option<&Trailer>) -> Vec<u8> {
        self.bytes.truncate(self.body_len());
        self.bytes.extend(trailer.and_then(Trailer::raw).unwrap_or_default());
        self.bytes
    }

    fn body_len(&self) -> usize {
        usize::try_from(self.handle.record.size).unwrap_or(usize::MAX)
    }

    /// Whether the file has a kernel signature that isn't in the account.
    #[must_use]
    pub const fn had_other_trailer(&self) -> bool {
        self.had_other_trailer
    }

    /// The vermagic that the ELF must have, as signed.
    #[must_use]
    pub fn vermagic(&self) -> Option<&str> {
        self.handle.vermagic.as_deref()
    }

    /// The kernel that it is for.
    #[must_use]
    pub const fn release(&self) -> &KernelRelease {
        &self.handle.release
    }

    /// The digest of the body.
    #[must_use]
    pub const fn sha256(&self) -> &Digest {
        &self.handle.record.sha256
    }
}

impl ModuleHandle {
    #[must_use]
    pub const fn script(&self) -> &ScriptName {
        &self.script
    }

    #[must_use]
    pub const fn kernel(&self) -> &KernelId {
        &self.kernel
    }

    /// The kernel's release.
    #[must_use]
    pub const fn release(&self) -> &KernelRelease {
        &self.release
    }

    /// The kernel's machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The signed record: length, digest, build id.
    #[must_use]
    pub const fn record(&self) -> &ModuleRecord {
        &self.record
    }
}

/// The verified SET.json documents of one kernel.
#[derive(Debug)]
pub(crate) struct ReadSet(Vec<SetDocument>);

impl ReadSet {
    /// The modules that it accounts for.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &ModuleRecord> {
        self.0.iter().flat_map(|document| &document.modules)
    }

    /// The shared module for user-space probes, if one of the modules needs it.
    pub(crate) fn uprobes(&self) -> Option<&FileRecord> {
        self.0.iter().find_map(|document| document.uprobes.as_ref())
    }

    /// The way to the module of `script`; `kernel` is the one whose set this is.
    pub(crate) fn handle(&self, kernel: &Kernel, script: &ScriptName) -> Result<ModuleHandle, Refusal> {
        let found = self.modules().find(|module| module.name == *script);
        let Some(record) = found.cloned() else {
            return Err(Refusal::NotInSet { kernel: kernel.id.short(), script: script.clone() });
        };
        Ok(ModuleHandle {
            script: script.clone(),
            kernel: kernel.id,
            release: kernel.release.clone(),
            machine: kernel.machine.clone(),
            vermagic: kernel.vermagic.clone(),
            record,
        })
    }
}

/// Reads a kernel's unpacked SET.json documents, each by its digest in the signed manifest; `None` if
/// the kernel wasn't unpacked.
pub(crate) fn read_sets(bundle: &InstalledBundle, kernel: &Kernel) -> Result<Option<ReadSet>, Refusal> {
    let short = || kernel.id.short();
    let wrong = |problem: String| Refusal::Set { kernel: short(), problem, unreadable: false };
    let unread = |error: FileError| Refusal::Set {
        kernel: short(),
        problem: with_causes(&error),
        unreadable: error.is_device(),
    };
    let mut documents = Vec::new();
    for position in 0..kernel.frames.len() {
        let raw = bundle.raw_set(&kernel.id, position).map_err(unread)?;
        let Some(raw) = raw else {
            if position == 0 {
                return Ok(None);
            }
            return Err(wrong(format!("part {} of {} is missing", position + 1, kernel.frames.len())));
        };
        let Some(digest) = set_digest(&bundle.manifest, &kernel.id, position) else { continue };
        let document = read_set(&raw, &digest).map_err(|error| wrong(with_causes(&error)))?;
        if document.kernel != kernel.id {
            return Err(wrong(format!("it is for kernel {}", document.kernel.short())));
        }
        documents.push(document);
    }
    Ok((!documents.is_empty()).then_some(ReadSet(documents)))
}

/// The file of a script's module in its kernel's directory.
pub(crate) fn module_file_name(script: &ScriptName) -> String {
    format!("{script}.ko")
}

/// What follows a module's body in its file.
enum Appended {
    Nothing,
    /// A signature of the account.
    Listed,
    /// A well-formed signature that isn't.
    OtherSignature,
    Other,
}

impl Appended {
    fn of(appended: &[u8], record: &ModuleRecord) -> Self {
        if appended.is_empty() {
            return Self::Nothing;
        }
        if record.trailers.iter().filter_map(Trailer::raw).any(|trailer| trailer == appended) {
            return Self::Listed;
        }
        // Each who signs a module puts a signature behind the last one.
        let mut rest = appended;
        loop {
            let divided = kernel_module::divide(rest);
            if divided.trailer.is_empty() {
                break;
            }
            rest = divided.body;
        }
        if rest.is_empty() { Self::OtherSignature } else { Self::Other }
    }
}

/// Whether a file of this length can be the module of this record.
pub(crate) fn may_have_length(length: u64, record: &ModuleRecord) -> bool {
    let trailers = record.trailers.iter().map(|trailer| trailer.bytes.len() as u64 / 2);
    trailers.chain([0]).any(|trailer| length == record.size + trailer)
}

impl CurrentGeneration {
    /// Reads a module and proves it. The bytes that were hashed are those that are returned.
    pub fn read_module(&self, handle: &ModuleHandle) -> Result<VerifiedModuleBytes, Refusal> {
        let mut bytes = self.read_unproven(handle)?;
        let script = || handle.script.clone();
        let record = &handle.record;
        let expected = record.size;
        let found = bytes.len() as u64;
        let appended = usize::try_from(expected).ok().and_then(|size| bytes.get(size..));
        let had_other_trailer = match appended.map(|appended| Appended::of(appended, record)) {
            Some(Appended::Nothing | Appended::Listed) => false,
            Some(Appended::OtherSignature) => true,
            Some(Appended::Other) | None => {
                return Err(Refusal::Length { script: script(), expected, found: found.min(expected + 1) });
            }
        };
        if had_other_trailer {
            bytes.truncate(usize::try_from(expected).unwrap_or(usize::MAX));
        }
        let bytes = VerifiedModuleBytes { handle: handle.clone(), bytes, had_other_trailer };
        let expected = record.sha256;
        let found = Digest::of(bytes.body());
        if expected != found {
            return Err(Refusal::Digest { script: script(), expected, found });
        }
        Ok(bytes)
    }

    /// The bytes of all files of an unpacked SET.json, in its order, proven by its digests; `None` if one isn't whole.
    pub(crate) fn read_bodies(&self, kernel: &Kernel, set: &SetDocument) -> Option<Vec<Vec<u8>>> {
        use crate::host::paths::{UPROBES_DIRECTORY, UPROBES_FILE};
        let directory = self.kernels()?.open_dir(&kernel.id.short()).ok()?;
        let whole = |bytes: Vec<u8>, sha256: &Digest| (Digest::of(&bytes) == *sha256).then_some(bytes);
        let module = |record: &ModuleRecord| {
            let limit = record.size + MAX_TRAILER as u64;
            let mut bytes = directory.read_file(&module_file_name(&record.name), limit).ok()?;
            bytes.truncate(usize::try_from(record.size).ok()?);
            whole(bytes, &record.sha256)
        };
        let mut bodies = set.modules.iter().map(module).collect::<Option<Vec<_>>>()?;
        if let Some(record) = &set.uprobes {
            let inner = directory.open_dir(UPROBES_DIRECTORY).ok()?;
            bodies.push(whole(inner.read_file(UPROBES_FILE, record.size).ok()?, &record.sha256)?);
        }
        Some(bodies)
    }

    fn read_unproven(&self, handle: &ModuleHandle) -> Result<Vec<u8>, Refusal> {
        use std::io::Read as _;
        let missing =
            || Refusal::Storage { problem: "the generation has no modules".to_owned(), unreadable: false };
        let directory = self.kernels().ok_or_else(missing)?.open_dir(&handle.kernel.short());
        let directory = directory.map_err(|error| Refusal::from(&error))?;
        let name = module_file_name(&handle.script);
        let file = directory.open_file(&name).map_err(|error| Refusal::from(&error))?;
        let mut bytes = Vec::new();
        let limit = handle.record.size.saturating_add(MAX_TRAILER as u64 + 1);
        let read = file.take(limit).read_to_end(&mut bytes);
        read.map_err(|error| Refusal::from(&FileError::new("read", directory.path().join(&name), error)))?;
        Ok(bytes)
    }
}
