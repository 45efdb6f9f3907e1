//! What a start will do, found out before it does anything.
//!
//! Making a plan verifies every module that is to be loaded and changes nothing. A plan keeps the verified bytes, so
//! what is loaded is what was judged here; beyond some MiB it lets them go, and they are verified again when
//! their turn comes.

use std::collections::BTreeMap;

use bundle_format::KernelRelease;
use installer::OtherProgram;
use script_config::{ScriptName, select_to_start};

use crate::boot::{BootSwitches, BootsBefore, switched_off};
use crate::host::{Host, ServiceError};
use crate::kernel::{LoadedModules, ModuleRules, ModuleState};
use crate::offers::{LeftOutBundle, Offers, graph_of};
use crate::plan::choice::{OnFailure, StartChoice};
use crate::plan::masked::Masked;
use crate::plan::step::{Step, Steps};
use crate::reasons::StartRefusal;

/// All that a start will do, in its total order: each script after what it requires, names deciding the rest.
#[derive(Debug)]
pub struct StartPlan {
    pub(crate) entries: Vec<PlannedScript>,
    pub(crate) left_out: Vec<(ScriptName, StartRefusal)>,
    pub(crate) refused_bundles: Vec<LeftOutBundle>,
    pub(crate) on_failure: OnFailure,
    /// What on the kernel's command line isn't understood, and scripts that will get less than they probe.
    pub(crate) warnings: Vec<String>,
}

/// One place in the order.
#[derive(Debug)]
pub(crate) struct PlannedScript {
    pub(crate) name: ScriptName,
    /// Places in the order that must run before.
    pub(crate) requirements: Vec<usize>,
    pub(crate) step: Step,
}

impl PlannedScript {
    /// What is known to be wrong although it is started.
    fn warning(&self) -> Option<String> {
        let Step::Ready(ready) = &self.step else { return None };
        let other = ready.candidate.other_program.as_ref()?;
        Some(format!("{}: {other}: {}", self.name, OtherProgram::EFFECT))
    }
}

impl StartPlan {
    /// The scripts that would be loaded, in their order.
    pub fn ready(&self) -> impl Iterator<Item = &ScriptName> {
        let ready = |entry: &&PlannedScript| matches!(entry.step, Step::Ready(_));
        self.entries.iter().filter(ready).map(|entry| &entry.name)
    }

    /// The scripts that would run already.
    pub fn already_running(&self) -> impl Iterator<Item = &ScriptName> {
        let runs = |entry: &&PlannedScript| matches!(entry.step, Step::AlreadyRunning);
        self.entries.iter().filter(runs).map(|entry| &entry.name)
    }

    /// The scripts that can't be started, each with the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&ScriptName, &StartRefusal)> {
        self.entries.iter().filter_map(|entry| match &entry.step {
            Step::Refused(refusal) => Some((&entry.name, refusal)),
            _ => None,
        })
    }

    /// Scripts of installed bundles that a start of all leaves out, since there is no module for this kernel.
    #[must_use]
    pub fn left_out(&self) -> &[(ScriptName, StartRefusal)] {
        &self.left_out
    }

    /// Installed bundles that aren't believed: scripts of theirs may be missing here without a word. Where scripts were
    /// named and each of them can be started, no bundle is missing.
    #[must_use]
    pub fn refused_bundles(&self) -> &[LeftOutBundle] {
        &self.refused_bundles
    }

    /// What is to be known although nothing is refused for it.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    pub(crate) fn make(
        host: &Host,
        offers: &Offers<'_>,
        release: &KernelRelease,
        choice: &StartChoice<'_>,
        guard: &BootsBefore,
    ) -> Result<Self, ServiceError> {
        let candidates = offers.candidates();
        let switches =
            if choice.named.is_empty() { BootSwitches::read(host) } else { BootSwitches::default() };
        let guard = if choice.named.is_empty() { guard } else { &BootsBefore::Good };
        let switched_off = switched_off(guard, &switches, candidates);
        let modules = LoadedModules::read(host)?;
        let masked = Masked::find(host, candidates, &modules);
        let absence = |name: &ScriptName| {
            if let Some(refusal) = switched_off.get(name).or_else(|| masked.left_out(name)) {
                return Some(refusal);
            }
            let refusal = candidates.get(name)?.cell.as_ref().err()?;
            // A program may be replaced while its script runs.
            let runs = || ModuleState::among(host, &modules, name) == ModuleState::Running;
            let is_running = matches!(refusal, StartRefusal::AnotherProgram(_)) && runs();
            (refusal.is_absence() && !is_running).then_some(refusal)
        };
        let is_not_adopted = |name: &&ScriptName| {
            let cell = candidates.get(*name).map(|candidate| &candidate.cell);
            matches!(cell, Some(Err(StartRefusal::NotAdopted { .. })))
        };
        let known = candidates.keys().filter(|name| absence(name).is_none() && !is_not_adopted(name));
        let known = known.cloned().collect();
        let mut chosen = select_to_start(choice.named, &known, choice.parameters, choice.with_requirements);
        // DEFAULT_START names scripts too.
        if choice.named.is_empty() {
            chosen.scripts.retain(|name| !switched_off.contains_key(name) && masked.left_out(name).is_none());
        }
        let graph = graph_of(candidates, &chosen.scripts);
        let order = graph.start_order(&chosen.scripts, chosen.recursive)?;

        let mut steps = Steps {
            host,
            offers,
            switched_off: &switched_off,
            masked: &masked,
            release,
            modules: &modules,
            rules: ModuleRules::read(host),
            held: 0,
            warnings: switches.problems,
        };
        let mut places: BTreeMap<ScriptName, usize> = BTreeMap::new();
        let mut entries = Vec::with_capacity(order.len());
        for name in order {
            let (inside, outside): (Vec<_>, Vec<_>) = graph
                .direct_requirements_of(&name)
                .cloned()
                .partition(|required| places.contains_key(required));
            let requirements = inside.iter().filter_map(|required| places.get(required).copied()).collect();
            let step = steps.step(&name, outside)?;
            places.insert(name.clone(), entries.len());
            entries.push(PlannedScript { name, requirements, step });
        }
        // At the end, so that nothing comes after them: what nobody vouches for fails no script that is good.
        let takes_all = choice.named.is_empty() && choice.parameters.default_start.is_empty();
        for name in candidates.keys().filter(is_not_adopted) {
            if takes_all && absence(name).is_none() && !places.contains_key(name) {
                let step = steps.step(name, Vec::new())?;
                places.insert(name.clone(), entries.len());
                entries.push(PlannedScript { name: name.clone(), requirements: Vec::new(), step });
            }
        }
        let passed_over =
            candidates.keys().filter(|name| choice.named.is_empty() && !places.contains_key(*name));
        let left_out = passed_over.filter_map(|name| Some((name.clone(), absence(name)?.clone()))).collect();
        let on_failure = if choice.parameters.pass_all { OnFailure::EndThere } else { OnFailure::LeaveOut };
        let mut plan =
            Self { entries, left_out, refused_bundles: Vec::new(), on_failure, warnings: steps.warnings };
        plan.warnings.extend(plan.entries.iter().filter_map(PlannedScript::warning));
        let looks_at_all = choice.named.is_empty() && !switches.disabled;
        if looks_at_all || plan.refused().next().is_some() {
            plan.refused_bundles = offers.refused_bundles().to_vec();
        }
        Ok(plan)
    }
}
