//! The open jobs of a build, run by its workers.

use std::collections::{HashMap, HashSet, hash_map};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bundle_format::KernelRelease;
use child::{Cancel, ChildCommand, Ended};

use crate::compile::executor::{Compilation, ExecutorError, LeaderTask};
use crate::compile::verdict::{Verdict, verdict};
use crate::job::address::ServerAddress;
use crate::job::cell::CompileJob;
use crate::job::maker::Maker;
use crate::job::outcome::CellReport;
use crate::job::outcome::JobOutcome;
use crate::plan::matrix::Plan;
use crate::results::artifacts::{ArtifactCache, Cost, Keep};
use crate::results::durations::Durations;
use crate::results::journal::Journal;
use crate::run::error::BuildError;
use crate::run::event::{BuildEvent, JobEnd};
use crate::run::options::BuildOptions;
use crate::run::report::WarmUpReport;
use crate::run::schedule::{Assignment, Entry, Schedule, SiteEntry};
use crate::run::site::Site;
use crate::run::work_left::WorkLeft;
use crate::sandbox::job_shell::JobLimits;
use crate::warm::cache::WarmUps;
use crate::warm::diagnosis::{Diagnosis, diagnosed_reason, sentence};
use crate::warm::leader::Led;
use crate::warm::parts::{WarmUp, WarmUpKey, WarmUpPart};

/// A leader does some 90 CPU seconds of work, so it may take this many times the limit of a job.
const LEADER_SHARE: u32 = 3;

/// What the workers share.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    sites: &'a [Site<'a>],
    warm_ups: &'a WarmUps,
    cache: ArtifactCache,
    journal: &'a Journal,
    options: &'a BuildOptions,
    events: &'a (dyn Fn(BuildEvent) + Sync),
    cancel: &'a Cancel,
    /// Positions in the plan of the jobs to be run, in the order of the schedule's entries.
    open: Vec<usize>,
    /// Nothing is compiled: only stap's caches for the jobs are made.
    leads_only: bool,
    state: Mutex<State>,
}

/// What has come of the run so far.
#[derive(Default)]
struct State {
    results: RunResults,
    /// The first thing that ended the build.
    failure: Option<BuildError>,
    diagnoses: HashMap<WarmUpKey, Vec<Diagnosis>>,
    durations: Option<Durations>,
    /// Keys for which a job has made files that a leader should have made.
    missed: HashSet<WarmUpKey>,
    left: Option<WorkLeft<WarmUpKey>>,
}

/// What came of a run.
#[derive(Default)]
pub(super) struct RunResults {
    /// The reports of the jobs that came to an end, by their position in the plan.
    pub reports: Vec<(usize, CellReport)>,
    pub warm_ups: Vec<WarmUpReport>,
    pub diagnoses: Vec<(KernelRelease, String)>,
    /// Compile servers that were lost, and what their clients said.
    pub lost: Vec<(ServerAddress, String)>,
}

impl<'a> Run<'a> {
    #[expect(clippy::too_many_arguments, reason = "called once: each is what the caller has already")]
    pub(super) fn new(
        plan: &'a Plan,
        sites: &'a [Site<'a>],
        warm_ups: &'a WarmUps,
        (cache, journal): (ArtifactCache, &'a Journal),
        options: &'a BuildOptions,
        events: &'a (dyn Fn(BuildEvent) + Sync),
        cancel: &'a Cancel,
        (open, durations): (Vec<usize>, Durations),
    ) -> Self {
        let state = Mutex::new(State { durations: Some(durations), ..State::default() });
        Self {
            plan,
            sites,
            warm_ups,
            cache,
            journal,
            options,
            events,
            cancel,
            open,
            leads_only: false,
            state,
        }
    }

    /// The same, but it only makes what the jobs need of stap's caches; of what is wrong with kernels, `told` was told before.
    pub(super) fn leads_only(self, told: Vec<(KernelRelease, String)>) -> Self {
        self.lock().results.diagnoses = told;
        Self { leads_only: true, ..self }
    }

