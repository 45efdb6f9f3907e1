//! The main job on real parts: the real `stap` compiles, one bundle is signed, and a virtual machine without compiler
//! and network verifies, installs, starts and stops it with the real `staprun` under two real kernels.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles, Transcript};
use serde_json::Value;

/// Where the farm of these tests leaves its bundles.
struct Bundles {
    lab: Lab,
    farm: Farm,
    /// What `build` reported of the full bundle.
    report: Value,
}

/// Builds all bundles once for all tests.
fn bundles() -> &'static Bundles {
    static BUNDLES: OnceLock<Bundles> = OnceLock::new();
    BUNDLES.get_or_init(|| {
        let lab = Lab::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("airgapped-host")).unwrap();
        let program = programs::farm().unwrap();
        for name in ["farm", "stranger"] {
            programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", name], &[0])
                .unwrap();
        }
        let (stable, testing) = (lab.bootable("stable").unwrap(), lab.bootable("testing").unwrap());
        let build = |releases: &[_], key: &str, output: &str, scripts: &[&str], code: i32| -> Value {
            let mut arguments = farm.build_arguments(&lab, releases, key, output, scripts).unwrap();
            arguments.push("--json".to_owned());
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let finished = programs::run_expecting(&program, farm.directory(), &arguments, &[code]).unwrap();
            serde_json::from_slice(&finished.stdout.bytes()).unwrap()
        };
        let report = build(&[stable, testing], "farm.key", "good.stapb", &[], 20);
        build(&[stable, testing], "stranger.key", "stranger.stapb", &["heartbeat"], 0);
        build(&[stable], "farm.key", "stable-only.stapb", &["heartbeat"], 0);
        build(&[testing], "farm.key", "testing-only.stapb", &["heartbeat"], 0);
        let mut bytes = fs::read(farm.path("good.stapb")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(farm.path("flipped.stapb"), bytes).unwrap();
        Bundles { lab, farm, report }
    })
}

/// Prints a digest over the names, modes, link targets and contents of everything on the machine's own disk.
const DISK_DIGEST: &str = "#!/bin/sh
{ find / -xdev -exec stat -c '%n %a %F %N' {} +; find / -xdev -type f -exec sha256sum {} +; } | sort | sha256sum
";

fn boot(family: &str, scenario: &[&str]) -> (Transcript, String) {
    let bundles = bundles();
    let release = bundles.lab.bootable(family).unwrap();
    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["good", "stranger", "stable-only", "testing-only", "flipped"] {
        let file = format!("{name}.stapb");
        files.copy(&bundles.farm.path(&file), &format!("media/{file}"), 0o644).unwrap();
    }
    files.copy(&bundles.farm.path("farm.pub"), "media/farm.pub", 0o644).unwrap();
    files.write("usr/bin/disk-digest", DISK_DIGEST.as_bytes(), 0o755).unwrap();
    let transcript = vm::run(&bundles.lab, release, &files, scenario, &mut |_| {}).unwrap();
    let told: Vec<String> = transcript
        .steps
        .iter()
        .map(|step| format!("# {}\n{}[exit code {}]\n", step.command, step.output, step.code))
        .collect();
    let kept = bundles.farm.path(&format!("transcript-{family}.txt"));
    fs::write(kept, format!("{}\n{}", told.join("\n"), transcript.console)).unwrap();
    (transcript, release.release.clone())
}

/// The scripts that the farm compiled for `release`.
fn green(release: &str) -> Vec<String> {
    let cells = bundles().report["cells"].as_array().unwrap();
    let of_release = cells.iter().filter(|cell| cell["kernel"] == release && cell["sha256"].is_string());
    of_release.map(|cell| cell["script"].as_str().unwrap().to_owned()).collect()
}

