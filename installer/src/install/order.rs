//! Nothing older by accident: what was installed decides what may be installed.
//!
//! Each domain has its own. The floor of a bundle name is the highest (epoch, serial) that was ever current here: the state's two
//! copies remember it (`trust/floors.rs`), and so does every generation on disk in a kept bundle whose
//! signatures hold now. Nothing unsigned sets a floor: a forged serial could otherwise lock out every
//! later bundle. A generation that never became current is removed before this is asked, so the floor is
//! never above what was installed. The bundle that is installed now is exempt from every check here.

use std::collections::BTreeSet;

use bundle_format::{BundleName, Digest, Manifest};
use files::{Directory, FileError};

use crate::generation::{CurrentGeneration, generation_numbers};
use crate::host::Domain;
use crate::install::error::InstallError;
use crate::install::options::InstallOptions;
use crate::install::report::InstallWarning;
use crate::state::State;
use crate::trust::{Floor, FloorState, FloorsError, Policy, TrustError};
use files::with_causes;

/// The beginning of 2025: no bundle is older, so a clock before it is dead and says nothing about the time.
const DAWN: u64 = 1_735_689_600;

/// What the state and the kept bundles of the generations on disk say.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) floors: FloorState,
    kept: Vec<KeptBundle>,
    refused: Vec<RefusedThere>,
    pub(crate) warnings: Vec<InstallWarning>,
}

/// A kept bundle whose signatures hold.
#[derive(Debug)]
struct KeptBundle {
    generation: u64,
    domain: Domain,
    name: BundleName,
    epoch: u64,
    serial: u64,
    content: Digest,
    /// Those by whose keys its modules are signed for kernels.
    certificates: BTreeSet<Digest>,
}

/// A kept bundle that isn't believed.
#[derive(Debug)]
struct RefusedThere {
    generation: u64,
    name: String,
    reason: String,
}

impl Past {
    /// Reads the floors, and the kept bundles of every generation; the `current` one is open already.
    pub(crate) fn read<E: From<TrustError> + From<FloorsError> + From<FileError>>(
        state: &State<'_>,
        generations: Option<&Directory>,
        current: Option<&CurrentGeneration>,
    ) -> Result<Self, E> {
        let trust = state.trust()?.host_trust();
        let floors = FloorState::read(state.host)?;
        let mut past = Self { floors, kept: Vec::new(), refused: Vec::new(), warnings: Vec::new() };
        let Some(generations) = generations else { return Ok(past) };
        let numbers = generation_numbers(generations)?;
        if !numbers.is_empty() {
            past.warnings.extend(past.floors.problems().into_iter().map(InstallWarning::FloorsMended));
        }
        for number in numbers {
            if let Some(current) = current.filter(|current| current.number() == number) {
                past.add(current);
                continue;
            }
            match CurrentGeneration::open_in(generations, number, trust) {
                Ok(generation) => past.add(&generation),
                Err(error) => past.unreadable(number, with_causes(&error)),
            }
        }
        Ok(past)
    }

