//! Whom a host believes, domain by domain; and in which of them a bundle is believed.
//!
//! A new bundle says its name only behind its signatures. So each domain is asked whether its keys signed it, and then whether
//! the name is its own: a key signs nothing of another domain. What is installed is judged by the domain that owns its name now.

use bundle_format::{BundleError, Judge, KeyId, RawBundle, Source};

use crate::host::Domain;
use crate::trust::domain_trust::DomainTrust;
use crate::trust::error::TrustError;
use crate::trust::owners::Owners;

/// Whom a host believes. A copy is cheap.
#[derive(Debug, Clone)]
pub(crate) struct HostTrust {
    pub(super) owners: Owners,
    /// `default` first, the others by name.
    pub(super) domains: Vec<DomainTrust>,
}

/// Why a bundle isn't believed in any domain.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl HostTrust {
    pub(crate) fn domain(&self, domain: &Domain) -> Option<&DomainTrust> {
        self.domains.iter().find(|trust| trust.domain() == domain)
    }

    /// The domain that owns the bundle name.
    pub(crate) fn owner(&self, name: &str) -> Result<&DomainTrust, TrustError> {
        let domain = self.owners.of(name);
        self.domain(&domain).ok_or(TrustError::NoDomain { domain })
    }

    /// Whether no key counts in any domain.
    pub(crate) fn is_empty(&self) -> bool {
        self.domains.iter().all(|trust| trust.trusted_keys().is_empty())
    }

    /// The domains that the roots of a bundle fit, or all if it has none, each with the judge that it gives; else why it fits none.
    pub(crate) fn judges<S: Source>(&self, raw: &RawBundle<S>) -> Result<Vec<(Domain, Judge)>, JudgeError> {
        let mut judges = Vec::new();
        let mut errors = Vec::new();
        for trust in &self.domains {
            let ask = || {
                let judge = raw.judge(&trust.trusted_keys())?;
                trust.check_with(judge.chain())?;
                Ok::<_, JudgeError>(judge)
            };
            match ask() {
                Ok(judge) => judges.push((trust.domain().clone(), judge)),
                Err(error) => errors.push((trust, error)),
            }
        }
        if judges.is_empty() {
            // Of those that have keys one may say more.
            let has_keys = |(trust, _): &(&DomainTrust, JudgeError)| !trust.trusted_keys().is_empty();
            let at = errors.iter().position(has_keys).unwrap_or(0);
            let error = (at < errors.len()).then(|| errors.swap_remove(at).1);
            return Err(error.unwrap_or_else(|| BundleError::NotTrusted { signers: Vec::new() }.into()));
        }
        Ok(judges)
    }

    /// Of these the one whose keys signed the bundle and that owns its name.
    pub(crate) fn choose<S: Source>(
        &self,
        raw: &RawBundle<S>,
        mut judges: Vec<(Domain, Judge)>,
    ) -> Result<(Domain, Judge), JudgeError> {
        if self.domains.len() == 1
            && let Some(only) = judges.pop()
        {
            // It owns all names, and whether it is signed is found out when it is verified.
            return Ok(only);
        }
        let mut refused: Option<JudgeError> = None;
        for (domain, judge) in judges {
            let error = match raw.signed_manifest(&judge) {
                Ok(manifest) => match self.check_owner(manifest.name.as_str(), &domain) {
                    Ok(()) => return Ok((domain, judge)),
                    Err(error) => error.into(),
                },
                Err(error) => error.into(),
            };
            // That a domain's keys didn't sign it says the least.
            if !matches!(error, JudgeError::Bundle(BundleError::NotTrusted { .. })) {
                refused = Some(error);
            }
        }
        let lost = || self.domains.iter().find_map(|trust| trust.check().err()).map(JudgeError::Trust);
        let signers = raw.claimed_signers();
        Err(refused.or_else(lost).unwrap_or_else(|| BundleError::NotTrusted { signers }.into()))
    }

    /// Refuses a name that isn't the domain's.
    pub(crate) fn check_owner(&self, name: &str, domain: &Domain) -> Result<(), TrustError> {
        if self.owner_of(name) == *domain { Ok(()) } else { Err(self.not_owned(name, domain.clone())) }
    }

    /// Why a bundle of that name is refused though it is signed in `domain`.
    pub(crate) fn not_owned(&self, name: &str, domain: Domain) -> TrustError {
        TrustError::NotOwned { name: name.to_owned(), domain, owner: self.owner_of(name) }
    }

    /// The name of the domain that owns the bundle name.
    pub(crate) fn owner_of(&self, name: &str) -> Domain {
        self.owners.of(name)
    }

    /// A domain other than `owner` one of whose keys is among these. Only for messages.
    pub(crate) fn other_signer(&self, owner: &Domain, signers: &[KeyId]) -> Option<Domain> {
        let mut others = self.domains.iter().filter(|trust| trust.domain() != owner);
        others.find(|trust| trust.knows_one(signers)).map(|trust| trust.domain().clone())
    }
}
