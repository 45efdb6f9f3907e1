//! Leaders, and what they find to be wrong with kernels.

use super::*;

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
fn a_shown_retry_names_the_leaders_that_the_build_would_run() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let mut executor = StandIn::new(|job| Ok(compiled(job)));
    executor.led = |task| {
        let reason = "x.c:1: error: y".to_owned();
        let bad = task.kernel.release.as_str() == "1.0";
        Led::Complete(bad.then_some(Diagnosis::NothingCompiles { reason, log: Some("/log".into()) }))
    };
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().red(), 3);
    let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    options.builders = options.builders.with_key_of(&plan.directories).unwrap();
    let shown = |options: &BuildOptions| {
        let preview = preview(&plan, options);
        let blocked =
            preview.cells.iter().filter(|(_, state)| matches!(state, CellPreview::Blocked(_))).count();
        (blocked, preview.warm_ups.len())
    };
    assert_eq!(shown(&options), (3, 0));
    options.retry_failed = true;
    assert_eq!(shown(&options), (0, 1));
    let led = executor.leaders().len();
    run_with(&plan, &executor, &Cancel::new(), |options| options.retry_failed = true).0.unwrap();
    assert_eq!(executor.leaders().len(), led + 1);
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
            (task.kernel.release.as_str() == "1.0")
                .then_some(Diagnosis::NothingCompiles { reason, log: Some("/log".into()) }),
        )
    };
    for _ in 0..2 {
        let (report, events) = run(&plan, &executor, &Cancel::new());
        let report = report.unwrap();
        assert_eq!((report.green(), report.diagnoses.len(), executor.runs.load(Ordering::SeqCst)), (3, 1, 3));
        let told = |event: &&BuildEvent| matches!(event, BuildEvent::KernelDiagnosed { .. });
        assert_eq!(events.iter().filter(told).count(), 1);
        let reason = report.cells[0].outcome.red_reason().unwrap();
        assert_eq!(reason, "nothing compiles for this kernel: x.c:1: error: y");
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
        const NO_MATCH: &str = include_str!("../../../words/recorded/no_tracepoint.log");
        let other = job.script.name().as_str() == "b";
        Ok(ended(Ended::Code(1), if other { "parse error: expected x\n" } else { NO_MATCH }, None))
    });
    executor.led = |task| Led::Complete((task.part == WarmUpPart::Scan).then_some(Diagnosis::NoTracepoints));
    let (report, _) = run(&plan, &executor, &Cancel::new());
    let report = report.unwrap();
    let reasons: Vec<_> = report.cells[..3].iter().map(|cell| cell.outcome.red_reason().unwrap()).collect();
    let none = "systemtap 5.6 finds no tracepoint of this kernel";
    assert_eq!(reasons[..2], [none, "parse error: expected x"]);
    assert!(reasons[2].contains("has the tracepoint no_such_tracepoint"), "{}", reasons[2]);
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
            Led::Complete(bad.then_some(Diagnosis::NothingCompiles { reason, log: Some("/log".into()) }))
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
    // That build has come to its end: the next retry judges again.
    let next = with_answer(|job| Ok(compiled(job)));
    run_with(&plan, &next, &Cancel::new(), retry).0.unwrap();
    assert_eq!(of_bad(&next), 1);
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
    assert_eq!(
        (executor.runs.load(Ordering::SeqCst), report.green(), report.red(), report.skipped()),
        (6, 6, 2, 1)
    );
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
