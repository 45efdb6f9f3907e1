//! Running a plan: what is in the cache is taken from there, the rest goes through the schedule.

use std::collections::{HashMap, hash_map};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use child::{Cancel, ChildCommand, Ended};

use crate::artifact_cache::{ArtifactCache, Cost, Keep};
use crate::assembly::{self, AssemblyError, BundleIdentity};
use crate::event::BuildEvent;
use crate::executor::{Compilation, Executor, ExecutorError, LocalExecutor};
use crate::job::{Cell, CompileJob, JobOutcome};
use crate::plan::Plan;
use crate::red_reason::may_pass_next_time;
use crate::report::{BuildReport, CellReport};
use crate::sandbox::SandboxError;
use crate::schedule::{Assignment, Entry, Schedule};
use crate::verdict::{SIGNAL_CODES, Verdict, verdict};
use crate::warm_up::{WarmUp, WarmUpKey, WarmUps};

/// Time limit of a job where none is given: a hundred times what one takes on a warm kernel.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(300);

/// A leader does some 90 CPU seconds of work beside its own, so it may take this many times the limit of a job.
const LEADER_SHARE: u32 = 3;

/// How a plan is to be run.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Compiles that run side by side; at least 1.
    pub workers: usize,
    /// Time limit of one compile; three times as much for one that warms up a kernel.
    pub time_limit: Duration,
    /// What the bundle will be called.
    pub identity: BundleIdentity,
}

impl BuildOptions {
    /// One worker per core and the default time limit.
    #[must_use]
    pub fn new(identity: BundleIdentity) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { workers, time_limit: DEFAULT_TIME_LIMIT, identity }
    }
}

/// Why a build ended without a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It was cancelled; what had finished is in the cache.
    #[error("cancelled with {done} of {cells} cells done; the same command goes on from there")]
    Cancelled {
        /// Cells with a result.
        done: usize,
        /// All cells.
        cells: usize,
    },
    /// The work directories can't be used.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A compile couldn't be run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A result can't be kept.
    #[error("the result of {cell} can't be kept in {directory}")]
    Store {
        /// Which cell.
        cell: Cell,
        /// The cache.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The state directory can't be used.
    #[error("the build's state can't be kept")]
    State {
        /// What the kernel said.
        source: io::Error,
    },
    /// The modules don't fit together.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
}