    fn add(&mut self, found: &CurrentGeneration) {
        let generation = found.number();
        if !found.has_bundles() {
            self.unreadable(generation, "its directory of bundles is missing".to_owned());
        }
        for bundle in found.bundles() {
            self.floors.raise(&bundle.domain, &bundle.name, &Floor::of(&bundle.manifest), bundle.created);
            self.kept.push(KeptBundle {
                generation,
                domain: bundle.domain.clone(),
                name: bundle.name.clone(),
                epoch: bundle.manifest.epoch,
                serial: bundle.serial,
                content: bundle.manifest.content,
                certificates: bundle.manifest.module_certificates().collect(),
            });
        }
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

    /// Refuses a bundle below the floor of its name, unless that is asked for; a second one of the same
    /// serial; and one too far above.
    pub(super) fn check_floor(
        &self,
        domain: &Domain,
        manifest: &Manifest,
        options: &InstallOptions,
        policy: &Policy,
    ) -> Result<Option<InstallWarning>, InstallError> {
        let ours = Floor::of(manifest);
        self.check_twins(domain, manifest, &ours)?;
        if !options.allow_downgrade {
            self.check_kernel_signatures(domain, manifest, &ours)?;
        }
        let Some(floor) = self.floors.floor(domain, &manifest.name) else { return Ok(None) };
        if ours.order() < floor.order() {
            if options.allow_downgrade {
                return Ok(Some(InstallWarning::Downgrade {
                    epoch: ours.epoch,
                    serial: ours.serial,
                    floor_epoch: floor.epoch,
                    floor: floor.serial,
                }));
            }
            return Err(InstallError::Older {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                epoch: ours.epoch,
                serial: ours.serial,
                floor_epoch: floor.epoch,
                floor: floor.serial,
                generation: self.generation_of(domain, &manifest.name, floor),
            });
        }
        let allowed = policy.install.max_serial_jump.filter(|_| ours.epoch == floor.epoch);
        if let Some(allowed) = allowed.filter(|allowed| ours.serial.saturating_sub(floor.serial) > *allowed) {
            return Err(InstallError::TooFar {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                serial: ours.serial,
                floor: floor.serial,
                allowed,
            });
        }
        Ok(None)
    }

    fn check_twins(&self, domain: &Domain, manifest: &Manifest, ours: &Floor) -> Result<(), InstallError> {
        let kept = self.kept.iter().filter(|kept| kept.domain == *domain && kept.name == manifest.name);
        let twin = kept
            .filter(|kept| (kept.epoch, kept.serial) == ours.order() && kept.content != ours.content)
            .map(|kept| kept.generation)
            .next();
        let floor = self.floors.floor(domain, &manifest.name);
        let remembered =
            floor.is_some_and(|floor| floor.order() == ours.order() && floor.content != ours.content);
        if twin.is_none() && !remembered {
            return Ok(());
        }
        Err(InstallError::Equivocation {
            name: manifest.name.clone(),
            serial: manifest.serial,
            generation: twin,
        })
    }

    /// Refuses the bundle that is here without kernel signatures that it has here: a kernel that asks for them would take none of its
    /// modules.
    fn check_kernel_signatures(
        &self,
        domain: &Domain,
        manifest: &Manifest,
        ours: &Floor,
    ) -> Result<(), InstallError> {
        let same = |kept: &&KeptBundle| {
            kept.domain == *domain && kept.name == manifest.name && (kept.epoch, kept.serial) == ours.order()
        };
        let Some(newest) = self.kept.iter().filter(same).max_by_key(|kept| kept.generation) else {
            return Ok(());
        };
        let brought: BTreeSet<Digest> = manifest.module_certificates().collect();
        let lost = newest.certificates.difference(&brought).count();
        if lost == 0 {
            return Ok(());
        }
        Err(InstallError::FewerSignatures {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            lost,
            generation: newest.generation,
        })
    }

    fn generation_of(&self, domain: &Domain, name: &BundleName, floor: &Floor) -> Option<u64> {
        let has = |kept: &&KeptBundle| {
            kept.domain == *domain && kept.name == *name && (kept.epoch, kept.serial) == floor.order()
        };
        self.kept.iter().find(has).map(|kept| kept.generation)
    }

    /// Refuses a bundle whose best-before has passed, by the clock or by the newest bundle seen here, and
    /// one from the future of a clock that is right.
    ///
    /// Where no clock is known to be right, `created` is a claim that would become this host's time, and keep
    /// out every later bundle whose best-before is nearer: so it may not go further ahead of what is known here
    /// than the policy allows. The first bundle of all is believed where the clock is dead, for that says less
    /// than its signer.
    pub(super) fn check_time(
        &self,
        domain: &Domain,
        manifest: &Manifest,
        options: &InstallOptions,
        policy: &Policy,
    ) -> Result<Vec<InstallWarning>, InstallError> {
        let clock = options.now;
        let floor = self.floors.newest_created(domain, manifest.epoch);
        let now = clock.max(floor).unwrap_or(0);
        let name = manifest.name.clone();
        let version = manifest.version.clone();
        let mut warnings = Vec::new();
        if let Some(best_before) = manifest.best_before {
            if best_before.saturating_add(policy.time.grace_seconds()) < now {
                return Err(InstallError::Expired { name, version, best_before, now });
            }
            if best_before < now.saturating_add(policy.time.warn_seconds()) {
                warnings.push(InstallWarning::BestBefore { best_before, now });
            }
            if clock.is_none_or(|clock| clock < DAWN) {
                warnings.push(InstallWarning::BestBeforeUnchecked { best_before, clock, newest: floor });
            }
        }
        let created = manifest.created;
        let is_ahead = |now: &u64| created > now.saturating_add(policy.time.future_seconds());
        if let Some(now) = clock.filter(is_ahead) {
            if options.clock_is_synchronised {
                return Err(InstallError::FromTheFuture { name, version, created, now });
            }
            warnings.push(InstallWarning::FromTheFuture { created, now });
        }
        let allowed = policy.time.ahead_seconds();
        let is_known = floor.is_some() || clock.is_some_and(|clock| clock >= DAWN);
        if is_known && !options.clock_is_synchronised && created > now.saturating_add(allowed) {
            return Err(InstallError::TooFarAhead { name, version, created, now, allowed });
        }
        Ok(warnings)
    }
}
