//! A job of a build: it is compiled, judged, and what came of it is kept.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use child::{ChildCommand, Ended};

use super::error::BuildError;
use super::event::{BuildEvent, JobEnd};
use super::site::Site;
use super::workers::Run;
use crate::compile::{Compilation, ExecutorError, KernelInRoot, Verdict, verdict};
use crate::inputs::{ProgramState, TreeDigests, programs_in_log, programs_of_module};
use crate::job::{CacheKey, CellReport, CompileJob, JobOutcome, KeyParts, ModuleInfo};
use crate::results::{Cost, Keep};
use crate::warm::{Diagnosis, NothingCompiles, nothing_compiles};
use crate::words::Surroundings;

/// What is kept of a compile besides what came of it.
struct KeptResult<'a> {
    log: &'a str,
    cost: Cost,
}

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
        if let Some(NothingCompiles { why, log }) = nothing_compiles(&diagnoses) {
            let blocked = CellReport::not_run(job.cell(), JobOutcome::Blocked { why, log });
            return Ok(Some(CellReport { maker: site.maker(), ..blocked }));
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
        let parts = site.parts(job);
        let mut key = parts.key();
        let argv = parts.argv.split_first();
        let command = argv.map(|(stap, arguments)| ChildCommand::new(stap).args(arguments).display());
        let command = command.unwrap_or_default();
        let log = format!("$ {command}\n{}\n{}\n", compilation.log.trim_end(), compilation.ended);
        let write_log = || self.write_log(job, &log).map_err(|source| self.store_error(job, source));
        if let Some(reason) = site.executor.changed_input(job) {
            // Not in the journal either: of the inputs that the plan has seen, nothing is known.
            return Ok(JobOutcome::Failed { reason, log: write_log()?, cached: false });
        }
        let result = KeptResult { log: &log, cost: Cost { wall: compilation.wall, cpu: compilation.cpu } };
        // One of these may be what it fails for now.
        let known = self.states(job, &self.work.cache.reference(key));
        // For a merge, which compiles nothing. Where the disk is what failed, this fails too, and there is no result.
        let for_now = |outcome: JobOutcome| {
            let reason = outcome.red_reason().unwrap_or_default();
            let keep = Keep::FailureForNow { reason: &reason };
            let _ = self.store(job, &parts, known.clone(), keep, &result);
            outcome
        };
        let sysroot = self.work.plan.sysroot_of(&job.kernel);
        let here = KernelInRoot {
            root: sysroot.under(&job.kernel.overlay),
            kernel: &job.kernel,
            build_ids: &self.build_ids,
        };
        let surroundings: Option<&dyn Surroundings> = if site.server.is_none() { Some(&here) } else { None };
        let toolchain = self.work.plan.toolchain_of(&job.kernel);
        let outcome = match verdict(job, compilation, diagnoses, toolchain, surroundings) {
            Verdict::Green(bytes, info) => {
                let digests = TreeDigests::of_build(&self.work.plan.directories);
                let found = programs_of_module(bytes, sysroot, &digests);
                if found.changed > SystemTime::now().checked_sub(compilation.wall) {
                    let reason =
                        "a program that the script probes changed while this was compiled: build again";
                    return Ok(JobOutcome::Failed {
                        reason: reason.to_owned(),
                        log: write_log()?,
                        cached: false,
                    });
                }
                let info = ModuleInfo { programs: found.probed, ..info };
                let states = [found.states, known].concat();
                let keep = Keep::Module { bytes, info };
                return self.store(job, &parts, states, keep, &result).map(|(_, outcome)| outcome);
            }
            Verdict::Red(reason) => {
                let named = programs_in_log(&compilation.log, &job.script, sysroot);
                let states = [self.states(job, &named), known].concat();
                let outcome;
                (key, outcome) =
                    self.store(job, &parts, states, Keep::Failure { reason: &reason }, &result)?;
                if !self.work.options.retry_failed {
                    return Ok(outcome);
                }
                // The cache doesn't tell which failures this build has tried already.
                outcome
            }
            Verdict::TimedOut(limit) => for_now(JobOutcome::TimedOut { limit, log: write_log()? }),
            Verdict::RedForNow(reason) => {
                for_now(JobOutcome::Failed { reason, log: write_log()?, cached: false })
            }
        };
        self.work.journal.note(key, &outcome).map_err(|source| BuildError::State { source })?;
        Ok(outcome)
    }

    fn states(&self, job: &CompileJob, programs: &[PathBuf]) -> Vec<ProgramState> {
        let sysroot = self.work.plan.sysroot_of(&job.kernel);
        let digests = TreeDigests::of_build(&self.work.plan.directories);
        programs.iter().map(|path| ProgramState::of(path, sysroot, &digests)).collect()
    }

    /// Keeps what depends on these programs; where the script doesn't name them all, by a key with the others too.
    fn store(
        &self,
        job: &CompileJob,
        named: &KeyParts,
        mut programs: Vec<ProgramState>,
        keep: Keep<'_>,
        result: &KeptResult<'_>,
    ) -> Result<(CacheKey, JobOutcome), BuildError> {
        let error = |source| self.store_error(job, source);
        programs.retain(|state| !named.programs.iter().any(|program| program.path == state.path));
        programs.sort();
        programs.dedup();
        let mut parts = named.clone();
        if !programs.is_empty() {
            let paths: Vec<PathBuf> = programs.iter().map(|state| state.path.clone()).collect();
            self.work.cache.refer(named.key(), named, &paths).map_err(error)?;
            parts = parts.with_further_programs(programs);
        }
        let key = parts.key();
        let outcome = self.work.cache.store(key, &parts, keep, result.log, result.cost).map_err(error)?;
        Ok((key, outcome))
    }

    fn store_error(&self, job: &CompileJob, source: io::Error) -> BuildError {
        let directory = self.work.plan.directories.artifacts().to_owned();
        BuildError::Store { cell: job.cell(), directory, source }
    }

    fn write_log(&self, job: &CompileJob, log: &str) -> io::Result<PathBuf> {
        let name = format!("{}-{}.txt", job.script.name(), job.kernel.release);
        let path = self.work.plan.directories.logs().join(name);
        std::fs::write(&path, log)?;
        Ok(path)
    }
}
