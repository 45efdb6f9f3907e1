//! Green cells that are compiled once more and compared.

use super::*;

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
