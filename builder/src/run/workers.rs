//! The workers of a build, who do what the schedule gives them.

use std::collections::{BTreeSet, HashMap, HashSet, hash_map};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bundle_format::KernelRelease;
use child::Cancel;

use super::decide::judges_anew;
use super::error::BuildError;
use super::event::BuildEvent;
use super::options::BuildOptions;
use super::report::WarmUpReport;
use super::schedule::Schedule;
use super::schedule_state::{Assignment, Entry, SiteEntry};
use super::site::Site;
use super::work_left::WorkLeft;
use crate::compile::{BuildIds, ExecutorError, TraceViews};
use crate::job::{Cell, CellReport, CompileJob, JobOutcome, Maker, ServerAddress};
use crate::plan::Plan;
use crate::results::{ArtifactCache, Durations, Journal};
use crate::warm::{Diagnosis, Scan, WarmUp, WarmUpKey, WarmUpPart, WarmUps, sentence};

/// A build: what is compiled, where, and who hears of it.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub plan: &'a Plan,
    pub sites: &'a [Site<'a>],
    pub warm_ups: &'a WarmUps,
    pub views: &'a TraceViews<'a>,
    pub cache: &'a ArtifactCache,
    pub journal: &'a Journal,
    pub options: &'a BuildOptions,
    pub events: &'a (dyn Fn(BuildEvent) + Sync),
    pub cancel: &'a Cancel,
}

/// What is done with the jobs.
#[derive(Clone, Copy)]
pub(crate) enum Task<'a> {
    /// They are compiled, each at a site that takes it.
    Compile,
    /// They are compiled once more, each where the module of its cell was made, and compared with that. Cells are in the plan's
    /// order.
    Compare(&'a [CellReport]),
}

/// What the workers share.
pub(crate) struct Run<'a> {
    pub work: Work<'a>,
    task: Task<'a>,
    /// Positions in the plan of the jobs to be run, in the order of the schedule's entries.
    pub open: Vec<usize>,
    state: Mutex<RunState>,
    pub build_ids: BuildIds,
}

/// What has come of the run so far.
pub(crate) struct RunState {
    pub results: RunResults,
    /// The first thing that ended the build.
    failure: Option<BuildError>,
    pub diagnoses: HashMap<WarmUpKey, Vec<Diagnosis>>,
    pub durations: Durations,
    /// Keys for which a job has made files that a leader should have made.
    pub missed: HashSet<WarmUpKey>,
    left: Option<WorkLeft<WarmUpKey>>,
}

/// What came of a run.
#[derive(Default)]
pub(crate) struct RunResults {
    /// The reports of the jobs that came to an end, by their position in the plan.
    pub reports: Vec<(usize, CellReport)>,
    /// In what the second module of a cell differs, if it does.
    pub compared: Vec<(Cell, Option<String>)>,
    pub warm_ups: Vec<WarmUpReport>,
    pub diagnoses: Vec<(KernelRelease, String)>,
    /// Compile servers that were lost, and what their clients said.
    pub lost: Vec<(ServerAddress, String)>,
}

impl<'a> Run<'a> {
    /// A run that adds to what a run before it has come to.
    pub(crate) fn new(work: Work<'a>, task: Task<'a>, open: Vec<usize>, results: RunResults) -> Self {
        let state = RunState {
            results,
            failure: None,
            diagnoses: HashMap::new(),
            durations: Durations::open(work.plan.directories.durations()),
            missed: HashSet::new(),
            left: None,
        };
        Self { work, task, open, state: Mutex::new(state), build_ids: BuildIds::default() }
    }

