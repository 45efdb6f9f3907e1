//! A root document: the shapes on the wire, and what must hold between its fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::manifest::{FORMAT, Manifest};
use crate::document::preface::Preface;
use crate::document::root::error::RootError;
use crate::document::strict_json;
use crate::limits::{MAX_REVOKED, MAX_ROOT, MAX_ROOT_KEYS, MAX_SIGNATURES, MAX_THRESHOLD};
use crate::names::{BundleName, Digest, KeyId, KeyStatus, PublicKey};

/// The name of a chain; the same rule as for a bundle's name.
pub type RootName = BundleName;

/// One key of a root. Its id isn't written: a reader computes it, so none can lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    /// The key itself.
    pub public: PublicKey,
    /// What it may do.
    pub status: KeyStatus,
}

/// Bundles of one name and epoch that are refused everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RevokedSerials {
    /// The bundles' name.
    pub name: BundleName,
    /// Their epoch: a serial has a meaning only within one.
    pub epoch: u64,
    /// The lowest revoked serial.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDocument {
    /// Major version of the format; 1.
    pub format: u32,
    /// Smallest minor version of the format that a reader must know.
    pub minimum_reader: u32,
    /// What a reader must understand; an unknown entry is refused.
    pub critical: Vec<String>,
    /// The chain's name, the same in all its roots.
    pub name: RootName,
    /// 1 for the first root, one more for each that follows.
    pub version: u64,
    /// Digest of the raw document before this one; absent in root 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// The highest epoch that a bundle may have.
    pub epoch: u64,
    /// Seconds since 1970 when it was made; for people.
    pub created: u64,
    /// How many active keys must sign.
    pub threshold: u64,
    /// All keys, ascending by their 32 bytes.
    pub keys: Vec<RootKey>,
    /// Revoked bundles by name, epoch and serial; ascending.
    pub revoked_serials: Vec<RevokedSerials>,
    /// Revoked bundles by content digest; ascending.
    pub revoked_contents: Vec<Digest>,
}

impl RootDocument {
    /// Root 1 of a chain: these keys, all active.
    #[must_use]
    pub fn first(name: RootName, keys: Vec<PublicKey>, threshold: u64, created: u64) -> Self {
        let mut keys: Vec<RootKey> =
            keys.into_iter().map(|public| RootKey { public, status: KeyStatus::Active }).collect();
        keys.sort_by(|a, b| a.public.as_bytes().cmp(b.public.as_bytes()));
        Self {
            format: FORMAT,
            minimum_reader: 0,
            critical: Vec::new(),
            name,
            version: 1,
            prev: None,
            epoch: 0,
            created,
            threshold,
            keys,
            revoked_serials: Vec::new(),
            revoked_contents: Vec::new(),
        }
    }

    /// The keys whose signatures count.
    pub fn active(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(|key| key.status == KeyStatus::Active).map(|key| &key.public)
    }

    /// What the key with this id may do; `None` if it isn't listed.
    #[must_use]
    pub fn status(&self, id: &KeyId) -> Option<KeyStatus> {
        self.keys.iter().find(|key| key.public.id() == *id).map(|key| key.status)
    }

    /// Whether the bundle of `manifest` is revoked.
    #[must_use]
    pub fn revokes(&self, manifest: &Manifest) -> bool {
        let in_range = |range: &RevokedSerials| {
            range.name == manifest.name
                && range.epoch == manifest.epoch
                && (range.first..=range.last).contains(&manifest.serial)
        };
        self.revoked_contents.binary_search(&manifest.content).is_ok()
            || self.revoked_serials.iter().any(in_range)
    }

    /// The bytes that are signed: strict JSON without white space.
    pub fn write(&self) -> Result<Vec<u8>, RootError> {
        self.check()?;
        let position = usize::try_from(self.version).unwrap_or(usize::MAX).saturating_sub(1);
        let raw = strict_json::write(self).map_err(|source| RootError::Json { position, source })?;
        if raw.len() as u64 > MAX_ROOT {
            return Err(self.invalid(format!("it has {} bytes, limit {MAX_ROOT}", raw.len())));
        }
        Ok(raw)
    }

    /// Reads a document whose bytes are vouched for, and checks all that it says of itself.
    pub(crate) fn read(raw: &[u8], position: usize) -> Result<Self, RootError> {
        let unreadable = |source| RootError::Json { position, source };
        // First, because what it forbids to read may have another shape.
        let preface: Preface = strict_json::parse(raw).map_err(unreadable)?;
        preface.check().map_err(|what| RootError::Critical { what })?;
        let document: Self = strict_json::parse(raw).map_err(unreadable)?;
        document.check()?;
        Ok(document)
    }

