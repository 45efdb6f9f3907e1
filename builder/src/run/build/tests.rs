//! The engine with a stand-in for the executor.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use child::Ended;

use super::*;
use crate::bundle::assembly::BundleIdentity;
use crate::compile::executor::{Compilation, Executor, ExecutorError, LeaderTask, Leading};
use crate::inputs::tracepoints::TracepointAliases;
use crate::job::cell::CompileJob;
use crate::job::maker::Maker;
use crate::plan::policy::CellPolicy;
use crate::results::builders::{Builders, NotTaken};
use crate::run::event::JobEnd;
use crate::run::preview::{CellPreview, preview};
use crate::sandbox::bubblewrap::Sandbox;
use crate::sandbox::job_shell::JobLimits;
use crate::sandbox::sysroot::Sysroot;
use crate::servers::known::{known_servers, remember};
use crate::servers::server::CompileServer;
use crate::testing::{fake_job, fake_module, fake_sysroot};
use crate::warm::cache::WarmFiles;
use crate::warm::diagnosis::Diagnosis;
use crate::warm::leader::Led;
use crate::warm::parts::WarmUpPart;

/// Answers by the script's name.
struct StandIn {
    answer: fn(&CompileJob) -> Result<Compilation, ExecutorError>,
    runs: AtomicUsize,
    led: fn(&LeaderTask) -> Led,
    leaders: Mutex<Vec<(String, WarmUpPart)>>,
    changed: fn(&CompileJob) -> Option<String>,
}

impl StandIn {
    fn new(answer: fn(&CompileJob) -> Result<Compilation, ExecutorError>) -> Self {
        let (runs, leaders) = Default::default();
        Self { answer, runs, led: |_| Led::Complete(None), leaders, changed: |_| None }
    }

    fn leaders(&self) -> Vec<(String, WarmUpPart)> {
        let mut leaders = self.leaders.lock().unwrap().clone();
        leaders.sort();
        leaders
    }
}

impl Executor for StandIn {
    fn compile(&self, job: &CompileJob, _: &JobLimits, _: &Cancel) -> Result<Compilation, ExecutorError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (self.answer)(job)
    }

    fn changed_input(&self, job: &CompileJob) -> Option<String> {
        (self.changed)(job)
    }

    fn lead(&self, task: &LeaderTask, _: &JobLimits, _: &Cancel) -> Result<Leading, ExecutorError> {
        self.leaders.lock().unwrap().push((task.kernel.release.to_string(), task.part));
        Ok(Leading {
            led: (self.led)(task),
            wall: Duration::from_secs(9),
            cpu: Some(Duration::from_secs(5)),
            note: None,
            taken: WarmFiles::new(),
        })
    }
}

fn ended(ended: Ended, log: &str, module: Option<Vec<u8>>) -> Compilation {
    let wall = Duration::from_secs(2);
    let module = module.map(Ok);
    Compilation {
        ended,
        log: log.to_owned(),
        module,
        uprobes: false,
        wall,
        cpu: Some(wall),
        missed: Vec::new(),
    }
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
        aliases: vec![TracepointAliases::default()],
        jobs,
        unbuilt: Vec::new(),
        left_out: Vec::new(),
        blocked: Vec::new(),
        warnings: Vec::new(),
        sandbox,
        directories,
    }
}

fn run(
    plan: &Plan,
    executor: &StandIn,
    cancel: &Cancel,
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    run_with(plan, executor, cancel, |_| ())
}

fn run_with(
    plan: &Plan,
    executor: &StandIn,
    cancel: &Cancel,
    change: impl FnOnce(&mut BuildOptions),
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    let identity = BundleIdentity::called("test".parse().unwrap());
    let mut options = BuildOptions { workers: 2, ..BuildOptions::new(identity) };
    change(&mut options);
    let events = Mutex::new(Vec::new());
    let warm_ups = WarmUps::new(plan.directories.warm());
    let result = build_with(
        plan,
        &[Site::here(executor, options.workers)],
        &warm_ups,
        &options,
        &|event| events.lock().unwrap().push(event),
        cancel,
    );
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
    assert_eq!((first.compile_cpu(), first.cpu()), (Duration::from_secs(12), Duration::from_secs(22)));
    let begun = |event: &BuildEvent| {
        matches!(event, BuildEvent::Begun { cells: 6, cached: 0, jobs: 6, workers: 2, .. })
    };
    assert!(events.iter().any(begun));
    assert_eq!(events.iter().filter(|event| matches!(event, BuildEvent::CellDone(_))).count(), 6);

    let (second, events) = run(&plan, &executor, &Cancel::new());
    let second = second.unwrap();
    assert_eq!(executor.runs.load(Ordering::SeqCst), 6);
    assert!(events.iter().any(|event| matches!(event, BuildEvent::Begun { cached: 6, jobs: 0, .. })));
    assert_eq!(format!("{:?}", first.draft), format!("{:?}", second.draft));
    let draft = first.draft;
    assert_eq!((draft.created, draft.serial, draft.version.as_str()), (2_000, 2_000, "1970.0101.0033"));
    assert_eq!(draft.kernels[0].vermagic.as_deref(), Some("1.0 SMP preempt mod_unload modversions "));
    assert_eq!(draft.kernels[0].modules[0].bytes.read().unwrap(), fake_module("a", "1.0", "x"));
}

/// As three machines with one directory of results and a cache of their own each.
#[test]
fn what_is_left_is_told_by_what_compiles_have_taken_before() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let left = |events: Vec<BuildEvent>| -> Vec<u64> {
        let told = events.iter().filter_map(|event| match event {
            BuildEvent::WorkLeft { cpu } => Some(cpu.as_secs()),
            _ => None,
        });
        told.collect()
    };
    // Something is known once a job has ended; the other kernel's leader may still be at it.
    let first = left(run(&plan, &executor, &Cancel::new()).1);
    assert_eq!(first.last(), Some(&0));
    assert!(first.iter().all(|left| *left <= 10 + 5), "{first:?}");
    assert_eq!(left(run(&plan, &executor, &Cancel::new()).1), [0; 0]);
    let artifacts = plan.directories.artifacts().to_owned();
    std::fs::remove_dir_all(&artifacts).unwrap();
    std::fs::create_dir(&artifacts).unwrap();
    assert_eq!(left(run(&plan, &executor, &Cancel::new()).1), [12, 10, 8, 6, 4, 2, 0]);
}

