//! `rollback`: an older, complete generation becomes current again.
//!
//! One link is renamed; nothing is unpacked. The older generation is judged by the keys that are
//! trusted now: one whose bundle isn't believed any more is refused.

use std::time::Duration;

use bundle_format::BundleName;
use files::{FileError, FileSystem};

use crate::compat::{CompatError, Foreign, ReconcileReport, joined, link_ahead, reconcile_locked};
use crate::generation::{
    Changes, CurrentGeneration, GenerationError, Inventory, Look, Problem, RefusalKind, RefusedBundle,
    SwitchError, current_number, generation_numbers, prepare_link, remove_left_overs, switch_to,
};
use crate::host::paths::BACK;
use crate::host::{HistoryEvent, HostIdentity, LockError, WriterLock, append};
use crate::state::State;
use crate::trust::{Policy, PolicyError, PolicyRefusal, TrustStore};

#[derive(Debug)]
pub struct RollbackReport {
    /// The generation that was current.
    pub from: u64,
    pub to: u64,
    /// What differs between the two.
    pub changes: Changes,
    /// Links and options for the initscript.
    pub compat: Result<ReconcileReport, CompatError>,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// Why a rollback is refused or fails; but for [`Self::NotConfirmed`] the generation that was current
/// still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    #[error("nothing is installed")]
    NothingInstalled,
    /// No generation is older.
    #[error("generation {current} is the oldest on this host")]
    NothingOlder { current: u64 },
    #[error("there is no generation {generation}; {}", crate::words::there_are(there))]
    NotThere { generation: u64, there: Vec<u64> },
    /// Nobody named it, and nothing is installed in it.
    #[error("generation {generation}, to which it would go, is empty: nothing is installed in it")]
    Empty {
        generation: u64,
        /// The newest older one that has bundles.
        other: Option<u64>,
    },
    /// The switch was made, but may be undone by a power cut.
    #[error("generation {generation} is current, but the disk didn't confirm it")]
    NotConfirmed {
        generation: u64,
        #[source]
        source: FileError,
    },
    /// The target is the current one.
    #[error("generation {current} is the current one already")]
    Already { current: u64 },
    /// A bundle of the target isn't believed.
    #[error("bundle {bundle} of generation {generation} is refused: {reason}")]
    Refused { generation: u64, bundle: String, reason: String },
    /// The administrator doesn't allow a bundle of the target.
    #[error("bundle {bundle} of generation {generation} is not allowed")]
    Policy {
        generation: u64,
        bundle: BundleName,
        /// What the policy has against it.
        #[source]
        source: PolicyRefusal,
    },
    #[error(transparent)]
    NoPolicy(#[from] PolicyError),
    /// The system can't read a file of the target: the disk, and not what was signed, is the matter.
    #[error("generation {generation} can't be read: {problem}")]
    Unreadable {
        generation: u64,
        /// What was being done and why it failed.
        problem: String,
    },
    /// A file of the target is missing or has another length.
    #[error("generation {generation} is not complete: {problem}")]
    Incomplete { generation: u64, problem: String },
    /// The target, or the pins.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

/// Makes generation `target` current, or without one the newest that is older than the current one, unless that is
/// empty.
/// `now` is in seconds since 1970, for the history; `wait` is for
/// another writer.
pub fn rollback(
    host: &FileSystem,
    identity: &HostIdentity,
    target: Option<u64>,
    now: Option<u64>,
    wait: Duration,
) -> Result<RollbackReport, RollbackError> {
    let lock = WriterLock::wait(host, wait)?;
    remove_left_overs(&lock, &mut |_| {})?;
    let current = current_number(lock.state())?.ok_or(RollbackError::NothingInstalled)?;
    let numbers = generation_numbers(lock.generations())?;
    let older = || numbers.iter().copied().filter(|number| *number < current).max();
    let to = target.or_else(older).ok_or(RollbackError::NothingOlder { current })?;
    if to == current {
        return Err(RollbackError::Already { current });
    }
    if !numbers.contains(&to) {
        return Err(RollbackError::NotThere { generation: to, there: numbers });
    }
    let trust = TrustStore::open_readable(host).map_err(GenerationError::from)?;
    let state = State::of(host).with_trust(trust);
    let goes_to = state.generation(to)?;
    check_complete(&goes_to)?;
    if target.is_none() && goes_to.bundles().is_empty() {
        let other = CurrentGeneration::open_before(host, to)?.map(|other| other.number());
        return Err(RollbackError::Empty { generation: to, other });
    }
    check_policy(state.policy()?, &goes_to)?;
    // A rollback also leaves a generation that can't be read; then all links follow the switch.
    let left = state.generation(current).ok();
    let changes = left.as_ref().map_or_else(
        || Changes::unknown(format!("generation {current}")),
        |before| Inventory::of(before).compare(&Inventory::of(&goes_to)),
    );
    drop(goes_to);
    prepare_link(lock.state(), BACK, to)?;
    // It is needed most where things fail, so what fails here is tried again after the switch, and reported there.
    let linked = link_ahead::<CompatError>(&state, identity, left.as_ref(), to).unwrap_or_default();
    switch_to(lock.state(), BACK, to)?;
    let history = append(host, &lock, now, HistoryEvent::Rollback { from: current, to }).err();
    Ok(RollbackReport {
        from: current,
        to,
        changes,
        compat: joined(linked, reconcile_locked(&state, identity, &lock, Foreign::Leave, None)),
        history,
    })
}

/// Every bundle believed, every signed module there with its length. Its bytes are hashed at start.
fn check_complete(generation: &CurrentGeneration) -> Result<(), RollbackError> {
    let number = generation.number();
    if !generation.has_bundles() {
        let problem = "its directory of bundles is missing".to_owned();
        return Err(RollbackError::Incomplete { generation: number, problem });
    }
    if let Some(refused) = generation.refused_bundles().first() {
        let RefusedBundle { name, reason, kind, .. } = refused;
        let problem = format!("bundle {name}: {reason}");
        return Err(match kind {
            RefusalKind::NotBelieved => {
                RollbackError::Refused { generation: number, bundle: name.clone(), reason: reason.clone() }
            }
            RefusalKind::Unreadable => RollbackError::Unreadable { generation: number, problem },
            RefusalKind::Damaged => RollbackError::Incomplete { generation: number, problem },
        });
    }
    let problem =
        generation.bundles().iter().find_map(|bundle| generation.first_problem(bundle, Look::Lengths));
    match problem {
        None => Ok(()),
        Some(Problem { what: problem, unreadable: true }) => {
            Err(RollbackError::Unreadable { generation: number, problem })
        }
        Some(Problem { what: problem, .. }) => Err(RollbackError::Incomplete { generation: number, problem }),
    }
}

/// The policy of this moment must allow what becomes current, however it became so first.
fn check_policy(policy: &Policy, target: &CurrentGeneration) -> Result<(), RollbackError> {
    for bundle in target.bundles() {
        policy.check(&bundle.manifest, &bundle.signers).map_err(|source| RollbackError::Policy {
            generation: target.number(),
            bundle: bundle.name.clone(),
            source,
        })?;
    }
    Ok(())
}

impl From<SwitchError> for RollbackError {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::Before(error) => Self::Storage(error),
            SwitchError::NotConfirmed { number, source } => Self::NotConfirmed { generation: number, source },
        }
    }
}