const NO_NETWORK: &str = "ls /sys/class/net";
const NO_COMPILER: &str = "which stap gcc cc make ld as";
const STATIC: &str = "stap-bundle build -r 1.0";
const REFUSED_FLIPPED: &str = "stap-bundle install /media/flipped.stapb";
const REFUSED_STRANGER: &str = "stap-bundle install /media/stranger.stapb";
const DIGEST_BEFORE: &str = "disk-digest # before";
const DIGEST_AFTER: &str = "disk-digest # after";
const INSTALL: &str = "stap-bundle install /media/good.stapb";
const INSTALL_AGAIN: &str = "stap-bundle install - </media/good.stapb";
const DIGEST_INSTALLED: &str = "disk-digest # with a generation";
const REFUSED_AGAIN: &str = "for name in flipped stranger $OTHER-only; do stap-bundle install /media/$name.stapb && exit 0; done; true";
const DIGEST_STILL: &str = "disk-digest # with a generation, after refusals";
const CACHE: &str = "ls -l /var/cache/systemtap/$(uname -r)/";
const UNAME_LINE: &str =
    "test \"$(head -n 1 /var/cache/systemtap/$(uname -r)/heartbeat.opts)\" = \"$(uname -a)\"";
const CONF_D: &str = "cat /etc/systemtap/conf.d/*-stap-bundle.conf";
const UNFIT_OPTIONS: &str =
    "mkdir -p /etc/systemtap/conf.d; echo \"heartbeat_OPT='-D X=1'\" >/etc/systemtap/conf.d/local.conf";
const OWN_OPTIONS: &str = "echo \"heartbeat_OPT='-s 3'\" >/etc/systemtap/conf.d/local.conf";
const START: &str = "stap-bundle start";
const RUN_WITH: &str = "grep 'Exec: .*heartbeat.ko' /var/log/systemtap.log";
const STATUS: &str = "stap-bundle status";
const STATUS_JSON: &str = "stap-bundle status --json";
const MODULES: &str = "cut -d' ' -f1 /proc/modules | sort # while they run";
const SRVSTAT: &str = "cat /proc/systemtap/*/srvstat";
const METRICS: &str = "cat /proc/systemtap/kernel_metrics/metrics";
const LOG: &str = "head -n 3 /var/log/process_log.log";
const STATUS_FILES: &str = "cat /var/run/systemtap/heartbeat";
const NEEDED: &str = "stap-bundle stop process_log";
const STOP: &str = "stap-bundle stop";
const MODULES_AFTER: &str = "cat /proc/modules # after stop";
const STATUS_AFTER: &str = "stap-bundle status # after stop";
const TAMPER: &str = "f=$(readlink -f /var/cache/systemtap/$(uname -r)/heartbeat.ko) && printf X | dd of=$f bs=1 seek=5000 conv=notrunc 2>/dev/null";
const START_TAMPERED: &str = "stap-bundle start heartbeat";

fn whole_story(family: &str, other: &str) {
    let refused_again = REFUSED_AGAIN.replace("$OTHER", other);
    let refused_kernel = format!("stap-bundle install /media/{other}-only.stapb");
    let scenario = [
        NO_NETWORK,
        NO_COMPILER,
        STATIC,
        "stap-bundle trust add /media/farm.pub",
        DIGEST_BEFORE,
        REFUSED_FLIPPED,
        REFUSED_STRANGER,
        &refused_kernel,
        DIGEST_AFTER,
        UNFIT_OPTIONS,
        INSTALL,
        INSTALL_AGAIN,
        DIGEST_INSTALLED,
        &refused_again,
        DIGEST_STILL,
        "stap-bundle list",
        CACHE,
        UNAME_LINE,
        CONF_D,
        OWN_OPTIONS,
        START,
        RUN_WITH,
        STATUS,
        STATUS_JSON,
        MODULES,
        SRVSTAT,
        "sleep 3",
        METRICS,
        LOG,
        STATUS_FILES,
        NEEDED,
        STOP,
        MODULES_AFTER,
        STATUS_AFTER,
        TAMPER,
        START_TAMPERED,
        "ls -A /run/stap-bundle/load",
    ];
    let (told, release) = boot(family, &scenario);
    let step = |command: &str| told.step(command).unwrap();
    let output = |command: &str| step(command).output.as_str();

    the_host_is_airgapped(&told);
    bad_bundles_are_refused(&told, &refused_kernel, &release);
    the_bundle_is_installed(&told, &release);
    let refusals = output(&refused_again);
    assert_eq!(refusals.matches("error: ").count(), 3, "{refusals}");
    assert_eq!(
        output(DIGEST_INSTALLED),
        output(DIGEST_STILL),
        "a refused bundle changed the installed generation"
    );

    assert_eq!(step(START).code, 0, "{}", output(START));
    let green = green(&release);
    assert!(green.len() >= 12, "{green:?}");
    let loaded: Vec<&str> = output(MODULES).lines().collect();
    for script in &green {
        assert!(loaded.contains(&script.as_str()), "{script} is not in /proc/modules: {loaded:?}");
        let row =
            output(STATUS).lines().find(|line| line.trim_start().starts_with(&format!("{script} "))).unwrap();
        for part in ["running", release.as_str(), "stap-scripts 20"] {
            assert!(row.contains(part), "`{part}` is not in `{row}`:\n{}\n{}", output(STATUS), output(LOG));
        }
    }
    assert_eq!(output(SRVSTAT).matches("running").count(), green.len());
    let status: Value = serde_json::from_str(output(STATUS_JSON)).unwrap();
    let running = status["scripts"].as_array().unwrap().iter().filter(|script| script["state"] == "running");
    assert_eq!(running.count(), green.len());

    assert!(output(RUN_WITH).contains("staprun -L -b 3 heartbeat.ko"), "{}", output(RUN_WITH));
    let from = "heartbeat: a start takes its run options from /etc/systemtap/conf.d/local.conf:1:1";
    assert!(output(STATUS).contains(from), "{}", output(STATUS));

    data_was_collected(&told);
    everything_stops(&told);

    assert_eq!(step(START_TAMPERED).code, 1);
    assert!(output(START_TAMPERED).contains("heartbeat"), "{}", output(START_TAMPERED));
    assert_eq!(output("ls -A /run/stap-bundle/load").trim(), "", "a private copy was left");
}