    /// Runs all open jobs.
    pub(crate) fn all(self) -> Result<RunResults, BuildError> {
        let Work { plan, sites, events, cancel, .. } = self.work;
        if !self.open.is_empty() && sites.iter().any(|site| site.server.is_none()) {
            plan.sandbox.check()?;
        }
        let schedule = self.schedule()?;
        self.tell_work_left(|_| ());
        std::thread::scope(|scope| {
            let run = &self;
            let schedule = &schedule;
            for (number, site) in sites.iter().enumerate() {
                for _ in 0..site.workers.clamp(1, self.open.len().max(1)) {
                    scope.spawn(move || {
                        while let Some(assignment) = schedule.next(number, cancel) {
                            if let Err(error) = run.carry_out(schedule, number, assignment) {
                                schedule.stop();
                                run.lock().failure.get_or_insert(error);
                            }
                        }
                    });
                }
            }
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !self.open.is_empty() {
            state.durations.save(plan.directories.notes());
        }
        if let Some(sentence) = plan.directories.notes().warning() {
            events(BuildEvent::Noted { sentence });
        }
        state.failure.map_or(Ok(state.results), Err)
    }

    pub(crate) fn job(&self, entry: usize) -> &'a CompileJob {
        &self.work.plan.jobs[self.open[entry]]
    }

    /// What must be scanned for the open jobs of a key.
    pub(crate) fn scan_of(&self, key: WarmUpKey) -> Scan {
        let jobs = (0..self.open.len()).map(|entry| self.job(entry));
        self.work.views.scan_for(jobs.filter(|job| job.warm_up_key == key))
    }

    /// The sites that take a job.
    fn sites_of(&self, entry: usize) -> BTreeSet<usize> {
        let takes = |site: &Site<'_>| match self.task {
            Task::Compile => site.takes(self.job(entry)),
            Task::Compare(cells) => site.maker() == cells[self.open[entry]].maker,
        };
        let sites = self.work.sites.iter().enumerate();
        sites.filter(|(_, site)| takes(site)).map(|(number, _)| number).collect()
    }

    fn schedule(&self) -> Result<Schedule<WarmUpKey>, BuildError> {
        let Work { plan, sites, .. } = self.work;
        let cold = |site: &Site<'_>| SiteEntry { warm: HashMap::new(), last_resort: site.last_resort };
        let mut places: Vec<SiteEntry<WarmUpKey>> = sites.iter().map(cold).collect();
        let mut entries = Vec::new();
        for entry in 0..self.open.len() {
            let job = self.job(entry);
            let key = job.warm_up_key;
            let taking = self.sites_of(entry);
            // What a server has of stap's caches, it doesn't tell: its leaders are quick where all is there.
            let here = |number: &&usize| sites[**number].server.is_none();
            for number in taking.iter().filter(here) {
                if let hash_map::Entry::Vacant(place) = places[*number].warm.entry(key) {
                    place.insert(self.prepared(job)?);
                }
            }
            // A server has compiled the cell already.
            let is_warm = matches!(self.task, Task::Compare(_)) && !taking.iter().any(|number| here(&number));
            let needs = if is_warm { WarmUp::default() } else { job.needs };
            let expected = self.lock().durations.of_cell(&job.cell());
            entries.push(Entry { key, needs, expected, sites: taking });
        }
        for (key, warm) in
            places.iter_mut().flat_map(|place| &mut place.warm).filter(|(_, warm)| !warm.scanned)
        {
            warm.scanned = self.work.warm_ups.has_scanned(*key, &self.scan_of(*key).view);
        }
        let missing = places.iter().flat_map(|site| &site.warm).flat_map(|(key, warm)| {
            let needed =
                |part: &WarmUpPart| entries.iter().any(|entry| entry.key == *key && entry.needs.has(*part));
            let missing = WarmUpPart::ALL.into_iter().filter(|part| !warm.has(*part));
            missing.filter(needed).map(|part| (*key, part))
        });
        // What a server has of stap's caches isn't known, and what a last resort will be asked for isn't either.
        let missing = missing.filter(|_| sites.iter().all(|site| site.server.is_none()));
        if matches!(self.task, Task::Compile) && !self.open.is_empty() {
            let jobs = self.open.iter().map(|index| (*index, plan.jobs[*index].cell()));
            self.lock().left = Some(WorkLeft::new(jobs, missing));
        }
        let costs = WarmUpPart::ALL.map(|part| (part, self.lock().durations.of_part(part)));
        Ok(Schedule::new(entries, &places, costs.into()))
    }

    /// What this machine has of stap's caches for a job's kernel; tells what is known to be wrong with it.
    fn prepared(&self, job: &CompileJob) -> Result<WarmUp, BuildError> {
        let Work { warm_ups, journal, options, .. } = self.work;
        let key = job.warm_up_key;
        // A build that was killed, or that compares, has judged them already.
        let again = matches!(self.task, Task::Compile) && judges_anew(options, journal.before(), key);
        if again && !warm_ups.noted(key, job.kernel.stamp).diagnoses.is_empty() {
            warm_ups.forget(key);
            journal.note_judged_anew(key).map_err(|source| BuildError::State { source })?;
        }
        let found = warm_ups.prepare(key, job.kernel.stamp)?;
        if let Some(first) = found.changed.first() {
            let count = found.changed.len();
            self.note(format!(
                "stap's cache for kernel {}: {count} of its files ({first}, …) in {} changed since they were made: \
                 making them again",
                job.kernel.release,
                warm_ups.store(key).display()
            ));
        }
        for diagnosis in found.diagnoses {
            self.diagnosed(job, diagnosis);
        }
        Ok(found.complete)
    }

