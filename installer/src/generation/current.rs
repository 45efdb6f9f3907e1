//! The reader's side: one whole generation, verified from its kept bundles.

use std::path::Path;
use std::time::Duration;

use bundle_format::Twin;
use files::{
    Directory, FileError, FileSystem, Held, Lock, LockFailure, LockKind, Unprotected, check_protected,
    optional,
};
use rustix::fs::FileType;

use crate::generation::index::GenerationIndex;
use crate::generation::installed::{InstalledBundle, read_bundle};
use crate::generation::layout::{current_number, generation_numbers};
use crate::generation::refused::{RefusedBundle, refuse};
use crate::host::paths::{BUNDLES, GENERATIONS, KERNELS, LOCK, STATE};
use crate::host::version::check_layout;
use crate::trust::{HostTrust, TrustError, TrustStore};

/// How often a reader follows a link that moves before it gives up; each try meets a whole install.
const TRIES: usize = 100;
/// How long a reader waits for a collection that has chosen the generation it opens.
const READER_PATIENCE: Duration = Duration::from_secs(10);

/// Why the current generation can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Somebody other than root could change what is installed, or which generation is current.
    #[error("what is installed is not protected")]
    Unprotected(#[source] Unprotected),
    #[error(transparent)]
    Storage(#[from] FileError),
    /// The link points to a generation that isn't there.
    #[error("`current` names generation {number}, which is not there")]
    Missing { number: u64 },
    /// A reader's lock on it that somebody keeps.
    #[error("the generation that is installed is being changed: {0}")]
    Held(Held),
    /// The link moved again and again.
    #[error("`current` moved {TRIES} times while it was read")]
    Moving,
}

/// The current generation, opened once: one consistent set for as long as this lives. Its owner's shared lock keeps it from
/// being collected; an ordinary user has none, and has read it again if `current` moved meanwhile.
#[derive(Debug)]
pub struct CurrentGeneration {
    number: u64,
    kernels: Option<Directory>,
    bundles: Vec<InstalledBundle>,
    refused: Vec<RefusedBundle>,
    has_bundles: bool,
    directory: Directory,
    /// Keeps it from being collected; absent for a reader who isn't its owner, or whose disk is read-only.
    #[expect(dead_code, reason = "held, not read")]
    lock: Option<Lock>,
}

impl CurrentGeneration {
    /// Opens the current generation; `None` if nothing is installed. Every bundle's signatures are
    /// checked anew against the pins and roots of this moment.
    pub fn open(host: &FileSystem) -> Result<Option<Self>, GenerationError> {
        let Some(state) = open_state(host)? else { return Ok(None) };
        Self::open_by(TrustStore::open(host)?.host_trust(), &state, None)
    }

    /// The same for whoever acts on a bundle that isn't believed: a pin that the disk doesn't give is an error.
    pub(crate) fn open_readable(host: &FileSystem) -> Result<Option<Self>, GenerationError> {
        let Some(state) = open_state(host)? else { return Ok(None) };
        Self::open_by(TrustStore::open_readable(host)?.host_trust(), &state, None)
    }

    /// Judges the current generation of `state` by `trust`. For one who has just verified a bundle of it: where the kept file
    /// begins with the very bytes that are `known`, its signatures aren't calculated a second time.
    pub(crate) fn open_by(
        trust: &HostTrust,
        state: &Directory,
        known: Option<&Twin>,
    ) -> Result<Option<Self>, GenerationError> {
        for _ in 0..TRIES {
            let Some((number, directory, lock)) = open_current(state)? else { return Ok(None) };
            let locked = lock.is_some();
            let read = Self::read(number, directory, lock, trust, known);
            if locked || current_number(state)? == Some(number) {
                return read.map(Some);
            }
        }
        Err(GenerationError::Moving)
    }

    /// Opens the newest generation older than `number` that can be read and whose bundles are all believed; `None` if there
    /// is none. `current` stays as it is. For the boot guard.
    pub fn open_before(host: &FileSystem, number: u64) -> Result<Option<Self>, GenerationError> {
        let Some(state) = open_state(host)? else { return Ok(None) };
        let Some(generations) = optional(state.open_dir(GENERATIONS))? else { return Ok(None) };
        protected(&generations)?;
        let trust = TrustStore::open(host)?;
        let numbers = generation_numbers(&generations)?;
        let older = numbers.into_iter().rev().filter(|older| *older < number);
        let read = |number| Self::open_in(&generations, number, trust.host_trust()).ok();
        Ok(older.filter_map(read).find(|found| found.refused.is_empty() && !found.bundles.is_empty()))
    }

    /// Opens generation `number`, whether it is current or not, judged by `trust`.
    pub(crate) fn open_number_by(
        trust: &HostTrust,
        host: &FileSystem,
        number: u64,
    ) -> Result<Self, GenerationError> {
        let absent = || FileError::new("open directory", STATE, std::io::ErrorKind::NotFound);
        let generations = open_state(host)?.ok_or_else(absent)?.open_dir(GENERATIONS)?;
        protected(&generations)?;
        Self::open_in(&generations, number, trust)
    }

    /// Opens generation `number` of `generations` and judges its bundles by `trust`.
    pub(crate) fn open_in(
        generations: &Directory,
        number: u64,
        trust: &HostTrust,
    ) -> Result<Self, GenerationError> {
        let directory = generations.open_dir(&number.to_string())?;
        let lock = lock_for_reading(&directory)?;
        Self::read(number, directory, lock, trust, None)
    }

    fn read(
        number: u64,
        directory: Directory,
        lock: Option<Lock>,
        trust: &HostTrust,
        known: Option<&Twin>,
    ) -> Result<Self, GenerationError> {
        protected(&directory)?;
        GenerationIndex::refuse_newer(&directory)?;
        let mut bundles = Vec::new();
        let mut refused = Vec::new();
        let all = optional(directory.open_dir(BUNDLES))?;
        if let Some(all) = &all {
            for name in all.entries()? {
                match read_bundle(all, &name, trust, known) {
                    Ok(bundle) => bundles.push(bundle),
                    Err(reason) => refused.push(refuse(all, trust, name, &reason)),
                }
            }
        }
        let kernels = optional(directory.open_dir(KERNELS))?;
        for inner in all.iter().chain(&kernels) {
            protected(inner)?;
        }
        let has_bundles = all.is_some();
        Ok(Self { number, kernels, bundles, refused, has_bundles, directory, lock })
    }

    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The bundles whose signatures hold, by name.
    #[must_use]
    pub fn bundles(&self) -> &[InstalledBundle] {
        &self.bundles
    }

    /// The bundles that aren't believed, by name.
    #[must_use]
    pub fn refused_bundles(&self) -> &[RefusedBundle] {
        &self.refused
    }

    /// What shows at a glance that it isn't what was installed, beside bundles that aren't believed: `fsck` reads everything.
    #[must_use]
    pub fn visible_damage(&self) -> Option<String> {
        let looked =
            GenerationIndex::read(&self.directory).and_then(|index| index.check_bundles(&self.directory));
        looked.err().map(|error| files::with_causes(&error))
    }

    /// Whether its directory of bundles is there at all.
    pub(crate) const fn has_bundles(&self) -> bool {
        self.has_bundles
    }

    /// The generation's own directory.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory of modules; absent if no kernel was unpacked.
    pub(crate) const fn kernels(&self) -> Option<&Directory> {
        self.kernels.as_ref()
    }
}

/// The state directory, if there is one; refused if anybody but root could change it or a directory on the way.
pub(crate) fn open_state(host: &FileSystem) -> Result<Option<Directory>, GenerationError> {
    match host.open_protected_through_links(STATE) {
        Ok(state) => {
            check_layout(&state)?;
            Ok(Some(state))
        }
        Err(Unprotected::Storage(error)) if error.is_not_found() => refuse_dangling(host).map(|()| None),
        Err(error) => Err(error.or(GenerationError::Unprotected)),
    }
}

/// The number of the current generation for whoever opens none, where it is there and nobody else could have named it.
pub(crate) fn known_current(host: &FileSystem) -> Result<Option<u64>, GenerationError> {
    let Some(state) = open_state(host)? else { return Ok(None) };
    let Some(number) = current_number(&state)? else { return Ok(None) };
    let generations = state.open_dir(GENERATIONS)?;
    protected(&generations)?;
    let is_there = generations.kind(&number.to_string())?.is_some();
    is_there.then_some(Some(number)).ok_or(GenerationError::Missing { number })
}

/// Refuses a link on the way to the state directory that leads nowhere, as while the disk behind it isn't mounted: what is
/// installed isn't known then.
fn refuse_dangling(host: &FileSystem) -> Result<(), GenerationError> {
    let found = host.nearest_dir(STATE)?;
    let rest = Path::new(STATE).strip_prefix(found.path()).unwrap_or(Path::new(STATE));
    let Some(name) = rest.iter().next().and_then(|name| name.to_str()) else { return Ok(()) };
    if found.kind(name)? != Some(FileType::Symlink) {
        return Ok(());
    }
    let problem = format!("it leads to {}, which is not there", found.read_link(name)?);
    Err(FileError::new("follow link", found.path().join(name), std::io::Error::other(problem)).into())
}

pub(super) fn protected(directory: &Directory) -> Result<(), GenerationError> {
    check_protected(directory.path(), directory.fd()).map_err(|error| error.or(GenerationError::Unprotected))
}

fn open_current(state: &Directory) -> Result<Option<(u64, Directory, Option<Lock>)>, GenerationError> {
    for _ in 0..TRIES {
        let Some(number) = current_number(state)? else { return Ok(None) };
        let generations = state.open_dir(GENERATIONS)?;
        protected(&generations)?;
        let opened = optional(generations.open_dir(&number.to_string()))?;
        let lock = opened.as_ref().map(lock_for_reading).transpose()?.flatten();
        // Only a link that still stands there says that what was locked is the current one.
        if current_number(state)? != Some(number) {
            continue;
        }
        return match opened {
            Some(directory) => Ok(Some((number, directory, lock))),
            None => Err(GenerationError::Missing { number }),
        };
    }
    Err(GenerationError::Moving)
}

/// A reader's share of the generation's lock; `None` for one who isn't its owner, and on a read-only disk where it has none.
fn lock_for_reading(generation: &Directory) -> Result<Option<Lock>, GenerationError> {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    match generation.lock(LOCK, LockKind::Shared, READER_PATIENCE) {
        Ok(lock) => Ok(Some(lock)),
        // Not found: it is being removed.
        Err(LockFailure::File(error))
            if matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem) =>
        {
            Ok(None)
        }
        Err(LockFailure::File(error)) => Err(error.into()),
        Err(LockFailure::Held(held)) => Err(GenerationError::Held(held)),
    }
}
