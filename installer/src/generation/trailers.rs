//! Which of a module's signatures this host's kernel is given.

use std::collections::BTreeMap;

use bundle_format::{
    BundleError, BundleName, Digest, KernelRelease, ModuleRecord, Source, Trailer, VerifiedBundle,
};
use files::FileSystem;
use kernel_module::KeyCertificate;

use crate::generation::current::CurrentGeneration;
use crate::host::KernelKeys;

/// The kernel's keys, and the certificates by which modules are signed.
#[derive(Debug, Default)]
pub struct ModuleKeys {
    kernel: KernelKeys,
    certificates: BTreeMap<Digest, Certificate>,
    /// Bundles whose certificates can't be read.
    unread: Vec<BundleName>,
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
        let mut keys = Self { kernel: KernelKeys::read(host), ..Self::default() };
        for bundle in current.bundles() {
            if bundle.manifest.module_certificates().next().is_none() {
                continue;
            }
            match bundle.verified().and_then(|mut verified| verified.take_module_certificates()) {
                Ok(found) => keys.add(found),
                Err(_) => keys.unread.push(bundle.name.clone()),
            }
        }
        keys
    }

    /// The same of a bundle that is being installed.
    pub(crate) fn of_bundle(
        host: &FileSystem,
        bundle: &mut VerifiedBundle<impl Source>,
    ) -> Result<Self, BundleError> {
        let mut keys = Self { kernel: KernelKeys::read(host), ..Self::default() };
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

    /// The trailer by a key that the kernel has.
    fn known<'t>(&self, record: &'t ModuleRecord) -> Option<&'t Trailer> {
        let is_known = |trailer: &&Trailer| self.is_known(&trailer.certificate) == Some(true);
        good(record).find(is_known)
    }

    /// The trailer to load the module with: the first by a key that the kernel has. Without one the first of all, if the kernel
    /// `enforces` signatures; else none, for old kernels refuse a module whose signature they can't read, though they take it unsigned.
    #[must_use]
    pub fn to_load<'t>(&self, record: &'t ModuleRecord, enforces: bool) -> Option<&'t Trailer> {
        self.known(record).or_else(|| good(record).next().filter(|_| enforces))
    }

    /// The trailer for the module's file, which stock tools load as it is: the same, whether this kernel enforces signatures or not, but
    /// for kernels before 5.4.
    pub(crate) fn to_install<'t>(
        &self,
        record: &'t ModuleRecord,
        kernel: &KernelRelease,
    ) -> Option<&'t Trailer> {
        self.known(record).or_else(|| good(record).next().filter(|_| forgives(kernel)))
    }

    /// Bundles that have certificates which can't be read.
    #[must_use]
    pub fn unread(&self) -> &[BundleName] {
        &self.unread
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

/// Those of a module's trailers that a kernel can read. For one that it can't it refuses the module, whether it asks for signatures or not.
fn good(record: &ModuleRecord) -> impl Iterator<Item = &Trailer> {
    record
        .trailers
        .iter()
        .filter(|trailer| trailer.raw().is_some_and(|bytes| kernel_module::is_trailer(&bytes)))
}

/// Whether a kernel that doesn't enforce signatures takes a module by a key or an algorithm that it doesn't know: since 5.4
/// (`kernel/module_signing.c`).
fn forgives(kernel: &KernelRelease) -> bool {
    let mut numbers = kernel.as_str().split(['.', '-', '+']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(4))
}

#[cfg(test)]
mod tests {
    use bundle_format::Digest;

    use super::*;

    fn trailer(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [message, &[0, 0, 2, 0, 0, 0, 0, 0], &length, b"~Module signature appended~\n"].concat()
    }

    fn signed(trailers: &[&[u8]]) -> ModuleRecord {
        let mut record = ModuleRecord::of_body("a".parse().unwrap(), 1, Digest::of(b"a"));
        record.trailers = trailers.iter().map(|bytes| Trailer::of(Digest::of(bytes), bytes)).collect();
        record
    }

    #[test]
    fn a_malformed_trailer_is_never_chosen() {
        let good = trailer(&[0x30, 1, 7]);
        let behind = [b"x", good.as_slice()].concat();
        let bad: [&[u8]; 5] = [b"", &good[1..], &behind, &trailer(b""), &trailer(&[0x30, 2, 7])];
        assert_eq!(ModuleKeys::default().to_load(&signed(&bad), true), None);
        let record = signed(&[bad[1], &good]);
        assert_eq!(ModuleKeys::default().to_load(&record, true), record.trailers.last());
    }

    #[test]
    fn without_a_known_key_a_kernel_that_enforces_nothing_is_given_none_and_an_old_one_gets_no_file_with_one()
    {
        let record = signed(&[&trailer(&[0x30, 0])]);
        let keys = ModuleKeys::default();
        assert_eq!(keys.to_load(&record, false), None);
        for (release, is_signed) in [
            ("3.10.0-1160.el7.x86_64", false),
            ("4.18.0-553.el8_10.x86_64", false),
            ("5.3.18-150300.59.87-default", false),
            ("5.4.0-26-generic", true),
            ("6.12.107+deb13-amd64", true),
            ("7.3-rc7", true),
        ] {
            let trailer = keys.to_install(&record, &release.parse().unwrap());
            assert_eq!(trailer.is_some(), is_signed, "{release}");
        }
    }
}
