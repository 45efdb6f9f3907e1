//! A leader: makes one part of stap's caches for a kernel, and finds out whether it can be trusted.
//!
//! - Configuration: an empty script is compiled. If not even that can be, nothing will, and that is the kernel's diagnosis.
//! - Scan: all tracepoints in sight are listed. A compile that fails for any reason, a lack of memory too, is kept by stap as an
//!   empty object, and some are rightly empty. So the empty ones are removed and tried again until two tries in a row leave
//!   the same ones. If one that is needed isn't among those listed, all headers are scanned: the name may be put together in one
//!   of them, and if there is none, stap says which ones are like it.
//!
//! What was made while something was killed, or while memory or disk were short, isn't accepted.

use child::Ended;
use files::FileError;

use super::diagnosis::Diagnosis;
use super::layer::{WarmKind, WarmLayer};
use super::parts::{WarmUpFlags, WarmUpPart};
use super::scan::{Scan, TraceView};
use crate::words::{Circumstances, Surroundings, killed_by, may_pass_next_time, red_reason};

/// The name of the leader's module; it's thrown away.
pub(crate) const MODULE: &str = "stap_bundle_warm_up";

/// The script that is compiled for the configuration tests. An empty body would be elided: "no probes found".
pub(crate) const EMPTY_SCRIPT: &str = "probe begin { exit() }";

/// What is listed for the scan.
pub(crate) const SCANNED: &str = "kernel.trace(\"*\")";

/// Tries of the empty scan entries before the scan is given up for this time.
const TRIES: usize = 4;

/// A mark that begins each feature in `stapconf_*.h`. A kernel has dozens; a file without any was made by a compiler that
/// failed on everything.
const FEATURE: &[u8] = b"#define STAPCONF_";

/// Longest `stapconf_*.h` that is read, in bytes; they have some 4 KB.
const LONGEST_CONFIGURATION: u64 = 1 << 20;

const CONFIGURATION: WarmKind = WarmKind::Part(WarmUpPart::Configuration);

/// How one command of a leader ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub ended: Ended,
    pub output: String,
}

/// What came of a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Led {
    /// The part is complete; perhaps something is wrong with the kernel for good.
    Complete(Option<Diagnosis>),
    /// It isn't, for this reason; it may be the next time.
    Incomplete(String),
    /// The build was cancelled.
    Cancelled,
}

