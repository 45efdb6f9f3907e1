//! Floors: what keeps an older bundle from being installed by accident or by design.
//!
//! For each bundle name of a domain the highest (epoch, serial) that was ever current here, with its content; for each
//! domain the newest `created` of an accepted bundle, which is the one clock that can't be turned back. It is
//! what its signer claims, so a wrong one would keep out what follows: how far it may go ahead is bounded
//! (`install/order.rs`), and bundles of a higher epoch, which only a root can allow, begin it anew.
//! They lie in two copies in `state/`, each with its own digest, so that losing or spoiling one loses
//! nothing. What counts is the higher of both and of the kept bundles of all generations.
//!
//! | when | what is written | a cut after it leaves |
//! |---|---|---|
//! | before the first switch | both copies, empty | empty floors: nothing was current yet |
//! | after each switch | `floors`, then `floors.copy`, each by a new file renamed over it | the switched generation itself holds the floor |
//! | before `gc` removes anything | the same, if a copy is behind | both, or one and the generation |
//!
//! So a floor is never above what was current, and a host with generations but without both copies has
//! lost them in another way: that is told.

use std::collections::BTreeMap;
use std::io;

use bundle_format::{BundleName, Digest, Manifest};
use files::{Directory, FileError, FileSystem, Unprotected, optional};
use serde::{Deserialize, Serialize};

use crate::host::paths::{FLOORS, RECORDS};
use crate::host::version::{NewerState, StateVersion};
use crate::host::{Domain, WriterLock};

const VERSION: StateVersion = StateVersion::new(1);

/// Most bytes of a copy: some ten thousand names.
const MAX_FLOORS: u64 = 4 << 20;

/// What was installed last of a bundle name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Floor {
    pub epoch: u64,
    pub serial: u64,
    pub content: Digest,
}

impl Floor {
    pub(crate) const fn of(manifest: &Manifest) -> Self {
        Self { epoch: manifest.epoch, serial: manifest.serial, content: manifest.content }
    }

    pub(crate) const fn order(&self) -> (u64, u64) {
        (self.epoch, self.serial)
    }
}

/// One copy's content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of what is on the disk")]
pub(crate) struct Floors {
    floors: BTreeMap<BundleName, Floor>,
    /// The same for the names of other domains than `default`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    domains: BTreeMap<Domain, BTreeMap<BundleName, Floor>>,
    /// Newest `created`, by domain, in seconds since 1970.
    times: BTreeMap<Domain, u64>,
    /// The highest epoch, by domain: that of the bundles whose `created` count. Absent is 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    time_epochs: BTreeMap<Domain, u64>,
}

/// Why the floors can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FloorsError {
    /// Somebody other than root could change them.
    #[error("the floors are not protected")]
    Unprotected(#[source] Unprotected),
    #[error(transparent)]
    Storage(#[from] FileError),
}

/// One copy as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Copy {
    Absent,
    Damaged(String),
    Good(Floors),
}

/// Both copies, and what they say together.
#[derive(Debug)]
pub(crate) struct FloorState {
    merged: Floors,
    copies: [Copy; 2],
}

impl Floors {
    /// The floors of a domain's names.
    fn of(&self, domain: &Domain) -> Option<&BTreeMap<BundleName, Floor>> {
        if domain.is_default() { Some(&self.floors) } else { self.domains.get(domain) }
    }

    /// Raises the floor of a name, never lowers it.
    fn raise(&mut self, domain: &Domain, name: &BundleName, floor: &Floor) {
        let old = self.of(domain).and_then(|floors| floors.get(name));
        if old.is_some_and(|old| old.order() >= floor.order()) {
            return;
        }
        let floors = if domain.is_default() {
            &mut self.floors
        } else {
            self.domains.entry(domain.clone()).or_default()
        };
        floors.insert(name.clone(), floor.clone());
    }

    /// The newest `created` among those of the highest epoch.
    fn time(&self, domain: &Domain) -> Option<(u64, u64)> {
        let created = *self.times.get(domain)?;
        Some((self.time_epochs.get(domain).copied().unwrap_or(0), created))
    }

