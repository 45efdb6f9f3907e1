//! What masks keep from starting: masked scripts, and what requires them.

use std::collections::BTreeMap;

use files::with_causes;
use installer::{Mask, Masks, MasksError, masks};
use script_config::ScriptName;

use crate::host::Host;
use crate::kernel::{LoadedModules, ModuleState};
use crate::offers::{Candidates, with_dependants};
use crate::reasons::StartRefusal;

/// The masks of a host, as starts see them. A script that runs is left alone, and so is what requires it.
#[derive(Debug, Default)]
pub(crate) struct Masked {
    masks: Masks,
    /// Masked scripts that don't run, and scripts that don't run and require one of these, directly or not.
    refusals: BTreeMap<ScriptName, StartRefusal>,
    /// Why it isn't known which scripts are masked. Then each may be, and none is started.
    unknown: Option<StartRefusal>,
}

impl Masked {
    pub(crate) fn find(host: &Host, candidates: &Candidates, modules: &LoadedModules) -> Self {
        let masks = match masks(&host.files) {
            Ok(masks) => masks,
            Err(error) => {
                let unknown = Some(unknown(&error));
                return Self { unknown, ..Self::default() };
            }
        };
        let runs = |name: &ScriptName| ModuleState::among(host, modules, name) == ModuleState::Running;
        let resting = masks.keys().filter(|name| !runs(name)).cloned().collect();
        let refusals = with_dependants(&resting, candidates, runs).into_iter().map(|(name, cause)| {
            let refusal = match masks.get(&name) {
                Some(mask) => StartRefusal::Masked { by: mask.by.clone() },
                None => StartRefusal::RequirementMasked(cause),
            };
            (name, refusal)
        });
        let refusals = refusals.collect();
        Self { masks, refusals, unknown: None }
    }

    /// Refuses a script that was masked after the plan was made.
    pub(crate) fn check_now(host: &Host, name: &ScriptName) -> Result<(), StartRefusal> {
        match masks(&host.files) {
            Ok(masks) => match masks.get(name) {
                Some(mask) => Err(StartRefusal::Masked { by: mask.by.clone() }),
                None => Ok(()),
            },
            Err(error) => Err(unknown(&error)),
        }
    }

    /// A script's mask.
    pub(crate) fn mask(&self, name: &ScriptName) -> Option<&Mask> {
        self.masks.get(name)
    }

    /// The masked scripts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ScriptName> {
        self.masks.keys()
    }

    /// Why a script that doesn't run isn't started.
    pub(crate) fn refusal(&self, name: &ScriptName) -> Option<&StartRefusal> {
        self.unknown.as_ref().or_else(|| self.left_out(name))
    }

    /// Why a start of all passes over a script, as somebody has asked for.
    pub(crate) fn left_out(&self, name: &ScriptName) -> Option<&StartRefusal> {
        self.refusals.get(name)
    }

    /// All of these.
    pub(crate) fn left_out_scripts(&self) -> impl Iterator<Item = &ScriptName> {
        self.refusals.keys()
    }

    /// Why it isn't known which scripts are masked.
    pub(crate) const fn unknown(&self) -> Option<&StartRefusal> {
        self.unknown.as_ref()
    }

    /// Why a script wouldn't start again, once it is stopped.
    pub(crate) fn once_stopped(&self, name: &ScriptName, candidates: &Candidates) -> Option<StartRefusal> {
        if let Some(unknown) = &self.unknown {
            return Some(unknown.clone());
        }
        if let Some(mask) = self.masks.get(name) {
            return Some(StartRefusal::Masked { by: mask.by.clone() });
        }
        let candidate = candidates.get(name)?;
        let masked = candidate.requires.iter().find(|required| self.refusals.contains_key(*required))?;
        Some(StartRefusal::RequirementMasked(masked.clone()))
    }
}

fn unknown(error: &MasksError) -> StartRefusal {
    StartRefusal::MasksUnknown { problem: with_causes(error), way_out: error.way_out() }
}
