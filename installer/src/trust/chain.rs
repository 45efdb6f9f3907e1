//! The accepted chain of roots of a domain, in two copies: `state/roots/<domain>/chain.stapr` and `chain.stapr.copy`, each of
//! which is what a bundle's `roots` member is.
//!
//! It is written as a step of its own before the bundle that brought it is looked at: so a revocation holds even if that
//! bundle is refused. It lies beneath /var/lib and not beneath /etc, where configuration management would bring old roots back.
//!
//! | when | what is written | a cut after it leaves |
//! |---|---|---|
//! | a longer chain is accepted | `chain.stapr`, by a new file renamed over it | the longer chain in one copy, which counts |
//! | | `chain.stapr.copy`, likewise | both |
//! | the next acceptance, whatever it brings | a copy that is missing, damaged or behind | the same |
//!
//! What counts is the longer of both. One that is missing or damaged is an alarm, but for a missing `chain.stapr.copy`: 0.1.0
//! made none. Where neither can be used nothing is believed. Where both are missing the pins decide, unless a generation on
//! disk was accepted by a root (`trust/proof.rs`).

use std::collections::BTreeSet;
use std::io;

use bundle_format::{Digest, RootChain, RootError, limits};
use files::{Directory, FileError, FileSystem, Unprotected, optional};
use serde::{Deserialize, Serialize};

use crate::host::paths::{CHAIN_FILES, FORGOTTEN};
use crate::host::version::{NewerState, StateVersion};
use crate::host::{Domain, WriterLock};
use crate::trust::error::TrustError;

/// Of a [`RootRecord`]; the chain's own documents have the bundle format's.
const RECORD: StateVersion = StateVersion::new(1);

/// Of a [`Forgotten`].
const FORGET: StateVersion = StateVersion::new(1);

/// Most bytes of it: some twenty thousand roots.
const MAX_FORGOTTEN: u64 = 2 << 20;

/// Roots that prove nothing of the accepted chain: the administrator started the domain over when they were in generations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Forgotten {
    roots: BTreeSet<Digest>,
}

/// By which root a bundle was accepted; kept beside it in its generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRecord {
    pub version: u64,
    /// Digest of its raw document.
    pub sha256: Digest,
    /// Whose chain it is in.
    #[serde(default, skip_serializing_if = "Domain::is_default")]
    pub domain: Domain,
}

impl RootRecord {
    /// The newest root of `chain`, which is that of `domain`.
    pub(crate) fn of_newest(chain: &RootChain, domain: &Domain) -> Self {
        let newest = chain.newest();
        Self { version: newest.version(), sha256: newest.digest(), domain: domain.clone() }
    }

    pub(crate) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        RECORD.write(self)
    }
}

/// One copy as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Copy {
    Absent,
    Damaged(Damage),
    Good(RootChain),
}

/// What is wrong with a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Damage {
    what: String,
    /// Whether the system couldn't read it.
    unreadable: bool,
}

impl Damage {
    fn of(error: &dyn std::error::Error, unreadable: bool) -> Self {
        Self { what: files::with_causes(error), unreadable }
    }
}

/// The accepted chain and its copies.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedChain {
    domain: Domain,
    chain: Option<RootChain>,
    copies: [Copy; 2],
    forgotten: Forgotten,
}

impl AcceptedChain {
    /// Reads both copies, each root proven by the one before it.
    pub(crate) fn read(host: &FileSystem, domain: &Domain) -> Result<Self, TrustError> {
        // Whoever could write on the way could also take the chain away, and with it what it revokes. So the way is
        // checked as far as it goes, whether there is a chain or not.
        let (copies, forgotten) = match host.open_protected_through_links(domain.chain_directory()) {
            Ok(directory) => {
                let copies = [
                    read_copy(&directory, domain, CHAIN_FILES[0])?,
                    read_copy(&directory, domain, CHAIN_FILES[1])?,
                ];
                (copies, read_forgotten(&directory)?)
            }
            Err(Unprotected::Storage(error)) if error.is_not_found() => {
                ([Copy::Absent, Copy::Absent], Forgotten::default())
            }
            Err(error) => return Err(error.or(TrustError::UnprotectedChain)),
        };
        let chain = longer(domain, &copies)?;
        Ok(Self { domain: domain.clone(), chain, copies, forgotten })
    }

    /// The longer of the copies.
    pub(crate) const fn chain(&self) -> Option<&RootChain> {
        self.chain.as_ref()
    }

