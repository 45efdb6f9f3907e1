//! What is kept of a build, and what a later one does with it.

use super::*;

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
                "semantic error: debuginfo scope not found for module '/usr/bin/a', cannot resolve context variable\n",
                None,
            ),
            "b" => ended(Ended::Code(1), "/usr/bin/ld: final link failed: File too large\n", None),
            _ => ended(Ended::Code(153), "", None),
        })
    });
    let report = run(&plan, &executor, &Cancel::new()).0.unwrap();
    let reasons: Vec<_> = report.cells[..3].iter().map(|cell| cell.outcome.red_reason().unwrap()).collect();
    assert!(reasons[0].contains("needs that program's debuginfo"), "{reasons:?}");
    assert!(reasons[1..].iter().all(|reason| reason.contains("raise --file-limit")), "{reasons:?}");
    drop(report);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().green(), 6);
}
