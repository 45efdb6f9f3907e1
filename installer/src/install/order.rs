//! Nothing older by accident: what was installed decides what may be installed.
//!
//! The floor of a bundle name is the highest (epoch, serial) that any generation on disk has for it.
//! A generation that never became current is removed before this is asked, so the floor is never above
//! what was installed. The bundle that is installed now is exempt from every check here.

use bundle_format::Manifest;

use crate::generation::{GenerationIndex, generation_numbers, with_sources};
use crate::install::error::InstallError;
use crate::install::report::InstallWarning;
use crate::lock::WriterLock;
use crate::storage::StorageError;

/// How far ahead of the clock a bundle's time may be, in seconds, before it is worth a word: 48 hours.
const FUTURE: u64 = 48 * 3600;

/// What the generations on disk say.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) indexes: Vec<GenerationIndex>,
    pub(super) warnings: Vec<InstallWarning>,
}

impl Past {
    /// Reads the index of every generation.
    pub(super) fn read(lock: &WriterLock) -> Result<Self, StorageError> {
        let (mut indexes, mut warnings) = (Vec::new(), Vec::new());
        for number in generation_numbers(lock.generations())? {
            let directory = lock.generations().open_dir(&number.to_string())?;
            match GenerationIndex::read(&directory) {
                Ok(index) => indexes.push(GenerationIndex { number, ..index }),
                Err(error) => {
                    let problem = with_sources(&error);
                    warnings.push(InstallWarning::GenerationUnreadable { number, problem });
                }
            }
        }
        Ok(Self { indexes, warnings })
    }

    /// Refuses a bundle below the floor of its name, and a second one of the same serial.
    pub(super) fn check_floor(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let order = (manifest.epoch, manifest.serial);
        for index in &self.indexes {
            let Some(other) = index.bundle(&manifest.name) else { continue };
            let floor = (other.epoch, other.serial);
            let generation = index.number;
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
        let newest = self.indexes.iter().flat_map(|index| &index.bundles).map(|bundle| bundle.created).max();
        let now = clock.max(newest).unwrap_or(0);
        if let Some(best_before) = manifest.best_before.filter(|limit| *limit < now) {
            let (name, version) = (manifest.name.clone(), manifest.version.clone());
            return Err(InstallError::Expired { name, version, best_before, now });
        }
        let created = manifest.created;
        let ahead = clock.filter(|now| created > now.saturating_add(FUTURE));
        Ok(ahead.map(|now| InstallWarning::FromTheFuture { created, now }))
    }

    /// What generation `number` has.
    pub(super) fn index(&self, number: u64) -> Option<&GenerationIndex> {
        self.indexes.iter().find(|index| index.number == number)
    }
}
