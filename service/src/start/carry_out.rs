//! Carrying out a plan: several loads at once, each script only after what it requires really runs.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::Builder;
use std::time::{Duration, Instant};

use bundle_format::KernelRelease;
use script_config::ScriptName;

use crate::boot::BootGuard;
use crate::event::{EventSink, ServiceEvent};
use crate::host::{Host, log};
use crate::kernel::ModuleIdentity;
use crate::offers::Offers;
use crate::plan::{Masked, OnFailure, PlannedScript, ReadyScript, StartPlan, Step};
use crate::reasons::{NOT_COMPILED, Reason, StartFailure, StartRefusal};
use crate::records::{Phase, RecorderMode, RunRecord, last_try};
use crate::start::budget::Budget;
use crate::start::foresee::not_tried;
use crate::start::load::Loader;
use crate::start::ready_queue::{Fate, ReadyQueue};
use crate::start::report::{LeftOutScript, StartOutcome, StartReport, StartedScript};
use crate::stop::unload;
use files::with_causes;

/// Most `staprun`s at a time: they allocate relay buffers and register probes, which the kernel does one by one anyway.
const MOST_AT_ONCE: usize = 8;

/// How a start goes about its scripts.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartOptions<'g> {
    /// At most as many at a time; by default 8, also on one processor: half of what a load takes is waiting.
    pub at_once: Option<NonZeroUsize>,
    /// Time that the whole start may take (`--timeout`). What isn't loaded by then isn't started.
    pub budget: Option<Duration>,
    /// The guard of a start at boot.
    pub guard: Option<&'g BootGuard<'g>>,
}

pub(crate) struct Start<'a> {
    pub(crate) host: &'a Host,
    pub(crate) offers: &'a Offers<'a>,
    pub(crate) loader: &'a Loader<'a>,
    pub(crate) events: &'a EventSink<'a>,
    pub(crate) kernel: KernelRelease,
    pub(crate) boot_id: String,
    pub(crate) generation: Option<u64>,
    pub(crate) guard: Option<&'a BootGuard<'a>>,
    pub(crate) budget: Budget,
}

/// What the loading threads share.
struct Shared {
    queue: ReadyQueue,
    /// By place; taken out by the thread that loads it.
    ready: Vec<Option<Box<ReadyScript>>>,
    outcomes: Vec<Option<StartOutcome>>,
}