    /// Copies that an accepted chain should have and hasn't: the file, and what is wrong with it.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let spoilt = |(copy, name): (&Copy, &str)| {
            let what = match copy {
                Copy::Absent if name == CHAIN_FILES[0] => "it is not there".to_owned(),
                Copy::Absent => return None,
                Copy::Good(found) if self.chain.as_ref() == Some(found) => return None,
                Copy::Good(found) => format!("it ends with root {}", found.newest().version()),
                Copy::Damaged(damage) => damage.what.clone(),
            };
            Some((self.domain.chain_file(name), what))
        };
        if self.chain.is_none() {
            return Vec::new();
        }
        self.copies.iter().zip(CHAIN_FILES).filter_map(spoilt).collect()
    }

    /// The roots whose records don't prove the chain: the administrator started the domain over.
    pub(crate) const fn forgotten(&self) -> &BTreeSet<Digest> {
        &self.forgotten.roots
    }

    /// Whether both copies hold the accepted chain.
    pub(crate) fn is_whole(&self) -> bool {
        let Some(chain) = &self.chain else { return true };
        self.copies.iter().all(|copy| matches!(copy, Copy::Good(found) if found == chain))
    }

    /// Makes `chain` the accepted one and both copies whole, on the disk when this returns; `None` if an equal or newer one
    /// was accepted before, else the version that was the newest until now, 0 if there was none.
    pub(crate) fn advance(
        &mut self,
        host: &FileSystem,
        lock: &WriterLock,
        chain: &RootChain,
    ) -> Result<Option<u64>, TrustError> {
        let from = match &self.chain {
            None => 0,
            Some(old) if chain.with_digest(&old.newest().digest()).is_some() => old.newest().version(),
            // Another writer went further meanwhile, along the same way.
            Some(old) if old.with_digest(&chain.newest().digest()).is_some() => {
                self.mend(host, lock)?;
                return Ok(None);
            }
            Some(old) => return Err(TrustError::Overtaken { version: old.newest().version() }),
        };
        if from == chain.newest().version() {
            self.mend(host, lock)?;
            return Ok(None);
        }
        self.chain = Some(chain.clone());
        self.mend(host, lock)?;
        self.remember(host)?;
        Ok(Some(from))
    }

    /// Brings both copies up to the accepted chain, on the disk when this returns.
    pub(crate) fn mend(&mut self, host: &FileSystem, _lock: &WriterLock) -> Result<(), TrustError> {
        let Some(chain) = self.chain.clone().filter(|_| !self.is_whole()) else { return Ok(()) };
        let bytes = chain.to_bytes().map_err(TrustError::Roots)?;
        let path = self.domain.chain_directory();
        host.ensure_dir(&path)?;
        let directory = host
            .open_protected_through_links(&path)
            .map_err(|error| error.or(TrustError::UnprotectedChain))?;
        for (copy, name) in self.copies.iter_mut().zip(CHAIN_FILES) {
            if !matches!(copy, Copy::Good(found) if *found == chain) {
                directory.replace_file(name, &bytes)?;
                *copy = Copy::Good(chain.clone());
            }
        }
        Ok(())
    }

    /// Roots of a chain that was forgotten and is accepted again count again.
    fn remember(&mut self, host: &FileSystem) -> Result<(), TrustError> {
        let Some(chain) = &self.chain else { return Ok(()) };
        let before = self.forgotten.roots.len();
        self.forgotten.roots.retain(|root| chain.with_digest(root).is_none());
        if self.forgotten.roots.len() == before {
            return Ok(());
        }
        let directory = host
            .open_protected_through_links(self.domain.chain_directory())
            .map_err(|error| error.or(TrustError::UnprotectedChain))?;
        write_forgotten(&directory, &self.forgotten)
    }
}

/// Forgets the accepted chain of `domain`, as the administrator wants it: records of `roots`, which are those of all generations on
/// disk, don't count for it any more, whichever generation carries them on. In this order, so that a cut leaves the chain or
/// no chain, and never one that is missed.
pub(crate) fn forget(
    host: &FileSystem,
    _lock: &WriterLock,
    domain: &Domain,
    roots: BTreeSet<Digest>,
) -> Result<(), TrustError> {
    let path = domain.chain_directory();
    if !roots.is_empty() {
        host.ensure_dir(&path)?;
    }
    let directory = match host.open_protected_through_links(&path) {
        Ok(directory) => directory,
        Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.or(TrustError::UnprotectedChain)),
    };
    if !roots.is_empty() {
        write_forgotten(&directory, &Forgotten { roots })?;
    }
    for name in CHAIN_FILES {
        directory.unlink_if_there(name)?;
    }
    Ok(directory.sync()?)
}

