//! The engine with a stand-in for the executor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::assembly::BundleIdentity;
use crate::directories::BuildDirectories;
use crate::sandbox::Sandbox;
use crate::sysroot::Sysroot;
use crate::testing::{fake_job, fake_module, fake_sysroot};

/// Answers by the script's name.
struct StandIn {
    answer: fn(&CompileJob) -> Result<Compilation, ExecutorError>,
    runs: AtomicUsize,
}

impl StandIn {
    fn new(answer: fn(&CompileJob) -> Result<Compilation, ExecutorError>) -> Self {
        Self { answer, runs: AtomicUsize::new(0) }
    }
}

impl Executor for StandIn {
    fn compile(&self, job: &CompileJob, _: Duration, _: &Cancel) -> Result<Compilation, ExecutorError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (self.answer)(job)
    }
}

fn ended(ended: Ended, log: &str, module: Option<Vec<u8>>) -> Compilation {
    let wall = Duration::from_secs(2);
    Compilation { ended, log: log.to_owned(), module, uprobes: false, wall, cpu: Some(wall) }
}

fn compiled(job: &CompileJob) -> Compilation {
    let module = fake_module(job.script.name().as_str(), job.kernel.release.as_str(), "x");
    ended(Ended::Code(0), "", Some(module))
}

/// Three scripts × two kernels, in a directory of their own.
fn plan(directory: &std::path::Path) -> Plan {
    let root = fake_sysroot(&[]);
    let sandbox = Sandbox::without_user_change();
    let directories = BuildDirectories::beneath(directory);
    directories.prepare(&sandbox).unwrap();
    let jobs: Vec<CompileJob> = ["1.0", "2.0"]
        .iter()
        .flat_map(|release| ["a", "b", "c"].map(|script| fake_job(script, release)))
        .collect();
    let toolchain = bundle_format::Toolchain {
        stap: "5.6".into(),
        compiler: "gcc".into(),
        digest: bundle_format::Digest::of(b""),
    };
    Plan {
        scripts: jobs[..3].iter().map(|job| Arc::clone(&job.script)).collect(),
        kernels: jobs.iter().step_by(3).map(|job| Arc::clone(&job.kernel)).collect(),
        sysroots: vec![Arc::new(Sysroot::open(root.path()).unwrap())],
        toolchains: vec![Some(toolchain)],
        jobs,
        sandbox,
        directories,
    }
}

fn run(
    plan: &Plan,
    executor: &StandIn,
    cancel: &Cancel,
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    let identity = BundleIdentity {
        name: "test".parse().unwrap(),
        version: None,
        serial: None,
        created: None,
        other_inputs_modified: 0,
        best_before: None,
        roots: None,
    };
    let options = BuildOptions { workers: 2, ..BuildOptions::new(identity) };
    let events = Mutex::new(Vec::new());
    let warm_ups = WarmUps::new(plan.directories.warm());
    let result =
        build_with(plan, executor, &warm_ups, &options, &|event| events.lock().unwrap().push(event), cancel);
    (result, events.into_inner().unwrap())
}

#[test]
fn the_second_build_compiles_nothing_and_gives_the_same_draft() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let (first, events) = run(&plan, &executor, &Cancel::new());
    let first = first.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), first.green(), first.red()), (6, 6, 0));
    assert_eq!(first.cpu(), Duration::from_secs(12));
    assert!(matches!(events[0], BuildEvent::Begun { cells: 6, cached: 0, jobs: 6, workers: 2 }));
    assert_eq!(events.iter().filter(|event| matches!(event, BuildEvent::CellDone(_))).count(), 6);

    let (second, events) = run(&plan, &executor, &Cancel::new());
    let second = second.unwrap();
    assert_eq!(executor.runs.load(Ordering::SeqCst), 6);
    assert!(matches!(events[0], BuildEvent::Begun { cached: 6, jobs: 0, .. }));
    assert_eq!(format!("{:?}", first.draft), format!("{:?}", second.draft));
    let draft = first.draft;
    assert_eq!((draft.created, draft.serial, draft.version.as_str()), (2_000, 2_000, "1970.0101.0033"));
    assert_eq!(draft.kernels[0].vermagic.as_deref(), Some("1.0 SMP preempt mod_unload modversions "));
    assert_eq!(draft.kernels[0].modules[0].bytes.read().unwrap(), fake_module("a", "1.0", "x"));
}

