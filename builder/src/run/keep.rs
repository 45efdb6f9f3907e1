//! A job of a build: it is compiled, judged, and what came of it is kept.

use std::io;
use std::path::PathBuf;

use child::{ChildCommand, Ended};

use super::error::BuildError;
use super::event::{BuildEvent, JobEnd};
use super::site::Site;
use super::workers::Run;
use crate::compile::{Compilation, ExecutorError, Verdict, verdict};
use crate::job::{CellReport, CompileJob, JobOutcome};
use crate::results::{Cost, Keep};
use crate::warm::{Diagnosis, nothing_compiles};

impl Run<'_> {
    /// Compiles one job and keeps what came of it. `None` if it was cancelled.
    pub(crate) fn compile(
        &self,
        site: &Site<'_>,
        job: &CompileJob,
    ) -> Result<Option<CellReport>, BuildError> {
        // They are of this machine's caches and compiler: a server has its own.
        let diagnoses = match site.server {
            Some(_) => Vec::new(),
            None => self.lock().diagnoses.get(&job.warm_up_key).cloned().unwrap_or_default(),
        };
        if let Some(why) = nothing_compiles(&diagnoses, self.work.plan.toolchain_of(&job.kernel)) {
            let skipped = CellReport::not_run(job.cell(), JobOutcome::Skipped { why });
            return Ok(Some(CellReport { maker: site.maker(), ..skipped }));
        }
        (self.work.events)(BuildEvent::JobStarted { cell: job.cell(), maker: site.maker() });
        let result = self.started(site, job, &diagnoses);
        let end = match &result {
            Ok(Some(_)) => JobEnd::Done,
            Ok(None) => JobEnd::Cancelled,
            Err(BuildError::Executor(ExecutorError::ServerRefused { why })) => JobEnd::SentBack(why.clone()),
            Err(BuildError::Executor(ExecutorError::ServerLost { .. })) => JobEnd::ServerLost,
            Err(_) => JobEnd::Failed,
        };
        (self.work.events)(BuildEvent::JobEnded { cell: job.cell(), maker: site.maker(), end });
        result
    }

    /// What comes of a job that has started.
    fn started(
        &self,
        site: &Site<'_>,
        job: &CompileJob,
        diagnoses: &[Diagnosis],
    ) -> Result<Option<CellReport>, BuildError> {
        let compilation = site.executor.compile(job, &self.work.options.limits, self.work.cancel)?;
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
        let Compilation { wall, cpu, .. } = compilation;
        if let Some(cpu) = cpu {
            self.lock().durations.cell_took(&job.cell(), cpu);
        }
        Ok(Some(CellReport { cell: job.cell(), outcome, wall, cpu, maker: site.maker() }))
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
            directory: self.work.plan.directories.artifacts().to_owned(),
            source,
        };
        let parts = site.parts(job);
        let key = parts.key();
        let argv = parts.argv.split_first();
        let command = argv.map(|(stap, arguments)| ChildCommand::new(stap).args(arguments).display());
        let command = command.unwrap_or_default();
        let log = format!("$ {command}\n{}\n{}\n", compilation.log.trim_end(), compilation.ended);
        let write_log = || self.write_log(job, &log).map_err(store_error);
        if let Some(reason) = site.executor.changed_input(job) {
            // Not in the journal either: of the inputs that the plan has seen, nothing is known.
            return Ok(JobOutcome::Failed { reason, log: write_log()?, cached: false });
        }
        let outcome = match verdict(job, compilation, diagnoses, self.work.plan.toolchain_of(&job.kernel)) {
            Verdict::Green(bytes, info) => {
                let keep = Keep::Module { bytes, info };
                return self.work.cache.store(key, &parts, keep, &log, cost).map_err(store_error);
            }
            Verdict::Red(reason) => {
                let keep = Keep::Failure { reason: &reason };
                let outcome = self.work.cache.store(key, &parts, keep, &log, cost).map_err(store_error)?;
                if !self.work.options.retry_failed {
                    return Ok(outcome);
                }
                // The cache doesn't tell which failures this build has tried already.
                outcome
            }
            Verdict::TimedOut(limit) => JobOutcome::TimedOut { limit, log: write_log()? },
            Verdict::RedForNow(reason) => JobOutcome::Failed { reason, log: write_log()?, cached: false },
        };
        self.work.journal.note(key, &outcome).map_err(|source| BuildError::State { source })?;
        Ok(outcome)
    }

    fn write_log(&self, job: &CompileJob, log: &str) -> io::Result<PathBuf> {
        let name = format!("{}-{}.txt", job.script.name(), job.kernel.release);
        let path = self.work.plan.directories.logs().join(name);
        std::fs::write(&path, log)?;
        Ok(path)
    }
}