fn write_forgotten(directory: &Directory, forgotten: &Forgotten) -> Result<(), TrustError> {
    let wrong = |error| FileError::new("write", directory.path().join(FORGOTTEN), io::Error::from(error));
    let bytes = FORGET.write(forgotten).map_err(wrong)?;
    Ok(directory.replace_file(FORGOTTEN, &bytes)?)
}

/// What can't be understood forgets nothing, unless a newer program wrote it.
fn read_forgotten(directory: &Directory) -> Result<Forgotten, TrustError> {
    let bytes = match directory.read_protected(FORGOTTEN, MAX_FORGOTTEN) {
        Ok(bytes) => bytes,
        Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok(Forgotten::default()),
        Err(error) => return Err(error.or(TrustError::UnprotectedChain)),
    };
    match FORGET.read(&bytes) {
        Ok(forgotten) => Ok(forgotten),
        Err(error) if NewerState::in_error(&error).is_some() => {
            Err(FileError::new("understand", directory.path().join(FORGOTTEN), error).into())
        }
        Err(_) => Ok(Forgotten::default()),
    }
}

fn read_copy(directory: &Directory, domain: &Domain, name: &str) -> Result<Copy, TrustError> {
    let bytes = match directory.read_protected(name, limits::MAX_ROOTS) {
        Ok(bytes) => bytes,
        Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok(Copy::Absent),
        // A worn-out block takes one copy along, not what the host believes.
        Err(Unprotected::Storage(error)) => {
            return Ok(Copy::Damaged(Damage::of(&error, error.is_device())));
        }
        Err(of_others) => return Err(TrustError::UnprotectedChain(of_others)),
    };
    match RootChain::read_trusted(&bytes) {
        Ok(chain) => Ok(Copy::Good(chain)),
        // It may revoke more than the other copy: nothing older may take its place.
        Err(source @ RootError::Critical { .. }) => {
            Err(TrustError::NewerChain { file: domain.chain_file(name), source })
        }
        Err(error) => Ok(Copy::Damaged(Damage::of(&error, false))),
    }
}

/// The longer of two copies of one chain. A copy that isn't whole counts for nothing, but if no other is good it isn't known
/// what was accepted.
fn longer(domain: &Domain, copies: &[Copy; 2]) -> Result<Option<RootChain>, TrustError> {
    let holds =
        |longer: &RootChain, newest: &RootChain| longer.with_digest(&newest.newest().digest()).is_some();
    match copies {
        [Copy::Good(one), Copy::Good(other)] if holds(one, other) => Ok(Some(one.clone())),
        [Copy::Good(one), Copy::Good(other)] if holds(other, one) => Ok(Some(other.clone())),
        [Copy::Good(one), Copy::Good(other)] => {
            let fork = RootError::Fork {
                version: one.newest().version().min(other.newest().version()),
                known: one.newest().digest(),
                found: other.newest().digest(),
            };
            Err(unusable(domain, CHAIN_FILES[1], &Damage::of(&fork, false)))
        }
        [Copy::Good(good), _] | [_, Copy::Good(good)] => Ok(Some(good.clone())),
        [Copy::Damaged(damage), _] => Err(unusable(domain, CHAIN_FILES[0], damage)),
        [Copy::Absent, Copy::Damaged(damage)] => Err(unusable(domain, CHAIN_FILES[1], damage)),
        [Copy::Absent, Copy::Absent] => Ok(None),
    }
}

fn unusable(domain: &Domain, name: &str, damage: &Damage) -> TrustError {
    let Damage { what, unreadable } = damage.clone();
    TrustError::Chain { file: domain.chain_file(name), problem: what, unreadable }
}

/// The root by which the bundle of this directory was accepted; `None` if pins decided.
pub(crate) fn recorded_root(bundle: &Directory, name: &str) -> Result<Option<RootRecord>, FileError> {
    let Some(raw) = optional(bundle.read_file(name, 4096))? else { return Ok(None) };
    RECORD.read(&raw).map(Some).map_err(|error| FileError::new("understand", bundle.path().join(name), error))
}
