//! Builds that are killed or cancelled, and those that take them up.

use super::*;

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
        assert!(cancel.is_cancelled(), "the compile isn't cancelled");
        Ok(ended(Ended::Cancelled, "", None))
    }

    fn lead(&self, _: &LeaderTask, _: &JobLimits, _: &Cancel) -> Result<Leading, ExecutorError> {
        Ok(Leading {
            led: Led::Complete(None),
            wall: Duration::ZERO,
            cpu: None,
            note: None,
            scan: None,
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
    let events = Mutex::new(Vec::new());
    let tell = |event| events.lock().unwrap().push(event);
    let sites = [Site::here(&executor, 3)];
    let error = build_at(&plan, &sites, &options, &tell, &executor.cancel).unwrap_err();
    // Those that ran end; of 60, no further one is begun.
    assert!(executor.runs.load(Ordering::SeqCst) <= 3, "{:?}", executor.runs);
    let events = events.into_inner().unwrap();
    assert!(!events.iter().any(|event| matches!(event, BuildEvent::CellDone(_))), "{events:?}");
    let said = "cancelled with 0 of 60 cells done; run the same command to resume";
    assert_eq!(error.to_string(), said);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 60);
}

/// Set for the process that is to be killed: the directory to build in, and after how many microseconds.
const KILLED_IN: &str = "STAP_BUNDLE_TEST_KILLED_IN";

const KILLED_AFTER: &str = "STAP_BUNDLE_TEST_KILLED_AFTER";

/// Sixty jobs; some time out, which only the journal has.
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
            .args([
                "--exact",
                "run::build::tests::killed::the_build_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
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