#[test]
fn a_failure_is_remembered_but_a_lack_of_space_and_a_timeout_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::Code(1), "semantic error: no match\n", None),
            "b" => ended(Ended::Code(1), "cc1: error: x: No space left on device\n", None),
            _ => ended(Ended::TimedOut(Duration::from_secs(300)), "", None),
        })
    });
    let (report, _) = run(&plan, &executor, &Cancel::new());
    let report = report.unwrap();
    let reasons: Vec<_> = report.cells[..3].iter().map(|cell| cell.outcome.red_reason().unwrap()).collect();
    let expected = [
        "semantic error: no match",
        "cc1: error: x: No space left on device",
        "stopped at the time limit of 300 s",
    ];
    assert_eq!(reasons, expected);
    assert!(report.cells.iter().all(|cell| cell.outcome.log().unwrap().is_file()));
    assert_eq!(report.draft.kernels[0].red.len(), 3);
    run(&plan, &executor, &Cancel::new()).0.unwrap();
    assert_eq!(executor.runs.load(Ordering::SeqCst), 6 + 4);
}

#[test]
fn a_module_that_is_not_what_was_asked_for_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::Code(0), "", None),
            "b" => ended(Ended::Code(0), "", Some(fake_module("b", "9.9", "x"))),
            _ => compiled(job),
        })
    });
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    let reason = |index: usize| report.cells[index].outcome.red_reason().unwrap();
    assert_eq!(reason(0), "stap ended well but made no module");
    assert!(reason(1).contains("its vermagic is `9.9 SMP"), "{}", reason(1));
    assert_eq!(report.green(), 2);
}

#[test]
fn what_was_done_before_a_cancellation_is_not_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let cancel = Cancel::new();
    let executor = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => compiled(job),
            _ => ended(Ended::Cancelled, "", None),
        })
    });
    let (result, _) = run(&plan, &executor, &cancel);
    assert!(matches!(result, Err(BuildError::Cancelled { done: 2, cells: 6 })));
    let executor = StandIn::new(|job| Ok(compiled(job)));
    run(&plan, &executor, &cancel).0.unwrap();
    assert_eq!(executor.runs.load(Ordering::SeqCst), 4);
}

#[test]
fn a_cancelled_build_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let cancel = Cancel::new();
    cancel.cancel();
    let executor = StandIn::new(|job| Ok(compiled(job)));
    assert!(matches!(run(&plan, &executor, &cancel).0, Err(BuildError::Cancelled { done: 0, cells: 6 })));
    assert_eq!(executor.runs.load(Ordering::SeqCst), 0);
}

#[test]
fn a_sandbox_that_does_not_work_ends_the_build() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|_| Err(ExecutorError::SandboxRefused { message: "bwrap: no".into() }));
    let (result, _) = run(&plan, &executor, &Cancel::new());
    assert!(matches!(result, Err(BuildError::Executor(ExecutorError::SandboxRefused { .. }))));
    assert!(executor.runs.load(Ordering::SeqCst) <= 2);
}

#[test]
fn a_leader_that_was_killed_leaves_nothing_to_trust() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let warm_up = WarmUps::new(plan.directories.warm()).path(plan.jobs[0].warm_up_key);
    let rest = warm_up.join("cache/stapconf_rest.h");
    // The executor can't be told where; the directory is known beforehand.
    WarmUps::new(plan.directories.warm()).prepare(plan.jobs[0].warm_up_key, &plan.sandbox).unwrap();
    let executor = StandIn::new(|_| Ok(ended(Ended::Signal(9), "", None)));
    std::fs::write(&rest, "").unwrap();
    run(&plan, &executor, &Cancel::new()).0.unwrap();
    assert!(warm_up.is_dir() && !rest.exists());
}
