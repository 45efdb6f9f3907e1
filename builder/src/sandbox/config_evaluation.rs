//! `--eval-config`: what bash makes of the initscript's configuration files.
//!
//! The files are copied, and bash sources the copies one after the other as the initscript does (INIT-CFG-01), in a sandbox
//! that shows this machine's programs and nothing else of it: no other file, no network, no environment, nothing
//! writable. After each file a few lines of our own tell which variables it changed, on a descriptor of their own;
//! whatever the files print goes to standard error.
//!
//! What comes over that descriptor is a list of words, each with a NUL behind it:
//!
//! ```text
//! V NAME ATTRIBUTES VALUE     the variable has a new value
//! U NAME                      the variable isn't set any more
//! B n                         bash begins with file n
//! E n                         bash is done with file n; one with a syntax error wasn't sourced
//! ```
//! Standard error is parted into files by the same number between two NULs.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildError, Ended, Finished, Limits};
use files::{Directory, FileError, GivenTo};
use script_config::{ConfigProblem, Configuration, SourceText, default_assignments};

use super::bubblewrap::{Sandbox, SandboxError, is_sandbox_failure};
use super::config_output::{OURS, Printed, Words, shown};
use super::job_user::JobUser;

/// Time that all files together may take. Sourcing assignments takes a millisecond a file.
pub const EVALUATION_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of variables that are read; two hundred files with options have a hundred kilobytes.
const VALUES_CAP: usize = 4 << 20;

/// Bytes of what bash and the files print.
const PRINTED_CAP: usize = 256 * 1024;

/// Memory that bash may have, in KiB: `A=$A$A` in a loop takes all there is.
const MEMORY_LIMIT: u32 = 256 << 10;

/// Where the sandbox shows the copies.
const MOUNT: &str = "/config";

/// The name of our own program beside the copies, whose names are numbers.
const PROGRAM: &str = "program";

/// Tells the variables that are different since the last call. `local -` keeps what a file did to `set` out of here and
/// in force for the next file.
const TELL: &str = r#"
__stap_bundle_tell() {
    local - IFS=$' \t\n' __stap_bundle_name __stap_bundle_text
    set +efnuvx
    local -A __stap_bundle_here=()
    builtin mapfile -t __stap_bundle_names < <(builtin compgen -v)
    for __stap_bundle_name in "${__stap_bundle_names[@]}"; do
        __stap_bundle_here[$__stap_bundle_name]=1
        __stap_bundle_text="${!__stap_bundle_name@a} ${!__stap_bundle_name}"
        [[ ${__stap_bundle_seen[$__stap_bundle_name]+x}$__stap_bundle_text \
            == "x${__stap_bundle_seen[$__stap_bundle_name]}" ]] && continue
        __stap_bundle_seen[$__stap_bundle_name]=$__stap_bundle_text
        builtin printf 'V\0%s\0%s\0%s\0' "$__stap_bundle_name" \
            "${!__stap_bundle_name@a}" "${!__stap_bundle_name}" >&9
    done
    for __stap_bundle_name in "${!__stap_bundle_seen[@]}"; do
        [[ ${__stap_bundle_here[$__stap_bundle_name]+x} ]] && continue
        unset -v "__stap_bundle_seen[$__stap_bundle_name]"
        builtin printf 'U\0%s\0' "$__stap_bundle_name" >&9
    done
}
__stap_bundle_begin() {
    builtin printf 'B\0%s\0' "$1" >&9
    builtin printf '\0%s\0' "$1" >&8
}
"#;

/// Why bash didn't come to the end of the files.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// There is no sandbox, and without one nothing is evaluated.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The sandbox, or bash in it, couldn't be started.
    #[error("the sandbox for the configuration doesn't work here: {message}")]
    SandboxRefused { message: String },
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error("the copies of the configuration files in {directory} can't be made")]
    Copy { directory: PathBuf, source: io::Error },
    #[error("{file} ends bash ({ended}){}", said(.printed))]
    Ended { file: String, ended: Ended, printed: String },
    #[error("bash isn't done with {file} after {} s{}", .limit.as_secs_f64(), said(.printed))]
    TimedOut { file: String, limit: Duration, printed: String },
    /// A file prints, or sets, more than any configuration has.
    #[error("{file} makes bash write more than {limit} bytes{}", said(.printed))]
    TooMuch { file: String, limit: usize, printed: String },
}

fn said(printed: &str) -> String {
    if printed.is_empty() { String::new() } else { format!(", and said: {printed}") }
}

/// A way to evaluate configuration files.
#[derive(Debug)]
pub struct ConfigEvaluation {
    sandbox: Sandbox,
    time_limit: Duration,
}

impl ConfigEvaluation {
    /// Finds what the sandbox needs. `time_limit` is for all files together; see [`EVALUATION_LIMIT`].
    pub fn new(time_limit: Duration) -> Result<Self, EvaluationError> {
        Ok(Self { sandbox: Sandbox::find()?, time_limit })
    }

