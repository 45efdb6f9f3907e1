//! A compile or an adoption on the host, killed or failed at each of its system calls: the old set or the new one is what a start loads. And how many
//! files looking at such a host takes.
//!
//! A plain run takes every so-many-th call; `STAP_BUNDLE_EVERY_CALL=1` takes each, as `make crash` does.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what the tests share may panic as they may")]
#![expect(clippy::print_stdout, reason = "an act in a process of its own reports so")]

mod alone;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use alone::{Place, RELEASE, command, compiled, host, name, store, with_service};
use fixtures::system_calls::{Point, copy, for_each, points, stride_or, traced, written_to};
use script_config::GlobalParameters;
use service::{LocalModule, StartChoice};

/// How many calls a plain run passes over.
const STRIDE: usize = 9;

#[test]
#[ignore = "what the others run in processes of their own"]
fn carries_out_one_act() {
    alone::act();
}

/// All calls of an act from its first look at the host on.
fn points_of(act: &str, template: &Path, scratch: &Path) -> Vec<Point> {
    let there = scratch.join("traced");
    let log = scratch.join("strace");
    copy(template, &there);
    let output = traced(&written_to(&log), &command(act, &there)).output();
    let output = output.unwrap_or_else(|error| panic!("strace, which tests/packages.sh installs: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let points = points(&fs::read_to_string(&log).unwrap(), |rest| rest.contains("traced"), |_| false);
    let renames = points.iter().filter(|point| point.call.starts_with("rename")).count();
    assert!(points.len() > 40 && renames >= 3, "{} calls, {renames} renames", points.len());
    points
}

/// The edition that a start loads now. It must be whole, and its options its own.
fn edition(directory: &Path, what: &str) -> u64 {
    let host = host(directory);
    let record = LocalModule::read(&host, &RELEASE.parse().unwrap(), &name("a"));
    let record = record.unwrap_or_else(|| panic!("{what}: there is no record"));
    record.read_module(&host).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    let expected = compiled("a", record.compiled).0;
    assert_eq!(record, expected, "{what}");
    let parameters = GlobalParameters::default();
    let choice = StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &parameters };
    let plan = with_service(&host, |service| service.plan(&choice).unwrap());
    assert_eq!(plan.ready().chain(plan.already_running()).count(), 1, "{what}: {plan:?}");
    record.compiled
}

/// Compiles once more: that succeeds, gives all files their names, and leaves nothing over.
fn check_next(directory: &Path, what: &str) {
    store(&host(directory), "a", 3);
    assert_eq!(edition(directory, what), 3);
    let cache = directory.join("var/cache/systemtap").join(RELEASE);
    let mut names: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.ko", "a.opts"], "{what}");
    let opts = fs::read_to_string(cache.join("a.opts")).unwrap();
    assert_eq!(opts, format!("Linux host 1\n{}\n", compiled("a", 3).0.opts_line), "{what}");
    assert_eq!(fs::read(cache.join("a.ko")).unwrap(), compiled("a", 3).1, "{what}");
}

/// Does `injected` to a compile at every so-many-th of its calls, and looks at what is left.
fn at_every_call(injected: &str, judge: &(dyn Fn(Option<i32>, u64, &str) + Sync)) {
    let old = Place::new();
    let scratch = tempfile::tempdir().unwrap();
    store(&host(old.dir.path()), "a", 1);
    let mut points = points_of("compile", old.dir.path(), scratch.path());
    points.retain(Point::is_sure);
    let tried = for_each(&points, stride_or(STRIDE), &|point, number| {
        let what = format!("{injected} at {point:?}");
        let there = scratch.path().join(number.to_string());
        copy(old.dir.path(), &there);
        let output = traced(&point.injecting(injected), &command("compile", &there)).output().unwrap();
        judge(output.status.code(), edition(&there, &what), &what);
        check_next(&there, &what);
        fs::remove_dir_all(&there).unwrap();
    });
    assert!(tried >= 5, "{tried} of {} points", points.len());
}

#[test]
fn e1_a_compile_killed_at_any_system_call_leaves_the_old_set_or_the_new_one() {
    let seen = Mutex::new(BTreeSet::new());
    at_every_call("signal=KILL", &|exit, edition, what| {
        assert!(exit.is_none(), "{what}: not killed, exit {exit:?}");
        assert!([1, 2].contains(&edition), "{what}: {edition}");
        seen.lock().unwrap().insert(edition);
    });
    assert_eq!(seen.into_inner().unwrap(), [1, 2].into(), "kills on one side of the switch only");
}

#[test]
fn e2_an_error_of_any_system_call_leaves_the_old_set_or_the_new_one() {
    at_every_call("error=ENOSPC", &|exit, edition, what| {
        // A compile that says it succeeded has.
        assert!(edition == 2 || (edition == 1 && exit != Some(0)), "{what}: {edition}, exit {exit:?}");
    });
}

/// Puts the first edition of a script's module and its options into the cache, as a person does.
fn bring(directory: &Path, script: &str) {
    let cache = directory.join("var/cache/systemtap").join(RELEASE);
    fs::create_dir_all(&cache).unwrap();
    let (record, module) = compiled(script, 1);
    fs::write(cache.join(format!("{script}.ko")), module).unwrap();
    let opts = format!("Linux builder 1\n{}\n", record.opts_line);
    fs::write(cache.join(format!("{script}.opts")), opts).unwrap();
}

/// What a start would load of `a`, and what the original finds: always the module that was brought.
fn is_adopted(directory: &Path, what: &str) -> bool {
    let host = host(directory);
    let (_, module) = compiled("a", 1);
    let there = fs::read(directory.join("var/cache/systemtap").join(RELEASE).join("a.ko")).unwrap();
    assert!(there == module, "{what}: another module");
    let record = LocalModule::read(&host, &RELEASE.parse().unwrap(), &name("a"));
    record.is_some_and(|record| record.read_module(&host).unwrap() == module)
}

#[test]
fn e1_an_adoption_killed_at_any_system_call_is_none_or_whole_and_can_be_repeated() {
    let place = Place::new();
    bring(place.dir.path(), "a");
    let scratch = tempfile::tempdir().unwrap();
    let mut points = points_of("adopt", place.dir.path(), scratch.path());
    points.retain(Point::is_sure);
    let mut seen = BTreeSet::new();
    let tried = Mutex::new(&mut seen);
    for_each(&points, stride_or(STRIDE), &|point, number| {
        let what = format!("killed at {point:?}");
        let there = scratch.path().join(number.to_string());
        copy(place.dir.path(), &there);
        let killed = traced(&point.injecting("signal=KILL"), &command("adopt", &there)).output().unwrap();
        assert!(killed.status.code().is_none(), "{what}");
        let adopted = is_adopted(&there, &what);
        tried.lock().unwrap().insert(adopted);
        if !adopted {
            alone::run(&command("adopt", &there));
        }
        assert!(is_adopted(&there, &what), "{what}");
        fs::remove_dir_all(&there).unwrap();
    });
    assert_eq!(seen, [false, true].into(), "kills on one side of the switch only");
}

#[test]
fn init_cache_07_what_a_cut_compile_has_left_is_ended_by_the_next_start() {
    let place = Place::new();
    store(&host(place.dir.path()), "a", 1);
    let cache = place.at("var/cache/systemtap").join(RELEASE);
    // Cut right after the switch.
    let old = ["a.ko", "a.opts"].map(|name| fs::read(cache.join(name)).unwrap());
    store(&host(place.dir.path()), "a", 2);
    for (name, bytes) in ["a.ko", "a.opts"].into_iter().zip(&old) {
        fs::rename(cache.join(name), cache.join(format!(".{name}.next"))).unwrap();
        fs::write(cache.join(name), bytes).unwrap();
    }
    assert_eq!(edition(place.dir.path(), "cut after the switch"), 2);
    alone::run(&command("start", place.dir.path()));
    assert_eq!(fs::read(cache.join("a.ko")).unwrap(), compiled("a", 2).1);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2);
    check_next(place.dir.path(), "after that");
}

/// How many files a look at `count` scripts that were compiled here opens.
fn opened(count: usize) -> usize {
    let place = Place::new();
    let scripts = place.at("etc/systemtap/script.d");
    fs::create_dir_all(&scripts).unwrap();
    let host = host(place.dir.path());
    for number in 0..count {
        store(&host, &format!("s{number}"), 1);
        fs::write(scripts.join(format!("s{number}.stp")), "probe begin {}").unwrap();
    }
    let log = place.at("strace");
    let trace = [written_to(&log), vec!["-e".to_owned(), "trace=open,openat,openat2".to_owned()]].concat();
    assert!(traced(&trace, &command("owners", place.dir.path())).status().unwrap().success());
    fs::read_to_string(log).unwrap().lines().count()
}

#[test]
fn files_opened_grow_with_the_number_of_scripts_and_not_with_its_square() {
    let [few, some, many] = [5, 10, 40].map(opened);
    let each = (some - few) / 5;
    assert!(many <= some + 30 * (each + 1), "5 scripts: {few}, 10: {some}, 40: {many}");
}
