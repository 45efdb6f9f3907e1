//! What a build costs where nothing, or one script, has changed.

use super::*;

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
            .args(["--exact", "run::build::tests::unchanged::the_build_that_is_counted", "--ignored"])
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

    let edited = Arc::new(crate::inputs::ScriptSource::new(
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