#[test]
fn parts_of_a_build_give_the_whole_without_a_compile() {
    let directory = tempfile::tempdir().unwrap();
    let artifacts = directory.path().join("shared");
    let machine = |name: &str| {
        let mut plan = plan(&directory.path().join(name));
        plan.directories = plan.directories.with_artifacts(&artifacts);
        plan
    };
    let keys = |plan: &Plan| Builders::default().with_new_key_of(&plan.directories).unwrap();
    let listed = keys(&machine("first")).listing(&keys(&machine("second")));
    let refuse = |options: &mut BuildOptions| options.open_cells = OpenCells::Refuse;
    let merge = |options: &mut BuildOptions| {
        refuse(options);
        options.builders = listed.clone();
    };
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let first = machine("first").only("1/2".parse().unwrap());
    let report = run(&first, &executor, &Cancel::new()).0.unwrap();
    assert_eq!((report.cells.len(), executor.runs.load(Ordering::SeqCst)), (3, 3));
    assert!(report.cells.iter().all(|cell| cell.cell.release.as_str() == "1.0"));

    // The second part is missing: it is named by its jobs, and nothing is compiled.
    let whole = machine("third");
    let (result, _) = run_with(&whole, &executor, &Cancel::new(), merge);
    let Err(BuildError::Uncompiled { jobs, .. }) = result else { panic!("{result:?}") };
    let shards: Vec<String> = jobs.iter().map(|job| whole.shard_of(job, 2).unwrap().to_string()).collect();
    assert_eq!((shards, executor.runs.load(Ordering::SeqCst)), (vec!["2/2".to_owned(); 3], 3));

    // More parts than kernels: one has nothing to do.
    let nothing = run(&machine("second").only("3/3".parse().unwrap()), &executor, &Cancel::new()).0.unwrap();
    assert_eq!(nothing.cells.len(), 0);
    run(&machine("second").only("2/2".parse().unwrap()), &executor, &Cancel::new()).0.unwrap();
    assert_eq!(executor.runs.load(Ordering::SeqCst), 6);

    // Whoever can write to the directory decides nothing: both builders must be listed.
    let refused = run_with(&whole, &executor, &Cancel::new(), refuse).0;
    let Err(BuildError::Uncompiled { jobs, not_taken }) = refused else { panic!("{refused:?}") };
    let counts: Vec<usize> = not_taken.values().map(|(count, _)| *count).collect();
    assert_eq!((jobs.len(), counts), (6, vec![3, 3]));
    assert!(not_taken.keys().all(|why| matches!(why, NotTaken::Unlisted(_))), "{not_taken:?}");

    let merged = run_with(&whole, &executor, &Cancel::new(), merge).0.unwrap();
    let alone = run(&plan(&directory.path().join("alone")), &executor, &Cancel::new()).0.unwrap();
    // Only the alone one has compiled anything.
    assert_eq!(executor.runs.load(Ordering::SeqCst), 12);
    let bytes = |report: &BuildReport| -> Vec<Vec<u8>> {
        let modules = report.draft.kernels.iter().flat_map(|kernel| &kernel.modules);
        modules.map(|module| module.bytes.read().unwrap()).collect()
    };
    assert_eq!(bytes(&merged), bytes(&alone));
}

#[test]
fn results_of_other_builders_are_compiled_here_and_counted_in_one_event() {
    let directory = tempfile::tempdir().unwrap();
    let shared = directory.path().join("shared");
    let machine = |name: &str| {
        let mut plan = plan(&directory.path().join(name));
        plan.directories = plan.directories.with_artifacts(&shared);
        plan
    };
    let executor = StandIn::new(|job| Ok(of_text(job)));
    run(&machine("first"), &executor, &Cancel::new()).0.unwrap();
    let second = machine("second");
    let count = |events: &[BuildEvent]| -> Vec<usize> {
        let counted = events.iter().filter_map(|event| match event {
            BuildEvent::ResultsNotTaken { results } => Some(results.values().map(|(count, _)| count).sum()),
            _ => None,
        });
        counted.collect()
    };
    let unsigned = |options: &mut BuildOptions| options.builders = Builders::new(None, Vec::new(), true);
    // Red cells are results, too.
    let (taken, events) = run_with(&second, &executor, &Cancel::new(), unsigned);
    let taken = taken.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), count(&events), taken.unsigned.len()), (6, vec![], 6));
    let (report, events) = run(&second, &executor, &Cancel::new());
    assert_eq!((executor.runs.load(Ordering::SeqCst), count(&events)), (12, vec![6]));
    assert!(report.unwrap().unsigned.is_empty());
    let (again, events) = run(&second, &executor, &Cancel::new());
    assert_eq!((executor.runs.load(Ordering::SeqCst), count(&events)), (12, vec![]));
    again.unwrap();
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
fn a_module_for_other_users_than_asked_for_was_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        let mut compilation = compiled(job);
        let module = compilation.module.as_mut().unwrap().as_mut().unwrap();
        let mask = |bytes: &[u8], wanted: u8| bytes == u32::from(wanted).to_le_bytes();
        let at = module.windows(4).position(|bytes| mask(bytes, 8)).unwrap();
        match job.script.name().as_str() {
            "a" => module[at] = 2,
            "b" => module[at] = 3,
            _ => {}
        }
        Ok(compilation)
    });
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    let reason = |index: usize| report.cells[index].outcome.red_reason().unwrap();
    let refused = "the module that stap made was refused: ";
    assert_eq!(reason(0), format!("{refused}it is for stapusr (.stap_privilege), not stapdev"));
    assert!(reason(1).contains(".stap_privilege is none of the masks"), "{}", reason(1));
    assert_eq!(report.cells[2].outcome.module().unwrap().info.privilege, Some(crate::Privilege::Stapdev));
}

/// The whole build ended.
#[test]
fn a_module_that_is_no_plain_file_is_a_red_cell() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        let module =
            if job.script.name().as_str() == "a" { Some(Err("it isn't a plain file".into())) } else { None };
        let whole = compiled(job);
        Ok(Compilation { module: module.or(whole.module), ..whole })
    });
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    let reason = report.cells[0].outcome.red_reason().unwrap();
    assert_eq!(reason, "the module that stap made was refused: it isn't a plain file");
    assert_eq!((report.green(), report.red()), (4, 2));
}

/// As after `cache pull`: bubblewrap complained of a directory that nobody had made.
#[test]
fn a_check_of_cells_that_were_pulled_found_no_warm_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| Ok(compiled(job)));
    run(&plan, &executor, &Cancel::new()).0.unwrap();
    std::fs::remove_dir_all(plan.directories.warm()).unwrap();
    std::fs::create_dir(plan.directories.warm()).unwrap();
    let check = |options: &mut BuildOptions| options.check_reproducible = true;
    let report = run_with(&plan, &executor, &Cancel::new(), check).0.unwrap();
    // Each kernel was led a second time, once; every cell was compiled a second time.
    assert_eq!((executor.leaders().len(), executor.runs.load(Ordering::SeqCst)), (4, 12));
    assert_eq!((report.reproducibility.unwrap().equal, report.warm_ups.len()), (6, 2));
    assert!(plan.jobs.iter().all(|job| WarmUps::new(plan.directories.warm()).path(job.warm_up_key).is_dir()));
}

/// What had failed again was compiled a third time by the same command.
#[test]
fn a_retry_that_was_killed_tried_all_failures_again() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let failing = |job: &CompileJob| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::Code(1), "semantic error: no match\n", None),
            _ => ended(Ended::Code(1), "parse error: x\n", None),
        })
    };
    run(&plan, &StandIn::new(failing), &Cancel::new()).0.unwrap();
    let retry = |options: &mut BuildOptions| options.retry_failed = true;
    let stopped = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::Code(1), "semantic error: another\n", None),
            _ => ended(Ended::Cancelled, "", None),
        })
    });
    let (result, _) = run_with(&plan, &stopped, &Cancel::new(), retry);
    assert!(matches!(result, Err(BuildError::Cancelled { done: 2, .. })));
    let again = StandIn::new(failing);
    let report = run_with(&plan, &again, &Cancel::new(), retry).0.unwrap();
    assert_eq!(again.runs.load(Ordering::SeqCst), 4);
    assert_eq!(report.cells[0].outcome.red_reason().unwrap(), "semantic error: another");
    // It came to its end; the next retry tries everything.
    let next = StandIn::new(|job| Ok(compiled(job)));
    assert_eq!(run_with(&plan, &next, &Cancel::new(), retry).0.unwrap().green(), 6);
    assert_eq!(next.runs.load(Ordering::SeqCst), 6);
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

