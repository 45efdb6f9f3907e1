//! What a start costs beyond loading: all fixture scripts started in a virtual machine by `stap-bundle start`, verified
//! and confirmed, against the same `staprun` commands given at once by a shell; and how much memory a start takes. Prints a
//! line for each kernel; ends with 1 if a target is missed.
//!
//! The machine's clock counts instructions, so the figure doesn't depend on what else this machine does. Nor does it know
//! that some take longer than others: what matters is whether the emulated processor has SHA instructions, as those of
//! servers have had since 2017 (AMD) and 2021 (Intel). QEMU 10 has them, 7.2 hasn't; `STAP_BUNDLE_EMULATOR` names another
//! one. Without them verifying costs 52 instructions a byte.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are for a terminal")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, Clock, HostFiles, Transcript};

/// How much longer a start may take.
const LIMIT: f64 = 1.05;

/// Resident memory that a start may take at its peak, in KiB.
const MOST_MEMORY: u64 = 16 << 10;

/// How much it took, and the processor's flag.
const PEAK: &str = "sed -n 's/.*Maximum resident set size (kbytes): //p' /peak";
const SHA: &str = "grep -c -w sha_ni /proc/cpuinfo || true";

/// Each way is measured so often, in turns. The clock is as good as noiseless, so once will do.
const ROUNDS: usize = 1;

/// The `staprun` commands of the first start, from the log, all at once.
const BARE: &str = "#!/bin/sh
cache=/var/cache/systemtap/$(uname -r)
sed -n \"s|.*Exec: staprun \\(.*\\) \\([^ ]*\\.ko\\): .*|\\1 $cache/\\2|p\" /first.log >/commands
while read -r args; do
    staprun $args >/dev/null 2>>/tmp/bare-failed &
done </commands
wait
";

/// Runs its arguments and prints how long that took, in hundredths of a second.
const TIMED: &str = "#!/bin/sh
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
begun=$(now)
\"$@\" >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
echo $(($(now) - begun))
";

/// A while of nothing, so that what the last round left is over.
const PAUSE: &str = "sleep 10; wc -l </proc/modules";

fn main() -> Result<ExitCode> {
    let directory = std::env::temp_dir().join("stap-bundle-start-figure");
    let lab = Lab::open()?;
    let farm = Farm::new(&directory)?;
    let program = programs::farm()?;
    programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", "farm"], &[0])?;
    let mut limit_held = true;
    for family in ["testing", "stable"] {
        let release = lab.bootable(family)?;
        let arguments = farm.build_arguments(&lab, &[release], "farm.key", "all.stapb", &["--replace"])?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        programs::run_expecting(&program, farm.directory(), &arguments, &[0, 20])?;
        let files = HostFiles::new(release, &programs::host()?)?;
        files.copy(&farm.path("all.stapb"), "all.stapb", 0o644)?;
        files.copy(&farm.path("farm.pub"), "farm.pub", 0o644)?;
        files.write("usr/bin/bare", BARE.as_bytes(), 0o755)?;
        files.write("usr/bin/timed", TIMED.as_bytes(), 0o755)?;
        let told = vm::run_by(Clock::Instructions, &lab, release, &files, &scenario(), &mut |step| {
            eprintln!("{}: {} [{}]", step.command, step.output.trim(), step.code);
        })?;
        limit_held &= report(&release.release, &told)?;
    }
    std::fs::remove_dir_all(Path::new(&directory))?;
    Ok(if limit_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn scenario() -> Vec<&'static str> {
    let mut scenario = vec![
        "stap-bundle trust add /farm.pub",
        "stap-bundle install /all.stapb",
        "busybox time -v -o /peak stap-bundle start",
        PEAK,
        SHA,
        "cp /var/log/systemtap.log /first.log; grep Exec: /first.log",
        "stap-bundle stop",
        PAUSE,
    ];
    for _ in 0..ROUNDS {
        scenario.extend([
            "timed bare",
            "wc -l </proc/modules",
            "cat /tmp/bare-failed",
            "stap-bundle stop",
            PAUSE,
            "timed stap-bundle start",
            "wc -l </proc/modules",
            "stap-bundle stop",
            PAUSE,
        ]);
    }
    scenario
}

/// Prints the figure of one kernel; returns whether it is within the limit.
fn report(release: &str, told: &Transcript) -> Result<bool> {
    for step in &told.steps {
        ensure!(step.code == 0, "`{}` ended with {}:\n{}", step.command, step.code, step.output);
    }
    // After each of both ways the same modules must be loaded, and after each stop none.
    let counts = |command: &str| -> Vec<&str> {
        let steps = told.steps.iter().filter(|step| step.command == command);
        steps.map(|step| step.output.trim()).collect()
    };
    let loaded = counts("wc -l </proc/modules");
    let first = *loaded.first().context("no round")?;
    ensure!(first != "0" && loaded.iter().all(|count| *count == first), "modules loaded: {loaded:?}");
    ensure!(counts(PAUSE).iter().all(|count| *count == "0"), "modules left: {:?}", counts(PAUSE));
    let times = |command: &str| -> Result<Vec<f64>> {
        counts(command).iter().map(|text| Ok(text.parse::<f64>()? / 100.0)).collect()
    };
    let (bare, ours) = (times("timed bare")?, times("timed stap-bundle start")?);
    let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = least(&ours) / least(&bare);
    let one = |command: &str| counts(command).first().copied().context("no answer");
    let peak: u64 = one(PEAK)?.parse()?;
    let sha = if one(SHA)? == "0" { "no SHA instructions" } else { "SHA instructions" };
    println!(
        "{release}, {sha}: {first} modules: bare {bare:?} s, start {ours:?} s, least to least {ratio:.3} (limit {LIMIT}); at \
         most {peak} KiB of memory (limit {MOST_MEMORY})"
    );
    Ok(ratio <= LIMIT && peak <= MOST_MEMORY)
}
