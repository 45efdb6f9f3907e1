//! Starts and stops where the kernel has no call that is newer than Linux 3.10, or a sandbox denies them.

use std::env;

use fixtures::old_kernel::{self, Refusal};

/// Test modules whose tests start, stop or attach, with the stand-in for `staprun`.
const SAME: [&str; 3] = ["tests::starting", "tests::stopping", "tests::attaching"];

#[test]
fn starts_and_stops_are_the_same_without_the_calls_of_newer_kernels() {
    let stand_ins = fixtures::stand_in("fake-staprun");
    let directory = tempfile::tempdir().unwrap();
    for refusal in Refusal::ALL {
        let mut tests = old_kernel::command(refusal, directory.path(), env::current_exe().unwrap()).unwrap();
        tests.args(SAME).env(fixtures::BUILT, stand_ins.parent().unwrap());
        let output = tests.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{refusal:?}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        let passed = said.rsplit_once(" passed").and_then(|(before, _)| before.rsplit(' ').next());
        let passed: usize = passed.unwrap_or_default().parse().unwrap();
        assert!(passed > 40, "{refusal:?}: {said}");
    }
}