/// Somebody types Ctrl-C while a compile runs, which ends by it.
struct Interrupted {
    cancel: Cancel,
    runs: AtomicUsize,
}

impl Executor for Interrupted {
    fn compile(&self, _: &CompileJob, _: &JobLimits, cancel: &Cancel) -> Result<Compilation, ExecutorError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.cancel.cancel();
        assert!(cancel.is_cancelled(), "the compile isn't told");
        Ok(ended(Ended::Cancelled, "", None))
    }

    fn lead(&self, _: &LeaderTask, _: &JobLimits, _: &Cancel) -> Result<Leading, ExecutorError> {
        Ok(Leading {
            led: Led::Complete(None),
            wall: Duration::ZERO,
            cpu: None,
            note: None,
            taken: WarmFiles::new(),
        })
    }
}

#[test]
fn after_a_ctrl_c_nothing_is_begun_and_it_is_said_how_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let plan = long_plan(directory.path());
    let executor = Interrupted { cancel: Cancel::new(), runs: AtomicUsize::new(0) };
    let options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    let warm_ups = WarmUps::new(plan.directories.warm());
    let events = Mutex::new(Vec::new());
    let tell = |event| events.lock().unwrap().push(event);
    let sites = [Site::here(&executor, 3)];
    let error = build_with(&plan, &sites, &warm_ups, &options, &tell, &executor.cancel).unwrap_err();
    // Those that ran end; of 60, no further one is begun.
    assert!(executor.runs.load(Ordering::SeqCst) <= 3, "{:?}", executor.runs);
    let events = events.into_inner().unwrap();
    assert!(!events.iter().any(|event| matches!(event, BuildEvent::CellDone(_))), "{events:?}");
    let said = "cancelled with 0 of 60 cells done; the same command goes on from there";
    assert_eq!(error.to_string(), said);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 60);
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
fn each_part_is_made_once_for_a_kernel_and_not_by_the_next_build() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    for job in &mut plan.jobs[..2] {
        job.needs.scanned = true;
    }
    let executor = StandIn::new(|job| Ok(compiled(job)));
    run(&plan, &executor, &Cancel::new()).0.unwrap();
    let configuration = |release: &str| (release.to_owned(), WarmUpPart::Configuration);
    let expected = [configuration("1.0"), ("1.0".to_owned(), WarmUpPart::Scan), configuration("2.0")];
    assert_eq!(executor.leaders(), expected);
    // Other scripts on the same kernels: nothing is made again.
    std::fs::remove_dir_all(plan.directories.artifacts()).unwrap();
    let (report, _) = run(&plan, &executor, &Cancel::new());
    assert_eq!((executor.leaders().len(), report.unwrap().warm_ups.len()), (3, 0));
}

#[test]
fn a_part_that_does_not_come_about_makes_its_jobs_red_for_now() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    plan.jobs[0].needs.scanned = true;
    let mut executor = StandIn::new(|job| Ok(compiled(job)));
    executor.led = |task| match task.part {
        WarmUpPart::Scan => Led::Incomplete("only 3 MiB of memory are available".to_owned()),
        WarmUpPart::Configuration => Led::Complete(None),
    };
    let (report, events) = run(&plan, &executor, &Cancel::new());
    let report = report.unwrap();
    assert_eq!((report.green(), executor.runs.load(Ordering::SeqCst)), (5, 5));
    assert_eq!(
        report.cells[0].outcome.red_reason().unwrap(),
        "stap's caches for this kernel: only 3 MiB of memory are available"
    );
    let failed =
        |event: &&BuildEvent| matches!(event, BuildEvent::WarmUpFinished { incomplete: Some(_), .. });
    assert_eq!(events.iter().filter(failed).count(), 2);
    executor.led = |_| Led::Complete(None);
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 6);
}

#[test]
fn what_is_wrong_with_a_kernel_is_told_once_and_not_tried_by_each_script() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let mut executor = StandIn::new(|job| Ok(compiled(job)));
    executor.led = |task| {
        let reason = "x.c:1: error: y".to_owned();
        Led::Complete(
            (task.kernel.release.as_str() == "1.0").then_some(Diagnosis::NothingCompiles { reason }),
        )
    };
    for _ in 0..2 {
        let (report, events) = run(&plan, &executor, &Cancel::new());
        let report = report.unwrap();
        assert_eq!((report.green(), report.diagnoses.len(), executor.runs.load(Ordering::SeqCst)), (3, 1, 3));
        let told = |event: &&BuildEvent| matches!(event, BuildEvent::KernelDiagnosed { .. });
        assert_eq!(events.iter().filter(told).count(), 1);
        let reason = report.cells[0].outcome.red_reason().unwrap();
        assert_eq!(reason, "systemtap 5.6 compiles nothing for this kernel: x.c:1: error: y");
    }
    assert_eq!(executor.leaders().len(), 2);
}

#[test]
fn what_is_wrong_with_a_kernel_was_told_again_by_the_check_whether_modules_are_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    for job in &mut plan.jobs {
        job.needs.scanned = true;
    }
    let mut executor = StandIn::new(|job| Ok(compiled(job)));
    executor.led = |task| Led::Complete((task.part == WarmUpPart::Scan).then_some(Diagnosis::NoTracepoints));
    // The second build compiles nothing before the check, which finds it out then.
    for _ in 0..2 {
        let (report, events) =
            run_with(&plan, &executor, &Cancel::new(), |options| options.check_reproducible = true);
        assert_eq!(report.unwrap().diagnoses.len(), 2);
        let told = |event: &&BuildEvent| matches!(event, BuildEvent::KernelDiagnosed { .. });
        assert_eq!(events.iter().filter(told).count(), 2);
    }
}

#[test]
fn a_failure_for_lack_of_tracepoints_names_the_systemtap() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    for job in &mut plan.jobs {
        job.needs.scanned = job.script.name().as_str() != "c";
    }
    let mut executor = StandIn::new(|job| {
        let other = if job.script.name().as_str() == "b" { "parse error: expected x" } else { "no match" };
        Ok(ended(Ended::Code(1), &format!("semantic error: {other}\n"), None))
    });
    executor.led = |task| Led::Complete((task.part == WarmUpPart::Scan).then_some(Diagnosis::NoTracepoints));
    let (report, _) = run(&plan, &executor, &Cancel::new());
    let report = report.unwrap();
    let reasons: Vec<_> = report.cells[..3].iter().map(|cell| cell.outcome.red_reason().unwrap()).collect();
    let none = "systemtap 5.6 finds no tracepoint of this kernel";
    assert_eq!(reasons, [none, "semantic error: parse error: expected x", "semantic error: no match"]);
}

#[test]
fn a_killed_build_goes_on_with_what_the_cache_does_not_keep() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let cancel = Cancel::new();
    let executor = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::TimedOut(Duration::from_secs(300)), "", None),
            _ => ended(Ended::Cancelled, "", None),
        })
    });
    assert!(matches!(run(&plan, &executor, &cancel).0, Err(BuildError::Cancelled { done: 2, .. })));
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let report = run(&plan, &executor, &cancel).0.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), report.green(), report.red()), (4, 4, 2));
    // That build has come to its end, so the next one tries them again.
    assert_eq!(run(&plan, &executor, &cancel).0.unwrap().green(), 6);
}

