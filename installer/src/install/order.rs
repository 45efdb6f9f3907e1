//! Nothing older by accident: what was installed decides what may be installed.
//!
//! The floor of a bundle name is the highest (epoch, serial) that any generation on disk has for it, in
//! a kept bundle whose signatures hold now. Nothing unsigned sets a floor: a forged serial could
//! otherwise lock out every later bundle. A generation that never became current is removed before this
//! is asked, so the floor is never above what was installed. The bundle that is installed now is exempt
//! from every check here.

use bundle_format::{BundleName, Digest, Manifest};

use crate::generation::{CurrentGeneration, generation_numbers, with_sources};
use crate::install::error::InstallError;
use crate::install::report::InstallWarning;
use crate::lock::WriterLock;
use crate::storage::StorageError;
use crate::trust::HostTrust;

/// How far ahead of the clock a bundle's time may be, in seconds, before it is worth a word: 48 hours.
const FUTURE: u64 = 48 * 3600;

/// What the kept bundles of the generations on disk say.
#[derive(Debug, Default)]
pub(super) struct Past {
    kept: Vec<KeptBundle>,
    refused: Vec<RefusedThere>,
    pub(super) warnings: Vec<InstallWarning>,
}

/// A kept bundle whose signatures hold.
#[derive(Debug)]
struct KeptBundle {
    generation: u64,
    name: BundleName,
    epoch: u64,
    serial: u64,
    content: Digest,
    created: u64,
}

/// A kept bundle that isn't believed.
#[derive(Debug)]
struct RefusedThere {
    generation: u64,
    name: String,
    reason: String,
}

impl Past {
    /// Reads the kept bundles of every generation and judges them by `trust`.
    pub(super) fn read(lock: &WriterLock, trust: &HostTrust) -> Result<Self, StorageError> {
        let mut past = Self::default();
        for number in generation_numbers(lock.generations())? {
            match CurrentGeneration::open_in(lock.generations(), number, trust) {
                Ok(generation) => past.add(&generation),
                Err(error) => past.unreadable(number, with_sources(&error)),
            }
        }
        Ok(past)
    }

    fn add(&mut self, found: &CurrentGeneration) {
        let generation = found.number();
        if !found.has_bundles() {
            self.unreadable(generation, "its directory of bundles is missing".to_owned());
        }
        self.kept.extend(found.bundles().iter().map(|bundle| KeptBundle {
            generation,
            name: bundle.name.clone(),
            epoch: bundle.manifest.epoch,
            serial: bundle.serial,
            content: bundle.manifest.content,
            created: bundle.created,
        }));
        self.refused.extend(found.refused_bundles().iter().map(|refused| RefusedThere {
            generation,
            name: refused.name.clone(),
            reason: refused.reason.clone(),
        }));
    }

    fn unreadable(&mut self, number: u64, problem: String) {
        self.warnings.push(InstallWarning::GenerationUnreadable { number, problem });
    }

    /// A word on kept bundles called `name` that set no floor because they aren't believed.
    pub(super) fn without_floor(&self, name: &BundleName) -> Option<InstallWarning> {
        let refused: Vec<&RefusedThere> =
            self.refused.iter().filter(|refused| refused.name == name.as_str()).collect();
        Some(InstallWarning::NoFloor {
            name: name.clone(),
            generations: refused.iter().map(|refused| refused.generation).collect(),
            reason: refused.first()?.reason.clone(),
        })
    }

    /// Refuses a bundle below the floor of its name, and a second one of the same serial.
    pub(super) fn check_floor(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let order = (manifest.epoch, manifest.serial);
        for other in self.kept.iter().filter(|kept| kept.name == manifest.name) {
            let floor = (other.epoch, other.serial);
            let generation = other.generation;
            if order < floor {
                return Err(InstallError::Older {
                    name: manifest.name.clone(),
                    version: manifest.version.clone(),
                    epoch: manifest.epoch,
                    serial: manifest.serial,
                    floor_epoch: other.epoch,
                    floor: other.serial,
                    generation,
                });
            }
            if order == floor && other.content != manifest.content {
                let (name, serial) = (manifest.name.clone(), manifest.serial);
                return Err(InstallError::Equivocation { name, serial, generation });
            }
        }
        Ok(())
    }

    /// Refuses a bundle whose best-before has passed, by the clock or by the newest bundle seen here.
    pub(super) fn check_time(
        &self,
        manifest: &Manifest,
        clock: Option<u64>,
    ) -> Result<Option<InstallWarning>, InstallError> {
        let newest = self.kept.iter().map(|kept| kept.created).max();
        let now = clock.max(newest).unwrap_or(0);
        if let Some(best_before) = manifest.best_before.filter(|limit| *limit < now) {
            let (name, version) = (manifest.name.clone(), manifest.version.clone());
            return Err(InstallError::Expired { name, version, best_before, now });
        }
        let created = manifest.created;
        let ahead = clock.filter(|now| created > now.saturating_add(FUTURE));
        Ok(ahead.map(|now| InstallWarning::FromTheFuture { created, now }))
    }
}
