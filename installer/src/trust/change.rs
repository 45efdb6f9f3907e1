//! What the administrator changes: pins, chains of roots and domains.
//!
//! | what | in this order | a cut after it leaves |
//! |---|---|---|
//! | a new domain | what an earlier domain of that name left of a chain is forgotten | no such domain, as before |
//! | | `.<domain>.new/` with the patterns and the pin, synced | the same, and a left-over |
//! | | it is renamed to `<domain>`, the directory synced | the domain, with its pin and all that it owns |
//! | a pin, a chain, patterns for a domain that is there | one file each, renamed over the old one; the pin first | without or with it |
//! | a domain is removed | `<domain>` is renamed to `.<domain>.gone`, the directory synced | no such domain: its names are `default`'s |
//! | | its accepted chain is forgotten (`chain.rs`) | a chain of no domain, which counts for nothing |
//! | | `.<domain>.gone` is removed | part of it, a left-over |
//!
//! The next of these commands removes left-overs. `default` is always there, so its chain rules until it is forgotten: the
//! command is given again after a cut.

use std::time::Duration;

use bundle_format::{KeyId, PublicKey, RootChain};
use files::{Directory, FileError, FileSystem};

use crate::host::paths::{OWNED, ROOT_PIN, TRUST};
use crate::host::{Domain, HistoryEvent, WriterLock, append};
use crate::trust::chain::forget;
use crate::trust::domain_trust::DomainTrust;
use crate::trust::error::TrustError;
use crate::trust::owners::{check_count, owned_text};
use crate::trust::pattern::Pattern;
use crate::trust::pins::{pin_file_name, writable};
use crate::trust::proof::Proofs;
use crate::trust::store::{RootsUpdate, TrustStore};

/// How a directory of pins ends that isn't a domain yet, or no longer.
const STAGED: &str = ".new";
const GONE: &str = ".gone";

/// What is to be believed.
#[derive(Debug, Clone)]
pub enum Pin {
    Key(PublicKey),
    /// A file of roots, for whose first root the administrator vouches.
    Roots(Vec<u8>),
}

/// Where it is to be believed.
#[derive(Debug, Clone, Default)]
pub struct PinPlace {
    pub domain: Domain,
    /// What the domain owns beside what it owned before; a new one must own something.
    pub bundles: Vec<Pattern>,
}