#[test]
fn a_shown_plan_says_what_the_build_would_do_after_a_kill_and_after_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    let shown = |state: &dyn Fn(&CellPreview) -> bool| {
        let builders = options.builders.clone().with_key_of(&plan.directories).unwrap();
        let options = BuildOptions { builders, ..options.clone() };
        preview(&plan, &options).cells.iter().filter(|(_, found)| state(found)).count()
    };
    let is_open = |state: &CellPreview| matches!(state, CellPreview::Compile(_));
    let late =
        |state: &CellPreview| *state == CellPreview::CachedRed("stopped at the time limit of 300 s".into());
    let killed = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::TimedOut(Duration::from_secs(300)), "", None),
            "b" => compiled(job),
            _ => ended(Ended::Cancelled, "", None),
        })
    });
    assert!(run(&plan, &killed, &Cancel::new()).0.is_err());
    let journal = std::fs::read(plan.directories.journal()).unwrap();
    assert_eq!((shown(&|state| *state == CellPreview::Cached), shown(&late), shown(&is_open)), (2, 2, 2));
    assert_eq!(std::fs::read(plan.directories.journal()).unwrap(), journal, "nothing is changed");
    let resumed = StandIn::new(|job| Ok(compiled(job)));
    run(&plan, &resumed, &Cancel::new()).0.unwrap();
    assert_eq!(resumed.runs.load(Ordering::SeqCst), 2);
    // The build has come to its end: the next one compiles again what was late.
    assert_eq!((shown(&late), shown(&is_open)), (0, 2));
}

/// A package that was upgraded while a build ran left modules of the new files under the keys of the old ones.
#[test]
fn what_was_compiled_of_changed_inputs_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let mut executor = StandIn::new(|job| Ok(compiled(job)));
    executor.changed = |job| {
        let is_it = job.kernel.release.as_str() == "2.0" && job.script.name().as_str() == "b";
        is_it.then(|| "the compiler changed".to_owned())
    };
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    let red: Vec<&CellReport> = report.cells.iter().filter(|cell| cell.outcome.module().is_none()).collect();
    assert_eq!(red.len(), 1);
    assert_eq!(red[0].outcome.red_reason().unwrap(), "the compiler changed");
    assert_eq!(red[0].cell.to_string(), "b for 2.0");
    // Nothing of it was kept: it is compiled again, and it alone.
    executor.runs = AtomicUsize::new(0);
    executor.changed = |_| None;
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), report.green()), (1, 6));
}

#[test]
fn caches_made_of_changed_inputs_are_not_taken_for_the_planned_ones() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let mut executor = StandIn::new(|job| Ok(compiled(job)));
    executor.changed = |_| Some("the compiler changed".to_owned());
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), report.green()), (0, 0));
    let reason = report.cells[0].outcome.red_reason().unwrap();
    assert_eq!(reason, "stap's caches for this kernel: the compiler changed");
    let led = executor.leaders().len();
    executor.changed = |_| None;
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 6);
    assert_eq!(executor.leaders().len(), led + 2, "each kernel is led again");
}

/// Each time that a retry was killed and begun again, kernels for which nothing compiles were led once more.
#[test]
fn a_retry_that_was_killed_led_diagnosed_kernels_again() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let with_answer = |answer| {
        let mut executor = StandIn::new(answer);
        executor.led = |task| {
            let reason = "x.c:1: error: y".to_owned();
            let bad = task.kernel.release.as_str() == "1.0";
            Led::Complete(bad.then_some(Diagnosis::NothingCompiles { reason }))
        };
        executor
    };
    let retry = |options: &mut BuildOptions| options.retry_failed = true;
    run(&plan, &with_answer(|job| Ok(compiled(job))), &Cancel::new()).0.unwrap();
    // The other kernel has something to do in the retry.
    let artifacts = plan.directories.artifacts().to_owned();
    std::fs::remove_dir_all(&artifacts).unwrap();
    std::fs::create_dir(&artifacts).unwrap();
    let stopped = with_answer(|_| Ok(ended(Ended::Cancelled, "", None)));
    let (result, _) = run_with(&plan, &stopped, &Cancel::new(), retry);
    assert!(matches!(result, Err(BuildError::Cancelled { .. })));
    let of_bad = |executor: &StandIn| executor.leaders().iter().filter(|(of, _)| of == "1.0").count();
    assert_eq!(of_bad(&stopped), 1);
    let resumed = with_answer(|job| Ok(compiled(job)));
    assert_eq!(run_with(&plan, &resumed, &Cancel::new(), retry).0.unwrap().green(), 3);
    assert_eq!(of_bad(&resumed), 0);
    // That build has come to its end: the next retry judges anew.
    let next = with_answer(|job| Ok(compiled(job)));
    run_with(&plan, &next, &Cancel::new(), retry).0.unwrap();
    assert_eq!(of_bad(&next), 1);
}

#[test]
fn failures_are_tried_again_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(Ended::Code(1), "semantic error: no match\n", None),
            _ => compiled(job),
        })
    });
    run(&plan, &executor, &Cancel::new()).0.unwrap();
    let again = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = run_with(&plan, &again, &Cancel::new(), |options| options.retry_failed = true);
    assert_eq!((again.runs.load(Ordering::SeqCst), report.unwrap().green()), (2, 6));
}

#[test]
fn a_module_that_comes_out_differently_is_an_exception() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        let script = job.script.name().as_str();
        // Another srcversion at each call, of the same length.
        let version = if script == "b" { 100 + CALLS.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let module = fake_module(script, job.kernel.release.as_str(), &version.to_string());
        Ok(ended(Ended::Code(0), "", Some(module)))
    });
    let (report, events) =
        run_with(&plan, &executor, &Cancel::new(), |options| options.check_reproducible = true);
    let found = report.unwrap().reproducibility.unwrap();
    assert_eq!((found.equal, found.exceptions.len(), executor.runs.load(Ordering::SeqCst)), (4, 2, 12));
    assert!(found.exceptions[0].1.starts_with("from byte "), "{found:?}");
    assert_eq!(events.iter().filter(|event| matches!(event, BuildEvent::CellChecked { .. })).count(), 6);
}

/// Set for the process that is to be killed: the directory to build in, and after how many microseconds.
const KILLED_IN: &str = "STAP_BUNDLE_TEST_KILLED_IN";
const KILLED_AFTER: &str = "STAP_BUNDLE_TEST_KILLED_AFTER";

/// Sixty jobs, some of which time out, which is only in the journal.
fn long_plan(directory: &std::path::Path) -> Plan {
    let mut plan = plan(directory);
    let scripts: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
    plan.jobs = ["1.0", "2.0"]
        .iter()
        .flat_map(|release| scripts.iter().map(|script| fake_job(script, release)))
        .collect();
    plan.scripts = plan.jobs[..30].iter().map(|job| Arc::clone(&job.script)).collect();
    plan.kernels = plan.jobs.iter().step_by(30).map(|job| Arc::clone(&job.kernel)).collect();
    plan
}

/// Writes down that it runs, takes a while, and every seventh script times out.
fn long_executor() -> StandIn {
    StandIn::new(|job| {
        if let Some(directory) = std::env::var_os(KILLED_IN) {
            let path = std::path::Path::new(&directory).join("runs");
            let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, format!("{}\n", job.cell()).as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(4));
        let number: u32 = job.script.name().as_str()[1..].parse().unwrap();
        Ok(if number % 7 == 3 {
            ended(Ended::TimedOut(Duration::from_secs(3)), "slow", None)
        } else {
            compiled(job)
        })
    })
}

