//! A certificate and what signs for it: a private key in a file, or a program that has the key elsewhere.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::thread::ScopedJoinHandle;

use bundle_format::{ModuleDraft, ScriptName, Trailer};

use crate::closed_memory::without_traces;
use crate::module::certificate::{ModuleCertificate, ModulePublicKey};
use crate::module::digest::ModuleDigest;
use crate::module::message;
use crate::module::private_key::{ModuleKeyError, ModuleKeyFile, ModulePrivateKey};

/// Signs a digest where the key is: in a token, or behind a service. Returns the raw signature: of RSA the number, of ECDSA its DER
/// or the two numbers one after the other.
pub trait SignElsewhere: Send + Sync {
    fn sign(&self, digest: &ModuleDigest, certificate: &ModuleCertificate) -> io::Result<Vec<u8>>;
}

/// Why a module isn't signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleSignError {
    #[error(transparent)]
    Key(#[from] ModuleKeyError),
    /// It would be fatal even on hosts that ask for no signature.
    #[error("{module}: the signature doesn't verify with certificate {certificate}; nothing was signed")]
    Wrong { module: ScriptName, certificate: String },
    #[error("signing for certificate {certificate} failed")]
    Elsewhere {
        certificate: String,
        #[source]
        source: io::Error,
    },
    #[error("module {module} can't be read")]
    Module {
        module: ScriptName,
        #[source]
        source: io::Error,
    },
    #[error("the signature of {module} can't be encoded: {problem}")]
    Encoding { module: ScriptName, problem: String },
}

type Sign<'s> = dyn Fn(&ModuleDigest) -> Result<Vec<u8>, ModuleSignError> + Sync + 's;

enum How {
    File(ModuleKeyFile),
    Elsewhere(Box<dyn SignElsewhere>),
}

/// What signs modules for one certificate.
pub struct ModuleSigner {
    certificate: ModuleCertificate,
    how: How,
}

impl ModuleSigner {
    /// One that signs with the key in a file, which [is the certificate's](ModuleKeyFile::is_of).
    #[must_use]
    pub const fn with_file(certificate: ModuleCertificate, file: ModuleKeyFile) -> Self {
        Self { certificate, how: How::File(file) }
    }

    #[must_use]
    pub fn elsewhere(certificate: ModuleCertificate, by: Box<dyn SignElsewhere>) -> Self {
        Self { certificate, how: How::Elsewhere(by) }
    }

    #[must_use]
    pub const fn certificate(&self) -> &ModuleCertificate {
        &self.certificate
    }

    /// The trailers of `modules`, in their order. The key is read once for all. Each signature is verified at once.
    pub fn trailers(&self, modules: &[&ModuleDraft]) -> Result<Vec<Trailer>, ModuleSignError> {
        match &self.how {
            How::File(file) => {
                let mut signed = Ok(Vec::new());
                file.with(|key| {
                    signed = self.sign_all(modules, &|digest| self.with_key(key, digest));
                    Ok(())
                })?;
                signed
            }
            How::Elsewhere(by) => self.sign_all(modules, &|digest| {
                let signature = by.sign(digest, &self.certificate).map_err(|source| self.failed(source))?;
                Ok(self.certificate.key.in_der(signature))
            }),
        }
    }

    fn with_key(&self, key: &ModulePrivateKey, digest: &ModuleDigest) -> Result<Vec<u8>, ModuleSignError> {
        key.sign(digest).ok_or_else(|| self.failed(io::Error::other("the key can't sign this")))
    }

    fn failed(&self, source: io::Error) -> ModuleSignError {
        ModuleSignError::Elsewhere { certificate: self.certificate.subject(), source }
    }

    /// Side by side, for a signature takes some milliseconds, and a bundle has thousands.
    fn sign_all(&self, modules: &[&ModuleDraft], sign: &Sign<'_>) -> Result<Vec<Trailer>, ModuleSignError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = modules.len().div_ceil(threads).max(1);
        let sign_share = |share: &[&ModuleDraft]| -> Result<Vec<Trailer>, ModuleSignError> {
            without_traces(|| share.iter().map(|module| self.trailer_of(module, sign)).collect())
        };
        let signed: Vec<_> = std::thread::scope(|scope| {
            let begun: Vec<_> =
                modules.chunks(share).map(|share| scope.spawn(move || sign_share(share))).collect();
            begun.into_iter().map(ScopedJoinHandle::join).collect()
        });
        let mut trailers = Vec::with_capacity(modules.len());
        for share in signed {
            trailers.extend(share.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(trailers)
    }

    fn trailer_of(&self, module: &ModuleDraft, sign: &Sign<'_>) -> Result<Trailer, ModuleSignError> {
        let certificate = &self.certificate;
        let name = || module.record.name.clone();
        // Of most keys it is the digest that is known already.
        let digest = if certificate.key.takes_sha256() {
            ModuleDigest::Sha256(*module.record.sha256.as_bytes())
        } else {
            let body = module.bytes.read();
            certificate
                .key
                .digest(&body.map_err(|source| ModuleSignError::Module { module: name(), source })?)
        };
        let signature = sign(&digest)?;
        if !certificate.key.verifies(&digest, &signature) {
            return Err(ModuleSignError::Wrong { module: name(), certificate: certificate.subject() });
        }
        let encoding =
            |error: der::Error| ModuleSignError::Encoding { module: name(), problem: error.to_string() };
        let bytes = message::trailer(certificate, &signature).map_err(encoding)?;
        Ok(Trailer::of(certificate.id(), &bytes))
    }
}

impl ModulePublicKey {
    /// A token gives ECDSA's two numbers one after the other; the kernel wants them in DER.
    fn in_der(&self, signature: Vec<u8>) -> Vec<u8> {
        let der = match self {
            Self::Rsa(_) => None,
            Self::P256(_) => p256::ecdsa::Signature::from_slice(&signature)
                .ok()
                .map(|signature| signature.to_der().as_bytes().to_vec()),
            Self::P384(_) => p384::ecdsa::Signature::from_slice(&signature)
                .ok()
                .map(|signature| signature.to_der().as_bytes().to_vec()),
        };
        der.unwrap_or(signature)
    }
}

impl fmt::Debug for ModuleSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleSigner({})", self.certificate.subject())
    }
}
