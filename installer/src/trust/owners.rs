//! Which domain owns which bundle names: `/etc/stap-bundle/trust/<domain>/bundles`, a pattern a line.
//!
//! `default` has no such file: it owns what no other domain owns. Two others never own one name. Where that can't be read
//! exactly, or somebody else could change it, nothing is believed: half an account would give a team's names to another.

use std::collections::BTreeMap;

use files::{Directory, FileError, FileSystem, Unprotected};
use rustix::fs::FileType;

use crate::host::Domain;
use crate::host::paths::{OWNED, TRUST};
use crate::trust::error::TrustError;
use crate::trust::pattern::Pattern;

/// Most bytes of an account: all patterns, and remarks.
const MAX_OWNED: u64 = 64 << 10;
/// Most patterns of a domain, so that all can be compared at each start.
const MAX_PATTERNS: usize = 32;
/// Most domains, for the same reason.
const MAX_DOMAINS: usize = 64;

/// A domain and its patterns; none for `default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub domain: Domain,
    pub bundles: Vec<Pattern>,
}

/// All domains of a host and what they own: `default` first, the others by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners(Vec<Owner>);

impl Owners {
    /// Reads the accounts of all domains and compares them.
    pub fn read(host: &FileSystem) -> Result<Self, TrustError> {
        Ok(Self::open(host)?.0)
    }

    /// The same, with the directories of their pins, as far as they are there.
    pub(crate) fn open(host: &FileSystem) -> Result<(Self, BTreeMap<Domain, Directory>), TrustError> {
        let mut owners = Self(vec![Owner { domain: Domain::default(), bundles: Vec::new() }]);
        let mut pins = BTreeMap::new();
        let all = match host.open_protected(TRUST) {
            Ok(all) => all,
            Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok((owners, pins)),
            Err(error) => return Err(error.or(TrustError::Unprotected)),
        };
        for name in all.entries()? {
            let Ok(domain) = name.parse::<Domain>() else { continue };
            if all.kind(&name)? == Some(FileType::RegularFile) && !domain.is_default() {
                continue;
            }
            let read = || -> Result<_, TrustError> {
                let directory =
                    host.open_protected(domain.pins()).map_err(|error| error.or(TrustError::Unprotected))?;
                Ok((read_owned(&directory, &domain)?, directory))
            };
            // Removed meanwhile, in one step, and perhaps made again: which directory it is tells.
            let which = || {
                let stat = all.stat(&name)?;
                Ok::<_, FileError>(stat.map(|stat| (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec)))
            };
            let mut before = which()?;
            let found = loop {
                let found = read();
                let after = which()?;
                match found {
                    Err(_) if after.is_none() => break None,
                    Err(_) if after != before => before = after,
                    found => break Some(found?),
                }
            };
            let Some((bundles, directory)) = found else { continue };
            pins.insert(domain.clone(), directory);
            if !domain.is_default() {
                owners.check(&domain, &bundles)?;
                owners.0.push(Owner { domain, bundles });
            }
        }
        Ok((owners, pins))
    }

    /// Refuses to let `domain` own these names too, where another domain owns one of them.
    pub(crate) fn check(&self, domain: &Domain, bundles: &[Pattern]) -> Result<(), TrustError> {
        let others = self.0.iter().filter(|owner| owner.domain != *domain);
        if others.clone().count() >= MAX_DOMAINS {
            return Err(TrustError::ManyDomains { most: MAX_DOMAINS });
        }
        for other in others {
            for theirs in &other.bundles {
                for ours in bundles {
                    if let Some(name) = ours.common_name(theirs) {
                        return Err(TrustError::Overlap {
                            domain: domain.clone(),
                            pattern: ours.clone(),
                            other: other.domain.clone(),
                            others: theirs.clone(),
                            name,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// All domains: `default` first.
    #[must_use]
    pub fn all(&self) -> &[Owner] {
        &self.0
    }

    /// The domain that owns `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> Domain {
        let owns = |owner: &&Owner| owner.bundles.iter().any(|pattern| pattern.matches(name));
        self.0.iter().find(owns).map(|owner| owner.domain.clone()).unwrap_or_default()
    }

    /// Whether there is this domain. There is always `default`.
    #[must_use]
    pub fn has(&self, domain: &Domain) -> bool {
        self.0.iter().any(|owner| owner.domain == *domain)
    }
}

/// The patterns of a domain.
fn read_owned(directory: &Directory, domain: &Domain) -> Result<Vec<Pattern>, TrustError> {
    let file = format!("{}/{OWNED}", domain.pins());
    let wrong = |problem: String| TrustError::Owned { file: file.clone(), problem };
    let is_there = directory.kind(OWNED)?.is_some();
    if domain.is_default() {
        let problem = "`default` owns what no other domain owns, and takes no patterns";
        return if is_there { Err(wrong(problem.to_owned())) } else { Ok(Vec::new()) };
    }
    if !is_there {
        return Err(wrong("it is missing, so what the domain owns isn't known".to_owned()));
    }
    let bytes = match directory.read_protected(OWNED, MAX_OWNED) {
        Ok(bytes) => bytes,
        Err(error) => return Err(error.or(TrustError::Unprotected)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).enumerate();
    let mut patterns = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let pattern = line.parse::<Pattern>();
        patterns.push(pattern.map_err(|problem| wrong(format!("line {}: {problem}", number + 1)))?);
    }
    if patterns.is_empty() {
        return Err(wrong("it has no pattern".to_owned()));
    }
    check_count(domain, patterns.len())?;
    Ok(patterns)
}

/// Refuses more patterns than a domain may have.
pub(crate) fn check_count(domain: &Domain, patterns: usize) -> Result<(), TrustError> {
    if patterns <= MAX_PATTERNS {
        return Ok(());
    }
    let problem = format!("it has {patterns} patterns, more than {MAX_PATTERNS}");
    Err(TrustError::Owned { file: format!("{}/{OWNED}", domain.pins()), problem })
}

/// The account of a domain as it is written.
pub(crate) fn owned_text(patterns: &[Pattern]) -> String {
    let lines: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    format!("{}\n", lines.join("\n"))
}
