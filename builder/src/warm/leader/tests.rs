use std::fs;
use std::path::Path;

use super::*;

/// A `stap` that leaves `files` in the cache at each call, unless they're there already with some content.
fn run_lead(part: WarmUpPart, mut stap: impl FnMut(&Path, usize) -> (i32, &'static str)) -> (Led, usize) {
    let whole = Scan::whole();
    let wanted = match part {
        WarmUpPart::Configuration => Wanted::Configuration(None),
        WarmUpPart::Scan => Wanted::Scan(&whole),
    };
    let (led, _, calls) = run_wanted(wanted, |cache, calls, _| stap(cache, calls));
    (led, calls)
}

fn run_wanted(
    wanted: Wanted<'_>,
    mut stap: impl FnMut(&Path, usize, &TraceView) -> (i32, &'static str),
) -> (Led, Scan, usize) {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir(cache.path().join("ab")).unwrap();
    let mut calls = 0;
    let led = lead::<FileError>(
        wanted,
        "1.0",
        &WarmUpFlags::default(),
        &WarmLayer::of_test(cache.path()),
        &mut |_, view| {
            calls += 1;
            let (code, output) = stap(&cache.path().join("ab"), calls, view);
            let output = output.to_owned();
            Ok(Ran { ended: Ended::Code(code), output })
        },
        &|| None,
    );
    let (led, scan) = led.unwrap();
    (led, scan, calls)
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

/// A name that is a word in a header, and a tracepoint nowhere, or in another header where it is put together.
#[test]
fn a_tracepoint_that_is_not_where_its_name_stands_is_looked_for_everywhere() {
    let wanted = |tracepoint: &str| Scan {
        view: TraceView::Only(["/x/sched.h".to_owned()].into()),
        tracepoints: [tracepoint.to_owned()].into(),
    };
    let run = |wanted: &Scan| {
        run_wanted(Wanted::Scan(wanted), |cache, _, view| {
            object(cache, "a", "object");
            if *view == TraceView::Whole {
                object(cache, "b", "object");
            }
            (0, FOUND)
        })
    };
    let there = wanted("sched_switch");
    let (led, scan, calls) = run(&there);
    assert_eq!((led, &scan, calls), (Led::Complete(None), &there, 1));
    let (led, scan, calls) = run(&wanted("sched"));
    assert_eq!((led, scan.view, calls), (Led::Complete(None), TraceView::Whole, 2));
    assert_eq!(scan.tracepoints, there.tracepoints);
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
    assert_eq!(led, Led::Complete(Some(Diagnosis::NothingCompiles { reason, log: None })));
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
