//! What a start knows of the boots before: what the guard's record says, or that a newer program keeps it.

use std::collections::{BTreeMap, BTreeSet};

use script_config::ScriptName;

use crate::boot::guard::{BootGuard, GuardProblem, GuardRecord, GuardStage};
use crate::boot::switches::BootSwitches;
use crate::host::Host;
use crate::offers::Candidates;
use crate::reasons::StartRefusal;

/// What became of the boots before.
pub(crate) enum BootsBefore {
    /// Nothing that a start must mind: there is no record that counts, or it is about other bundles.
    Good,
    Record(GuardRecord),
    /// A newer program's record.
    Newer(GuardProblem),
}

impl BootsBefore {
    /// What is remembered of these bundles; beside it what is wrong with the record.
    pub(crate) fn read(host: &Host, bundles: &BTreeSet<String>) -> (Self, Option<GuardProblem>) {
        match GuardRecord::read(host) {
            Ok(Some(record)) if record.bundles == *bundles => (Self::Record(record), None),
            Ok(_) => (Self::Good, None),
            Err(newer @ GuardProblem::Newer { .. }) => (Self::Newer(newer.clone()), Some(newer)),
            Err(damaged @ GuardProblem::Damaged { .. }) => (Self::Good, Some(damaged)),
        }
    }

    /// What the guard of a start goes by.
    pub(crate) fn of(guard: &BootGuard<'_>) -> Self {
        guard.record().map_or_else(Self::Newer, Self::Record)
    }

    /// Whether a start without names starts nothing.
    pub(crate) fn starts_nothing(&self) -> bool {
        match self {
            Self::Good => false,
            Self::Record(record) => record.stage == GuardStage::Nothing,
            Self::Newer(_) => true,
        }
    }

    /// What the record says, for `status`.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::Record(record) => record.warning(),
            Self::Good | Self::Newer(_) => None,
        }
    }

    fn refusals(&self, candidates: &Candidates) -> BTreeMap<ScriptName, StartRefusal> {
        match self {
            Self::Good => BTreeMap::new(),
            Self::Record(record) => record.refusals(candidates),
            Self::Newer(why) => {
                let refused =
                    |name: &ScriptName| (name.clone(), StartRefusal::BootGuardNewer(why.to_string()));
                candidates.keys().map(refused).collect()
            }
        }
    }
}

/// What a start without names does without in this boot, each with the reason; the kernel's command line has the last word.
pub(crate) fn switched_off(
    before: &BootsBefore,
    switches: &BootSwitches,
    candidates: &Candidates,
) -> BTreeMap<ScriptName, StartRefusal> {
    let mut all = before.refusals(candidates);
    all.extend(switches.refusals(candidates));
    all
}