impl Start<'_> {
    /// Carries out the plan. What goes wrong goes wrong for single scripts, and is in the report.
    pub(crate) fn run(&self, mut plan: StartPlan, at_once: Option<NonZeroUsize>) -> StartReport {
        let pass_all = plan.on_failure == OnFailure::EndThere;
        let refused = plan.refused().count();
        let ready = plan.ready().count();
        (self.events)(ServiceEvent::Planned { ready, refused });
        let left_out = std::mem::take(&mut plan.left_out).into_iter();
        let left_out = left_out.map(|(script, why)| LeftOutScript { script, reason: Reason::from(&why) });
        let left_out: Vec<LeftOutScript> = left_out.collect();
        self.keep_failed_compiles(&left_out);
        let about_to_load: Vec<ScriptName> = plan.ready().cloned().collect();
        let refused_bundles = std::mem::take(&mut plan.refused_bundles);
        let mut warnings = std::mem::take(&mut plan.warnings);
        for warning in &warnings {
            log::line(self.host, warning);
        }
        warnings.extend(self.guard.map(BootGuard::warnings).unwrap_or_default());
        for refused in &refused_bundles {
            log::line(self.host, &refused.reason.text);
        }
        let names: Vec<ScriptName> = plan.entries.iter().map(|entry| entry.name.clone()).collect();
        let shared = Mutex::new(self.prepare(plan));
        let changed = Condvar::new();
        let at_once = match self.guard {
            Some(guard) if guard.is_one_by_one() => Some(NonZeroUsize::MIN),
            Some(guard) => {
                guard.under_way(about_to_load.into_iter());
                at_once
            }
            None => at_once,
        };
        let threads = at_once.map_or(MOST_AT_ONCE, NonZeroUsize::get).min(ready.max(1));
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|scope| {
            let watch = move || self.budget.watch(self.host, &is_done);
            if let Err(error) = Builder::new().spawn_scoped(scope, watch) {
                log::line(
                    self.host,
                    &format!("can't watch the time limit, no thread could be started: {error}"),
                );
            }
            std::thread::scope(|scope| {
                let work = || self.work(&names, &shared, &changed);
                let begun = (0..threads).filter(|_| Builder::new().spawn_scoped(scope, work).is_ok());
                // Where no thread can be started, this one does it all.
                if begun.count() == 0 {
                    work();
                }
            });
            drop(done);
        });
        if let Some(guard) = self.guard {
            guard.under_way(std::iter::empty());
        }
        let mut shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.stop_overrun(&names, &mut shared);
        let scripts = self.settle(&names, shared);
        let generation = self.generation;
        StartReport { pass_all, generation, scripts, left_out, refused_bundles, warnings }
    }

    /// Only this process knows why a compile has failed; what else is left out is found again by each look.
    fn keep_failed_compiles(&self, left_out: &[LeftOutScript]) {
        for LeftOutScript { script, reason } in left_out.iter().filter(|left| left.reason.id == NOT_COMPILED)
        {
            last_try::keep(self.host, script, reason);
        }
    }

    fn prepare(&self, plan: StartPlan) -> Shared {
        let requirements = plan.entries.iter().map(|entry| entry.requirements.clone()).collect();
        let mut queue = ReadyQueue::new(requirements, plan.on_failure);
        let mut ready = Vec::new();
        let mut outcomes = Vec::new();
        for (place, PlannedScript { name, step, .. }) in plan.entries.into_iter().enumerate() {
            let (script, outcome) = match step {
                Step::Ready(script) => (Some(script), None),
                Step::AlreadyRunning => {
                    queue.runs(place);
                    (None, Some(StartOutcome::AlreadyRunning))
                }
                Step::AlreadyDone => {
                    queue.done(place);
                    (None, Some(StartOutcome::AlreadyDone))
                }
                Step::Refused(refusal) => {
                    queue.failed(place);
                    let reason = Reason::from(&refusal);
                    (self.events)(ServiceEvent::Failed(name, reason.clone()));
                    (None, Some(StartOutcome::Refused { reason }))
                }
            };
            ready.push(script);
            outcomes.push(outcome);
        }
        Shared { queue, ready, outcomes }
    }

    /// One thread: takes what is ready until nothing is and nothing more can become so, or the start is over.
    fn work(&self, names: &[ScriptName], shared: &Mutex<Shared>, changed: &Condvar) {
        let mut guard = lock(shared);
        loop {
            if self.host.cancel.is_cancelled() {
                return;
            }
            let Some(place) = guard.queue.next() else {
                if !guard.queue.is_busy() {
                    return;
                }
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let script = guard.ready.get_mut(place).and_then(Option::take);
            drop(guard);
            let outcome = match (script, names.get(place)) {
                (Some(script), Some(name)) => self.load(name, *script),
                _ => Err(StartFailure::Host("it isn't in the plan".into())),
            };
            guard = lock(shared);
            self.note(names, place, outcome, &mut guard);
            changed.notify_all();
        }
    }

    fn load(&self, name: &ScriptName, script: ReadyScript) -> Result<RunRecord, StartFailure> {
        (self.events)(ServiceEvent::Loading(name.clone()));
        if let Some(guard) = self.guard.filter(|guard| guard.is_one_by_one()) {
            guard.under_way(std::iter::once(name.clone()));
        }
        let begun = Instant::now();
        let ReadyScript { candidate, held } = script;
        let module = match held {
            Some(module) => module,
            None => self.offers.read(&candidate).map_err(StartFailure::Refused)?,
        };
        let bundle = candidate.origin.recorded().ok_or(StartFailure::Refused(StartRefusal::NotOffered))?;
        let record = RunRecord {
            schema: RunRecord::SCHEMA,
            script: candidate.name,
            bundle: bundle.name,
            version: bundle.version,
            bundle_id: bundle.id,
            generation: bundle.generation,
            kernel: self.kernel.clone(),
            sha256: module.sha256(),
            requires: candidate.requires,
            boot_id: self.boot_id.clone(),
            started: self.host.now(),
            recorder: RecorderMode::of_arguments(&candidate.run),
            phase: Phase::Loading,
            done: None,
            module: ModuleIdentity::of(module.bytes()),
        };
        Masked::check_now(self.host, name).map_err(StartFailure::Refused)?;
        let record = self.loader.load(record, &module, &candidate.run)?;
        (self.events)(match record.done {
            None => ServiceEvent::Started(name.clone(), begun.elapsed()),
            Some(_) => ServiceEvent::Done(name.clone(), begun.elapsed()),
        });
        Ok(record)
    }

    fn note(
        &self,
        names: &[ScriptName],
        place: usize,
        result: Result<RunRecord, StartFailure>,
        shared: &mut Shared,
    ) {
        let outcome = match result {
            Ok(record) if record.done.is_some() => {
                shared.queue.done(place);
                StartOutcome::Done { record: Box::new(record) }
            }
            Ok(record) => {
                shared.queue.runs(place);
                StartOutcome::Started { record: Box::new(record) }
            }
            Err(failure) => {
                shared.queue.failed(place);
                let reason = Reason::from(&self.budget.reason(failure));
                if let Some(name) = names.get(place) {
                    (self.events)(ServiceEvent::Failed(name.clone(), reason.clone()));
                }
                StartOutcome::Failed { reason }
            }
        };
        if let Some(entry) = shared.outcomes.get_mut(place) {
            *entry = Some(outcome);
        }
    }

    /// `PASSALL=yes`: stops what this start has started beyond the first failure, dependants first.
    fn stop_overrun(&self, names: &[ScriptName], shared: &mut Shared) {
        let culprit = shared.queue.first_failure().and_then(|place| names.get(place)).cloned();
        for place in shared.queue.overrun() {
            let (Some(name), Some(outcome), Some(culprit)) =
                (names.get(place), shared.outcomes.get_mut(place), &culprit)
            else {
                continue;
            };
            if !matches!(outcome, Some(StartOutcome::Started { .. })) {
                continue;
            }
            (self.events)(ServiceEvent::StoppingAgain(name.clone()));
            if let Err(failure) = unload(&self.loader.staprun, self.host, name) {
                log::line(self.host, &format!("{name}: couldn't be stopped again: {failure}"));
                (self.events)(ServiceEvent::StopFailed(name.clone(), failure.to_string()));
                continue;
            }
            let reason = Reason::from(&StartRefusal::AfterFailure(culprit.clone()));
            *outcome = Some(StartOutcome::StoppedAgain { reason });
        }
    }

    /// Gives a reason to what wasn't tried, and writes all reasons down for `status`.
    fn settle(&self, names: &[ScriptName], shared: Shared) -> Vec<StartedScript> {
        let Shared { queue, outcomes, .. } = shared;
        let mut scripts = Vec::with_capacity(names.len());
        for (place, (script, outcome)) in names.iter().cloned().zip(outcomes).enumerate() {
            let outcome = outcome.unwrap_or_else(|| {
                let is_skipped = matches!(queue.fate(place), Fate::Skipped(_));
                if !is_skipped && queue.is_before_end(place) && self.host.cancel.is_cancelled() {
                    let reason = Reason::from(&self.budget.reason(StartFailure::Interrupted));
                    return StartOutcome::Refused { reason };
                }
                StartOutcome::Refused { reason: Reason::from(&not_tried(&queue, names, place)) }
            });
            if let Some(reason) = outcome.problem() {
                last_try::keep(self.host, &script, reason);
            } else if let Err(error) = last_try::forget(self.host, &script) {
                log::line(self.host, &with_causes(&error));
            }
            scripts.push(StartedScript { script, outcome });
        }
        scripts
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
