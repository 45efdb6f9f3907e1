//! The engine with a stand-in for the executor.

mod compared;
mod cores;
mod kept;
mod kernels;
mod killed;
mod red_again;
mod servers;
mod unchanged;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use child::Ended;

use super::*;
use crate::bundle::BundleIdentity;
use crate::compile::{Compilation, Executor, ExecutorError, LeaderTask, Leading};
use crate::inputs::TapsetLibrary;
use crate::job::{CompileJob, Maker};
use crate::plan::CellPolicy;
use crate::results::{Builders, NotTaken};
use crate::run::event::JobEnd;
use crate::run::preview::{CellPreview, preview};
use crate::sandbox::{JobLimits, Sandbox, Sysroot};
use crate::servers::known::remember;
use crate::servers::{CompileServer, known_servers};
use crate::testing::{fake_job, fake_module, fake_sysroot};
use crate::warm::{Diagnosis, Led, WarmFiles, WarmUpPart};

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
            scan: None,
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
        libraries: vec![TapsetLibrary::default()],
        jobs,
        unbuilt: Vec::new(),
        left_out: Vec::new(),
        blocked: Vec::new(),
        listed: Vec::new(),
        warnings: Vec::new(),
        sandbox,
        directories,
    }
}

/// As `build` does, by other executors.
fn build_at(
    plan: &Plan,
    sites: &[Site<'_>],
    options: &BuildOptions,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<BuildReport, BuildError> {
    let warm_ups = WarmUps::new(plan.directories.warm());
    let views = TraceViews::new(&plan.sysroots, &plan.directories, &warm_ups);
    build_with(plan, sites, &views, options, events, cancel)
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
    let result = build_at(
        plan,
        &[Site::here(executor, options.workers)],
        &options,
        &|event| events.lock().unwrap().push(event),
        cancel,
    );
    (result, events.into_inner().unwrap())
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
fn what_the_policy_leaves_out_is_not_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let skip = vec!["b".parse().unwrap(), "@2.0".parse().unwrap()];
    let leave_out =
        |options: &mut BuildOptions| options.policy = CellPolicy { skip, ..CellPolicy::default() };
    let report = run_with(&plan, &executor, &Cancel::new(), leave_out).0.unwrap();
    assert_eq!(
        (executor.runs.load(Ordering::SeqCst), report.green(), report.red(), report.skipped()),
        (2, 2, 0, 4)
    );
    assert_eq!(report.cells[1].outcome.red_reason().unwrap(), "the farm left it out: --skip b");
    assert_eq!(report.draft.kernels[1].red.len(), 3);
    // A kernel for which nothing is wanted needs no warm-up.
    assert!(executor.leaders().iter().all(|(release, _)| release == "1.0"));
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
