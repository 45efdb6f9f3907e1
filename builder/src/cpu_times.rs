//! CPU time of what ran in the sandbox.
//!
//! Bubblewrap's outer process doesn't wait for the inner ones (it's told the exit code through an eventfd), so the kernel
//! never adds their time to it. A shell around the command inside does wait, and tells by `times`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where the shell writes, below the work directory.
const FILE: &str = "cpu-times";

/// Runs its arguments, writes `times`, and ends as they did.
const SCRIPT: &str = r#""$@"; code=$?; times > cpu-times; exit $code"#;

/// `argv` within the shell that measures it.
pub(crate) fn measured(argv: &[String]) -> Vec<String> {
    let mut all = ["/bin/sh", "-c", SCRIPT, "sh"].map(str::to_owned).to_vec();
    all.extend_from_slice(argv);
    all
}

/// User plus system time of a measured command that ran in `work`; `None` if it was killed, shell and all.
pub(crate) fn read(work: &Path) -> Option<Duration> {
    parse(&fs::read_to_string(work.join(FILE)).ok()?)
}

/// POSIX: the first line is the shell's own, the second that of its children; each `%dm%fs %dm%fs`.
fn parse(text: &str) -> Option<Duration> {
    let children = text.lines().nth(1)?;
    children.split_ascii_whitespace().map(one).try_fold(Duration::ZERO, |sum, time| sum.checked_add(time?))
}

fn one(text: &str) -> Option<Duration> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    let minutes = Duration::from_secs(minutes.parse::<u64>().ok()?.checked_mul(60)?);
    minutes.checked_add(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?)
}

#[cfg(test)]
mod tests {
    use child::{Cancel, ChildCommand, Limits};

    use super::*;

    #[test]
    fn the_children_line_counts() {
        assert_eq!(parse("0m9.00s 0m9.00s\n1m2.500000s 0m0.250000s\n"), Some(Duration::from_millis(62_750)));
        for text in ["", "0m1s 0m1s\n", "0m1s 0m1s\n0m1s x\n", "0m1s 0m1s\n0m-1s 0m1s\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_shell_measures_and_hands_on_the_code() {
        let work = tempfile::tempdir().unwrap();
        let argv = ["/bin/sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 7"];
        let argv = measured(&argv.map(str::to_owned));
        let (program, arguments) = argv.split_first().unwrap();
        let command = ChildCommand::new(program).args(arguments).current_dir(work.path());
        let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
        assert_eq!(finished.status, child::Ended::Code(7));
        assert!(read(work.path()).unwrap() > Duration::ZERO);
    }
}
