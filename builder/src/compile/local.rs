//! Compiles in the sandbox of this machine.

use std::sync::Arc;
use std::time::Duration;

use child::{Cancel, Finished, Limits};

use super::executor::{Compilation, Executor, ExecutorError, LOG_CAP, LeaderTask, Leading, works};
use super::job_files::{lay_out, made_uprobes, read_module};
use super::reserve::shortage;
use crate::inputs::{KernelTarget, TreeDigests, changed_input};
use crate::job::{CompileJob, analysis_command, module_path};
use crate::sandbox::{Inside, JobDirectory, JobLimits, ONE_PROCESSOR, Sandbox, Sysroot, in_shell, job_shell};
use crate::state::BuildDirectories;
use crate::warm::{Led, Ran, WarmFiles, WarmKind, WarmLayer, WarmUpKey, WarmUps, lead};

/// Compiles in the sandbox, on this machine.
#[derive(Debug)]
pub(crate) struct LocalExecutor<'a> {
    pub sandbox: &'a Sandbox,
    pub sysroots: &'a [Arc<Sysroot>],
    pub directories: &'a BuildDirectories,
    pub warm_ups: &'a WarmUps,
}

/// A command line of stap that is to be run.
struct Running<'a> {
    argv: &'a [String],
    kernel: &'a KernelTarget,
    key: WarmUpKey,
    threads: usize,
    /// Whether it is to find one processor.
    one_processor: bool,
    limits: &'a JobLimits,
    /// Bytes that are kept of what it writes.
    output_cap: usize,
}

impl Executor for LocalExecutor<'_> {
    fn compile(
        &self,
        job: &CompileJob,
        limits: &JobLimits,
        cancel: &Cancel,
    ) -> Result<Compilation, ExecutorError> {
        let work = self.directories.new_work(self.sandbox)?;
        let layer = WarmLayer::lay(&work, self.warm_ups.files(job.warm_up_key))?;
        lay_out(&work, job)?;
        let finished = self.run(&work, &running(job, &job.parts.argv, limits), cancel)?;
        let module = read_module(&work, &module_path(job.script.name()))?;
        let uprobes = made_uprobes(&work);
        let log = finished.stdout.text();
        let Finished { status: ended, wall, .. } = finished;
        let mut cpu = job_shell::read(&work);
        let mut missed = Vec::new();
        let mut types = Vec::new();
        // A directory that the job has left in a state in which it can't be read tells nothing.
        for (kind, path) in layer.missed().unwrap_or_default() {
            if kind == WarmKind::Types { types.push(path) } else { missed.push(path) }
        }
        if ended.success() && !types.is_empty() && self.warm_ups.claims(job.warm_up_key, &types) {
            let took = self.lead_types(job, limits, cancel)?;
            cpu = cpu.zip(took).map(|(cpu, took)| cpu + took);
        }
        Ok(Compilation { ended, log, module, uprobes, wall, cpu, missed })
    }

    fn changed_input(&self, job: &CompileJob) -> Option<String> {
        let digests = TreeDigests::of_build(self.directories);
        changed_input(self.sysroots, digests, &job.kernel, job.parts.toolchain)
    }

    fn lead(&self, task: &LeaderTask, limits: &JobLimits, cancel: &Cancel) -> Result<Leading, ExecutorError> {
        let work = self.directories.new_work(self.sandbox)?;
        let layer = WarmLayer::lay(&work, self.warm_ups.files(task.key))?;
        let mut wall = Duration::ZERO;
        let mut cpu = Some(Duration::ZERO);
        let mut run = |argv: &[String]| -> Result<Ran, ExecutorError> {
            let running = Running {
                argv,
                kernel: &task.kernel,
                key: task.key,
                threads: task.threads,
                one_processor: false,
                limits,
                output_cap: child::DEFAULT_OUTPUT_CAP,
            };
            job_shell::forget(&work);
            let finished = self.run(&work, &running, cancel)?;
            let took = job_shell::read(&work);
            wall += finished.wall;
            cpu = cpu.zip(took).map(|(sum, took)| sum + took);
            Ok(Ran { ended: finished.status, output: finished.stdout.text() })
        };
        let kernel = task.kernel.named_for_stap();
        let short = || shortage(work.path()).or_else(|| shortage(&self.directories.warm()));
        let led = lead(task.part, &kernel, &task.flags, &layer, &mut run, &short)?;
        let taken = match led {
            Led::Complete(_) => self.warm_ups.take_over(task.key, &layer, WarmKind::Part(task.part))?,
            Led::Incomplete(_) | Led::Cancelled => WarmFiles::new(),
        };
        Ok(Leading { led, wall, cpu, note: None, taken })
    }
}

impl LocalExecutor<'_> {
    /// Has stap analyse a job's script once more, and takes over the types that it has asked the kernel for: what the job itself has
    /// made is nobody else's business. (Analysis runs nothing of the script.) Returns the CPU time, as far as it is known.
    fn lead_types(
        &self,
        job: &CompileJob,
        limits: &JobLimits,
        cancel: &Cancel,
    ) -> Result<Option<Duration>, ExecutorError> {
        let work = self.directories.new_work(self.sandbox)?;
        let layer = WarmLayer::lay(&work, self.warm_ups.files(job.warm_up_key))?;
        lay_out(&work, job)?;
        let finished = self.run(&work, &running(job, &analysis_command(&job.parts.argv), limits), cancel)?;
        if finished.status.success() {
            let taken = self.warm_ups.take_over(job.warm_up_key, &layer, WarmKind::Types)?;
            self.warm_ups.accept_types(job.warm_up_key, taken);
        }
        Ok(job_shell::read(&work))
    }

    /// Runs a command line of stap, within limits.
    fn run(
        &self,
        work: &JobDirectory,
        running: &Running<'_>,
        cancel: &Cancel,
    ) -> Result<Finished, ExecutorError> {
        let Running { argv, kernel, key, threads, one_processor, limits, output_cap } = *running;
        let store = self.warm_ups.store(key);
        let inside = Inside {
            warm: Some(&store),
            shown: &kernel.shown,
            memory: Some(limits.memory),
            threads,
            one_processor,
            ..Inside::new(&self.sysroots[kernel.sysroot], work)
        };
        if one_processor {
            work.write(ONE_PROCESSOR.as_ref(), b"0\n")?;
        }
        let command = self.sandbox.command(&inside, &in_shell(argv, limits)).combined_output();
        let time = Limits { time: Some(limits.time), output_cap, ..Limits::default() };
        let finished = command.run(&time, cancel)?;
        works(finished)
    }
}

/// How a job's own command line is run.
fn running<'a>(job: &'a CompileJob, argv: &'a [String], limits: &'a JobLimits) -> Running<'a> {
    Running {
        argv,
        kernel: &job.kernel,
        key: job.warm_up_key,
        threads: 1,
        one_processor: job.parts.one_processor,
        limits,
        output_cap: LOG_CAP,
    }
}
