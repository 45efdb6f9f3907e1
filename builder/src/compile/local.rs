//! Compiles in the sandbox of this machine.

use std::sync::Arc;
use std::time::Duration;

use child::{Cancel, Finished, Limits};

use super::executor::{Compilation, Executor, ExecutorError, LOG_CAP, LeaderTask, Leading, works};
use super::job_files::{lay_out, made_uprobes, read_module};
use super::reserve::shortage;
use super::surroundings::{BuildIds, KernelInRoot};
use super::trace_views::TraceViews;
use crate::inputs::{KernelTarget, TreeDigests, changed_input};
use crate::job::{CompileJob, KeyParts, analysis_command, module_path};
use crate::sandbox::{Inside, JobDirectory, JobLimits, ONE_PROCESSOR, Sandbox, Sysroot, in_shell, job_shell};
use crate::state::BuildDirectories;
use crate::warm::{
    Diagnosis, Led, Ran, TraceView, Wanted, WarmFiles, WarmKind, WarmLayer, WarmUpKey, WarmUpPart, WarmUps,
    lead,
};

/// Compiles in the sandbox, on this machine.
#[derive(Debug)]
pub(crate) struct LocalExecutor<'a> {
    pub sandbox: &'a Sandbox,
    pub sysroots: &'a [Arc<Sysroot>],
    pub directories: &'a BuildDirectories,
    pub warm_ups: &'a WarmUps,
    pub views: &'a TraceViews<'a>,
}

/// A command line of stap that is to be run.
struct Running<'a> {
    argv: &'a [String],
    kernel: &'a KernelTarget,
    key: WarmUpKey,
    /// What is to be seen of the trace headers.
    view: &'a TraceView,
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
        let view = self.views.of_job(job);
        let finished = self.run(&work, &running(job, &job.parts.argv, &view, limits), cancel)?;
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
        let KeyParts { toolchain, programs, .. } = &job.parts;
        changed_input(self.sysroots, digests, &job.kernel, *toolchain, &job.script, programs)
    }

    fn lead(&self, task: &LeaderTask, limits: &JobLimits, cancel: &Cancel) -> Result<Leading, ExecutorError> {
        let work = self.directories.new_work(self.sandbox)?;
        let layer = WarmLayer::lay(&work, self.warm_ups.files(task.key))?;
        let mut wall = Duration::ZERO;
        let mut cpu = Some(Duration::ZERO);
        let mut said = String::new();
        let mut run = |argv: &[String], view: &TraceView| -> Result<Ran, ExecutorError> {
            let running = Running {
                argv,
                kernel: &task.kernel,
                key: task.key,
                view,
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
            said = finished.stdout.text();
            Ok(Ran { ended: finished.status, output: said.clone() })
        };
        let kernel = task.kernel.named_for_stap();
        let short = || shortage(work.path()).or_else(|| shortage(&self.directories.warm()));
        let build_ids = BuildIds::default();
        let here = KernelInRoot {
            root: task.kernel.root(self.sysroots),
            kernel: &task.kernel,
            build_ids: &build_ids,
        };
        let wanted = match task.part {
            WarmUpPart::Configuration => Wanted::Configuration(Some(&here)),
            WarmUpPart::Scan => Wanted::Scan(&task.scan),
        };
        let (led, scanned) = lead(wanted, &kernel, &task.flags, &layer, &mut run, &short)?;
        let led = self.with_log(led, task, &said);
        let taken = match led {
            Led::Complete(_) => self.warm_ups.take_over(task.key, &layer, WarmKind::Part(task.part))?,
            Led::Incomplete(_) | Led::Cancelled => WarmFiles::new(),
        };
        let scan = (task.part == WarmUpPart::Scan).then_some(scanned);
        Ok(Leading { led, wall, cpu, note: None, scan, taken })
    }
}

impl LocalExecutor<'_> {
    /// Keeps what was said of a kernel for which nothing compiles: later builds show it too. Where it can't be written, the reason is
    /// still there, and no build looks for it again.
    fn with_log(&self, led: Led, task: &LeaderTask, said: &str) -> Led {
        let Led::Complete(Some(Diagnosis::NothingCompiles { reason, .. })) = led else { return led };
        let log = self.directories.logs().join(format!("kernel-{}-{}.txt", task.kernel.release, task.key));
        let _ = std::fs::write(&log, said);
        Led::Complete(Some(Diagnosis::NothingCompiles { reason, log: Some(log) }))
    }

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
        let view = self.views.of_job(job);
        let argv = analysis_command(&job.parts.argv);
        let finished = self.run(&work, &running(job, &argv, &view, limits), cancel)?;
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
        let Running { argv, kernel, key, view, threads, one_processor, limits, output_cap } = *running;
        let narrowed = self.views.narrowed(kernel, view);
        let store = self.warm_ups.store(key);
        let root = kernel.root(self.sysroots);
        let inside = Inside {
            warm: Some(&store),
            narrowed: &narrowed,
            memory: Some(limits.memory),
            threads,
            one_processor,
            ..Inside::new(&root, work)
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
fn running<'a>(
    job: &'a CompileJob,
    argv: &'a [String],
    view: &'a TraceView,
    limits: &'a JobLimits,
) -> Running<'a> {
    Running {
        argv,
        kernel: &job.kernel,
        key: job.warm_up_key,
        view,
        threads: 1,
        one_processor: job.parts.one_processor,
        limits,
        output_cap: LOG_CAP,
    }
}