/// Not a test by itself: the process that [`a_build_killed_ten_times_goes_on_and_gives_the_same`] kills.
#[test]
#[ignore = "what `a_build_killed_ten_times_goes_on_and_gives_the_same` kills"]
fn the_build_that_is_killed() {
    let directory = std::env::var_os(KILLED_IN).unwrap();
    let after = std::env::var(KILLED_AFTER).unwrap();
    let after = Duration::from_micros(after.parse().unwrap());
    std::thread::spawn(move || {
        std::thread::sleep(after);
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
    });
    let plan = long_plan(std::path::Path::new(&directory));
    run(&plan, &long_executor(), &Cancel::new()).0.unwrap();
    // It came to its end before it was killed; it's to be killed all the same.
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_build_killed_ten_times_goes_on_and_gives_the_same() {
    let whole = tempfile::tempdir().unwrap();
    let undisturbed = run(&long_plan(whole.path()), &long_executor(), &Cancel::new()).0.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let mut finished: Vec<String> = Vec::new();
    let mut moment: u64 = 0x5eed ^ u64::from(std::process::id());
    for _ in 0..10 {
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = 3_000 + (moment >> 33) % 60_000;
        let command = child::ChildCommand::new(std::env::current_exe().unwrap())
            .args(["--exact", "run::build::tests::the_build_that_is_killed", "--ignored", "--nocapture"])
            .env(KILLED_IN, directory.path())
            .env(KILLED_AFTER, after.to_string());
        std::fs::write(&runs, "").unwrap();
        let killed = command.run(&child::Limits::default(), &Cancel::new()).unwrap();
        assert_eq!(killed.status, Ended::Signal(9), "{}", killed.stderr.text());
        let again = std::fs::read_to_string(&runs).unwrap();
        assert!(
            !again.lines().any(|cell| finished.iter().any(|done| done == cell)),
            "{again} after {finished:?}"
        );
        let plan = long_plan(directory.path());
        let builders = Builders::default().with_key_of(&plan.directories).unwrap();
        let cache = ArtifactCache::new(plan.directories.artifacts().to_owned(), builders);
        let options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
        let Ok(journal) = Journal::open(&plan.directories.journal(), digest_of(&plan, &options)) else {
            continue;
        };
        let mut decisions = Decisions::new(&plan, &options, &cache, journal.before(), Look::Read);
        let done = |job: &&CompileJob| matches!(decisions.of(job), Decision::Keep(_));
        finished = plan.jobs.iter().filter(done).map(|job| job.cell().to_string()).collect();
    }
    let executor = long_executor();
    let report = run(&long_plan(directory.path()), &executor, &Cancel::new()).0.unwrap();
    assert_eq!(executor.runs.load(Ordering::SeqCst), 60 - finished.len());
    let draft = |report: &BuildReport, directory: &std::path::Path| {
        format!("{:?}", report.draft).replace(directory.to_str().unwrap(), "CACHE")
    };
    assert_eq!(draft(&report, directory.path()), draft(&undisturbed, whole.path()));
    assert!(bundled(&report, None).0 == bundled(&undisturbed, None).0, "another bundle");
}

/// A module that didn't fit on the disk at the last copy was taken for a lasting failure: stap ends with 0 then.
#[test]
fn a_module_lost_to_a_full_disk_is_compiled_by_the_next_build() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor =
        StandIn::new(|_| Ok(ended(Ended::Code(0), "Copy failed: No space left on device.\n", None)));
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().red(), 6);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 6);
}

/// Nothing that was installed, and no higher limit, made such a cell green again.
#[test]
fn a_lack_of_debuginfo_and_a_file_beyond_the_limit_were_remembered_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| {
        Ok(match job.script.name().as_str() {
            "a" => ended(
                Ended::Code(1),
                "semantic error: missing x86_64 kernel/module debuginfo [man warning::debuginfo]\n",
                None,
            ),
            "b" => ended(Ended::Code(1), "/usr/bin/ld: final link failed: File too large\n", None),
            _ => ended(Ended::Code(153), "", None),
        })
    });
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    let reasons: Vec<_> = report.cells[..3].iter().map(|cell| cell.outcome.red_reason().unwrap()).collect();
    assert!(reasons[0].starts_with("it needs the kernel's debuginfo"), "{reasons:?}");
    assert!(reasons[1..].iter().all(|reason| reason.contains("raise --file-limit")), "{reasons:?}");
    drop(report);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 6);
}

#[test]
fn what_the_policy_leaves_out_is_not_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let skip = vec!["b".parse().unwrap(), "@2.0".parse().unwrap()];
    let leave_out =
        |options: &mut BuildOptions| options.policy = CellPolicy { skip, ..CellPolicy::default() };
    let report = run_with(&plan, &executor, &Cancel::new(), leave_out).0.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), report.green(), report.red()), (2, 2, 4));
    assert_eq!(report.cells[1].outcome.red_reason().unwrap(), "the farm left it out: --skip b");
    assert_eq!(report.draft.kernels[1].red.len(), 3);
    // A kernel of which nothing is wanted needs no warm-up.
    assert!(executor.leaders().iter().all(|(release, _)| release == "1.0"));
}

/// One kernel without headers kept a whole fleet from being built, whatever the policy said.
#[test]
fn a_kernel_without_a_tree_is_named_with_red_cells_if_they_may_be_red() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    plan.unbuilt = vec![crate::plan::unbuilt::UnbuiltKernel {
        release: "1.5".parse().unwrap(),
        machine: "x86_64".parse().unwrap(),
        sysroot: 0,
        why: "the farm has no build tree of kernel 1.5".to_owned(),
    }];
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let policy = |options: &mut BuildOptions| {
        let best_effort = vec!["@1.5".parse().unwrap()];
        let skip = vec!["c@1.5".parse().unwrap()];
        options.policy = CellPolicy { best_effort, skip, ..CellPolicy::default() };
    };
    let (report, events) = run_with(&plan, &executor, &Cancel::new(), policy);
    let report = report.unwrap();
    assert_eq!((executor.runs.load(Ordering::SeqCst), report.green(), report.red()), (6, 6, 3));
    assert!(
        events.iter().any(|event| matches!(event, BuildEvent::Begun { cells: 9, cached: 3, jobs: 6, .. }))
    );
    assert_eq!(events.iter().filter(|event| matches!(event, BuildEvent::CellDone(_))).count(), 9);
    let releases: Vec<&str> = report.cells.iter().map(|cell| cell.cell.release.as_str()).collect();
    assert_eq!(releases, ["1.0", "1.0", "1.0", "1.5", "1.5", "1.5", "2.0", "2.0", "2.0"]);
    let (bytes, _) = bundled(&report, None);
    let keys = [fixtures::forge::public(&fixtures::forge::farm())];
    let raw = bundle_format::RawBundle::read(io::Cursor::new(bytes)).unwrap();
    let bundle = raw.verify(&bundle_format::TrustedKeys::any_of(keys)).unwrap();
    let kernels = bundle.manifest().kernels_by_release();
    let kernel = kernels[1];
    assert_eq!((kernel.release.as_str(), kernel.machine.as_str()), ("1.5", "x86_64"));
    assert!(kernel.uname_v.is_none() && kernel.symvers_sha256.is_none() && kernel.frames.is_empty());
    let reasons: Vec<&str> = kernel.red.iter().map(|cell| cell.reason.as_str()).collect();
    let missing = "the farm has no build tree of kernel 1.5";
    let left_out = "the farm left it out: --skip c@1.5";
    assert_eq!(reasons, [missing, missing, left_out]);
    assert!(!plan.only("1/1".parse().unwrap()).has_cell(&"@1.5".parse().unwrap()));
}

