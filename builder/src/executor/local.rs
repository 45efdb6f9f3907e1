//! Compiles in the sandbox of this machine.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use child::{Cancel, Finished, Limits};

use super::{
    Compilation, Executor, ExecutorError, LOG_CAP, LeaderTask, Leading, lay_out, read_module, works,
};
use crate::directories::{BuildDirectories, JobDirectory};
use crate::job::CompileJob;
use crate::job_shell::{self, JobLimits, in_shell};
use crate::kernel_tree::KernelTarget;
use crate::leader::{Ran, lead};
use crate::recipe::module_path;
use crate::reserve::shortage;
use crate::same_inputs::changed_input;
use crate::sandbox::{Inside, ONE_PROCESSOR, STAP_DIRECTORY, Sandbox};
use crate::sysroot::Sysroot;
use crate::warm_cache::WarmUps;
use crate::warm_up::WarmUpKey;

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
        lay_out(work.path(), job)?;
        let running = Running {
            argv: &job.parts.argv,
            kernel: &job.kernel,
            key: job.warm_up_key,
            threads: 1,
            one_processor: job.parts.one_processor,
            limits,
            output_cap: LOG_CAP,
        };
        let finished = self.run(&work, &running, cancel)?;
        let path = work.path().join(module_path(job.script.name()));
        let module = read_module(&path).map_err(|source| ExecutorError::Work { path, source })?;
        let uprobes = fs::symlink_metadata(work.path().join("uprobes/uprobes.ko")).is_ok();
        let (wall, cpu) = (finished.wall, job_shell::read(work.path()));
        Ok(Compilation { ended: finished.status, log: finished.stdout.text(), module, uprobes, wall, cpu })
    }

    fn changed_input(&self, job: &CompileJob) -> std::io::Result<Option<String>> {
        changed_input(self.sysroots, self.directories.index(), &job.kernel, job.parts.toolchain)
    }

    fn lead(&self, task: &LeaderTask, limits: &JobLimits, cancel: &Cancel) -> Result<Leading, ExecutorError> {
        let cache = self.warm_ups.path(task.key).join("cache");
        let (mut wall, mut cpu) = (Duration::ZERO, Some(Duration::ZERO));
        let mut run = |argv: &[String]| -> Result<Ran, ExecutorError> {
            let work = self.directories.new_work(self.sandbox)?;
            let stap_directory = work.path().join(STAP_DIRECTORY);
            fs::create_dir(&stap_directory)
                .map_err(|source| ExecutorError::Work { path: stap_directory, source })?;
            let running = Running {
                argv,
                kernel: &task.kernel,
                key: task.key,
                threads: task.threads,
                one_processor: false,
                limits,
                output_cap: child::DEFAULT_OUTPUT_CAP,
            };
            let finished = self.run(&work, &running, cancel)?;
            let took = job_shell::read(work.path());
            wall += finished.wall;
            cpu = cpu.zip(took).map(|(sum, took)| sum + took);
            Ok(Ran { ended: finished.status, output: finished.stdout.text() })
        };
        let kernel = task.kernel.named_for_stap();
        let led = lead(task.part, &kernel, &task.flags, &cache, &mut run, &|| shortage(&cache))?;
        Ok(Leading { led, wall, cpu, note: None })
    }
}

impl LocalExecutor<'_> {
    /// Runs a command line of stap, within limits.
    fn run(
        &self,
        work: &JobDirectory,
        running: &Running<'_>,
        cancel: &Cancel,
    ) -> Result<Finished, ExecutorError> {
        let Running { argv, kernel, key, threads, one_processor, limits, output_cap } = *running;
        let stap_directory = self.warm_ups.path(key);
        let inside = Inside {
            stap_directory: Some(&stap_directory),
            shown: &kernel.shown,
            memory: Some(limits.memory),
            threads,
            one_processor,
            ..Inside::new(&self.sysroots[kernel.sysroot], work)
        };
        if one_processor {
            let path = work.path().join(ONE_PROCESSOR);
            fs::write(&path, "0\n").map_err(|source| ExecutorError::Work { path, source })?;
        }
        let command = self.sandbox.command(&inside, &in_shell(argv, limits)).combined_output();
        let time = Limits { time: Some(limits.time), output_cap, ..Limits::default() };
        let finished = command.run(&time, cancel)?;
        works(finished)
    }
}
