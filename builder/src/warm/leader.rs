//! A leader: makes one part of stap's caches for a kernel, and finds out whether it can be trusted.
//!
//! - Configuration: an empty script is compiled. If not even that can be, nothing will, and that is the kernel's diagnosis.
//! - Scan: all tracepoints are listed. A compile that fails for any reason, a lack of memory too, is kept by stap as an
//!   empty object, and some are rightly empty. So the empty ones are removed and tried again until two tries in a row leave
//!   the same ones.
//!
//! What was made while something was killed, or while memory or disk were short, isn't accepted.

use child::Ended;
use files::FileError;

use super::diagnosis::Diagnosis;
use super::layer::{WarmKind, WarmLayer};
use super::parts::{WarmUpFlags, WarmUpPart};
use crate::words::{killed_by, may_pass_next_time, red_reason};

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

/// Runs a leader's commands by `run`. `layer` is its `SYSTEMTAP_DIR`; `shortage` says what the machine is short of, if it is.
pub(crate) fn lead<E: From<FileError>>(
    part: WarmUpPart,
    kernel: &str,
    flags: &WarmUpFlags,
    layer: &WarmLayer,
    run: &mut dyn FnMut(&[String]) -> Result<Ran, E>,
    shortage: &dyn Fn() -> Option<String>,
) -> Result<Led, E> {
    let led = match part {
        WarmUpPart::Configuration => configure(kernel, flags, layer, run),
        WarmUpPart::Scan => scan(kernel, flags, layer, run),
    }?;
    Ok(match (led, shortage()) {
        (Led::Complete(_), Some(short)) => Led::Incomplete(short),
        (led, _) => led,
    })
}

