//! Signing elsewhere: a payload is a bundle's content without signatures, in a file that no reader takes for a bundle
//! (`docs/bundle-spec.md`, section 16). [`Payload::read`] proves every byte before there is anything to sign.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::container::{ContainerKind, Head, MemberWriter, Source};
use crate::document::{BundleError, ContainerError, Manifest, SignatureEntry, io_while};
use crate::limits::MAX_SIGNATURES;
use crate::names::{BundleId, KeyId, PublicKey, Role};
use crate::read::{BaseFile, Bases, Depth, NoBases, RawBundle, check_content};

/// All of a bundle but new signatures: read from a payload, or from a bundle that is to be signed once more.
#[derive(Debug)]
pub struct Payload<S> {
    head: Head,
    manifest: Manifest,
    /// Every byte behind the manifest.
    rest: S,
    /// How many those are.
    rest_len: u64,
}

/// A payload with at least one signature: what may be written as a bundle.
#[derive(Debug)]
pub struct SealedPayload<S>(Payload<S>);

impl<S: Write> Payload<S> {
    /// Reads a payload or a bundle to its end. `rest`, an empty file, takes what stands behind the manifest: so what was
    /// checked is what gets signed, whatever happens to the source meanwhile.
    ///
    /// Every frame is decoded and every module compared; the first problem is the error. What can't be looked into is
    /// refused: a file that lacks frames, and a delta. Signatures that a bundle carries already are kept; nobody can check
    /// them here without their keys.
    pub fn read(source: impl Source, rest: S) -> Result<Self, BundleError> {
        Self::read_with(source, rest, None)
    }

    /// The same, with the full bundle that a delta was made from.
    pub fn read_with(source: impl Source, rest: S, base: Option<File>) -> Result<Self, BundleError> {
        let raw = RawBundle::read_as(source, &[ContainerKind::Bundle, ContainerKind::Payload])?;
        let manifest = raw.unverified_manifest()?.0;
        let (head, reader) = raw.into_parts();
        let mut reader = reader.map(|source| Copying { source, copy: rest, copied: 0 });
        let mut bases: Box<dyn Bases> = match (base, &manifest.from) {
            (Some(base), Some(from)) => {
                let opened =
                    RawBundle::read(base).and_then(|raw| raw.verify_named(from)).and_then(BaseFile::open);
                Box::new(opened.map_err(|error| BundleError::Base(Box::new(error)))?)
            }
            _ => Box::new(NoBases),
        };
        let report = check_content(&manifest, &mut reader, Depth::Modules, bases.as_mut())?;
        let unseen = report.unseen(&manifest);
        if let Some(problem) = report.problems.into_iter().next().or(unseen) {
            return Err(problem);
        }
        let Copying { copy, copied, .. } = reader.into_source();
        Ok(Self { head, manifest, rest: copy, rest_len: copied })
    }
}

impl<S> Payload<S> {
    /// What will be signed about.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bundle's id.
    #[must_use]
    pub fn id(&self) -> BundleId {
        BundleId::of_manifest(&self.head.manifest)
    }

    /// The bytes to sign.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        Role::Manifest.signed_message(&self.head.manifest)
    }

    /// Whose signatures it carries already; none if it came from a payload.
    pub fn signers(&self) -> impl Iterator<Item = KeyId> {
        self.head.signatures.iter().map(|entry| entry.key)
    }

    /// Adds signatures to those that are there. Each must fit, no key may sign twice, and there must be at least one.
    pub fn attach(mut self, signatures: &[(PublicKey, [u8; 64])]) -> Result<SealedPayload<S>, BundleError> {
        let message = self.message();
        for (key, signature) in signatures {
            if !key.verifies(&message, signature) {
                return Err(BundleError::BadSignature { key: key.id() });
            }
            if self.signers().any(|there| there == key.id()) {
                return Err(ContainerError::SignatureTwice { key: key.id() }.into());
            }
            self.head.signatures.push(SignatureEntry { key: key.id(), signature: *signature });
        }
        let count = self.head.signatures.len();
        if signatures.is_empty() || count > MAX_SIGNATURES {
            return Err(ContainerError::SignatureCount { count }.into());
        }
        self.head.signatures.sort_by_key(|entry| entry.key);
        Ok(SealedPayload(self))
    }
}

impl<S: Read + Seek> SealedPayload<S> {
    /// Whose signatures it carries, by key id.
    pub fn signers(&self) -> impl Iterator<Item = KeyId> {
        self.0.signers()
    }

    /// Writes the bundle; returns its length in bytes.
    pub fn write_to(&mut self, target: &mut dyn Write) -> Result<u64, BundleError> {
        let mut out = MemberWriter::new(target);
        self.0.head.write(ContainerKind::Bundle, &mut out)?;
        let head = out.written();
        let rest = &mut self.0.rest;
        rest.seek(SeekFrom::Start(0)).map_err(io_while("reading the temporary file"))?;
        let copied = io::copy(rest, target).map_err(io_while("writing the bundle"))?;
        if copied == self.0.rest_len {
            return Ok(head + copied);
        }
        let inside = "the temporary file".to_owned();
        Err(BundleError::Truncated { offset: head + copied, inside })
    }
}

/// A source of which a copy is kept.
#[derive(Debug)]
struct Copying<S, W> {
    source: S,
    copy: W,
    copied: u64,
}

impl<S: Source, W: Write> Source for Copying<S, W> {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_full(buffer)?;
        self.copy.write_all(buffer.get(..read).unwrap_or_default())?;
        self.copied += read as u64;
        Ok(read)
    }

    /// Nothing is passed over, or the copy would lack it.
    fn skip(&mut self, len: u64) -> io::Result<()> {
        let mut buffer = vec![0; 128 << 10];
        let mut left = len;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.get_mut(..part).unwrap_or_default();
            if self.read_full(chunk)? < part {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= part as u64;
        }
        Ok(())
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        self.source.remaining()
    }
}