fn the_host_is_airgapped(told: &Transcript) {
    assert_eq!(told.step(NO_NETWORK).unwrap().output.trim(), "lo");
    let none = told.step(NO_COMPILER).unwrap();
    assert!(none.code != 0 && none.output.trim().is_empty(), "{}", none.output);
    let build = told.step(STATIC).unwrap();
    assert_eq!(build.code, 30, "{}", build.output);
    assert!(build.output.contains("without the build side"), "{}", build.output);
    assert!(programs::is_static(&programs::host().unwrap()).unwrap());
}

fn bad_bundles_are_refused(told: &Transcript, refused_kernel: &str, release: &str) {
    let refused = |command: &str, code: i32, words: &[&str]| {
        let step = told.step(command).unwrap();
        assert_eq!(step.code, code, "{command}: {}", step.output);
        for word in words {
            assert!(step.output.contains(word), "`{word}` is not in: {}", step.output);
        }
    };
    refused(REFUSED_FLIPPED, 11, &["is damaged", "SHA-256"]);
    refused(REFUSED_STRANGER, 10, &["signed by key", "which isn't trusted here"]);
    refused(refused_kernel, 12, &["is for", &format!("this host runs {release}")]);
    let (before, after) = (told.step(DIGEST_BEFORE).unwrap(), told.step(DIGEST_AFTER).unwrap());
    assert_eq!(before.output, after.output, "a refused bundle changed the disk");
    assert!(before.output.trim().len() > 60, "{}", before.output);
}

fn the_bundle_is_installed(told: &Transcript, release: &str) {
    let installed = told.step(INSTALL).unwrap();
    assert_eq!(installed.code, 0, "{}", installed.output);
    assert!(installed.output.contains(release), "{}", installed.output);
    assert!(installed.output.contains("a start will refuse heartbeat: "), "{}", installed.output);
    let again = told.step(INSTALL_AGAIN).unwrap();
    assert_eq!(again.code, 0, "{}", again.output);
    assert!(again.output.contains("already installed"), "{}", again.output);
    let cache = &told.step(CACHE).unwrap().output;
    for script in green(release) {
        assert!(cache.contains(&format!("{script}.ko -> ")), "{cache}");
        assert!(cache.contains(&format!("{script}.opts")), "{cache}");
    }
    assert_eq!(told.step(UNAME_LINE).unwrap().code, 0, "the first line of .opts isn't `uname -a`");
    let conf = &told.step(CONF_D).unwrap().output;
    for line in ["AUTOCOMPILE=no", "ALLOW_CACHEONLY=yes"] {
        assert!(conf.lines().any(|found| found == line), "{conf}");
    }
}