/// Names the directory in which [`the_build_that_is_counted`] builds.
const COUNTED_IN: &str = "STAP_BUNDLE_TEST_COUNTED_IN";

/// Twenty scripts, thirty kernels.
fn wide_plan(directory: &std::path::Path) -> Plan {
    let mut plan = plan(directory);
    plan.jobs = (0..600).map(|n| fake_job(&format!("s{}", n % 20), &format!("{}.0", n / 20))).collect();
    plan.scripts = plan.jobs[..20].iter().map(|job| Arc::clone(&job.script)).collect();
    plan.kernels = plan.jobs.iter().step_by(20).map(|job| Arc::clone(&job.kernel)).collect();
    plan
}

/// Not a test by itself: the process whose calls [`an_unchanged_build_and_its_packing_open_no_module`] counts.
#[test]
#[ignore = "whose calls `an_unchanged_build_and_its_packing_open_no_module` counts"]
fn the_build_that_is_counted() {
    let directory = std::env::var_os(COUNTED_IN).unwrap();
    let directory = std::path::Path::new(&directory);
    let plan = wide_plan(directory);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    assert_eq!(report.green(), 600);
    // As the program does it: over the bundle before, whose frames are copied if they hold the same.
    let bundle = directory.join("fleet.stapb");
    let before = std::fs::read(&bundle).ok();
    let (bytes, copied) = bundled(&report, before.is_some().then_some(&bundle));
    assert_eq!(copied, if before.is_some() { 30 } else { 0 });
    assert!(before.is_none_or(|before| before == bytes), "another bundle");
    std::fs::write(bundle, bytes).unwrap();
}

#[test]
fn an_unchanged_build_and_its_packing_open_no_module() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("calls");
    let files = |name: &str| {
        let status = std::process::Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"])
            .arg(&log)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "run::build::tests::the_build_that_is_counted", "--ignored"])
            .env(COUNTED_IN, directory.path())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap_or_else(|error| panic!("strace, which tests/packages.sh installs: {error}"));
        assert!(status.success());
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains(name) && !line.contains("ENOENT")).count()
    };
    assert!(files("/module.ko") >= 600, "the first build writes them");
    // A file that was just written could change again without another stamp.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(files("/module.ko"), 600, "the second reads each once, and remembers what it found");
    assert_eq!(files("/module.ko"), 0);
    assert_eq!(files("/record.json"), 0);
    // The index, the lock, the journal, the durations, the bundle, and what the test itself opens: so many for any number of cells.
    assert!(files(directory.path().to_str().unwrap()) < 60);
}

/// A module of 64 KiB: what scripts have in common, what is the script's own, and a little of the kernel.
fn sized(job: &CompileJob) -> Compilation {
    let name = job.script.name().as_str();
    let release = job.kernel.release.as_str();
    let mut module = fake_module(name, release, "x");
    let mut noise = name.bytes().fold(0x5eed_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    while module.len() < 64 << 10 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        module.extend((noise >> 33).to_le_bytes());
    }
    ended(Ended::Code(0), "", Some(module))
}

/// Packs, adds the documents and signs as the program does; the bundle's bytes, and how many frames were copied.
fn bundled(report: &BuildReport, old: Option<&std::path::Path>) -> (Vec<u8>, usize) {
    let farm = fixtures::forge::farm();
    let keys = bundle_format::TrustedKeys::any_of([fixtures::forge::public(&farm)]);
    let mut packing = bundle_format::Packing::default();
    if let Some(old) = old {
        let raw = bundle_format::RawBundle::read(std::fs::File::open(old).unwrap()).unwrap();
        packing = packing.reuse(raw.verify(&keys).unwrap());
    }
    let mut copied = 0;
    let spool = tempfile::tempfile().unwrap();
    let unsigned =
        report.draft.pack_with(packing, spool, &mut |packed| copied += usize::from(packed.copied)).unwrap();
    let documents =
        crate::documents(unsigned.manifest(), &std::collections::BTreeMap::new(), &[], &report.unsigned)
            .unwrap();
    let unsigned = unsigned.with_extras(documents).unwrap();
    let signature = fixtures::forge::sign(&farm, &unsigned.message());
    let mut bytes = Vec::new();
    unsigned.attach(&[(fixtures::forge::public(&farm), signature)]).unwrap().write_to(&mut bytes).unwrap();
    (bytes, copied)
}

/// A module that shows the script's text; `b` compiles for one kernel only.
fn of_text(job: &CompileJob) -> Compilation {
    let name = job.script.name().as_str();
    let release = job.kernel.release.as_str();
    if name == "b" && release == "1.0" {
        return ended(Ended::Code(1), "semantic error: no match", None);
    }
    let text = bundle_format::Digest::of(job.script.text()).to_string();
    ended(Ended::Code(0), "", Some(fake_module(name, release, &text[..8])))
}

#[test]
fn of_one_edited_script_exactly_its_cells_are_compiled_and_frames_without_it_are_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    let executor = StandIn::new(|job| Ok(of_text(job)));
    let build = |plan: &Plan| {
        let (report, events) = run(plan, &executor, &Cancel::new());
        let started = events.iter().filter_map(|event| match event {
            BuildEvent::JobStarted { cell, .. } => Some(cell.to_string()),
            _ => None,
        });
        let mut started: Vec<String> = started.collect();
        started.sort();
        (report.unwrap(), started)
    };
    let (first, started) = build(&plan);
    assert_eq!((first.green(), started.len()), (5, 6));
    let old = directory.path().join("old.stapb");
    std::fs::write(&old, bundled(&first, None).0).unwrap();

    let edited = Arc::new(crate::inputs::script::ScriptSource::new(
        "b".parse().unwrap(),
        b"probe end {}\n".to_vec(),
        1_000,
        &script_config::ScriptOptions::default(),
        Vec::new(),
        script_config::ScriptUsers::Root,
    ));
    plan.scripts[1] = Arc::clone(&edited);
    for job in plan.jobs.iter_mut().filter(|job| *job.script.name() == *edited.name()) {
        job.script = Arc::clone(&edited);
        job.parts.script = edited.record().source_sha256;
        job.key = job.parts.key();
    }
    let (second, started) = build(&plan);
    assert_eq!(started, ["b for 1.0", "b for 2.0"]);
    // The kernel for which it doesn't compile has the modules that it had.
    let (bytes, copied) = bundled(&second, Some(&old));
    assert_eq!(copied, 1);
    assert!(bytes != std::fs::read(&old).unwrap());
    let (third, started) = build(&plan);
    assert_eq!(started, Vec::<String>::new());
    std::fs::write(&old, &bytes).unwrap();
    assert_eq!(bundled(&third, Some(&old)).1, 2);
}

