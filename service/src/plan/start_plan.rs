//! What a start will do, found out before it does anything.
//!
//! Making a plan verifies every module that is to be loaded and changes nothing. A plan keeps the verified bytes, so
//! what is loaded is what was judged here; beyond [`HELD_BYTES`] it lets them go, and they are verified again when
//! their turn comes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bundle_format::KernelRelease;
use script_config::{GlobalParameters, ScriptName, select_to_start};

use crate::boot::{BootSwitches, GuardRecord};
use crate::host::{Host, ServiceError};
use crate::kernel::{LoadedModules, ModuleState, may_load_modules};
use crate::offers::{Offer, RefusedBundle, Source, VerifiedModule, graph_of};
use crate::reasons::{ModuleInfo, Refusal};
use crate::records::{RecorderMode, RunRecord, is_ours};

/// Bytes of modules that a plan keeps in memory. A module has about 270 kB; a host's start is to stay below 16 MiB.
const HELD_BYTES: usize = 8 << 20;

/// Which scripts a start is about.
#[derive(Debug, Clone, Copy)]
pub struct StartChoice<'a> {
    /// Scripts named; none for `DEFAULT_START` or all.
    pub named: &'a BTreeSet<ScriptName>,
    /// `-R`: what they require is started too.
    pub with_requirements: bool,
    /// The host's configuration: `DEFAULT_START`, `RECURSIVE`, `PASSALL`.
    pub parameters: &'a GlobalParameters,
}

/// How a start goes on after a failure (`PASSALL`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// `PASSALL=yes`: nothing that comes after it runs in the end.
    EndThere,
    /// `PASSALL=no`: only what requires it, directly or not, doesn't run.
    LeaveOut,
}

/// All that a start will do, in its total order: each script after what it requires, names deciding the rest.
#[derive(Debug)]
pub struct StartPlan {
    pub(crate) entries: Vec<PlannedScript>,
    pub(crate) left_out: Vec<(ScriptName, Refusal)>,
    pub(crate) refused_bundles: Vec<RefusedBundle>,
    pub(crate) on_failure: OnFailure,
    /// What on the kernel's command line isn't understood.
    pub(crate) warnings: Vec<String>,
}

/// One place in the order.
#[derive(Debug)]
pub(crate) struct PlannedScript {
    pub(crate) name: ScriptName,
    /// Places in the order that must run before.
    pub(crate) requirements: Vec<usize>,
    pub(crate) verdict: Verdict,
}

/// What will be done at a place.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is loaded.
    Ready(Box<ReadyScript>),
    /// Nothing; it runs.
    AlreadyRunning,
    /// Nothing; it can't be.
    Refused(Refusal),
}

/// A script whose module was verified.
#[derive(Debug)]
pub(crate) struct ReadyScript {
    pub(crate) offer: Offer,
    /// The verified module, unless the plan had enough already.
    pub(crate) held: Option<VerifiedModule>,
}

impl StartPlan {
    /// The scripts that would be loaded, in their order.
    pub fn ready(&self) -> impl Iterator<Item = &ScriptName> {
        let ready = |entry: &&PlannedScript| matches!(entry.verdict, Verdict::Ready(_));
        self.entries.iter().filter(ready).map(|entry| &entry.name)
    }

    /// The scripts that would run already.
    pub fn already_running(&self) -> impl Iterator<Item = &ScriptName> {
        let runs = |entry: &&PlannedScript| matches!(entry.verdict, Verdict::AlreadyRunning);
        self.entries.iter().filter(runs).map(|entry| &entry.name)
    }

    /// The scripts that can't be started, each with the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&ScriptName, &Refusal)> {
        self.entries.iter().filter_map(|entry| match &entry.verdict {
            Verdict::Refused(refusal) => Some((&entry.name, refusal)),
            _ => None,
        })
    }

    /// Scripts of installed bundles that a start of all leaves out, since there is no module for this kernel.
    #[must_use]
    pub fn left_out(&self) -> &[(ScriptName, Refusal)] {
        &self.left_out
    }

    /// Installed bundles that aren't believed: scripts of theirs may be missing here without a word. Where scripts were
    /// named and each of them can be started, no bundle is missing.
    #[must_use]
    pub fn refused_bundles(&self) -> &[RefusedBundle] {
        &self.refused_bundles
    }

    /// Makes the plan.
    pub(crate) fn make(
        host: &Host,
        source: &dyn Source,
        release: &KernelRelease,
        choice: &StartChoice<'_>,
        guard: Option<&GuardRecord>,
    ) -> Result<Self, ServiceError> {
        let mut offers: BTreeMap<ScriptName, Offer> =
            source.offers().iter().map(|offer| (offer.name.clone(), offer.clone())).collect();
        let switches =
            if choice.named.is_empty() { BootSwitches::read(host) } else { BootSwitches::default() };
        let guard = guard.filter(|_| choice.named.is_empty());
        let by_guard = guard.map(|guard| guard.refusals(&offers)).unwrap_or_default();
        for (name, refusal) in by_guard.into_iter().chain(switches.refusals(&offers)) {
            if let Some(offer) = offers.get_mut(&name) {
                offer.cell = Err(refusal);
            }
        }
        let counts = |offer: &&Offer| absence(offer).is_none();
        let known = offers.values().filter(counts).map(|offer| offer.name.clone()).collect();
        let mut chosen = select_to_start(choice.named, &known, choice.parameters, choice.with_requirements);
        // DEFAULT_START names scripts too.
        chosen.scripts.retain(|name| !offers.get(name).is_some_and(is_switched_off));
        let graph = graph_of(offers.values(), &chosen.scripts);
        let order = graph.start_order(&chosen.scripts, chosen.recursive)?;

        let mut judge = Judge { host, source, release, modules: LoadedModules::read(host)?, held: 0 };
        let mut places: BTreeMap<ScriptName, usize> = BTreeMap::new();
        let mut entries = Vec::with_capacity(order.len());
        for name in order {
            let (inside, outside): (Vec<_>, Vec<_>) = graph
                .direct_requirements_of(&name)
                .cloned()
                .partition(|required| places.contains_key(required));
            let requirements = inside.iter().filter_map(|required| places.get(required).copied()).collect();
            let verdict = judge.judge(&name, offers.get(&name), outside)?;
            places.insert(name.clone(), entries.len());
            entries.push(PlannedScript { name, requirements, verdict });
        }
        let left_out = offers.into_values().filter(|offer| !places.contains_key(&offer.name));
        let left_out = left_out.filter(|_| choice.named.is_empty());
        let left_out =
            left_out.filter_map(|offer| Some((offer.name.clone(), absence(&offer)?.clone()))).collect();
        let on_failure = if choice.parameters.pass_all { OnFailure::EndThere } else { OnFailure::LeaveOut };
        let mut plan =
            Self { entries, left_out, refused_bundles: Vec::new(), on_failure, warnings: switches.problems };
        let looks_at_all = choice.named.is_empty() && !switches.disabled;
        if looks_at_all || plan.refused().next().is_some() {
            plan.refused_bundles = source.refused_bundles();
        }
        Ok(plan)
    }
}