fn data_was_collected(told: &Transcript) {
    let metrics = &told.step(METRICS).unwrap().output;
    assert!(metrics.lines().any(|line| line.starts_with(|c: char| c.is_ascii_lowercase())), "{metrics}");
    let log = &told.step(LOG).unwrap().output;
    assert!(!log.trim().is_empty(), "process_log wrote nothing");
    assert_eq!(told.step(STATUS_FILES).unwrap().output.trim(), "0", "INIT-START-17");
}

fn everything_stops(told: &Transcript) {
    let needed = told.step(NEEDED).unwrap();
    assert_eq!(needed.code, 1, "{}", needed.output);
    assert!(needed.output.contains("signal_log"), "{}", needed.output);
    let stopped = told.step(STOP).unwrap();
    assert_eq!(stopped.code, 0, "{}", stopped.output);
    assert_eq!(told.step(MODULES_AFTER).unwrap().output.trim(), "");
    assert_eq!(told.step(STATUS_AFTER).unwrap().code, 3);
}

#[test]
fn the_whole_story_on_debian_stable() {
    whole_story("stable", "testing");
}

#[test]
fn the_whole_story_on_debian_testing() {
    whole_story("testing", "stable");
}

#[test]
fn two_builds_of_other_content_and_the_same_inputs_are_no_equivocation() {
    let bundles = bundles();
    let host = tempfile::tempdir().unwrap();
    let root = host.path().display().to_string();
    let program = programs::farm().unwrap();
    let on_host = |arguments: &[&str]| {
        let arguments = [&["--root", &root], arguments].concat();
        programs::run_expecting(&program, bundles.farm.directory(), &arguments, &[0]).unwrap()
    };
    on_host(&["trust", "add", "farm.pub"]);
    // Both were built from the same files: one with all scripts, then one with a single script for one kernel.
    on_host(&["install", "--all-kernels", "good.stapb"]);
    on_host(&["install", "--all-kernels", "stable-only.stapb"]);
}

#[test]
fn red_cells_are_recorded_with_their_reasons() {
    let cells = bundles().report["cells"].as_array().unwrap();
    let red: Vec<&Value> = cells.iter().filter(|cell| cell["outcome"] == "red").collect();
    let releases: std::collections::BTreeSet<_> =
        cells.iter().map(|cell| cell["kernel"].as_str().unwrap()).collect();
    // core_dumps compiles for one family only, so one of its cells is always red and one always green.
    let core_dumps: Vec<_> = red.iter().filter(|cell| cell["script"] == "core_dumps").collect();
    assert!(!core_dumps.is_empty() && core_dumps.len() < releases.len(), "{red:?}");
    for cell in red {
        assert!(cell["reason"].as_str().unwrap().contains("semantic error"), "{cell}");
    }
}