    /// Runs all open jobs.
    pub(super) fn all(self) -> Result<RunResults, BuildError> {
        if !self.open.is_empty() && self.sites.iter().any(|site| site.server.is_none()) {
            self.plan.sandbox.check()?;
        }
        let schedule = self.schedule()?;
        self.tell_work_left(|_| ());
        let begun = |site: &Site<'_>| site.workers.clamp(1, self.open.len().max(1));
        std::thread::scope(|scope| {
            let run = &self;
            let schedule = &schedule;
            for (number, site) in self.sites.iter().enumerate() {
                for _ in 0..begun(site) {
                    scope.spawn(move || {
                        while let Some(assignment) = schedule.next(number, run.cancel) {
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
        if let Some(durations) = state.durations.filter(|_| !self.open.is_empty()) {
            durations.save(self.plan.directories.notes());
        }
        if let Some(sentence) = self.plan.directories.notes().warning() {
            (self.events)(BuildEvent::Noted { sentence });
        }
        state.failure.map_or(Ok(state.results), Err)
    }

    fn schedule(&self) -> Result<Schedule<WarmUpKey>, BuildError> {
        let mut sites: Vec<SiteEntry<WarmUpKey>> = self
            .sites
            .iter()
            .map(|site| SiteEntry { warm: HashMap::new(), last_resort: site.last_resort })
            .collect();
        let mut entries = Vec::new();
        for index in &self.open {
            let job = &self.plan.jobs[*index];
            let key = job.warm_up_key;
            let taking = self.sites.iter().zip(&mut sites).filter(|(site, _)| site.takes(job));
            // What a server has of stap's caches, it doesn't tell: its leaders are quick where all is there.
            for (_, place) in taking.filter(|(site, _)| site.server.is_none()) {
                if let hash_map::Entry::Vacant(place) = place.warm.entry(key) {
                    place.insert(self.prepared(job)?);
                }
            }
            let taking = self.sites.iter().enumerate().filter(|(_, site)| site.takes(job));
            let taking = taking.map(|(number, _)| number).collect();
            let expected = self.lock().durations.as_ref().map(|known| known.of_cell(&job.cell()));
            let expected = expected.unwrap_or_default();
            entries.push(Entry { key, needs: job.needs, expected, sites: taking });
        }
        let missing = sites.iter().flat_map(|site| &site.warm).flat_map(|(key, warm)| {
            let needed =
                |part: &WarmUpPart| entries.iter().any(|entry| entry.key == *key && entry.needs.has(*part));
            WarmUpPart::ALL
                .into_iter()
                .filter(|part| !warm.has(*part))
                .filter(needed)
                .map(|part| (*key, part))
        });
        // What a server has of stap's caches isn't known, and what a last resort will be asked for isn't either.
        let missing = missing.filter(|_| self.sites.iter().all(|site| site.server.is_none()));
        if !self.leads_only && !self.open.is_empty() {
            let jobs = self.open.iter().map(|index| (*index, self.plan.jobs[*index].cell()));
            self.lock().left = Some(WorkLeft::new(jobs, missing));
        }
        let cost = |part| (part, self.lock().durations.as_ref().map(|known| known.of_part(part)));
        let costs =
            WarmUpPart::ALL.map(cost).into_iter().map(|(part, cost)| (part, cost.unwrap_or_default()));
        Ok(Schedule::new(entries, &sites, costs.collect()))
    }

    /// What this machine has of stap's caches for a job's kernel; tells what is known to be wrong with it.
    fn prepared(&self, job: &CompileJob) -> Result<WarmUp, BuildError> {
        let key = job.warm_up_key;
        // A build that goes on after a kill has judged them anew already.
        let again = self.options.retry_failed && !self.leads_only && !self.journal.has_judged_anew(key);
        if again && !self.warm_ups.noted(key, job.kernel.stamp).diagnoses.is_empty() {
            self.warm_ups.forget(key);
            self.journal.note_judged_anew(key).map_err(|source| BuildError::State { source })?;
        }
        let found = self.warm_ups.prepare(key, job.kernel.stamp)?;
        if let Some(first) = found.changed.first() {
            let count = found.changed.len();
            self.note(format!(
                "stap's cache for kernel {}: {count} of its files ({first}, …) in {} changed since they were made: \
                 making them again",
                job.kernel.release,
                self.warm_ups.store(key).display()
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
        let site = &self.sites[number];
        let (index, report) = match assignment {
            Assignment::Lead { key, part } => return self.lead(schedule, number, key, part),
            // What doesn't come about is made by the compiles themselves.
            Assignment::Job(entry) | Assignment::Blocked(entry, _) if self.leads_only => {
                schedule.done(entry);
                return Ok(());
            }
            Assignment::Job(entry) => {
                let compiled = self.compile(site, &self.plan.jobs[self.open[entry]]);
                let report = match compiled {
                    Err(BuildError::Executor(ExecutorError::ServerLost { said })) => {
                        self.lost(schedule, number, Some(entry), said);
                        return Ok(());
                    }
                    Err(BuildError::Executor(ExecutorError::ServerRefused { why })) => {
                        schedule.refuse(number, entry, format!("{}: {why}", site.maker()));
                        return Ok(());
                    }
                    compiled => compiled,
                };
                schedule.done(entry);
                (self.open[entry], report?)
            }
            Assignment::Blocked(entry, why) => {
                let job = &self.plan.jobs[self.open[entry]];
                // Whichever server's worker comes to tell it: the reason names all who were asked.
                let maker = site.server.map_or(Maker::Here, |_| Maker::Nobody);
                (self.open[entry], Some(report_of(job, JobOutcome::Skipped { why }, None, maker)))
            }
        };
        if let Some(report) = report {
            (self.events)(BuildEvent::CellDone(Box::new(report.clone())));
            self.lock().results.reports.push((index, report));
            self.tell_work_left(|left| left.job_done(index));
        }
        Ok(())
    }

    /// Tells what is left to be done after `ended`, if that is known.
    fn tell_work_left(&self, ended: impl FnOnce(&mut WorkLeft<WarmUpKey>)) {
        let mut state = self.lock();
        let State { left, durations, .. } = &mut *state;
        let (Some(left), Some(durations)) = (left, durations) else { return };
        ended(left);
        if let Some(cpu) = left.cpu(durations) {
            // Under the lock: what is told last is what is left last.
            (self.events)(BuildEvent::WorkLeft { cpu });
        }
    }

    /// A compile server doesn't answer any more: it gets nothing more, and what it was at goes elsewhere.
    fn lost(&self, schedule: &Schedule<WarmUpKey>, number: usize, job: Option<usize>, said: String) {
        if schedule.lost(number, job)
            && let Some(server) = self.sites[number].server
        {
            self.lock().results.lost.push((server.address().clone(), said.clone()));
            (self.events)(BuildEvent::ServerLost { server: self.sites[number].maker(), said });
        }
    }

    /// Makes a part of a key's caches.
    fn lead(
        &self,
        schedule: &Schedule<WarmUpKey>,
        number: usize,
        key: WarmUpKey,
        part: WarmUpPart,
    ) -> Result<(), BuildError> {
        let site = &self.sites[number];
        let Some(job) =
            self.open.iter().map(|index| &self.plan.jobs[*index]).find(|job| job.warm_up_key == key)
        else {
            schedule.led(number, key, part, Ok(()));
            return Ok(());
        };
        let (release, maker) = (job.kernel.release.clone(), site.maker());
        (self.events)(BuildEvent::WarmUpStarted { release: release.clone(), part, maker: maker.clone() });
        let task = LeaderTask {
            key,
            part,
            flags: job.warm_up_flags.clone(),
            kernel: Arc::clone(&job.kernel),
            // Where there are more cores than leaders, a leader may use several.
            threads: (site.workers.clamp(1, self.open.len()) / schedule.leaders(number).max(1)).max(1),
        };
        let limits =
            JobLimits { time: self.options.limits.time.saturating_mul(LEADER_SHARE), ..self.options.limits };
        let begun = Instant::now();
        let by = |why: &str| match site.server {
            Some(_) => format!("{maker}: {why}"),
            None => format!("stap's caches for this kernel: {why}"),
        };
        // Told in every case: jobs of the key wait for it, and whoever shows what is at work.
        let came_to_nothing = |why: String| {
            schedule.led(number, key, part, Err(by(&why)));
            let (release, maker, wall) = (release.clone(), maker.clone(), begun.elapsed());
            let report = WarmUpReport { release, part, wall, cpu: None, maker };
            (self.events)(BuildEvent::WarmUpFinished { report, incomplete: Some(why) });
        };
        let leading = match site.executor.lead(&task, &limits, self.cancel) {
            Ok(leading) => leading,
            Err(ExecutorError::ServerLost { said }) => {
                came_to_nothing(said.clone());
                self.lost(schedule, number, None, said);
                return Ok(());
            }
            Err(ExecutorError::ServerRefused { why }) => {
                came_to_nothing(why);
                return Ok(());
            }
            Err(error) => {
                came_to_nothing(error.to_string());
                return Err(error.into());
            }
        };
        if let Some(sentence) = leading.note {
            (self.events)(BuildEvent::ServerNoted { sentence });
        }
        let result = match leading.led {
            Led::Complete(_) if let Some(why) = site.executor.changed_input(job) => {
                schedule.led(number, key, part, Err(by(&why)));
                Err(why)
            }
            Led::Complete(diagnosis) => {
                if site.server.is_none() {
                    self.warm_ups.accept(key, job.kernel.stamp, part, leading.taken, diagnosis.clone());
                }
                if let Some(diagnosis) = diagnosis {
                    self.diagnosed(job, diagnosis);
                }
                schedule.led(number, key, part, Ok(()));
                Ok(())
            }
            Led::Incomplete(why) => {
                schedule.led(number, key, part, Err(by(&why)));
                Err(why)
            }
            Led::Cancelled => {
                came_to_nothing("cancelled".to_owned());
                return Ok(());
            }
        };
        let report = WarmUpReport { release, part, wall: leading.wall, cpu: leading.cpu, maker };
        (self.events)(BuildEvent::WarmUpFinished {
            report: report.clone(),
            incomplete: result.clone().err(),
        });
        let mut state = self.lock();
        if let (Ok(()), Some(cpu), Some(durations)) = (&result, leading.cpu, &mut state.durations) {
            durations.part_took(part, cpu);
        }
        state.results.warm_ups.push(report);
        drop(state);
        // One that is tried again is a surprise in any case.
        self.tell_work_left(|left| left.part_done(key, part));
        Ok(())
    }

    /// Remembers what is wrong with a job's kernel, and tells it once for each kernel.
    fn diagnosed(&self, job: &CompileJob, diagnosis: Diagnosis) {
        let release = &job.kernel.release;
        let sentence = sentence(&diagnosis, self.plan.toolchain_of(&job.kernel), release);
        let mut state = self.lock();
        state.diagnoses.entry(job.warm_up_key).or_default().push(diagnosis);
        let told = (release.clone(), sentence.clone());
        if state.results.diagnoses.contains(&told) {
            return;
        }
        state.results.diagnoses.push(told);
        drop(state);
        (self.events)(BuildEvent::KernelDiagnosed { release: release.clone(), sentence });
    }

    /// Compiles one job and keeps what came of it. `None` if it was cancelled.
    fn compile(&self, site: &Site<'_>, job: &CompileJob) -> Result<Option<CellReport>, BuildError> {
        // They are of this machine's caches and compiler: a server has its own.
        let diagnoses = match site.server {
            Some(_) => Vec::new(),
            None => self.lock().diagnoses.get(&job.warm_up_key).cloned().unwrap_or_default(),
        };
        let toolchain = self.plan.toolchain_of(&job.kernel);
        if let Some(nothing) =
            diagnoses.iter().find(|found| matches!(found, Diagnosis::NothingCompiles { .. }))
        {
            let why = diagnosed_reason(nothing, toolchain);
            return Ok(Some(report_of(job, JobOutcome::Skipped { why }, None, site.maker())));
        }
        (self.events)(BuildEvent::JobStarted { cell: job.cell(), maker: site.maker() });
        let result = self.started(site, job, &diagnoses);
        let end = match &result {
            Ok(Some(_)) => JobEnd::Done,
            Ok(None) => JobEnd::Cancelled,
            Err(BuildError::Executor(ExecutorError::ServerRefused { why })) => JobEnd::SentBack(why.clone()),
            Err(BuildError::Executor(ExecutorError::ServerLost { .. })) => JobEnd::ServerLost,
            Err(_) => JobEnd::Failed,
        };
        (self.events)(BuildEvent::JobEnded { cell: job.cell(), maker: site.maker(), end });
        result
    }

    /// What comes of a job that has started.
    fn started(
        &self,
        site: &Site<'_>,
        job: &CompileJob,
        diagnoses: &[Diagnosis],
    ) -> Result<Option<CellReport>, BuildError> {
        let compilation = site.executor.compile(job, &self.options.limits, self.cancel)?;
        if compilation.ended == Ended::Cancelled {
            return Ok(None);
        }
        if let Some(first) = compilation.missed.first()
            && self.lock().missed.insert(job.warm_up_key)
        {
            self.note(format!(
                "{}: stap made {first} for itself, although its cache for the kernel should be complete, so compiles for {} are \
                 slower than they should be",
                job.cell(),
                job.kernel.release
            ));
        }
        let outcome = self.keep(site, job, &compilation, diagnoses)?;
        if let (Some(cpu), Some(durations)) = (compilation.cpu, &mut self.lock().durations) {
            durations.cell_took(&job.cell(), cpu);
        }
        Ok(Some(report_of(job, outcome, Some(&compilation), site.maker())))
    }

    fn keep(
        &self,
        site: &Site<'_>,
        job: &CompileJob,
        compilation: &Compilation,
        diagnoses: &[Diagnosis],
    ) -> Result<JobOutcome, BuildError> {
        let cost = Cost { wall: compilation.wall, cpu: compilation.cpu };
        let store_error = |source| BuildError::Store {
            cell: job.cell(),
            directory: self.plan.directories.artifacts().to_owned(),
            source,
        };
        let parts = site.parts(job);
        let key = parts.key();
        let argv = parts.argv.split_first();
        let command = argv.map(|(stap, arguments)| ChildCommand::new(stap).args(arguments).display());
        let command = command.unwrap_or_default();
        let log = format!("$ {command}\n{}\n{}\n", compilation.log.trim_end(), compilation.ended);
        if let Some(reason) = site.executor.changed_input(job) {
            // Not in the journal either: of the inputs that the plan has seen, nothing is known.
            let log = self.write_log(job, &log).map_err(store_error)?;
            return Ok(JobOutcome::Failed { reason, log, cached: false });
        }
        let outcome = match verdict(job, compilation, diagnoses, self.plan.toolchain_of(&job.kernel)) {
            Verdict::Green(bytes, info) => {
                let keep = Keep::Module { bytes, info };
                return self.cache.store(key, &parts, keep, &log, cost).map_err(store_error);
            }
            Verdict::Red(reason) => {
                let keep = Keep::Failure { reason: &reason };
                let outcome = self.cache.store(key, &parts, keep, &log, cost).map_err(store_error)?;
                if !self.options.retry_failed {
                    return Ok(outcome);
                }
                // The cache doesn't tell which failures this build has tried already.
                outcome
            }
            Verdict::TimedOut(limit) => {
                JobOutcome::TimedOut { limit, log: self.write_log(job, &log).map_err(store_error)? }
            }
            Verdict::RedForNow(reason) => {
                let log = self.write_log(job, &log).map_err(store_error)?;
                JobOutcome::Failed { reason, log, cached: false }
            }
        };
        self.journal.note(key, &outcome).map_err(|source| BuildError::State { source })?;
        Ok(outcome)
    }

    fn write_log(&self, job: &CompileJob, log: &str) -> io::Result<PathBuf> {
        let name = format!("{}-{}.txt", job.script.name(), job.kernel.release);
        let path = self.plan.directories.logs().join(name);
        std::fs::write(&path, log)?;
        Ok(path)
    }

    fn note(&self, sentence: String) {
        (self.events)(BuildEvent::Noted { sentence });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report_of(
    job: &CompileJob,
    outcome: JobOutcome,
    compilation: Option<&Compilation>,
    maker: Maker,
) -> CellReport {
    let wall = compilation.map_or(Duration::ZERO, |compilation| compilation.wall);
    let cpu = compilation.and_then(|compilation| compilation.cpu);
    CellReport { cell: job.cell(), outcome, wall, cpu, maker }
}