/// What `make bench-build` prints.
#[test]
#[ignore = "a figure for a quiet machine, with an optimised build"]
fn six_thousand_unchanged_cells() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = plan(directory.path());
    plan.jobs = (0..6000).map(|n| fake_job(&format!("s{}", n % 20), &format!("{}.0", n / 20))).collect();
    plan.scripts = plan.jobs[..20].iter().map(|job| Arc::clone(&job.script)).collect();
    plan.kernels = plan.jobs.iter().step_by(20).map(|job| Arc::clone(&job.kernel)).collect();
    let executor = StandIn::new(|job| Ok(sized(job)));
    let build = || run(&plan, &executor, &Cancel::new()).0.unwrap();
    let old = directory.path().join("old.stapb");
    let (first, _) = bundled(&build(), None);
    std::fs::write(&old, &first).unwrap();
    // A file that was just written could change again without another stamp; the next build remembers it.
    std::thread::sleep(Duration::from_secs(3));
    build();
    for _ in 0..5 {
        let begun = Instant::now();
        let report = build();
        let cells = begun.elapsed();
        let (bytes, copied) = bundled(&report, Some(&old));
        std::fs::write(directory.path().join("new.stapb"), &bytes).unwrap();
        println!(
            "{:.2} s, of it cells {:.2} s; {copied} frames copied",
            begun.elapsed().as_secs_f64(),
            cells.as_secs_f64()
        );
        assert!(bytes == first && copied == 300 && executor.runs.load(Ordering::SeqCst) == 6000);
    }
}

/// Two servers for the plan of three scripts × two kernels, each with two threads, and this machine as the last resort if wanted.
fn by_servers(
    directory: &std::path::Path,
    executors: [&StandIn; 2],
    here: Option<&StandIn>,
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    by_servers_with(directory, executors, here, |_| ())
}

fn by_servers_with(
    directory: &std::path::Path,
    executors: [&StandIn; 2],
    here: Option<&StandIn>,
    change: impl FnOnce(&mut BuildOptions),
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    let plan = plan(directory);
    let servers = ["one:1", "two:2"].map(|address| CompileServer::of_test(address, 2, &["1.0", "2.0"]));
    let mut sites: Vec<Site<'_>> = servers
        .iter()
        .zip(executors)
        .map(|(server, executor)| Site { executor, workers: 2, server: Some(server), last_resort: false })
        .collect();
    sites.extend(here.map(|executor| Site { last_resort: true, ..Site::here(executor, 2) }));
    let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    options.servers = Servers { servers: servers.to_vec(), or_here: here.is_some() };
    change(&mut options);
    let events = Mutex::new(Vec::new());
    let warm_ups = WarmUps::new(plan.directories.warm());
    let on = |event| events.lock().unwrap().push(event);
    let result = build_with(&plan, &sites, &warm_ups, &options, &on, &Cancel::new());
    (result, events.into_inner().unwrap())
}

fn lost() -> StandIn {
    StandIn::new(|_| Err(ExecutorError::ServerLost { said: "gone".to_owned() }))
}

fn made_by(report: &BuildReport, maker: &str) -> usize {
    report.cells.iter().filter(|cell| cell.maker.to_string() == maker).count()
}

#[test]
fn what_a_lost_server_was_at_is_compiled_by_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let whole = StandIn::new(|job| Ok(compiled(job)));
    let lost = lost();
    let (report, events) = by_servers(directory.path(), [&lost, &whole], None);
    let report = report.unwrap();
    assert_eq!((report.green(), made_by(&report, "two:2")), (6, 6));
    let losses = |event: &&BuildEvent| matches!(event, BuildEvent::ServerLost { .. });
    // The other one may have been faster than a first loss.
    let known = usize::from(lost.runs.load(Ordering::SeqCst) > 0);
    assert_eq!(events.iter().filter(losses).count(), known);
    assert_eq!(usize::from(report.servers[0].lost.is_some()), known);
    // By its own key: neither this machine nor the other server finds it as theirs, and the same one does.
    let (again, _) = by_servers(directory.path(), [&lost, &whole], None);
    assert_eq!((again.unwrap().green(), whole.runs.load(Ordering::SeqCst)), (6, 6));
    let alone = StandIn::new(|job| Ok(compiled(job)));
    run(&plan(directory.path()), &alone, &Cancel::new()).0.unwrap();
    assert_eq!(alone.runs.load(Ordering::SeqCst), 6);
}

/// All cells were green, and no bundle was written for want of a second look at them.
#[test]
fn a_server_lost_at_the_second_compile_cost_the_whole_build() {
    let directory = tempfile::tempdir().unwrap();
    let whole = StandIn::new(|job| Ok(compiled(job)));
    by_servers(directory.path(), [&whole, &lost()], None).0.unwrap();
    let check = |options: &mut BuildOptions| options.check_reproducible = true;
    let (report, _) = by_servers_with(directory.path(), [&lost(), &lost()], None, check);
    let found = report.unwrap().reproducibility.unwrap();
    assert_eq!((found.equal, found.exceptions.len()), (0, 6));
    assert!(found.exceptions[0].1.starts_with("not checked: "), "{found:?}");
    // What this machine made isn't given to a server, whose modules may differ for other reasons.
    let elsewhere = tempfile::tempdir().unwrap();
    run(&plan(elsewhere.path()), &whole, &Cancel::new()).0.unwrap();
    let server = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers_with(elsewhere.path(), [&server, &server], None, check);
    let found = report.unwrap().reproducibility.unwrap();
    assert_eq!((found.exceptions.len(), server.runs.load(Ordering::SeqCst)), (6, 0));
}

/// A machine without a compiler made every cell red, and no server was asked after that.
#[test]
fn a_failure_of_this_machine_kept_servers_from_being_asked() {
    let directory = tempfile::tempdir().unwrap();
    let here = StandIn::new(|_| Ok(ended(Ended::Code(1), "semantic error: no match", None)));
    assert_eq!(run(&plan(directory.path()), &here, &Cancel::new()).0.unwrap().red(), 6);
    let one = StandIn::new(|job| Ok(compiled(job)));
    let two = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers(directory.path(), [&one, &two], None);
    assert_eq!(report.unwrap().green(), 6);
    // And a module of a server stands before a failure of this machine.
    let (report, _) = by_servers(directory.path(), [&one, &two], Some(&here));
    assert_eq!((report.unwrap().green(), here.runs.load(Ordering::SeqCst)), (6, 6));
}

#[test]
fn without_any_server_left_a_build_ends_and_the_next_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    // It compiles for one kernel, and is lost at the other.
    let half = StandIn::new(|job| match job.kernel.release.as_str() {
        "1.0" => Ok(compiled(job)),
        _ => Err(ExecutorError::ServerLost { said: "gone".to_owned() }),
    });
    let lost = lost();
    let (result, _) = by_servers(directory.path(), [&half, &lost], None);
    let Err(BuildError::ServersLost { lost: which, done, cells: 6 }) = result else { panic!("{result:?}") };
    assert!(done < 4 && !which.is_empty(), "{done} {which:?}");
    let here = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers(directory.path(), [&lost, &lost], Some(&here));
    let report = report.unwrap();
    assert_eq!((report.green(), made_by(&report, "here")), (6, 6 - done));
}

#[test]
fn what_no_server_takes_is_a_red_cell_or_compiled_here() {
    let directory = tempfile::tempdir().unwrap();
    let picky = || {
        StandIn::new(|job| match job.script.name().as_str() {
            "a" => Err(ExecutorError::ServerRefused { why: "too large".to_owned() }),
            _ => Ok(compiled(job)),
        })
    };
    let one = picky();
    let two = picky();
    let (report, _) = by_servers(directory.path(), [&one, &two], None);
    let report = report.unwrap();
    assert_eq!((report.green(), report.red()), (4, 2));
    let reason = report.cells[0].outcome.red_reason().unwrap();
    assert!(reason.ends_with(": too large"), "{reason}");
    let here = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers(directory.path(), [&one, &two], Some(&here));
    let report = report.unwrap();
    assert_eq!((report.green(), made_by(&report, "here"), here.runs.load(Ordering::SeqCst)), (6, 2, 2));
}