#[test]
fn a_rebuild_compiles_nothing_and_gives_the_same_bundle() {
    let bundles = bundles();
    let releases = [bundles.lab.bootable("stable").unwrap(), bundles.lab.bootable("testing").unwrap()];
    let mut arguments =
        bundles.farm.build_arguments(&bundles.lab, &releases, "farm.key", "again.stapb", &[]).unwrap();
    arguments.push("--json".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let finished =
        programs::run_expecting(&programs::farm().unwrap(), bundles.farm.directory(), &arguments, &[20])
            .unwrap();
    let report: Value = serde_json::from_slice(&finished.stdout.bytes()).unwrap();
    for cell in report["cells"].as_array().unwrap() {
        assert!(cell["outcome"] == "cached" || cell["outcome"] == "red", "{cell}");
        assert_eq!(cell["wall_ms"], 0, "{cell}");
    }
    assert!(
        fs::read(bundles.farm.path("good.stapb")).unwrap()
            == fs::read(bundles.farm.path("again.stapb")).unwrap()
    );
}

/// The farm's key never has to be where the farm compiles: only the message goes there, and only a signature comes back.
#[test]
fn a_payload_that_openssl_signs_elsewhere_is_the_same_bundle() {
    let bundles = bundles();
    let releases = [bundles.lab.bootable("stable").unwrap(), bundles.lab.bootable("testing").unwrap()];
    let mut arguments =
        bundles.farm.build_arguments(&bundles.lab, &releases, "farm.key", "good.payload", &[]).unwrap();
    let key = arguments.iter().position(|argument| argument == "--key").unwrap();
    arguments.splice(key..key + 2, ["--no-sign".to_owned()]);
    let run = |arguments: &[&str], code: i32| {
        programs::run_expecting(&programs::farm().unwrap(), bundles.farm.directory(), arguments, &[code])
            .unwrap()
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = run(&arguments, 20).stdout.text();
    assert!(said.contains("good.payload"), "{said}");
    let said = run(&["verify", "good.payload", "--key", "farm.pub"], 10).stderr.text();
    assert!(said.contains("an unsigned payload, not a bundle"), "{said}");
    run(&["sign", "good.payload", "--payload-out", "message"], 0);
    let elsewhere = bundles.farm.path("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::copy(bundles.farm.path("message"), elsewhere.join("message")).unwrap();
    fs::copy(bundles.farm.path("farm.key"), elsewhere.join("farm.key")).unwrap();
    let openssl = ChildCommand::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-inkey", "farm.key", "-in", "message", "-out", "signature"])
        .current_dir(&elsewhere)
        .env_from_here("PATH");
    let finished = openssl.run(&Limits::within(Duration::from_secs(60)), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
    run(&["sign", "good.payload", "--attach", "farm.pub:elsewhere/signature", "-o", "attached.stapb"], 0);
    let read = |name: &str| fs::read(bundles.farm.path(name)).unwrap();
    assert!(read("good.stapb") == read("attached.stapb"));
}

/// What no option allows to be red keeps the bundle from being written, and the report is written all the same.
#[test]
fn a_required_cell_that_is_red_is_no_bundle() {
    let bundles = bundles();
    let releases = [bundles.lab.bootable("stable").unwrap(), bundles.lab.bootable("testing").unwrap()];
    let build = |more: &[&str], code: i32| {
        let mut arguments =
            bundles.farm.build_arguments(&bundles.lab, &releases, "farm.key", "strict.stapb", &[]).unwrap();
        let allowed = arguments.iter().position(|argument| argument == "--best-effort").unwrap();
        arguments.drain(allowed..allowed + 2);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        programs::run_expecting(&programs::farm().unwrap(), bundles.farm.directory(), &arguments, &[code])
            .unwrap()
    };
    let said = build(&["--report", "strict.json"], 21).stderr.text();
    assert!(said.contains("no bundle is written") && said.contains("--best-effort '"), "{said}");
    assert!(!bundles.farm.path("strict.stapb").exists());
    let report: Value = serde_json::from_slice(&fs::read(bundles.farm.path("strict.json")).unwrap()).unwrap();
    let red = report["cells"].as_array().unwrap().iter().filter(|cell| cell["outcome"] == "red");
    let skipped: Vec<String> = red
        .map(|cell| format!("{}@{}", cell["script"].as_str().unwrap(), cell["kernel"].as_str().unwrap()))
        .collect();
    // With these cells left out, all that was wanted is there.
    let mut options = Vec::new();
    for cell in &skipped {
        options.extend(["--skip", cell.as_str()]);
    }
    let said = build(&options, 0).stdout.text();
    assert!(said.contains("skipped"), "{said}");
    // A pattern that no cell has is most often a mistake.
    options.extend(["--skip", "heartbaet"]);
    let said = build(&options, 2).stderr.text();
    assert!(said.contains("--skip heartbaet: no cell of this build matches"), "{said}");
}

/// What didn't change is copied from the older bundle, and is the same that would have been compressed.
#[test]
fn a_build_with_reuse_copies_every_frame_of_an_unchanged_matrix() {
    let bundles = bundles();
    let releases = [bundles.lab.bootable("stable").unwrap(), bundles.lab.bootable("testing").unwrap()];
    let mut arguments =
        bundles.farm.build_arguments(&bundles.lab, &releases, "farm.key", "copied.stapb", &[]).unwrap();
    arguments.extend(["--json", "--reuse", "good.stapb"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let finished =
        programs::run_expecting(&programs::farm().unwrap(), bundles.farm.directory(), &arguments, &[20])
            .unwrap();
    let report: Value = serde_json::from_slice(&finished.stdout.bytes()).unwrap();
    assert!(report["frames"].as_u64().unwrap() >= 2, "{report}");
    assert_eq!(report["frames_copied"], report["frames"], "{report}");
    let read = |name: &str| fs::read(bundles.farm.path(name)).unwrap();
    assert!(read("good.stapb") == read("copied.stapb"));
}