    fn invalid(&self, problem: impl Into<String>) -> RootError {
        RootError::Document { version: self.version, problem: problem.into() }
    }

    /// Checks what must hold between the fields (specification, section 5.2).
    pub fn check(&self) -> Result<(), RootError> {
        if self.version == 0 {
            return Err(self.invalid("versions begin with 1"));
        }
        if (self.version == 1) == self.prev.is_some() {
            return Err(self.invalid("`prev` must stand in every root but the first"));
        }
        if self.keys.len() > MAX_ROOT_KEYS {
            return Err(self.invalid(format!("it has {} keys, limit {MAX_ROOT_KEYS}", self.keys.len())));
        }
        if !self.keys.is_sorted_by(|a, b| a.public.as_bytes() < b.public.as_bytes()) {
            return Err(self.invalid("its keys are not sorted, or there is a duplicate"));
        }
        let active = self.active().count();
        if active == 0 || active > MAX_SIGNATURES {
            return Err(self.invalid(format!("it has {active} active keys, expected 1 to {MAX_SIGNATURES}")));
        }
        let most = MAX_THRESHOLD.min(active as u64);
        if self.threshold == 0 || self.threshold > most {
            let problem = format!("its threshold is {}, expected 1 to {most}", self.threshold);
            return Err(self.invalid(format!("{problem} (active keys: {active})")));
        }
        self.check_revoked()
    }

    fn check_revoked(&self) -> Result<(), RootError> {
        for (list, count) in [
            ("revoked_serials", self.revoked_serials.len()),
            ("revoked_contents", self.revoked_contents.len()),
        ] {
            if count > MAX_REVOKED {
                return Err(self.invalid(format!("`{list}` has {count} entries, limit {MAX_REVOKED}")));
            }
        }
        if let Some(range) = self.revoked_serials.iter().find(|range| range.first > range.last) {
            let RevokedSerials { name, first, last, .. } = range;
            return Err(self.invalid(format!("it revokes serials {first} to {last} of `{name}`")));
        }
        let apart = |a: &RevokedSerials, b: &RevokedSerials| {
            (&a.name, a.epoch) < (&b.name, b.epoch)
                || ((&a.name, a.epoch) == (&b.name, b.epoch) && a.last < b.first)
        };
        if !self.revoked_serials.is_sorted_by(apart) {
            return Err(self.invalid("`revoked_serials` is not sorted, or two ranges overlap"));
        }
        if !self.revoked_contents.is_sorted_by(|a, b| a < b) {
            return Err(self.invalid("`revoked_contents` is not sorted, or there is a duplicate"));
        }
        Ok(())
    }

    /// Checks what a root may not change about the one before it (specification, section 5.3).
    pub(crate) fn check_follows(&self, before: &Self) -> Result<(), RootError> {
        let refused = |problem: String| Err(RootError::Successor { version: self.version, problem });
        if self.name != before.name {
            return refused(format!("is of chain `{}`, the one before it of `{}`", self.name, before.name));
        }
        if self.epoch < before.epoch {
            return refused(format!("lowers the epoch from {} to {}", before.epoch, self.epoch));
        }
        if self.created < before.created {
            return refused("is older than the one before it".to_owned());
        }
        let revoked = before.keys.iter().filter(|key| key.status == KeyStatus::Revoked);
        for id in revoked.map(|key| key.public.id()) {
            if self.status(&id) != Some(KeyStatus::Revoked) {
                return refused(format!("takes back that key {} is revoked", id.short()));
            }
        }
        let mut merged: BTreeMap<(&BundleName, u64), Vec<(u64, u64)>> = BTreeMap::new();
        for range in &self.revoked_serials {
            let ranges = merged.entry((&range.name, range.epoch)).or_default();
            match ranges.last_mut() {
                // Ranges that touch are one.
                Some((_, last)) if last.checked_add(1) == Some(range.first) => *last = range.last,
                _ => ranges.push((range.first, range.last)),
            }
        }
        for old in &before.revoked_serials {
            let ranges = merged.get(&(&old.name, old.epoch));
            let kept = |&(first, last): &(u64, u64)| first <= old.first && old.last <= last;
            if !ranges.is_some_and(|ranges| ranges.iter().any(kept)) {
                let RevokedSerials { name, first, last, .. } = old;
                return refused(format!("takes back that serials {first} to {last} of `{name}` are revoked"));
            }
        }
        match before.revoked_contents.iter().find(|old| self.revoked_contents.binary_search(old).is_err()) {
            Some(old) => refused(format!("takes back that content {} is revoked", old.short())),
            None => Ok(()),
        }
    }
}