/// Runs `plan` in the sandbox of this machine.
pub fn build(
    plan: &Plan,
    options: &BuildOptions,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<BuildReport, BuildError> {
    let warm_ups = WarmUps::new(plan.directories.warm());
    let executor = LocalExecutor {
        sandbox: &plan.sandbox,
        sysroots: &plan.sysroots,
        directories: &plan.directories,
        warm_ups: &warm_ups,
    };
    build_with(plan, &executor, &warm_ups, options, events, cancel)
}

/// As [`build`], with another way to run a compile.
pub(crate) fn build_with(
    plan: &Plan,
    executor: &dyn Executor,
    warm_ups: &WarmUps,
    options: &BuildOptions,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<BuildReport, BuildError> {
    let begun = Instant::now();
    let cells = plan.jobs.len();
    let state_error = |source| BuildError::State { source };
    let waiting = |lock: &std::path::Path| events(BuildEvent::WaitingForLock { lock: lock.to_owned() });
    let Some(lock) = plan.directories.lock(cancel, waiting).map_err(state_error)? else {
        return Err(BuildError::Cancelled { done: 0, cells });
    };
    plan.directories.sweep(&lock).map_err(state_error)?;

    let cache = ArtifactCache::new(plan.directories.artifacts().to_owned());
    let mut results: Vec<Option<CellReport>> = plan.jobs.iter().map(|job| from_cache(job, &cache)).collect();
    let open: Vec<usize> = (0..cells).filter(|index| results[*index].is_none()).collect();
    let workers = options.workers.clamp(1, open.len().max(1));
    events(BuildEvent::Begun { cells, cached: cells - open.len(), jobs: open.len(), workers });
    for cell in results.iter().flatten() {
        events(BuildEvent::CellDone(Box::new(cell.clone())));
    }
    let run =
        Run { plan, executor, warm_ups, cache, options, events, cancel, open, failure: Mutex::default() };
    let compiled = run.all(workers)?;
    for (index, report) in compiled {
        results[index] = Some(report);
    }
    let results: Vec<CellReport> = results.into_iter().flatten().collect();
    if results.len() < cells {
        return Err(BuildError::Cancelled { done: results.len(), cells });
    }
    let draft = assembly::draft(plan, &results, &options.identity)?;
    Ok(BuildReport { cells: results, draft, wall: begun.elapsed() })
}

fn from_cache(job: &CompileJob, cache: &ArtifactCache) -> Option<CellReport> {
    let outcome = cache.find(job.key)?;
    Some(CellReport { cell: job.cell(), outcome, wall: Duration::ZERO, cpu: None })
}

/// What the workers share.
struct Run<'a> {
    plan: &'a Plan,
    executor: &'a dyn Executor,
    warm_ups: &'a WarmUps,
    cache: ArtifactCache,
    options: &'a BuildOptions,
    events: &'a (dyn Fn(BuildEvent) + Sync),
    cancel: &'a Cancel,
    /// Positions in the plan of the jobs to be run, in the order of the schedule's entries.
    open: Vec<usize>,
    /// The first thing that ended the build.
    failure: Mutex<Option<BuildError>>,
}

impl Run<'_> {
    /// Runs all open jobs; returns the reports of those that came to an end, by their position in the plan.
    fn all(self, workers: usize) -> Result<Vec<(usize, CellReport)>, BuildError> {
        let schedule = self.schedule()?;
        let reports = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(assignment) = schedule.next(self.cancel) {
                        match self.one(&schedule, assignment) {
                            Ok(Some(report)) => {
                                (self.events)(BuildEvent::CellDone(Box::new(report.clone())));
                                let index = self.open[assignment.index];
                                reports.lock().unwrap_or_else(PoisonError::into_inner).push((index, report));
                            }
                            Ok(None) => {} // Cancelled.
                            Err(error) => {
                                schedule.stop();
                                self.failure
                                    .lock()
                                    .unwrap_or_else(PoisonError::into_inner)
                                    .get_or_insert(error);
                            }
                        }
                    }
                });
            }
        });
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(reports.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn schedule(&self) -> Result<Schedule<WarmUpKey>, BuildError> {
        let mut warm = HashMap::new();
        let mut entries = Vec::new();
        for index in &self.open {
            let job = &self.plan.jobs[*index];
            entries.push(Entry { key: job.warm_up_key, needs: job.needs });
            if let hash_map::Entry::Vacant(place) = warm.entry(job.warm_up_key) {
                place.insert(self.warm_ups.prepare(job.warm_up_key, &self.plan.sandbox)?);
            }
        }
        Ok(Schedule::new(entries, warm))
    }

    /// Compiles one job and keeps what came of it. `None` if it was cancelled.
    fn one(
        &self,
        schedule: &Schedule<WarmUpKey>,
        assignment: Assignment,
    ) -> Result<Option<CellReport>, BuildError> {
        let job = &self.plan.jobs[self.open[assignment.index]];
        let release = &job.kernel.release;
        let before = schedule.warmth(assignment.index);
        if assignment.leads {
            let scan = job.needs.scanned && !before.scanned;
            (self.events)(BuildEvent::WarmUpStarted { release: release.clone(), scan });
        }
        (self.events)(BuildEvent::JobStarted { cell: job.cell() });
        let limit = self.options.time_limit.saturating_mul(if assignment.leads { LEADER_SHARE } else { 1 });
        let compilation = self.executor.compile(job, limit, self.cancel);
        let warm = self.settle(job, assignment, before, compilation.as_ref().ok());
        let warm = warm.map_err(|source| BuildError::State { source });
        if let (true, Ok(warm), Ok(compilation)) = (assignment.leads, &warm, &compilation) {
            let (complete, wall) = (warm.covers(job.needs), compilation.wall);
            (self.events)(BuildEvent::WarmUpFinished { release: release.clone(), complete, wall });
        }
        // Told in every case: others of the key may be waiting.
        schedule.ended(assignment, warm.as_ref().copied().unwrap_or_default());
        let compilation = compilation?;
        warm?;
        if compilation.ended == Ended::Cancelled {
            return Ok(None);
        }
        let outcome = self.keep(job, &compilation)?;
        let (wall, cpu) = (compilation.wall, compilation.cpu);
        Ok(Some(CellReport { cell: job.cell(), outcome, wall, cpu }))
    }

    /// What is complete for the job's key now. What a leader that didn't end by itself has left isn't trusted.
    fn settle(
        &self,
        job: &CompileJob,
        assignment: Assignment,
        before: WarmUp,
        compilation: Option<&Compilation>,
    ) -> io::Result<WarmUp> {
        if !assignment.leads {
            return Ok(before);
        }
        let trusted = compilation.is_some_and(|compilation| {
            matches!(compilation.ended, Ended::Code(code) if code < SIGNAL_CODES)
                && !(compilation.ended != Ended::Code(0) && may_pass_next_time(&compilation.log))
        });
        if trusted {
            return self.warm_ups.note(job.warm_up_key, before);
        }
        // A key that has one part complete may have jobs of that part running now: they mustn't lose their directory.
        if before == WarmUp::default() {
            self.warm_ups.discard(job.warm_up_key)?;
            let made = self.warm_ups.prepare(job.warm_up_key, &self.plan.sandbox);
            made.map_err(io::Error::other)?;
        }
        Ok(before)
    }

    fn keep(&self, job: &CompileJob, compilation: &Compilation) -> Result<JobOutcome, BuildError> {
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
        match verdict(job, compilation) {
            Verdict::Green(bytes, info) => {
                let keep = Keep::Module { bytes, info };
                self.cache.store(job.key, &job.parts, keep, &log, cost).map_err(store_error)
            }
            Verdict::Red(reason) => {
                let keep = Keep::Failure { reason: &reason };
                self.cache.store(job.key, &job.parts, keep, &log, cost).map_err(store_error)
            }
            Verdict::TimedOut(limit) => {
                Ok(JobOutcome::TimedOut { limit, log: self.write_log(job, &log).map_err(store_error)? })
            }
            Verdict::RedForNow(reason) => {
                let log = self.write_log(job, &log).map_err(store_error)?;
                Ok(JobOutcome::Failed { reason, log, cached: false })
            }
        }
    }

    fn write_log(&self, job: &CompileJob, log: &str) -> io::Result<PathBuf> {
        let name = format!("{}-{}.txt", job.script.name(), job.kernel.release);
        let path = self.plan.directories.logs().join(name);
        std::fs::write(&path, log)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