    fn raise_time(&mut self, domain: &Domain, epoch: u64, created: u64) {
        if self.time(domain).is_none_or(|old| old < (epoch, created)) {
            self.times.insert(domain.clone(), created);
            if epoch > 0 {
                self.time_epochs.insert(domain.clone(), epoch);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (name, floor) in &other.floors {
            self.raise(&Domain::default(), name, floor);
        }
        for (domain, floors) in &other.domains {
            for (name, floor) in floors {
                self.raise(domain, name, floor);
            }
        }
        for domain in other.times.keys() {
            if let Some((epoch, created)) = other.time(domain) {
                self.raise_time(domain, epoch, created);
            }
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = VERSION.write_pretty(self)?;
        json.push(b'\n');
        let mut bytes = format!("{}\n", Digest::of(&json)).into_bytes();
        bytes.append(&mut json);
        Ok(bytes)
    }

    /// The digest comes first in every version: a flipped bit is damage, which the other copy mends, and never a newer program's.
    fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let halves = line.and_then(|line| bytes.split_at_checked(line + 1));
        let (first, json) = halves.ok_or_else(|| io::Error::other("it has no first line"))?;
        if first != format!("{}\n", Digest::of(json)).as_bytes() {
            return Err(io::Error::other("its first line is not the digest of the rest"));
        }
        VERSION.read(json)
    }
}

impl FloorState {
    /// Reads both copies.
    pub(crate) fn read(host: &FileSystem) -> Result<Self, FloorsError> {
        let nothing = || Self { merged: Floors::default(), copies: [Copy::Absent, Copy::Absent] };
        if optional(host.open_dir(RECORDS))?.is_none() {
            return Ok(nothing());
        }
        let records =
            host.open_protected_through_links(RECORDS).map_err(|error| error.or(FloorsError::Unprotected))?;
        let [first, second] = FLOORS;
        let copies = [read_copy(&records, first)?, read_copy(&records, second)?];
        let mut merged = Floors::default();
        for copy in &copies {
            if let Copy::Good(floors) = copy {
                merged.merge(floors);
            }
        }
        Ok(Self { merged, copies })
    }

    /// What is wrong with the copies on a host where something was installed before, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        if self.copies.iter().all(|copy| *copy == Copy::Absent) {
            return vec![format!(
                "both copies of the floors in {RECORDS} are gone; they are made again from the generations on disk, \
                 which may know of less"
            )];
        }
        let problems = self.copies.iter().zip(FLOORS).filter_map(|(copy, name)| {
            let problem = match copy {
                Copy::Good(_) => return None,
                Copy::Absent => "it is not there",
                Copy::Damaged(problem) => problem,
            };
            Some(format!(
                "{RECORDS}/{name}, a copy of the floors, can't be used and is made again: {problem}"
            ))
        });
        problems.collect()
    }

    /// The floor of a name in its domain.
    pub(crate) fn floor(&self, domain: &Domain, name: &BundleName) -> Option<&Floor> {
        self.merged.of(domain)?.get(name)
    }

    /// The newest `created` of an accepted bundle of a domain, for judging one of `epoch`: `None` if that is above all
    /// that were accepted.
    pub(crate) fn newest_created(&self, domain: &Domain, epoch: u64) -> Option<u64> {
        self.merged.time(domain).filter(|(highest, _)| epoch <= *highest).map(|(_, created)| created)
    }

    /// A bundle is, or was, current.
    pub(crate) fn raise(&mut self, domain: &Domain, name: &BundleName, floor: &Floor, created: u64) {
        self.merged.raise(domain, name, floor);
        self.merged.raise_time(domain, floor.epoch, created);
    }

    /// Makes both copies where neither is there: before anything is current, so that missing ones are
    /// always a loss.
    pub(crate) fn ensure(&mut self, host: &FileSystem, lock: &WriterLock) -> Result<(), FloorsError> {
        if self.copies.iter().all(|copy| *copy == Copy::Absent) {
            return self.put(host, lock, &Floors::default());
        }
        Ok(())
    }

    /// Brings both copies up to what is known, on the disk when this returns; whether one was changed.
    pub(crate) fn write(&mut self, host: &FileSystem, lock: &WriterLock) -> Result<bool, FloorsError> {
        let merged = self.merged.clone();
        let behind = self.copies.iter().any(|copy| *copy != Copy::Good(merged.clone()));
        if behind {
            self.put(host, lock, &merged)?;
        }
        Ok(behind)
    }

