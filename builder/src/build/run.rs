//! The open jobs of a build, run by its workers.

use std::collections::{HashMap, hash_map};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle_format::KernelRelease;
use child::{Cancel, ChildCommand, Ended};

use super::{BuildError, BuildOptions};
use crate::artifact_cache::{ArtifactCache, Cost, Keep};
use crate::diagnosis::{diagnosed_reason, sentence};
use crate::durations::Durations;
use crate::event::BuildEvent;
use crate::executor::{Compilation, Executor, LeaderTask};
use crate::job::{CompileJob, JobOutcome};
use crate::job_shell::JobLimits;
use crate::journal::Journal;
use crate::leader::Led;
use crate::plan::Plan;
use crate::report::{CellReport, WarmUpReport};
use crate::schedule::{Assignment, Entry, Schedule};
use crate::verdict::{Verdict, verdict};
use crate::warm_cache::{Diagnosis, WarmUps};
use crate::warm_up::{WarmUp, WarmUpKey, WarmUpPart};

/// A leader does some 90 CPU seconds of work, so it may take this many times the limit of a job.
const LEADER_SHARE: u32 = 3;

/// What the workers share.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    executor: &'a dyn Executor,
    warm_ups: &'a WarmUps,
    cache: ArtifactCache,
    journal: &'a Journal,
    options: &'a BuildOptions,
    events: &'a (dyn Fn(BuildEvent) + Sync),
    cancel: &'a Cancel,
    /// Positions in the plan of the jobs to be run, in the order of the schedule's entries.
    open: Vec<usize>,
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
}

/// What came of a run.
#[derive(Default)]
pub(super) struct RunResults {
    /// The reports of the jobs that came to an end, by their position in the plan.
    pub reports: Vec<(usize, CellReport)>,
    pub warm_ups: Vec<WarmUpReport>,
    pub diagnoses: Vec<(KernelRelease, String)>,
}

