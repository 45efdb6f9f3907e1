//! Which of a module's signatures this host's kernel is given.

use std::collections::BTreeMap;

use bundle_format::{BundleError, Digest, Extra, ModuleRecord, RawBundle, Source, Trailer, VerifiedBundle};
use files::FileSystem;
use kernel_module::KeyCertificate;

use crate::generation::current::CurrentGeneration;
use crate::host::KernelKeys;

/// The kernel's keys, and the certificates by which modules are signed.
#[derive(Debug, Default)]
pub struct ModuleKeys {
    kernel: KernelKeys,
    certificates: BTreeMap<Digest, Certificate>,
}

/// A certificate that travels with a bundle.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// DER.
    pub der: Vec<u8>,
    /// What could be read of it.
    pub facts: Option<KeyCertificate>,
}

impl ModuleKeys {
    /// The kernel's keys, and the certificates of all bundles of `current` that are believed. A bundle whose kept file can't be read has
    /// unknown certificates.
    #[must_use]
    pub fn of(host: &FileSystem, current: &CurrentGeneration) -> Self {
        let mut keys = Self { kernel: KernelKeys::read(host), certificates: BTreeMap::new() };
        for bundle in current.bundles() {
            if !bundle.manifest.extras.iter().any(Extra::is_module_certificate) {
                continue;
            }
            let verified =
                bundle.kept().ok().and_then(|kept| RawBundle::read(kept).ok()?.verify(bundle.trusted()).ok());
            let found = verified.and_then(|mut verified| verified.take_module_certificates().ok());
            keys.add(found.unwrap_or_default());
        }
        keys
    }

    /// The same of a bundle that is being installed; its content can be read afterwards.
    pub(crate) fn of_bundle(
        host: &FileSystem,
        bundle: &mut VerifiedBundle<impl Source>,
    ) -> Result<Self, BundleError> {
        if !bundle.manifest().extras.iter().any(Extra::is_module_certificate) {
            return Ok(Self::default());
        }
        let mut keys = Self { kernel: KernelKeys::read(host), certificates: BTreeMap::new() };
        keys.add(bundle.take_module_certificates()?);
        Ok(keys)
    }

    fn add(&mut self, certificates: BTreeMap<Digest, Vec<u8>>) {
        let read = |(id, der): (Digest, Vec<u8>)| {
            let facts = KeyCertificate::read(&der);
            (id, Certificate { der, facts })
        };
        self.certificates.extend(certificates.into_iter().map(read));
    }

    /// The trailer to load the module with: the first by a key that the kernel has, else the first. One that is malformed is none: a
    /// kernel refuses a module for it, whether it asks for signatures or not.
    #[must_use]
    pub fn choose<'t>(&self, record: &'t ModuleRecord) -> Option<&'t Trailer> {
        let mut good = record.trailers.iter().filter(|trailer| is_well_formed(trailer));
        let first = good.next()?;
        let is_known = |trailer: &&Trailer| self.is_known(&trailer.certificate) == Some(true);
        std::iter::once(first).chain(good).find(is_known).or(Some(first))
    }

    /// Whether the kernel has the key of this certificate, or that of its issuer; `None` where that isn't known.
    #[must_use]
    pub fn is_known(&self, certificate: &Digest) -> Option<bool> {
        let facts = self.certificates.get(certificate)?.facts.as_ref()?;
        let by_issuer = facts.issuer_key_id.as_ref().and_then(|issuer| self.kernel.has(issuer));
        Some(self.kernel.has(&facts.key_id)? || by_issuer == Some(true))
    }

    /// A certificate by the name of its subject and its key identifier.
    #[must_use]
    pub fn name(&self, id: &Digest) -> String {
        match self.certificates.get(id).and_then(|certificate| certificate.facts.as_ref()) {
            Some(facts) => format!("{} (key id {})", facts.common_name, facts.key_id),
            None => format!("the certificate with SHA-256 {id}"),
        }
    }

    /// A certificate by its digest.
    #[must_use]
    pub fn certificate(&self, id: &Digest) -> Option<&Certificate> {
        self.certificates.get(id)
    }

    /// All certificates, by their digests.
    pub fn certificates(&self) -> impl Iterator<Item = (&Digest, &Certificate)> {
        self.certificates.iter()
    }
}

/// Whether the bytes are a signature as kernels read it, and nothing else.
fn is_well_formed(trailer: &Trailer) -> bool {
    trailer.raw().is_some_and(|bytes| {
        let divided = kernel_module::divide(&bytes);
        divided.body.is_empty() && !divided.trailer.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use bundle_format::Digest;

    use super::*;

    #[test]
    fn a_malformed_trailer_is_never_chosen() {
        let good =
            [&b"pkcs7"[..], &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 5], b"~Module signature appended~\n"].concat();
        let mut record = ModuleRecord::of_body("a".parse().unwrap(), 1, Digest::of(b"a"));
        let trailers = [&b""[..], &good[1..], &[&b"x"[..], &good].concat(), &good]
            .map(|bytes| Trailer::of(Digest::of(bytes), bytes));
        record.trailers = trailers.to_vec();
        assert_eq!(ModuleKeys::default().choose(&record), Some(&trailers[3]));
        record.trailers.pop();
        assert_eq!(ModuleKeys::default().choose(&record), None);
    }
}