/// The bar showed it as running to the end of the build.
#[test]
fn a_job_that_a_server_sent_back_never_ended() {
    let directory = tempfile::tempdir().unwrap();
    let picky = StandIn::new(|job| match job.script.name().as_str() {
        "a" => Err(ExecutorError::ServerRefused { why: "too large".to_owned() }),
        "b" => Err(ExecutorError::ServerLost { said: "gone".to_owned() }),
        _ => Ok(compiled(job)),
    });
    let here = StandIn::new(|job| Ok(compiled(job)));
    let (report, events) = by_servers(directory.path(), [&picky, &picky], Some(&here));
    assert_eq!(report.unwrap().green(), 6);
    let mut open: Vec<(Cell, Maker)> = Vec::new();
    let mut started = 0;
    let mut sent_back = 0;
    let mut done = 0;
    for event in events {
        match event {
            BuildEvent::JobStarted { cell, maker } => {
                started += 1;
                open.push((cell, maker));
            }
            BuildEvent::JobEnded { cell, maker, end } => {
                let at = open.iter().position(|of| *of == (cell.clone(), maker.clone()));
                open.swap_remove(at.expect("an end without a start"));
                let why = JobEnd::SentBack("too large".to_owned());
                sent_back += usize::from(end == why);
                done += usize::from(end == JobEnd::Done);
                assert!(cell.script.as_str() != "b" || [JobEnd::ServerLost, JobEnd::Done].contains(&end));
            }
            _ => {}
        }
    }
    assert!(
        open.is_empty() && started == picky.runs.load(Ordering::SeqCst) + here.runs.load(Ordering::SeqCst)
    );
    assert_eq!(done, 6);
    // Which of the jobs a server was at before it was lost is luck.
    assert!(sent_back + done <= started);
}

/// Leaders, too, and what keeps a build from going on.
#[test]
fn what_has_started_ends_once_also_where_it_fails() {
    let broken = StandIn::new(|_| Err(ExecutorError::SandboxRefused { message: "no".to_owned() }));
    let leaderless = StandIn { led: |_| Led::Cancelled, ..StandIn::new(|job| Ok(compiled(job))) };
    for (executor, fails) in [(&broken, true), (&leaderless, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (result, events) = run(&plan(directory.path()), executor, &Cancel::new());
        assert_eq!(matches!(result, Err(BuildError::Executor(_))), fails);
        let count = |wanted: fn(&BuildEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
        assert_eq!(
            count(|event| matches!(event, BuildEvent::JobStarted { .. })),
            count(|event| matches!(event, BuildEvent::JobEnded { .. })),
        );
        let leaders = count(|event| matches!(event, BuildEvent::WarmUpStarted { .. }));
        assert!(leaders > 0);
        assert_eq!(leaders, count(|event| matches!(event, BuildEvent::WarmUpFinished { .. })));
    }
}

/// It was put down to whichever server's worker came by, with the reason of the last one alone.
#[test]
fn what_all_servers_refused_was_told_of_one() {
    let directory = tempfile::tempdir().unwrap();
    let refusing = |why: fn(&CompileJob) -> Result<Compilation, ExecutorError>| StandIn::new(why);
    let one = refusing(|_| Err(ExecutorError::ServerRefused { why: "too large".to_owned() }));
    let two = refusing(|_| Err(ExecutorError::ServerRefused { why: "too busy".to_owned() }));
    let (report, _) = by_servers(directory.path(), [&one, &two], None);
    let report = report.unwrap();
    assert_eq!((report.red(), made_by(&report, "nobody")), (6, 6));
    for cell in &report.cells {
        assert_eq!(cell.outcome.red_reason().as_deref(), Some("one:1: too large; two:2: too busy"));
    }
}

/// Every server was asked about every kernel, and had to run, although all was in the cache.
#[test]
fn a_build_that_compiles_nothing_asked_all_servers() {
    let directory = tempfile::tempdir().unwrap();
    let whole = StandIn::new(|job| Ok(compiled(job)));
    by_servers(directory.path(), [&whole, &whole], None).0.unwrap();
    let plan = plan(directory.path());
    let (one, two): (ServerAddress, ServerAddress) = ("one:1".parse().unwrap(), "two:2".parse().unwrap());
    let addresses = [one.clone(), two];
    assert!(known_servers(&plan, &addresses).is_none());
    std::fs::write(directory.path().join("cert9.db"), "certificates").unwrap();
    let mut servers = ["one:1", "two:2"].map(|address| CompileServer::of_test(address, 2, &["1.0", "2.0"]));
    for server in &mut servers {
        server.trust = directory.path().to_owned();
    }
    remember(&plan.directories, &servers);
    // The same once more takes the old one's place.
    remember(&plan.directories, &servers[..1]);
    let known = known_servers(&plan, &addresses).unwrap();
    let build = |servers: Vec<CompileServer>| {
        let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
        options.servers = Servers { servers, or_here: false };
        options.open_cells = OpenCells::Refuse;
        super::build(&plan, &options, &|_| (), &Cancel::new())
    };
    assert_eq!(build(known.clone()).unwrap().green(), 6);
    // Of one alone not all was.
    if let Err(error) = build(vec![known[0].clone()]) {
        assert!(matches!(error, BuildError::Uncompiled { .. }), "{error}");
    }
    // Whom the user trusts has changed: they are asked.
    std::fs::write(directory.path().join("cert9.db"), "other certificates").unwrap();
    assert!(known_servers(&plan, &addresses).is_none());
}

#[test]
fn a_kernel_that_no_server_serves_is_told_before_anything_is_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let server = CompileServer::of_test("one:1", 2, &["1.0"]);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let site = Site { executor: &executor, workers: 2, server: Some(&server), last_resort: false };
    let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    options.servers = Servers { servers: vec![server.clone()], or_here: false };
    let warm_ups = WarmUps::new(plan.directories.warm());
    let result = build_with(&plan, &[site], &warm_ups, &options, &|_| (), &Cancel::new());
    let Err(BuildError::Unserved { cells }) = result else { panic!("{result:?}") };
    assert_eq!((cells.len(), executor.runs.load(Ordering::SeqCst)), (3, 0));
    assert_eq!(cells[0].1, "one:1: it doesn't serve 2.0");
    let preview = preview(&plan, &options);
    assert!(preview.refused);
    assert_eq!(preview.makers.len(), 3);
}

#[test]
fn a_job_that_makes_what_a_leader_should_have_made_is_noted_once_for_its_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor =
        StandIn::new(|job| Ok(Compilation { missed: vec!["ab/stapconf_x.h".to_owned()], ..compiled(job) }));
    let (report, events) = run(&plan, &executor, &Cancel::new());
    assert_eq!(report.unwrap().green(), 6);
    let noted: Vec<&String> = events
        .iter()
        .filter_map(|event| if let BuildEvent::Noted { sentence } = event { Some(sentence) } else { None })
        .collect();
    assert_eq!(noted.len(), 2, "{noted:?}");
    assert!(
        noted.iter().all(|sentence| sentence.contains("stap made ab/stapconf_x.h for itself")),
        "{noted:?}"
    );
}