/// What adding a pin changed.
#[derive(Debug)]
pub struct TrustAdded {
    /// Whether it wasn't believed before, or its domain didn't own as much.
    pub changed: bool,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// A pin that was taken back.
#[derive(Debug)]
pub struct TrustRemoved {
    pub key: KeyId,
    pub domain: Domain,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// A pin as it becomes a file.
struct Pinned {
    file: String,
    bytes: Vec<u8>,
    event: HistoryEvent,
}

impl TrustStore {
    /// Pins a key in `default`, on the disk when this returns.
    pub fn add(
        &mut self,
        host: &FileSystem,
        key: PublicKey,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustAdded, TrustError> {
        self.add_to(host, &PinPlace::default(), &Pin::Key(key), now, wait)
    }

    /// Pins a key, or a chain of roots, in a domain, which is made if it isn't there; on the disk when this returns.
    pub fn add_to(
        &mut self,
        host: &FileSystem,
        place: &PinPlace,
        pin: &Pin,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustAdded, TrustError> {
        let PinPlace { domain, bundles } = place;
        if domain.is_default() && !bundles.is_empty() {
            return Err(TrustError::DefaultOwnsTheRest);
        }
        let chain = match pin {
            Pin::Key(_) => None,
            Pin::Roots(roots) => Some(RootChain::read_trusted(roots).map_err(TrustError::Roots)?),
        };
        let lock = self.wait_and_read(host, wait)?;
        self.trust.owners.check(domain, bundles)?;
        let is_new = !self.trust.owners.has(domain);
        let owned = if is_new { Vec::new() } else { self.domain(domain)?.bundles().to_vec() };
        let mut more: Vec<Pattern> = Vec::new();
        for pattern in bundles {
            if !owned.contains(pattern) && !more.contains(pattern) {
                more.push(pattern.clone());
            }
        }
        if is_new && more.is_empty() {
            return Err(TrustError::OwnsNothing { domain: domain.clone() });
        }
        if !is_new && self.refuse_or_has(domain, pin, chain.as_ref(), more.is_empty())? {
            return Ok(TrustAdded { changed: false, history: None });
        }
        let Pinned { file, bytes, event } = pinned(place, pin, chain.as_ref(), &more)?;
        let all: Vec<Pattern> = owned.into_iter().chain(more.iter().cloned()).collect();
        check_count(domain, all.len())?;
        if is_new {
            make_domain(host, &lock, domain, &all, (&file, &bytes))?;
        } else {
            let directory = writable(host, domain)?;
            directory.replace_file(&file, &bytes)?;
            if !more.is_empty() {
                directory.replace_file(OWNED, owned_text(&all).as_bytes())?;
            }
        }
        // The pin is on the disk: a history that can't be written is no reason to call it failed.
        let history = append(host, &lock, now, event).err();
        *self = Self::open(host)?;
        Ok(TrustAdded { changed: true, history })
    }

    /// Refuses what a chain that rules, or should, forbids; else whether nothing would change.
    fn refuse_or_has(
        &self,
        domain: &Domain,
        pin: &Pin,
        chain: Option<&RootChain>,
        owns_all: bool,
    ) -> Result<bool, TrustError> {
        let trust = self.domain(domain)?;
        trust.check_with(chain.or(trust.chain()))?;
        let has = match pin {
            Pin::Key(key) => trust.keys().contains(key),
            Pin::Roots(_) => trust.chain() == chain,
        };
        match trust.accepted.chain() {
            // A domain gets more names with a pin that it has, whatever rules.
            Some(rules) if owns_all || !has => {
                let version = rules.newest().version();
                Err(TrustError::ChainRules { domain: domain.clone(), version })
            }
            _ => Ok(has && owns_all),
        }
    }

    /// Takes a file of roots without a bundle: a revocation in haste. `None` if it holds nothing new. With
    /// `dry_run` nothing is written.
    pub fn update(
        &mut self,
        host: &FileSystem,
        domain: &Domain,
        roots: &[u8],
        now: Option<u64>,
        wait: Duration,
        dry_run: bool,
    ) -> Result<Option<RootsUpdate>, TrustError> {
        let trust = self.domain(domain)?;
        let chain = trust.trusted_keys().accept_roots(roots).map_err(TrustError::Roots)?;
        trust.check_with(Some(&chain))?;
        if !dry_run {
            return self.accept(host, domain, &chain, now, wait);
        }
        if trust.has_newest(&chain) {
            return Ok(None);
        }
        let from = trust.accepted.chain().map_or(0, |old| old.newest().version());
        Ok(Some(RootsUpdate { domain: domain.clone(), from, chain, history: None }))
    }

    /// The domain whose pins or chain lead to these roots.
    pub fn domain_of(&self, roots: &[u8]) -> Result<Domain, TrustError> {
        let fits = |trust: &&DomainTrust| trust.trusted_keys().accept_roots(roots).is_ok();
        let fitting: Vec<Domain> =
            self.domains().iter().filter(fits).map(|trust| trust.domain().clone()).collect();
        match fitting.as_slice() {
            [one] => Ok(one.clone()),
            [] => {
                // What is wrong with them is said by one that has keys at all.
                let has_keys = |trust: &&DomainTrust| !trust.trusted_keys().is_empty();
                let trust = self.domains().iter().find(has_keys);
                Ok(trust.map(|trust| trust.domain().clone()).unwrap_or_default())
            }
            _ => Err(TrustError::SeveralDomains { domains: fitting }),
        }
    }

    /// Removes the one pin whose id begins with `prefix`, of all domains.
    pub fn remove(
        &mut self,
        host: &FileSystem,
        prefix: &str,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustRemoved, TrustError> {
        self.remove_from(host, None, prefix, now, wait)
    }

    /// Removes the one pin of a domain, or of all, whose id begins with `prefix`.
    pub fn remove_from(
        &mut self,
        host: &FileSystem,
        domain: Option<&Domain>,
        prefix: &str,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustRemoved, TrustError> {
        let lock = self.wait_and_read(host, wait)?;
        if let Some(domain) = domain {
            self.domain(domain)?;
        }
        let begins = |key: &&PublicKey| !prefix.is_empty() && key.id().to_string().starts_with(prefix);
        let looked_at =
            self.domains().iter().filter(|trust| domain.is_none_or(|only| only == trust.domain()));
        let found: Vec<(Domain, KeyId)> = looked_at
            .flat_map(|trust| {
                trust.keys().iter().filter(begins).map(|key| (trust.domain().clone(), key.id()))
            })
            .collect();
        let prefix = prefix.to_owned();
        let (domain, key) = match found.as_slice() {
            [] => return Err(TrustError::Unknown { prefix }),
            [one] => one.clone(),
            several => return Err(TrustError::Ambiguous { prefix, count: several.len() }),
        };
        let directory =
            host.open_protected(domain.pins()).map_err(|error| error.or(TrustError::Unprotected))?;
        directory.unlink(&pin_file_name(&key))?;
        directory.sync()?;
        self.domain_mut(&domain)?.keys.retain(|pinned| pinned.id() != key);
        let event = HistoryEvent::Distrust { domain: domain.clone(), key };
        let history = append(host, &lock, now, event).err();
        Ok(TrustRemoved { key, domain, history })
    }

    /// Removes a domain with its pins, what it owned and the chain that it had accepted: another farm may begin there. Of
    /// `default` its pins and its chain. It asks for no chain that can be read.
    pub fn remove_domain(
        host: &FileSystem,
        domain: &Domain,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<Option<FileError>, TrustError> {
        let lock = WriterLock::wait(host, wait)?;
        host.ensure_dir(TRUST)?;
        let all = domains_directory(host)?;
        let is_there = all.kind(domain.as_str())?.is_some();
        if !is_there && !domain.is_default() {
            return Err(TrustError::NoDomain { domain: domain.clone() });
        }
        let gone = format!(".{domain}{GONE}");
        if is_there {
            all.rename(domain.as_str(), &gone)?;
            all.sync()?;
        }
        forget(host, &lock, domain, Proofs::read(host)?.roots(domain))?;
        all.remove_tree(&gone)?;
        all.sync()?;
        Ok(append(host, &lock, now, HistoryEvent::RemoveDomain { domain: domain.clone() }).err())
    }

    /// Makes both copies of each accepted chain whole.
    pub fn mend(&mut self, host: &FileSystem, wait: Duration) -> Result<(), TrustError> {
        let lock = self.wait_and_read(host, wait)?;
        self.trust.domains.iter_mut().try_for_each(|trust| trust.accepted.mend(host, &lock))
    }
}

fn pinned(
    place: &PinPlace,
    pin: &Pin,
    chain: Option<&RootChain>,
    more: &[Pattern],
) -> Result<Pinned, TrustError> {
    let domain = place.domain.clone();
    let bundles = more.iter().map(Pattern::to_string).collect();
    match (pin, chain) {
        (Pin::Roots(roots), Some(chain)) => {
            let newest = chain.newest();
            let name = newest.document().name.clone();
            let event = HistoryEvent::TrustRoots { domain, bundles, name, version: newest.version() };
            Ok(Pinned { file: ROOT_PIN.to_owned(), bytes: roots.clone(), event })
        }
        (Pin::Key(key), _) => {
            let id = key.id();
            let file = pin_file_name(&id);
            let pem = key.to_pem();
            let pem =
                pem.map_err(|source| TrustError::Key { domain: domain.clone(), file: file.clone(), source })?;
            let event = HistoryEvent::Trust { domain, bundles, key: id };
            Ok(Pinned { file, bytes: pem.into_bytes(), event })
        }
        (Pin::Roots(_), None) => Err(TrustError::Roots(bundle_format::RootError::Empty)),
    }
}

fn make_domain(
    host: &FileSystem,
    lock: &WriterLock,
    domain: &Domain,
    owned: &[Pattern],
    (file, pin): (&str, &[u8]),
) -> Result<(), TrustError> {
    forget(host, lock, domain, Proofs::read(host)?.roots(domain))?;
    host.ensure_dir(TRUST)?;
    let all = domains_directory(host)?;
    let staged = format!(".{domain}{STAGED}");
    let directory = all.create_dir(&staged)?;
    directory.write_synced(OWNED, owned_text(owned).as_bytes())?;
    directory.write_synced(file, pin)?;
    directory.sync()?;
    all.rename(&staged, domain.as_str())?;
    Ok(all.sync()?)
}

/// The directory of all domains, without what killed commands left.
fn domains_directory(host: &FileSystem) -> Result<Directory, TrustError> {
    let all = host.open_protected(TRUST).map_err(|error| error.or(TrustError::Unprotected))?;
    for name in all.entries()? {
        let domain =
            name.strip_prefix('.').and_then(|name| name.strip_suffix(STAGED).or(name.strip_suffix(GONE)));
        if domain.is_some_and(|domain| domain.parse::<Domain>().is_ok()) {
            all.remove_tree(&name)?;
        }
    }
    Ok(all)
}
