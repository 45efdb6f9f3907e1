//! A machine over three versions of the program: 0.1.0 starts scripts, this one finds and goes on with them, the next one leaves
//! state that this one must refuse in words. Real kernel, real `staprun`, scripts running all the while. Part of
//! `make test-long`: it compiles 0.1.0 from this repository's history.
#![cfg(feature = "lab-long")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::path::{Path, PathBuf};

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles, Transcript};

/// `exec_rate` requires `signal_log`, which requires `process_log`, which writes a file.
const SCRIPTS: [&str; 4] = ["heartbeat", "process_log", "exec_rate", "signal_log"];

const USE: &str = "cp -f /media/VERSION /usr/bin/stap-bundle";
const MODULES: &str = "cut -d' ' -f1 /proc/modules | grep -c . # ";

/// What `make upgrade` names.
fn program(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| panic!("{variable} is not set: run this by `make upgrade`"));
    assert!(path.is_file() && programs::is_static(&path).unwrap(), "{}", path.display());
    path
}

fn says<'t>(told: &'t Transcript, command: &str, code: i32, words: &[&str]) -> &'t str {
    let step = told.step(command).unwrap();
    assert_eq!(step.code, code, "{command}: {}", step.output);
    for word in words {
        assert!(step.output.contains(word), "{command}: `{word}` is not in: {}", step.output);
    }
    &step.output
}

#[test]
fn scripts_run_on_through_an_upgrade_and_the_way_back_is_refused_in_words() {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("stable").unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("upgraded-host")).unwrap();
    let builder = programs::farm().unwrap();
    programs::run_expecting(&builder, farm.directory(), &["key", "generate", "--out", "farm"], &[0]).unwrap();
    for serial in ["1", "2", "3"] {
        let more = [&["--serial", serial][..], &SCRIPTS].concat();
        let output = format!("{serial}.stapb");
        let arguments = farm.build_arguments(&lab, &[release], "farm.key", &output, &more).unwrap();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        programs::run_expecting(&builder, farm.directory(), &arguments, &[0]).unwrap();
    }
    let first = program("STAP_BUNDLE_FIRST");
    let files = HostFiles::new(release, &first).unwrap();
    for name in ["1.stapb", "2.stapb", "3.stapb", "farm.pub"] {
        files.copy(&farm.path(name), &format!("media/{name}"), 0o644).unwrap();
    }
    files.copy(&programs::host().unwrap(), "media/this", 0o755).unwrap();
    files.copy(&program("STAP_BUNDLE_NEXT"), "media/next", 0o755).unwrap();
    let [this, next] = ["this", "next"].map(|version| USE.replace("VERSION", version));
    let next_again = format!("{next} # again");
    let this_again = format!("{this} # again");
    let counts = ["first", "this", "restarted", "back", "next", "refused", "stopped", "found"]
        .map(|when| format!("{MODULES}{when}"));
    let [c_first, c_this, c_restarted, c_back, c_next, c_refused, c_stopped, c_found] = &counts;
    let scenario = [
        "stap-bundle trust add /media/farm.pub",
        "stap-bundle install /media/1.stapb",
        "stap-bundle start",
        c_first,
        &this,
        c_this,
        "stap-bundle status # upgraded",
        "stap-bundle fsck # upgraded",
        "stap-bundle history # upgraded",
        "stap-bundle install /media/2.stapb",
        "stap-bundle restart # upgraded",
        c_restarted,
        "stap-bundle rollback # to 0.1.0's",
        "stap-bundle restart # 0.1.0's",
        c_back,
        &next,
        "stap-bundle install /media/3.stapb # next",
        "stap-bundle restart # next",
        "stap-bundle mask signal_log # next",
        c_next,
        &this_again,
        "stap-bundle status # refused",
        "stap-bundle install /media/2.stapb # refused",
        "stap-bundle fsck # refused",
        "stap-bundle mask heartbeat # refused",
        "stap-bundle start # refused",
        c_refused,
        "stap-bundle stop # refused",
        c_stopped,
        &next_again,
        "stap-bundle start # found",
        "stap-bundle status # found",
        c_found,
    ];
    let seen = vm::run(&lab, release, &files, &scenario, &mut |_| {}).unwrap();
    let count = |command: &str| seen.step(command).unwrap().output.trim().parse::<usize>().unwrap();
    let others = count(c_stopped);
    let running = |command: &str| count(command) - others;

    says(&seen, "stap-bundle start", 0, &["4 of 4 scripts running"]);
    assert_eq!((running(c_first), running(c_this)), (4, 4));
    let status = says(&seen, "stap-bundle status # upgraded", 0, &SCRIPTS);
    assert_eq!(status.matches(" running ").count(), 4, "{status}");
    says(&seen, "stap-bundle fsck # upgraded", 0, &[]);
    says(&seen, "stap-bundle history # upgraded", 0, &["as generation 1"]);
    says(&seen, "stap-bundle install /media/2.stapb", 0, &[]);
    says(&seen, "stap-bundle restart # upgraded", 0, &["4 of 4 scripts running"]);
    says(&seen, "stap-bundle rollback # to 0.1.0's", 0, &[]);
    says(&seen, "stap-bundle restart # 0.1.0's", 0, &["4 of 4 scripts running"]);
    assert_eq!((running(c_restarted), running(c_back), running(c_next)), (4, 4, 4));

    says(&seen, "stap-bundle install /media/3.stapb # next", 0, &[]);
    says(&seen, "stap-bundle mask signal_log # next", 0, &["masked: signal_log"]);
    says(
        &seen,
        "stap-bundle status # refused",
        30,
        &["install the newer stap-bundle again", "generation.json"],
    );
    for command in ["install /media/2.stapb", "fsck", "mask heartbeat", "start"] {
        let command = format!("stap-bundle {command} # refused");
        says(&seen, &command, 30, &["this stap-bundle reads up to ", "install the newer stap-bundle again"]);
    }
    assert_eq!(running(c_refused), 4);
    says(&seen, "stap-bundle stop # refused", 0, &[]);
    says(&seen, "stap-bundle start # found", 0, &["2 of 2 scripts running"]);
    assert_eq!(running(c_found), 2, "the mask of the next version holds");
    says(&seen, "stap-bundle status # found", 0, &["signal_log: ", "masked"]);
}
