//! A virtual machine: a real kernel under software emulation, a file system in memory, no network device.
//!
//! The file system is the lab's `host/` tree (staprun, stapio and their libraries, busybox), the static host
//! program, and what a test adds. The kernel takes several cpio archives one after another as one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use child::{Cancel, ChildCommand, Finished, Limits};

use crate::lab::{Architecture, Lab, Release, repository};

/// Emulation is slow and machines are shared: what takes ten seconds alone may take a minute.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// How often the serial port's file is looked at.
const POLL: Duration = Duration::from_millis(100);

/// What the host has besides the lab's tree.
#[derive(Debug)]
pub struct HostFiles {
    tree: tempfile::TempDir,
}

impl HostFiles {
    /// A host for the kernel `release`, with `program` as /usr/bin/stap-bundle.
    pub fn new(release: &Release, program: &Path) -> Result<Self> {
        let files = Self { tree: tempfile::tempdir()? };
        files.copy(program, "usr/bin/stap-bundle", 0o755)?;
        files.copy(&repository().join("tests/vm/init"), "init", 0o755)?;
        // What makes a kernel count as installed; its modules aren't needed here.
        let modules = files.tree.path().join("usr/lib/modules").join(&release.release).join("kernel");
        fs::create_dir_all(modules)?;
        Ok(files)
    }

    /// Copies a file to `path`, relative to the host's root.
    pub fn copy(&self, from: &Path, path: &str, mode: u32) -> Result<()> {
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        self.write(path, &bytes, mode)
    }

    /// Writes a file at `path`, relative to the host's root.
    pub fn write(&self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let target = self.tree.path().join(path);
        fs::create_dir_all(target.parent().context("a path in the host")?)?;
        fs::write(&target, bytes)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        Ok(())
    }
}

/// A command that ran in the machine.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line of the scenario.
    pub command: String,
    /// What it printed, on both streams.
    pub output: String,
    /// Its exit code.
    pub code: i32,
}

/// What a scenario came to.
#[derive(Debug)]
pub struct Transcript {
    /// One for each line of the scenario.
    pub steps: Vec<Step>,
    /// What the kernel said.
    pub console: String,
    /// How long the machine ran.
    pub wall: Duration,
}

impl Transcript {
    /// The step whose command is `command`.
    pub fn step(&self, command: &str) -> Result<&Step> {
        self.steps.iter().find(|step| step.command == command).with_context(|| format!("no step `{command}`"))
    }
}

/// How time passes in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// As it does here.
    Real,
    /// By the instructions that it executes, four nanoseconds each, and not at all while it waits for nothing but time:
    /// what else this machine does has no effect.
    Instructions,
}

/// Boots `release` with `files` and runs `scenario`, one command a line; `on_step` hears of each as it ends.
pub fn run(
    lab: &Lab,
    release: &Release,
    files: &HostFiles,
    scenario: &[&str],
    on_step: &mut dyn FnMut(&Step),
) -> Result<Transcript> {
    run_by(Clock::Real, lab, release, files, scenario, on_step)
}

/// As [`run`], with a clock of that kind.
pub fn run_by(
    clock: Clock,
    lab: &Lab,
    release: &Release,
    files: &HostFiles,
    scenario: &[&str],
    on_step: &mut dyn FnMut(&Step),
) -> Result<Transcript> {
    ensure!(scenario.iter().all(|line| !line.contains('\n')), "a command of a scenario is one line");
    let work = tempfile::tempdir()?;
    files.write("scenario", (scenario.join("\n") + "\n").as_bytes(), 0o644)?;
    let initrd = work.path().join("initrd");
    archive(&lab.host(), &initrd)?;
    archive(files.tree.path(), &initrd)?;
    let (console, serial) = (work.path().join("console"), work.path().join("serial"));
    let mut command = self::command(lab, &lab.vmlinuz(release)?, &initrd, &console, &serial);
    if clock == Clock::Instructions {
        command = command.args(["-icount", "shift=2,sleep=off"]);
    }
    let begun = Instant::now();
    let finished = follow(command, &serial, scenario, on_step)?;
    let wall = begun.elapsed();
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
    let (console, serial) = (read(&console).unwrap_or_default(), read(&serial).unwrap_or_default());
    let steps = steps(&serial, scenario);
    let complete = steps.len() == scenario.len() && serial.contains("\n@@done\n");
    if !finished.status.success() || !complete {
        bail!(
            "the machine ended with {:?} after {} of {} commands\n{}\nits console:\n{console}\nits serial port:\n{serial}",
            finished.status,
            steps.len(),
            scenario.len(),
            finished.stderr.text(),
        );
    }
    Ok(Transcript { steps, console, wall })
}