    fn carry_out(
        &self,
        schedule: &Schedule<WarmUpKey>,
        number: usize,
        assignment: Assignment<WarmUpKey>,
    ) -> Result<(), BuildError> {
        match (assignment, self.task) {
            (Assignment::Lead { key, part }, _) => self.lead(schedule, number, key, part),
            // What doesn't come about of stap's caches, the compile makes itself.
            (Assignment::Job(entry) | Assignment::Blocked(entry, _), Task::Compare(cells)) => {
                let compared = self.compare(number, entry, &cells[self.open[entry]]);
                schedule.done(entry);
                compared
            }
            (Assignment::Job(entry), Task::Compile) => self.run_job(schedule, number, entry),
            (Assignment::Blocked(entry, why), Task::Compile) => {
                // Whichever server's worker comes to tell it: the reason names all who were asked.
                let maker = self.work.sites[number].server.map_or(Maker::Here, |_| Maker::Nobody);
                let blocked =
                    CellReport::not_run(self.job(entry).cell(), JobOutcome::Blocked { why, log: None });
                self.done(entry, CellReport { maker, ..blocked });
                Ok(())
            }
        }
    }

    fn run_job(&self, schedule: &Schedule<WarmUpKey>, number: usize, entry: usize) -> Result<(), BuildError> {
        let site = &self.work.sites[number];
        let compiled = self.compile(site, self.job(entry));
        match compiled {
            Err(BuildError::Executor(ExecutorError::ServerLost { said })) => {
                self.lost(schedule, number, Some(entry), said);
            }
            Err(BuildError::Executor(ExecutorError::ServerRefused { why })) => {
                schedule.refuse(number, entry, format!("{}: {why}", site.maker()));
            }
            compiled => {
                schedule.done(entry);
                if let Some(report) = compiled? {
                    self.done(entry, report);
                }
            }
        }
        Ok(())
    }

    /// A cell has come to its end.
    fn done(&self, entry: usize, report: CellReport) {
        let index = self.open[entry];
        (self.work.events)(BuildEvent::CellDone(Box::new(report.clone())));
        self.lock().results.reports.push((index, report));
        self.tell_work_left(|left| left.job_done(index));
    }

    /// Tells what is left to be done after `ended`, if that is known.
    pub(crate) fn tell_work_left(&self, ended: impl FnOnce(&mut WorkLeft<WarmUpKey>)) {
        let mut state = self.lock();
        let RunState { left, durations, .. } = &mut *state;
        let Some(left) = left else { return };
        ended(left);
        if let Some(cpu) = left.cpu(durations) {
            // Under the lock: the last report is of what is left last.
            (self.work.events)(BuildEvent::WorkLeft { cpu });
        }
    }

    /// A compile server doesn't answer any more: it gets nothing more, and what it was at goes elsewhere.
    pub(crate) fn lost(
        &self,
        schedule: &Schedule<WarmUpKey>,
        number: usize,
        job: Option<usize>,
        said: String,
    ) {
        let site = &self.work.sites[number];
        if schedule.lost(number, job)
            && let Some(server) = site.server
        {
            self.lock().results.lost.push((server.address().clone(), said.clone()));
            (self.work.events)(BuildEvent::ServerLost { server: site.maker(), said });
        }
    }

    /// Remembers what is wrong with a job's kernel, and tells it once for each kernel.
    pub(crate) fn diagnosed(&self, job: &CompileJob, diagnosis: Diagnosis) {
        let release = &job.kernel.release;
        let sentence = sentence(&diagnosis, self.work.plan.toolchain_of(&job.kernel), release);
        let mut state = self.lock();
        state.diagnoses.entry(job.warm_up_key).or_default().push(diagnosis);
        let known = (release.clone(), sentence.clone());
        if state.results.diagnoses.contains(&known) {
            return;
        }
        state.results.diagnoses.push(known);
        drop(state);
        (self.work.events)(BuildEvent::KernelDiagnosed { release: release.clone(), sentence });
    }

    pub(crate) fn note(&self, sentence: String) {
        (self.work.events)(BuildEvent::Noted { sentence });
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