fn is_switched_off(offer: &Offer) -> bool {
    use Refusal::{BootGuard, BootGuardNothing, DisabledForThisBoot, SkippedForThisBoot};
    let refusal = offer.cell.as_ref().err();
    matches!(refusal, Some(DisabledForThisBoot | SkippedForThisBoot(_) | BootGuard(_) | BootGuardNothing))
}

/// Why a start of all passes over the script; `None` if it doesn't.
fn absence(offer: &Offer) -> Option<&Refusal> {
    offer.cell.as_ref().err().filter(|refusal| refusal.is_absence())
}

/// Finds the verdicts, one after the other.
struct Judge<'a> {
    host: &'a Host,
    source: &'a dyn Source,
    release: &'a KernelRelease,
    modules: LoadedModules,
    held: usize,
}

impl Judge<'_> {
    /// `outside`: what the script requires and what isn't in the plan, so it must run already.
    fn judge(
        &mut self,
        name: &ScriptName,
        offer: Option<&Offer>,
        outside: Vec<ScriptName>,
    ) -> Result<Verdict, ServiceError> {
        let state = ModuleState::among(self.host, &self.modules, name);
        let refusal = match state {
            ModuleState::Running => return Ok(Verdict::AlreadyRunning),
            ModuleState::Foreign => Some(Refusal::ForeignModule),
            ModuleState::Absent => None,
            ModuleState::NotStarted | ModuleState::Ended => {
                let ours = is_ours(state, RunRecord::read(self.host, name)?.as_ref());
                (!ours).then_some(Refusal::LeftLoaded)
            }
        };
        if let Some(refusal) = refusal {
            return Ok(Verdict::Refused(refusal));
        }
        let runs = |required: &ScriptName| {
            ModuleState::among(self.host, &self.modules, required) == ModuleState::Running
        };
        let missing: Vec<ScriptName> = outside.into_iter().filter(|required| !runs(required)).collect();
        Ok(match self.prepare(offer, missing) {
            Ok(ready) => Verdict::Ready(Box::new(ready)),
            Err(refusal) => Verdict::Refused(refusal),
        })
    }

    fn prepare(&mut self, offer: Option<&Offer>, missing: Vec<ScriptName>) -> Result<ReadyScript, Refusal> {
        let offer = offer.ok_or(Refusal::NotOffered)?;
        offer.cell.clone()?;
        if !missing.is_empty() {
            return Err(Refusal::RequirementsNotRunning(missing));
        }
        check_output(self.host, &offer.run)?;
        let module = self.source.read(offer)?;
        let info = ModuleInfo::read(module.bytes()).map_err(Refusal::WrongModule)?;
        info.check(&offer.name, self.release, offer.vermagic.as_deref()).map_err(Refusal::WrongModule)?;
        if !may_load_modules(self.host) {
            return Err(Refusal::NotPermitted);
        }
        let fits = self.held + module.bytes().len() <= HELD_BYTES;
        let held = fits.then_some(module);
        self.held += held.as_ref().map_or(0, |module| module.bytes().len());
        Ok(ReadyScript { offer: offer.clone(), held })
    }
}

/// A recorder's output must have an absolute path (staprun's own directory is a private one that is removed,
/// INIT-OPT-07) in a directory that exists.
fn check_output(host: &Host, args: &[String]) -> Result<(), Refusal> {
    let RecorderMode::File { output, .. } = RecorderMode::of_arguments(args) else { return Ok(()) };
    let problem = match output.parent() {
        _ if !output.is_absolute() => "is not an absolute path",
        // A directory's name may hold strftime patterns too; then it can't be judged now.
        Some(dir) if !has_pattern(dir) && host.files.open_dir(dir).is_err() => {
            "is in a directory that doesn't exist"
        }
        _ => return Ok(()),
    };
    Err(Refusal::Output { output, problem })
}

fn has_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains('%')
}