fn configure<E: From<FileError>>(
    kernel: &str,
    flags: &WarmUpFlags,
    layer: &WarmLayer,
    run: &mut dyn FnMut(&[String]) -> Result<Ran, E>,
) -> Result<Led, E> {
    let fixed = ["stap", "-m", MODULE, "-p4", "-r", kernel].map(str::to_owned);
    let rest = ["-e", EMPTY_SCRIPT].map(str::to_owned);
    let argv: Vec<String> = fixed.into_iter().chain(flags.options()).chain(rest).collect();
    let ran = run(&argv)?;
    if let Some(led) = not_by_itself(&ran) {
        return Ok(led);
    }
    if !ran.ended.success() {
        let reason = red_reason(&ran.output);
        return Ok(Led::Complete(Some(Diagnosis::NothingCompiles { reason })));
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
    run: &mut dyn FnMut(&[String]) -> Result<Ran, E>,
) -> Result<Led, E> {
    let fixed = ["stap", "-r", kernel].map(str::to_owned);
    let rest = ["-l", SCANNED].map(str::to_owned);
    let argv: Vec<String> = fixed.into_iter().chain(flags.options()).chain(rest).collect();
    let mut before: Option<Vec<String>> = None;
    for _ in 0..TRIES {
        let ran = run(&argv)?;
        if let Some(led) = not_by_itself(&ran) {
            return Ok(led);
        }
        let found = layer.found(WarmKind::Part(WarmUpPart::Scan))?;
        let empty: Vec<String> =
            found.iter().filter(|(_, size)| **size == 0).map(|(name, _)| name.clone()).collect();
        if before.as_ref() == Some(&empty) || empty.is_empty() {
            // `stap -l` ends with 1 if nothing matches.
            let none = !ran.output.lines().any(|line| line.starts_with("kernel.trace("));
            if none && found.is_empty() {
                return Ok(Led::Incomplete(red_reason(&ran.output)));
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

/// A command that was stopped, killed, or that complains of the machine has proven nothing.
fn not_by_itself(ran: &Ran) -> Option<Led> {
    match ran.ended {
        Ended::Cancelled => Some(Led::Cancelled),
        Ended::TimedOut(_) | Ended::Signal(_) => Some(Led::Incomplete(ran.ended.to_string())),
        Ended::Code(code) if let Some(signal) = killed_by(code) => {
            Some(Led::Incomplete(format!("stap was killed by signal {signal}")))
        }
        Ended::Code(code) if code != 0 && may_pass_next_time(&ran.output) => {
            Some(Led::Incomplete(red_reason(&ran.output)))
        }
        Ended::Code(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// A `stap` that leaves `files` in the cache at each call, unless they're there already with some content.
    fn run_lead(part: WarmUpPart, mut stap: impl FnMut(&Path, usize) -> (i32, &'static str)) -> (Led, usize) {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir(cache.path().join("ab")).unwrap();
        let mut calls = 0;
        let led = lead::<FileError>(
            part,
            "1.0",
            &WarmUpFlags::default(),
            &WarmLayer::of_test(cache.path()),
            &mut |_| {
                calls += 1;
                let (code, output) = stap(&cache.path().join("ab"), calls);
                let output = output.to_owned();
                Ok(Ran { ended: Ended::Code(code), output })
            },
            &|| None,
        );
        (led.unwrap(), calls)
    }

    /// The file that was made before, for another time of the compiler, stood for the one that was made in vain.
    #[test]
    fn a_good_file_of_another_time_hid_a_bad_one() {
        let (led, _) = run_lead(WarmUpPart::Configuration, |cache, _| {
            fs::write(cache.join("stapconf_a.h"), "#define STAPCONF_A 1").unwrap();
            fs::write(cache.join("stapconf_b.h"), "").unwrap();
            (0, "")
        });
        assert!(matches!(led, Led::Incomplete(_)), "{led:?}");
    }

    fn object(cache: &Path, name: &str, text: &str) {
        let path = cache.join(format!("tracequery_kmod_{name}.o"));
        if !path.exists() {
            fs::write(path, text).unwrap();
        }
    }

    const FOUND: &str = "kernel.trace(\"sched:sched_switch\")\n";

    #[test]
    fn rightly_empty_objects_are_tried_once_more_and_accepted() {
        let (led, calls) = run_lead(WarmUpPart::Scan, |cache, _| {
            object(cache, "a", "object");
            object(cache, "b", "");
            (0, FOUND)
        });
        assert_eq!((led, calls), (Led::Complete(None), 2));
    }

    #[test]
    fn objects_that_a_full_disk_left_empty_are_healed() {
        let (led, calls) = run_lead(WarmUpPart::Scan, |cache, call| {
            object(cache, "a", if call == 1 { "" } else { "object" });
            object(cache, "b", "");
            (i32::from(call == 1), if call == 1 { "" } else { FOUND })
        });
        // The second try changed the set, so it's asked a third time.
        assert_eq!((led, calls), (Led::Complete(None), 3));
    }

    #[test]
    fn a_scan_that_never_settles_is_not_accepted() {
        let (led, calls) = run_lead(WarmUpPart::Scan, |cache, call| {
            object(cache, &call.to_string(), "");
            (1, "")
        });
        assert!(matches!(led, Led::Incomplete(_)) && calls == TRIES, "{led:?}");
    }

    #[test]
    fn a_systemtap_that_finds_no_tracepoint_is_diagnosed() {
        let (led, _) = run_lead(WarmUpPart::Scan, |cache, _| {
            object(cache, "a", "");
            (1, "")
        });
        assert_eq!(led, Led::Complete(Some(Diagnosis::NoTracepoints)));
    }

    #[test]
    fn a_lack_of_memory_or_a_signal_proves_nothing() {
        let (led, _) = run_lead(WarmUpPart::Configuration, |_, _| (1, "cc1: out of memory"));
        assert!(matches!(led, Led::Incomplete(_)));
        let (led, _) = run_lead(WarmUpPart::Scan, |_, _| (137, ""));
        assert_eq!(led, Led::Incomplete("stap was killed by signal 9".to_owned()));
    }

    #[test]
    fn a_kernel_for_which_nothing_compiles_is_diagnosed() {
        let (led, _) = run_lead(WarmUpPart::Configuration, |_, _| {
            (1, "/tmp/stapAb/x.c:1:1: error: too few arguments to function 'task_work_cancel'\n")
        });
        let reason = "x.c:1:1: error: too few arguments to function 'task_work_cancel'".to_owned();
        assert_eq!(led, Led::Complete(Some(Diagnosis::NothingCompiles { reason })));
    }

    #[test]
    fn configuration_tests_that_found_nothing_are_thrown_away() {
        let conf = |text: &'static str| {
            run_lead(WarmUpPart::Configuration, move |cache, _| {
                fs::write(cache.join("stapconf_x.h"), text).unwrap();
                (0, "x.ko")
            })
            .0
        };
        assert!(matches!(conf(""), Led::Incomplete(_)));
        assert_eq!(conf("#define STAPCONF_KERN_PATH 1\n"), Led::Complete(None));
    }
}
