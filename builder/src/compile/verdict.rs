//! What a compile that has ended says about its cell.

use std::time::Duration;

use bundle_format::{MAX_MODULE, Toolchain};
use child::Ended;
use rustix::process::Signal;

use super::executor::Compilation;
use crate::job::{CompileJob, ModuleInfo, Privilege};
use crate::warm::{Diagnosis, diagnosed_reason};
use crate::words::{
    Circumstances, RedReason, Surroundings, killed_by, may_pass_next_time, red_reason, symbols_of,
};

/// Green, or why not, and whether that will last.
pub(crate) enum Verdict<'a> {
    Green(&'a [u8], ModuleInfo),
    /// It will fail again for the same inputs.
    Red(String),
    /// It may go well next time: the machine's fault, not the script's.
    RedForNow(String),
    TimedOut(Duration),
}

/// Judges a compile that wasn't cancelled.
///
/// Where `diagnoses` of the kernel explain a failure, they are its reason: stap only says "no match".
pub(crate) fn verdict<'a>(
    job: &CompileJob,
    compilation: &'a Compilation,
    diagnoses: &[Diagnosis],
    toolchain: Option<&Toolchain>,
    surroundings: Option<&dyn Surroundings>,
) -> Verdict<'a> {
    match compilation.ended {
        Ended::TimedOut(limit) => return Verdict::TimedOut(limit),
        Ended::Signal(_) | Ended::Cancelled => return Verdict::RedForNow(compilation.ended.to_string()),
        Ended::Code(0) => {}
        Ended::Code(code) => {
            if let Some(signal) = killed_by(code) {
                let limit = if signal == Signal::XFSZ.as_raw() {
                    "it wrote a file larger than the limit: raise --file-limit; "
                } else {
                    ""
                };
                return Verdict::RedForNow(format!("{limit}stap was killed by signal {signal}"));
            }
            let options = job.script.compile_options();
            let release = job.kernel.release.as_str();
            let reason =
                red_reason(&compilation.log, &Circumstances { options: &options, release, surroundings });
            return failed(job, reason, diagnoses, toolchain);
        }
    }
    made(job, compilation)
}

/// Judges a compile that stap has ended with an error.
fn failed<'a>(
    job: &CompileJob,
    reason: RedReason,
    diagnoses: &[Diagnosis],
    toolchain: Option<&Toolchain>,
) -> Verdict<'a> {
    let no_tracepoints = diagnoses.iter().find(|found| **found == Diagnosis::NoTracepoints);
    match no_tracepoints {
        _ if reason.may_pass_next_time => Verdict::RedForNow(reason.text),
        Some(found) if job.needs.scanned && reason.lacks_tracepoint => {
            Verdict::Red(diagnosed_reason(found, toolchain))
        }
        _ => Verdict::Red(reason.text),
    }
}

/// Judges what a compile that has ended well made.
fn made<'a>(job: &CompileJob, compilation: &'a Compilation) -> Verdict<'a> {
    let Some(bytes) = &compilation.module else {
        // Seen: a full disk at the last copy, and exit code 0.
        if may_pass_next_time(&compilation.log) {
            return Verdict::RedForNow(red_reason(&compilation.log, &Circumstances::default()).text);
        }
        return Verdict::Red("stap ended well but made no module".to_owned());
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(what) => return refused(what),
    };
    if bytes.len() as u64 > MAX_MODULE {
        return Verdict::Red(format!(
            "its module has {} bytes, and a bundle takes none of more than {MAX_MODULE}: it carries {}",
            bytes.len(),
            symbols_of(bytes, &job.script.compile_options())
        ));
    }
    if compilation.uprobes {
        return Verdict::Red("it needs uprobes.ko, which can't be bundled yet".to_owned());
    }
    let kernel = &job.kernel;
    match ModuleInfo::read(bytes, job.script.name(), &kernel.release, &kernel.machine) {
        Ok(info) => {
            let wanted = Privilege::of_options(&job.script.compile_options());
            match info.privilege {
                Some(found) if found == wanted => Verdict::Green(bytes, info),
                Some(found) => refused(&format!("it is for {found} (.stap_privilege), not {wanted}")),
                None => {
                    refused(&format!("it doesn't say that it is for {wanted}: it has no .stap_privilege"))
                }
            }
        }
        Err(error) => refused(&error.to_string()),
    }
}

fn refused<'a>(what: &str) -> Verdict<'a> {
    Verdict::Red(format!("the module that stap made was refused: {what}"))
}