/// What a leader is to make.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// With what helps to say why nothing compiles.
    Configuration(Option<&'a dyn Surroundings>),
    /// With what must be in sight, and be found.
    Scan(&'a Scan),
}

/// How a command line of stap is run, with so much of the trace headers in sight.
pub(crate) type RunStap<'a, E> = dyn FnMut(&[String], &TraceView) -> Result<Ran, E> + 'a;

/// Runs a leader's commands by `run`. `layer` is its `SYSTEMTAP_DIR`; `shortage` says what the machine is short of, if it is.
/// Returns what was scanned, too.
pub(crate) fn lead<E: From<FileError>>(
    wanted: Wanted<'_>,
    kernel: &str,
    flags: &WarmUpFlags,
    layer: &WarmLayer,
    run: &mut RunStap<'_, E>,
    shortage: &dyn Fn() -> Option<String>,
) -> Result<(Led, Scan), E> {
    let mut scanned = Scan::none();
    let led = match wanted {
        Wanted::Configuration(surroundings) => configure(kernel, flags, layer, run, surroundings),
        Wanted::Scan(wanted) => scan(kernel, flags, layer, wanted, &mut scanned, run),
    }?;
    let led = match (led, shortage()) {
        (Led::Complete(_), Some(short)) => Led::Incomplete(short),
        (led, _) => led,
    };
    Ok((led, scanned))
}

fn configure<E: From<FileError>>(
    kernel: &str,
    flags: &WarmUpFlags,
    layer: &WarmLayer,
    run: &mut RunStap<'_, E>,
    surroundings: Option<&dyn Surroundings>,
) -> Result<Led, E> {
    let fixed = ["stap", "-m", MODULE, "-p4", "-r", kernel].map(str::to_owned);
    let rest = ["-e", EMPTY_SCRIPT].map(str::to_owned);
    let argv: Vec<String> = fixed.into_iter().chain(flags.options()).chain(rest).collect();
    let ran = run(&argv, &TraceView::Whole)?;
    if let Some(led) = not_by_itself(&ran) {
        return Ok(led);
    }
    if !ran.ended.success() {
        let reason = red_reason(&ran.output, &Circumstances { surroundings, ..Circumstances::default() });
        return Ok(Led::Complete(Some(Diagnosis::NothingCompiles { reason: reason.text, log: None })));
    }
    // Several, if a file of the sysroot was touched: which one stap has made or taken, its name doesn't tell.
    let found = layer.found(CONFIGURATION)?;
    let mut featureless = 0;
    for path in found.keys() {
        // One that was there before was good when it was taken over.
        let Some(bytes) = layer.read(path, LONGEST_CONFIGURATION)? else { continue };
        if !bytes.windows(FEATURE.len()).any(|window| window == FEATURE) {
            layer.remove(path)?;
            featureless += 1;
        }
    }
    if found.is_empty() || featureless > 0 {
        return Ok(Led::Incomplete("the configuration tests found no feature at all".to_owned()));
    }
    Ok(Led::Complete(None))
}

fn scan<E: From<FileError>>(
    kernel: &str,
    flags: &WarmUpFlags,
    layer: &WarmLayer,
    wanted: &Scan,
    scanned: &mut Scan,
    run: &mut RunStap<'_, E>,
) -> Result<Led, E> {
    let fixed = ["stap", "-r", kernel].map(str::to_owned);
    let rest = ["-l", SCANNED].map(str::to_owned);
    let argv: Vec<String> = fixed.into_iter().chain(flags.options()).chain(rest).collect();
    scanned.view = wanted.view.clone();
    let led = settle(&argv, layer, scanned, run)?;
    let is_lacking = !wanted.tracepoints.is_subset(&scanned.tracepoints);
    if matches!(led, Led::Complete(_)) && is_lacking && scanned.view != TraceView::Whole {
        scanned.view = TraceView::Whole;
        return settle(&argv, layer, scanned, run);
    }
    Ok(led)
}

/// Scans what is in sight until two tries in a row leave the same empty objects.
fn settle<E: From<FileError>>(
    argv: &[String],
    layer: &WarmLayer,
    scanned: &mut Scan,
    run: &mut RunStap<'_, E>,
) -> Result<Led, E> {
    let mut before: Option<Vec<String>> = None;
    for _ in 0..TRIES {
        let ran = run(argv, &scanned.view)?;
        if let Some(led) = not_by_itself(&ran) {
            return Ok(led);
        }
        // Those that were there before were tried twice then.
        let empty = layer.made_empty(WarmKind::Part(WarmUpPart::Scan))?;
        if before.as_ref() == Some(&empty) || empty.is_empty() {
            scanned.tracepoints = ran.output.lines().filter_map(tracepoint_in).map(str::to_owned).collect();
            // `stap -l` ends with 1 if nothing matches.
            let none = scanned.tracepoints.is_empty();
            if none && layer.found(WarmKind::Part(WarmUpPart::Scan))?.is_empty() {
                return Ok(Led::Incomplete(red_reason(&ran.output, &Circumstances::default()).text));
            }
            return Ok(Led::Complete(none.then_some(Diagnosis::NoTracepoints)));
        }
        for name in &empty {
            layer.remove(name)?;
        }
        before = Some(empty);
    }
    Ok(Led::Incomplete(format!("the tracepoint scan gave another result each of {TRIES} times")))
}

/// The tracepoint that a line of `stap -l` names: `kernel.trace("system:name")`, in older versions without its system.
fn tracepoint_in(line: &str) -> Option<&str> {
    let name = line.strip_prefix("kernel.trace(\"")?.split_once("\")")?.0;
    Some(name.rsplit_once(':').map_or(name, |(_, name)| name))
}

/// A command that was stopped, killed, or that complains of the machine has proven nothing.
fn not_by_itself(ran: &Ran) -> Option<Led> {
    match ran.ended {
        Ended::Cancelled => Some(Led::Cancelled),
        Ended::TimedOut(_) | Ended::Signal(_) => Some(Led::Incomplete(ran.ended.to_string())),
        Ended::Code(code) => {
            let killed = killed_by(code).map(|signal| format!("stap was killed by signal {signal}"));
            let complains = || code != 0 && may_pass_next_time(&ran.output);
            let reason = || red_reason(&ran.output, &Circumstances::default()).text;
            killed.or_else(|| complains().then(reason)).map(Led::Incomplete)
        }
    }
}

#[cfg(test)]
mod tests;
