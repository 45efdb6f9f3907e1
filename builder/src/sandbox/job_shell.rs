//! The shell around a job's command: it sets the limits of the processes inside, and tells their CPU time.
//!
//! Bubblewrap's outer process doesn't wait for the inner ones (it's told the exit code through an eventfd), so the kernel
//! never adds their time to it. A shell around the command inside does wait, and tells by `times`. It stands outside the
//! recorded command line: limits change no byte of a module, only whether there is one.

use std::path::Path;
use std::time::Duration;

use super::job_directory::JobDirectory;

/// Where the shell writes, below the work directory.
const FILE: &str = "cpu-times";

/// Longest file that `times` writes, in bytes.
const LONGEST: u64 = 4096;

/// Runs its arguments, writes `times`, and ends as they did.
const MEASURE: &str = r#""$@"; code=$?; times > cpu-times; exit $code"#;

/// POSIX counts the size of files in blocks of that many bytes (`ulimit -f`).
const BLOCK: u64 = 512;

/// What the processes of a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// Wall-clock time from start to end.
    pub time: Duration,
    /// Address space of each process, in bytes, and the size of the job's `/tmp` where that is in memory.
    pub memory: u64,
    /// Size of each file that is written, in bytes.
    pub file: u64,
}

impl Default for JobLimits {
    /// A hundred times what a job takes on a warm kernel, ten times the memory, and a thousand times a module.
    fn default() -> Self {
        Self { time: Duration::from_secs(300), memory: 4 << 30, file: 512 << 20 }
    }
}

/// `argv` within the shell that limits and measures it.
pub(crate) fn in_shell(argv: &[String], limits: &JobLimits) -> Vec<String> {
    let script =
        format!("ulimit -f {} && ulimit -v {}; {MEASURE}", limits.file / BLOCK, limits.memory / 1024);
    let mut all = ["/bin/sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    all.extend_from_slice(argv);
    all
}

/// User plus system time of a measured command that ran in `work`; `None` if it was killed, shell and all. The job can write
/// there what it likes.
pub(crate) fn read(work: &JobDirectory) -> Option<Duration> {
    parse(std::str::from_utf8(&work.read(Path::new(FILE), LONGEST).ok()?).ok()?)
}

/// Makes [`read`] know nothing of a command that ran before.
pub(crate) fn forget(work: &JobDirectory) {
    // What can't be removed is no file that would be read.
    let _ = work.directory().unlink_if_there(FILE);
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
    use std::fs;

    use child::{Cancel, ChildCommand, Limits};

    use super::*;
    use crate::testing::fake_work;

    #[test]
    fn the_children_line_counts() {
        assert_eq!(parse("0m9.00s 0m9.00s\n1m2.500000s 0m0.250000s\n"), Some(Duration::from_millis(62_750)));
        for text in ["", "0m1s 0m1s\n", "0m1s 0m1s\n0m1s x\n", "0m1s 0m1s\n0m-1s 0m1s\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    fn run(work: &Path, script: &str, limits: &JobLimits) -> child::Ended {
        let argv = in_shell(&["/bin/sh", "-c", script].map(str::to_owned), limits);
        let (program, arguments) = argv.split_first().unwrap();
        let command =
            ChildCommand::new(program).args(arguments).current_dir(work).env("PATH", "/usr/bin:/bin");
        command.run(&Limits::default(), &Cancel::new()).unwrap().status
    }

    #[test]
    fn the_shell_measures_and_hands_on_the_code() {
        let (_base, work) = fake_work();
        let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 7";
        assert_eq!(run(work.path(), script, &JobLimits::default()), child::Ended::Code(7));
        assert!(read(&work).unwrap() > Duration::ZERO);
    }

    #[test]
    fn reads_no_times_through_a_link_or_without_end() {
        let (_base, work) = fake_work();
        let path = work.path().join(FILE);
        for target in ["/dev/zero", "/proc/kmsg", "times"] {
            fs::write(work.path().join("times"), "0m1s 0m1s\n0m1s 0m1s\n").unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert_eq!(read(&work), None, "{target}");
            fs::remove_file(&path).unwrap();
        }
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(read(&work), None);
        fs::remove_file(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&work), None);
    }

    #[test]
    fn too_large_a_file_is_not_written() {
        let work = tempfile::tempdir().unwrap();
        let limits = JobLimits { file: 1 << 20, ..JobLimits::default() };
        let ended = run(work.path(), "head -c 4000000 /dev/zero > large", &limits);
        assert_ne!(ended, child::Ended::Code(0));
        assert_eq!(fs::metadata(work.path().join("large")).unwrap().len(), 1 << 20);
    }

    #[test]
    fn memory_is_limited() {
        let work = tempfile::tempdir().unwrap();
        let limits = JobLimits { memory: 64 << 20, ..JobLimits::default() };
        // `tail` keeps a line that never ends in memory.
        let script = "head -c 200000000 /dev/zero | tail -n 1 > end";
        assert_ne!(run(work.path(), script, &limits), child::Ended::Code(0));
        assert_eq!(run(work.path(), script, &JobLimits::default()), child::Ended::Code(0));
    }
}
