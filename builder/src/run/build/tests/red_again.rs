//! Red cells: which of them are compiled again, and which are results of a merge.

use super::*;

const NO_DEBUGINFO: &str = include_str!("../../../words/recorded/no_debuginfo.log");
const NO_PROGRAM: &str = include_str!("../../../words/recorded/program_absent.log");

/// The key covers debuginfo of the kernel: it isn't there the next day without another key.
#[test]
fn a_cell_that_lacks_the_kernels_debuginfo_is_compiled_once() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|_| Ok(ended(Ended::Code(1), NO_DEBUGINFO, None)));
    for _ in 0..3 {
        assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().red(), 6);
        assert_eq!(executor.runs.load(Ordering::SeqCst), 6);
    }
}

/// Such a cell had no result for a merge, which asked to run its shard again, for ever.
#[test]
fn a_failure_that_may_pass_is_a_result_for_a_merge_and_none_for_a_build() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let executor = StandIn::new(|job| match job.script.name().as_str() {
        "a" => Ok(ended(Ended::Code(1), NO_PROGRAM, None)),
        "b" => Ok(ended(Ended::TimedOut(Duration::from_secs(5)), "", None)),
        _ => Ok(compiled(job)),
    });
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().red(), 4);
    let refuse = |options: &mut BuildOptions| options.open_cells = OpenCells::Refuse;
    let merged = run_with(&plan, &executor, &Cancel::new(), refuse).0.unwrap();
    assert_eq!((merged.red(), merged.green(), executor.runs.load(Ordering::SeqCst)), (4, 2, 6));
    let reason = |index: usize| merged.cells[index].outcome.red_reason().unwrap();
    assert!(reason(0).contains("/usr/sbin/no-such-program"), "{}", reason(0));
    assert_eq!(reason(1), "stopped at the time limit of 5 s");
    // A build tries them again, and only them.
    assert_eq!(run(&plan, &executor, &Cancel::new()).0.unwrap().red(), 4);
    assert_eq!(executor.runs.load(Ordering::SeqCst), 10);
}