impl<'a> Run<'a> {
    #[expect(clippy::too_many_arguments, reason = "called once: each is what the caller has already")]
    pub(super) fn new(
        plan: &'a Plan,
        executor: &'a dyn Executor,
        warm_ups: &'a WarmUps,
        (cache, journal): (ArtifactCache, &'a Journal),
        options: &'a BuildOptions,
        events: &'a (dyn Fn(BuildEvent) + Sync),
        cancel: &'a Cancel,
        (open, durations): (Vec<usize>, Durations),
    ) -> Self {
        let state = Mutex::new(State { durations: Some(durations), ..State::default() });
        Self { plan, executor, warm_ups, cache, journal, options, events, cancel, open, state }
    }

    /// Runs all open jobs.
    pub(super) fn all(self, workers: usize) -> Result<RunResults, BuildError> {
        let schedule = self.schedule()?;
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(assignment) = schedule.next(self.cancel) {
                        if let Err(error) = self.carry_out(&schedule, assignment, workers) {
                            schedule.stop();
                            self.lock().failure.get_or_insert(error);
                        }
                    }
                });
            }
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(durations) = state.durations.filter(|_| !self.open.is_empty()) {
            durations.save().map_err(|source| BuildError::State { source })?;
        }
        state.failure.map_or(Ok(state.results), Err)
    }

    fn schedule(&self) -> Result<Schedule<WarmUpKey>, BuildError> {
        let mut warm: HashMap<WarmUpKey, WarmUp> = HashMap::new();
        let mut entries = Vec::new();
        for index in &self.open {
            let job = &self.plan.jobs[*index];
            let key = job.warm_up_key;
            if let hash_map::Entry::Vacant(place) = warm.entry(key) {
                if self.options.retry_failed
                    && !self.warm_ups.noted(key, job.kernel.stamp).diagnoses.is_empty()
                {
                    self.warm_ups.forget(key).map_err(|source| BuildError::State { source })?;
                }
                let found = self.warm_ups.prepare(key, job.kernel.stamp, &self.plan.sandbox)?;
                place.insert(found.complete);
                for diagnosis in found.diagnoses {
                    self.diagnosed(job, diagnosis);
                }
            }
            let expected = self.lock().durations.as_ref().map(|known| known.of_cell(&job.cell()));
            entries.push(Entry { key, needs: job.needs, expected: expected.unwrap_or_default() });
        }
        Ok(Schedule::new(entries, &warm))
    }

    fn carry_out(
        &self,
        schedule: &Schedule<WarmUpKey>,
        assignment: Assignment<WarmUpKey>,
        workers: usize,
    ) -> Result<(), BuildError> {
        let (index, report) = match assignment {
            Assignment::Lead { key, part } => return self.lead(schedule, key, part, workers),
            Assignment::Job(entry) => (self.open[entry], self.compile(&self.plan.jobs[self.open[entry]])?),
            Assignment::Blocked(entry, why) => {
                let outcome = JobOutcome::Skipped { why: format!("stap's caches for this kernel: {why}") };
                (self.open[entry], Some(report_of(&self.plan.jobs[self.open[entry]], outcome, None)))
            }
        };
        if let Some(report) = report {
            (self.events)(BuildEvent::CellDone(Box::new(report.clone())));
            self.lock().results.reports.push((index, report));
        }
        Ok(())
    }

    /// Makes a part of a key's caches.
    fn lead(
        &self,
        schedule: &Schedule<WarmUpKey>,
        key: WarmUpKey,
        part: WarmUpPart,
        workers: usize,
    ) -> Result<(), BuildError> {
        let Some(job) =
            self.open.iter().map(|index| &self.plan.jobs[*index]).find(|job| job.warm_up_key == key)
        else {
            schedule.led(key, part, Ok(()));
            return Ok(());
        };
        let release = job.kernel.release.clone();
        (self.events)(BuildEvent::WarmUpStarted { release: release.clone(), part });
        let task = LeaderTask {
            key,
            part,
            flags: job.warm_up_flags.clone(),
            kernel: Arc::clone(&job.kernel),
            // Where there are more cores than leaders, a leader may use several.
            threads: (workers / schedule.leaders().max(1)).max(1),
        };
        let limits =
            JobLimits { time: self.options.limits.time.saturating_mul(LEADER_SHARE), ..self.options.limits };
        let leading = match self.executor.lead(&task, &limits, self.cancel) {
            Ok(leading) => leading,
            Err(error) => {
                // Told in every case: jobs of the key wait for it.
                schedule.led(key, part, Err(error.to_string()));
                return Err(error.into());
            }
        };
        let result = match leading.led {
            Led::Complete(diagnosis) => {
                let accepted = self.warm_ups.accept(key, job.kernel.stamp, part, diagnosis.clone());
                if let Some(diagnosis) = diagnosis {
                    self.diagnosed(job, diagnosis);
                }
                schedule.led(key, part, Ok(()));
                accepted.map_err(|source| BuildError::State { source })?;
                Ok(())
            }
            Led::Incomplete(why) => {
                schedule.led(key, part, Err(why.clone()));
                Err(why)
            }
            Led::Cancelled => {
                schedule.led(key, part, Err("cancelled".to_owned()));
                return Ok(());
            }
        };
        let report = WarmUpReport { release, part, wall: leading.wall, cpu: leading.cpu };
        (self.events)(BuildEvent::WarmUpFinished {
            report: report.clone(),
            incomplete: result.clone().err(),
        });
        let mut state = self.lock();
        if let (Ok(()), Some(cpu), Some(durations)) = (&result, leading.cpu, &mut state.durations) {
            durations.part_took(part, cpu);
        }
        state.results.warm_ups.push(report);
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
    fn compile(&self, job: &CompileJob) -> Result<Option<CellReport>, BuildError> {
        let diagnoses = self.lock().diagnoses.get(&job.warm_up_key).cloned().unwrap_or_default();
        let toolchain = self.plan.toolchain_of(&job.kernel);
        if let Some(nothing) =
            diagnoses.iter().find(|found| matches!(found, Diagnosis::NothingCompiles { .. }))
        {
            let why = diagnosed_reason(nothing, toolchain);
            return Ok(Some(report_of(job, JobOutcome::Skipped { why }, None)));
        }
        (self.events)(BuildEvent::JobStarted { cell: job.cell() });
        let compilation = self.executor.compile(job, &self.options.limits, self.cancel)?;
        if compilation.ended == Ended::Cancelled {
            return Ok(None);
        }
        let outcome = self.keep(job, &compilation, &diagnoses)?;
        if let (Some(cpu), Some(durations)) = (compilation.cpu, &mut self.lock().durations) {
            durations.cell_took(&job.cell(), cpu);
        }
        Ok(Some(report_of(job, outcome, Some(&compilation))))
    }

    fn keep(
        &self,
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
        let argv = job.parts.argv.split_first();
        let command = argv.map(|(stap, arguments)| ChildCommand::new(stap).args(arguments).display());
        let command = command.unwrap_or_default();
        let log = format!("$ {command}\n{}\n{}\n", compilation.log.trim_end(), compilation.ended);
        let outcome = match verdict(job, compilation, diagnoses, self.plan.toolchain_of(&job.kernel)) {
            Verdict::Green(bytes, info) => {
                let keep = Keep::Module { bytes, info };
                return self.cache.store(job.key, &job.parts, keep, &log, cost).map_err(store_error);
            }
            Verdict::Red(reason) => {
                let keep = Keep::Failure { reason: &reason };
                return self.cache.store(job.key, &job.parts, keep, &log, cost).map_err(store_error);
            }
            Verdict::TimedOut(limit) => {
                JobOutcome::TimedOut { limit, log: self.write_log(job, &log).map_err(store_error)? }
            }
            Verdict::RedForNow(reason) => {
                let log = self.write_log(job, &log).map_err(store_error)?;
                JobOutcome::Failed { reason, log, cached: false }
            }
        };
        self.journal.note(job.key, &outcome).map_err(|source| BuildError::State { source })?;
        Ok(outcome)
    }

    fn write_log(&self, job: &CompileJob, log: &str) -> io::Result<PathBuf> {
        let name = format!("{}-{}.txt", job.script.name(), job.kernel.release);
        let path = self.plan.directories.logs().join(name);
        std::fs::write(&path, log)?;
        Ok(path)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report_of(job: &CompileJob, outcome: JobOutcome, compilation: Option<&Compilation>) -> CellReport {
    let wall = compilation.map_or(Duration::ZERO, |compilation| compilation.wall);
    CellReport { cell: job.cell(), outcome, wall, cpu: compilation.and_then(|compilation| compilation.cpu) }
}