/// Appends `tree` to `target` as a cpio archive of the kind that kernels unpack; all of it owned by root.
pub fn archive(tree: &Path, target: &Path) -> Result<()> {
    let script = "find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --owner=0:0 --quiet";
    let packed = target.with_extension("part");
    let finished = ChildCommand::new("sh")
        .args(["-c", &format!("{script} > \"$1\""), "sh"])
        .arg(&packed)
        .current_dir(tree)
        .env_from_here("PATH")
        .run(&Limits::within(TIME_LIMIT), &Cancel::new())?;
    ensure!(finished.status.success(), "cpio: {}", finished.stderr.text());
    let mut to = fs::File::options().create(true).append(true).open(target)?;
    std::io::copy(&mut fs::File::open(&packed)?, &mut to)?;
    // Archives are read in units of 512 bytes; a kernel skips zeros between them.
    let len = to.metadata()?.len();
    to.write_all(&vec![0; usize::try_from(len.next_multiple_of(512) - len)?])?;
    Ok(fs::remove_file(packed)?)
}

/// The emulator of amd64, and what its machines have in common. `STAP_BUNDLE_EMULATOR` names another
/// program than Debian's.
///
/// Software emulation: hardware's isn't dependable in nested machines. Without cx16, because QEMU 7.2 spoils the flags in its
/// emulation of cmpxchg16b, and half of all boots of Linux 6.12 die of it.
#[must_use]
pub fn emulator(accelerator: &str) -> ChildCommand {
    let program = std::env::var_os("STAP_BUNDLE_EMULATOR").unwrap_or_else(|| "qemu-system-x86_64".into());
    bare(ChildCommand::new(program).args(["-cpu", "max,-cx16"]), accelerator)
}

fn bare(command: ChildCommand, accelerator: &str) -> ChildCommand {
    command
        .args(["-accel", accelerator, "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"])
        .env_from_here("PATH")
}

/// A machine with two serial ports: the kernel's, and the one that `tests/vm/init` reports on.
fn command(lab: &Lab, kernel: &Path, initrd: &Path, console: &Path, serial: &Path) -> ChildCommand {
    let (machine, second, port) = match lab.architecture() {
        Architecture::Amd64 => (emulator("tcg"), ["-serial", "chardev:second"], "ttyS0"),
        // The processor `max` signs pointers, which is slow to emulate; the board has one port of its own.
        Architecture::Arm64 => {
            let board =
                ChildCommand::new("qemu-system-aarch64").args(["-machine", "virt", "-cpu", "cortex-a57"]);
            (bare(board, "tcg"), ["-device", "pci-serial,chardev=second"], "ttyAMA0")
        }
    };
    machine
        .args(["-m", "1024", "-no-reboot", "-serial", &format!("file:{}", console.display())])
        .args(["-chardev", &format!("file,id=second,path={}", serial.display())])
        .args(second)
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", &format!("console={port} quiet panic=-1 mitigations=off")])
}

/// Runs the machine and tells of each step as soon as its end is in the serial port's file.
fn follow(
    command: ChildCommand,
    serial: &Path,
    scenario: &[&str],
    on_step: &mut dyn FnMut(&Step),
) -> Result<Finished> {
    let machine = std::thread::spawn(move || command.run(&Limits::within(TIME_LIMIT), &Cancel::new()));
    let mut told = 0;
    let mut tell = || {
        let text = fs::read(serial).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
        let steps = steps(&text.unwrap_or_default(), scenario);
        for step in steps.iter().skip(told) {
            on_step(step);
        }
        told = steps.len();
    };
    while !machine.is_finished() {
        tell();
        std::thread::sleep(POLL);
    }
    let finished =
        machine.join().map_err(|_| anyhow::anyhow!("the thread that follows the machine panicked"))??;
    tell();
    Ok(finished)
}

/// The steps that have come to their end.
fn steps(serial: &str, scenario: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = serial;
    for (number, command) in scenario.iter().enumerate() {
        let Some((_, after)) = rest.split_once(&format!("@@begin {number}\n")) else { break };
        let Some((output, after)) = after.split_once(&format!("\n@@end {number} ")) else { break };
        let Some((code, after)) = after.split_once('\n') else { break };
        let Ok(code) = code.trim().parse() else { break };
        steps.push(Step { command: (*command).to_owned(), output: output.to_owned(), code });
        rest = after;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_up_to_the_last_complete_one() {
        let serial = "@@begin 0\nhello\nworld\n\n@@end 0 0\n@@begin 1\n\n@@end 1 3\n@@begin 2\nhal";
        let steps = steps(serial, &["echo", "false", "echo"]);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].output.as_str(), steps[0].code), ("hello\nworld\n", 0));
        assert_eq!((steps[1].output.as_str(), steps[1].code), ("", 3));
    }
}
