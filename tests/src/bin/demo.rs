//! `make demo`: the whole story on real parts, told so that a newcomer can follow it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use child::{Cancel, Ended, Limits};
use end_to_end::lab::{Lab, Release, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles, Step};

/// What the air-gapped host is told to do, each command with what it shows.
const HOST: &[(&str, &str)] = &[
    (
        "which stap gcc make || echo 'no compiler here'",
        "This host has a kernel and staprun, and no compiler.",
    ),
    ("ls /sys/class/net", "No network either: only the loopback device."),
    ("stap-bundle trust add /media/farm.pub", "Its administrator pins the farm's public key, once."),
    (
        "stap-bundle install /media/demo.stapb",
        "The bundle arrived on a stick. Install verifies it and switches in one step.",
    ),
    (
        "stap-bundle start",
        "A cache-only start: every module is verified again, then loaded by the real staprun.",
    ),
    ("stap-bundle status", "What runs, for which kernel and from which bundle:"),
    ("sleep 2; head -n 5 /var/log/process_log.log", "Data that process_log collected into its file:"),
    (
        "head -n 8 /proc/systemtap/kernel_metrics/metrics",
        "Data that kernel_metrics offers to a monitoring agent:",
    ),
    ("stap-bundle stop", "Dependants first, and nothing is left in the kernel:"),
    ("wc -l </proc/modules", "Modules that are still loaded:"),
];

fn main() -> Result<()> {
    let lab = Lab::open()?;
    let (farm_program, host_program) = (programs::farm()?, programs::host()?);
    let farm = Farm::new(&repository().join("target/demo"))?;
    let releases = [lab.bootable("stable")?, lab.bootable("testing")?];

    heading("1. On the build farm: make a signing key")?;
    command(&farm_program, &farm, &["key", "generate", "--out", "farm"], &[0])?;

    heading("2. Compile all scripts for two kernel releases, and sign one bundle")?;
    note(
        "A red cell is a script that can't compile for a kernel. --best-effort allows it: it is recorded, and the exit code is 20.",
    )?;
    let mut arguments = farm.build_arguments(&lab, &releases, "farm.key", "demo.stapb", &[])?;
    arguments.extend(["--report".to_owned(), "report.json".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    command(&farm_program, &farm, &arguments, &[20])?;

    heading("3. Look into the bundle")?;
    command(&farm_program, &farm, &["inspect", "demo.stapb", "--key", "farm.pub"], &[0])?;
    command(&farm_program, &farm, &["verify", "demo.stapb", "--key", "farm.pub", "--deep"], &[0])?;

    heading("4. The air-gapped host comes up: a virtual machine with a real kernel")?;
    host(&lab, releases[1], &farm, &host_program)?;

    heading("Done")?;
    note(&format!("Bundle, keys and report are in {}", farm.directory().display()))
}

fn host(lab: &Lab, release: &Release, farm: &Farm, program: &Path) -> Result<()> {
    let files = HostFiles::new(release, program)?;
    files.copy(&farm.path("demo.stapb"), "media/demo.stapb", 0o644)?;
    files.copy(&farm.path("farm.pub"), "media/farm.pub", 0o644)?;
    note(&format!("Booting {} under emulation, which takes some seconds.", release.release))?;
    let scenario: Vec<&str> = HOST.iter().map(|(command, _)| *command).collect();
    let mut trouble = None;
    let transcript = vm::run(lab, release, &files, &scenario, &mut |step| {
        trouble = trouble.take().or(tell(step).err());
    })?;
    if let Some(error) = trouble {
        return Err(error);
    }
    fs::write(farm.path("host-console.txt"), &transcript.console)?;
    let wrong =
        transcript.steps.iter().find(|step| step.command.starts_with("stap-bundle") && step.code != 0);
    if let Some(step) = wrong {
        bail!("`{}` ended with {} on the host", step.command, step.code);
    }
    let left = transcript.steps.last().map(|step| step.output.trim().to_owned());
    ensure!(left.as_deref() == Some("0"), "modules are left in the host's kernel: {left:?}");
    note(&format!("The host ran for {:.0} s.", transcript.wall.as_secs_f64()))
}

fn tell(step: &Step) -> Result<()> {
    if let Some((_, shows)) = HOST.iter().find(|(command, _)| *command == step.command) {
        note(shows)?;
    }
    say(&format!("airgap# {}", step.command))?;
    step.output.trim_end().lines().try_for_each(|line| say(&format!("  {line}")))
}

/// Runs a command of the farm and shows its output as it comes.
fn command(program: &Path, farm: &Farm, arguments: &[&str], allowed: &[i32]) -> Result<()> {
    say(&format!("farm$ stap-bundle {}", arguments.join(" ")))?;
    let limits = Limits { time: Some(Duration::from_secs(1500)), ..Limits::default() };
    let mut trouble = None;
    let finished = programs::command(program, farm.directory(), arguments).run_streaming(
        &limits,
        &Cancel::new(),
        |_, line| trouble = trouble.take().or(say(&format!("  {}", String::from_utf8_lossy(line))).err()),
    )?;
    match finished.status {
        Ended::Code(code) if allowed.contains(&code) => trouble.map_or(Ok(()), Err),
        ended => bail!("stap-bundle {} ended with {ended:?}", arguments.join(" ")),
    }
}

fn heading(text: &str) -> Result<()> {
    say(&format!("\n=== {text}"))
}

fn note(text: &str) -> Result<()> {
    say(&format!("--- {text}"))
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}