    /// Has bash source `files`, the global one first, and freezes what comes out. The problems are those of
    /// [`Configuration::evaluated`], and what bash had to say.
    pub fn evaluate(
        &self,
        files: &[SourceText],
        cancel: &Cancel,
    ) -> Result<(Configuration, Vec<ConfigProblem>), EvaluationError> {
        let user = self.sandbox.lease()?;
        let copies = self.copy(&user, files)?;
        let argv = ["bash", "--noprofile", "--norc", &format!("{MOUNT}/{PROGRAM}")];
        let machine = Path::new("/");
        let command = self.sandbox.reading_command(&user, machine, (copies.path(), MOUNT), &argv);
        let finished = command.run(&limits(self.time_limit), cancel)?;
        judge(files, MOUNT, &finished)
    }

    /// The files by their numbers, and the program that sources them, where only the sandbox's user can read them.
    fn copy(&self, user: &JobUser, files: &[SourceText]) -> Result<tempfile::TempDir, EvaluationError> {
        let parent = std::env::temp_dir();
        self.sandbox.check_reachable(&parent)?;
        let failed = |source| EvaluationError::Copy { directory: parent.clone(), source };
        let copies = tempfile::Builder::new().prefix("stap-bundle-config-").tempdir_in(&parent);
        let copies = copies.map_err(failed)?;
        write_copies(copies.path(), user, MOUNT, files).map_err(SandboxError::from)?;
        Ok(copies)
    }
}

/// Both caps of a child are for head and tail together, and only the head tells which file it was.
fn limits(time: Duration) -> Limits {
    Limits { time: Some(time), output_cap: 2 * VALUES_CAP, ..Limits::default() }
}

/// Fills a private directory, and lets the user of the sandbox read it, and nobody else.
fn write_copies(
    directory: &Path,
    user: &JobUser,
    mount: &str,
    files: &[SourceText],
) -> Result<(), FileError> {
    let directory = Directory::at_path(directory)?;
    let to = user.number().map_or(GivenTo::Nobody, GivenTo::Group);
    for (at, file) in files.iter().enumerate() {
        directory.write_given(&at.to_string(), file.text.as_ref(), 0o440, to)?;
    }
    directory.write_given(PROGRAM, program(mount, files.len()).as_bytes(), 0o440, to)?;
    if let Some(group) = user.number() {
        directory.give_to_group(group)?;
    }
    directory.set_mode(0o750)
}

/// What came of the program, whose copies bash saw at `mount`.
fn judge(
    files: &[SourceText],
    mount: &str,
    finished: &Finished,
) -> Result<(Configuration, Vec<ConfigProblem>), EvaluationError> {
    let values = Words::of(&finished.stdout);
    let printed = Printed::of(finished.stderr.head(), files.len());
    if values.begun.is_none() && is_sandbox_failure(&finished.stderr.text()) {
        let message = finished.stderr.text().lines().next().unwrap_or_default().to_owned();
        return Err(EvaluationError::SandboxRefused { message });
    }
    let printed_too_much = finished.stderr.head().len() > PRINTED_CAP;
    let at = if printed_too_much { printed.longest() } else { values.begun };
    let file = at.and_then(|at| files.get(at)).or(files.first());
    let file = file.map_or_else(String::new, |file| file.path.clone());
    let of_file = at.and_then(|at| printed.files.get(at)).map_or("", String::as_str);
    let last = shown(mount, of_file.trim_end().lines().next_back());
    let first = shown(mount, of_file.lines().next());
    if printed_too_much {
        return Err(EvaluationError::TooMuch { file, limit: PRINTED_CAP, printed: first });
    }
    if finished.stdout.cut() > 0 || finished.stdout.head().len() == VALUES_CAP {
        return Err(EvaluationError::TooMuch { file, limit: VALUES_CAP, printed: first });
    }
    match finished.status {
        Ended::TimedOut(limit) => Err(EvaluationError::TimedOut { file, limit, printed: last }),
        Ended::Code(0) if values.ended == files.len() => {
            Ok(Configuration::evaluated(&values.files(files), printed.problems(mount, files)))
        }
        ended => Err(EvaluationError::Ended { file, ended, printed: last }),
    }
}

/// The program for bash. Unrolled, so that a `break` in a file breaks nothing of ours.
fn program(mount: &str, files: usize) -> String {
    let mut text = format!("ulimit -v {MEMORY_LIMIT}\nexec 8>&2 9>&1 1>&2\ndeclare -A {OURS}seen=()\n{TELL}");
    text += &default_assignments();
    // What is there before the first file is no change.
    let _ = writeln!(text, "{OURS}tell");
    for at in 0..files {
        let file = format!("{mount}/{at}");
        // The whole file is checked first: bash runs what stands in front of an error. Patterns that a file allows itself by
        // `shopt -s extglob` are allowed from the start, because nothing of it is run here.
        let _ = writeln!(
            text,
            "{OURS}begin {at}\nif \"$BASH\" --norc -O extglob -n {file}; then\n. {file}\n{OURS}tell\nfi\nbuiltin printf 'E\\0%s\\0' {at} >&9"
        );
    }
    text + "exit 0\n"
}

#[cfg(test)]
mod tests;