    fn put(&mut self, host: &FileSystem, _lock: &WriterLock, floors: &Floors) -> Result<(), FloorsError> {
        host.ensure_dir(RECORDS)?;
        let records =
            host.open_protected_through_links(RECORDS).map_err(|error| error.or(FloorsError::Unprotected))?;
        let wrong = |error: serde_json::Error| FileError::new("write", RECORDS, std::io::Error::from(error));
        let bytes = floors.to_bytes().map_err(wrong)?;
        for (copy, name) in self.copies.iter_mut().zip(FLOORS) {
            if *copy != Copy::Good(floors.clone()) {
                records.replace_file(name, &bytes)?;
                *copy = Copy::Good(floors.clone());
            }
        }
        Ok(())
    }
}

fn read_copy(records: &Directory, name: &str) -> Result<Copy, FloorsError> {
    let bytes = match records.read_protected(name, MAX_FLOORS) {
        Ok(bytes) => bytes,
        Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok(Copy::Absent),
        // A worn-out block takes one copy along, not the host's power to install.
        Err(Unprotected::Storage(error)) => return Ok(Copy::Damaged(files::with_causes(&error))),
        Err(of_others) => return Err(FloorsError::Unprotected(of_others)),
    };
    match Floors::from_bytes(&bytes) {
        Ok(floors) => Ok(Copy::Good(floors)),
        Err(error) if NewerState::in_error(&error).is_some() => {
            Err(FileError::new("understand", records.path().join(name), error).into())
        }
        Err(error) => Ok(Copy::Damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team() -> Domain {
        "team".parse().unwrap()
    }

    #[test]
    fn a_copy_is_read_as_it_was_written_and_no_other_byte_passes() {
        let mut floors = Floors::default();
        let floor = Floor { epoch: 1, serial: 7, content: Digest::of(b"x") };
        floors.raise(&Domain::default(), &"fleet".parse().unwrap(), &floor);
        floors.raise(&team(), &"team-x".parse().unwrap(), &floor);
        floors.raise_time(&team(), 0, 5);
        let bytes = floors.to_bytes().unwrap();
        assert_eq!(Floors::from_bytes(&bytes).unwrap(), floors);
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 1;
            assert!(Floors::from_bytes(&spoiled).is_err(), "{at}");
            assert!(Floors::from_bytes(&bytes[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn a_higher_epoch_begins_the_time_anew_and_a_lower_one_says_nothing() {
        let mut floors = Floors::default();
        let steps = [(0, 50, (0, 50)), (0, 40, (0, 50)), (2, 7, (2, 7)), (1, 99, (2, 7)), (2, 8, (2, 8))];
        for (epoch, created, expected) in steps {
            floors.raise_time(&Domain::default(), epoch, created);
            assert_eq!(floors.time(&Domain::default()), Some(expected));
        }
        // Whatever the order of the copies.
        let mut other = Floors::default();
        other.raise_time(&Domain::default(), 1, 500);
        other.merge(&floors);
        assert_eq!(other.time(&Domain::default()), Some((2, 8)));
        assert_eq!(Floors::from_bytes(&other.to_bytes().unwrap()).unwrap(), other);
    }

    #[test]
    fn a_floor_is_never_lowered() {
        let mut floors = Floors::default();
        let name = "fleet".parse().unwrap();
        let floor = |epoch, serial| Floor { epoch, serial, content: Digest::of(b"x") };
        for (epoch, serial, expected) in [(0, 9, (0, 9)), (0, 3, (0, 9)), (1, 1, (1, 1)), (0, 99, (1, 1))] {
            floors.raise(&Domain::default(), &name, &floor(epoch, serial));
            assert_eq!(floors.floors[&name].order(), expected);
        }
        // Nor does one domain raise another's.
        floors.raise(&team(), &name, &floor(0, 5));
        floors.raise_time(&team(), 0, 7);
        let [ours, theirs] =
            [Domain::default(), team()].map(|domain| floors.of(&domain).unwrap()[&name].order());
        assert_eq!((ours, theirs), ((1, 1), (0, 5)));
        assert_eq!((floors.time(&Domain::default()), floors.time(&team())), (None, Some((0, 7))));
        let mut other = Floors::default();
        other.merge(&floors);
        assert_eq!(other, floors);
    }
}
