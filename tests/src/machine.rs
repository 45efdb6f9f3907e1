//! A virtual machine with a disk and an init of its own: it boots as a host boots, and a test talks to it when it has.
//!
//! The disk is a layer over an image that stays as it is. A machine that has booted can be kept (memory, devices and
//! disk) and gone on with any number of times. Several boots of one machine are one run of the emulator: when the guest
//! reboots, of its own will or because its kernel panicked, the emulator resets.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use child::{Cancel, ChildCommand, ChildError, Ended, Finished, Limits};

use crate::firmware::Firmware;
use crate::hosts::Hosts;
use crate::lab::{Lab, Release};
use crate::vm::{self, Step};

/// A boot takes twenty seconds alone. On a machine that does other work as well it takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// After so long without a word the machine is nudged.
const SILENCE: Duration = Duration::from_secs(5);

/// How often it is looked for the emulator's sockets.
const POLL: Duration = Duration::from_millis(50);

/// The name under which a machine is kept in its disk.
const KEPT: &str = "kept";

/// A disk that can be written to, in a directory of its own.
#[derive(Debug)]
pub struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// A layer over `image`, which stays as it is.
    pub fn over(image: &Path) -> Result<Self> {
        let disk = Self { directory: tempfile::tempdir()? };
        let finished = ChildCommand::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
            .arg(image)
            .arg(disk.path())
            .env_from_here("PATH")
            .run(&Limits::within(PATIENCE), &Cancel::new())?;
        ensure!(finished.status.success(), "qemu-img: {}", finished.stderr.text());
        Ok(disk)
    }

    /// A file of its file system, which is all of the disk, as the next mount would find it.
    pub fn file(&self, path: &str) -> Result<PathBuf> {
        let raw = self.in_it("raw");
        let copy = self.in_it("file");
        let tool = |program: &str, arguments: &[&str], allowed: &[i32]| {
            let command =
                ChildCommand::new(program).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
            let finished = command.combined_output().run(&Limits::within(PATIENCE), &Cancel::new())?;
            let ended_well = matches!(finished.status, Ended::Code(code) if allowed.contains(&code));
            ensure!(ended_well, "{program}: {}", finished.stdout.text());
            Ok(())
        };
        let [disk, raw, copy_name] = [&self.path(), &raw, &copy].map(|path| path.display().to_string());
        tool("qemu-img", &["convert", "-O", "raw", &disk, &raw], &[0])?;
        // Of a machine that was cut the journal holds the last of it.
        tool("e2fsck", &["-fy", &raw], &[0, 1])?;
        tool("debugfs", &["-R", &format!("dump {path} {copy_name}"), &raw], &[0])?;
        ensure!(fs::metadata(&copy)?.len() > 0, "{path} isn't on the disk");
        fs::remove_file(raw)?;
        Ok(copy)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn in_it(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn copy(&self) -> Result<Self> {
        let copy = Self { directory: tempfile::tempdir()? };
        fs::copy(self.path(), copy.path())?;
        Ok(copy)
    }
}

/// What is booted.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) parameters: String,
    /// Where a firmware starts it, and not the emulator.
    pub(crate) firmware: Option<Firmware>,
}

impl Kernel {
    /// The kernel of a release of the lab.
    pub fn of(lab: &Lab, hosts: &Hosts, release: &Release) -> Result<Self> {
        Ok(Self {
            image: lab.vmlinuz(release)?,
            initrd: hosts.initrd(release),
            parameters: "console=ttyS0 quiet panic=-1 mitigations=off audit=0".to_owned(),
            firmware: None,
        })
    }

    /// With an initramfs that finds the root file system by itself.
    #[must_use]
    pub fn with_initrd(self, initrd: &Path) -> Self {
        let initrd = initrd.to_owned();
        Self { initrd, ..self }.with("root=/dev/vda rw")
    }

    /// With more on its command line.
    #[must_use]
    pub fn with(mut self, parameters: &str) -> Self {
        self.parameters = format!("{} {parameters}", self.parameters);
        self
    }
}

/// A machine that runs. Dropped, it is switched off.
#[derive(Debug)]
pub struct Machine {
    disk: Disk,
    emulator: Option<JoinHandle<Result<Finished, ChildError>>>,
    cancel: Cancel,
    port: BufReader<UnixStream>,
    monitor: UnixStream,
}

impl Machine {
    /// Boots `kernel` from `disk` and waits until its init has done its work.
    pub fn boot(kernel: &Kernel, disk: Disk) -> Result<Self> {
        let mut machine = Self::switch_on(kernel, disk, &[])?;
        machine.wait_until_ready()?;
        Ok(machine)
    }

    fn switch_on(kernel: &Kernel, disk: Disk, more: &[&str]) -> Result<Self> {
        let cancel = Cancel::new();
        let (command, token) = (emulator(kernel, &disk, more), cancel.clone());
        let emulator = std::thread::spawn(move || command.run(&Limits::default(), &token));
        let sockets = connect_both(&disk, &emulator);
        let machine = |(port, monitor)| Self {
            disk,
            emulator: Some(emulator),
            cancel,
            port: BufReader::new(port),
            monitor,
        };
        match sockets {
            Ok(sockets) => Ok(machine(sockets)),
            Err(error) => Err(machine(UnixStream::pair()?).failure(&error)),
        }
    }

    /// Runs one command line in the machine.
    pub fn run(&mut self, command: &str) -> Result<Step> {
        ensure!(!command.contains('\n'), "a command is one line");
        self.send(command)?;
        let mut output = String::new();
        loop {
            let line = self.line()?;
            if line == "@@begin\n" {
                output.clear();
            } else if let Some(code) = line.strip_prefix("@@end ") {
                let code = code.trim().parse().with_context(|| format!("exit code {code:?}"))?;
                output.pop();
                return Ok(Step { command: command.to_owned(), output, code });
            } else {
                output.push_str(&line);
            }
        }
    }

    /// Runs a command that must end with 0, and returns what it printed.
    pub fn ok(&mut self, command: &str) -> Result<String> {
        let step = self.run(command)?;
        ensure!(step.code == 0, "`{command}` ended with {}:\n{}", step.code, step.output);
        Ok(step.output)
    }

    /// Runs a command with which the machine goes down and boots again, and waits until it has.
    pub fn reboot(&mut self, command: &str) -> Result<()> {
        let before = self.ok("cat /proc/sys/kernel/random/boot_id")?;
        self.send(command)?;
        loop {
            if self.wait_until_ready()? != before.trim() {
                return Ok(());
            }
        }
    }

    /// Waits for the word of a machine that has booted; returns the id of that boot.
    fn wait_until_ready(&mut self) -> Result<String> {
        loop {
            let line = self.line()?;
            if let Some((_, id)) = line.split_once("@@ready ") {
                return Ok(id.trim().to_owned());
            }
        }
    }

    /// Keeps the machine as it is now, and switches it off.
    pub fn keep(mut self, kernel: &Kernel) -> Result<KeptMachine> {
        self.ok("sync")?;
        let said = self.ask_monitor(&format!("savevm {KEPT}"))?;
        ensure!(!said.contains("Error"), "the emulator: {said}");
        Ok(KeptMachine { disk: self.halt()?, kernel: kernel.clone() })
    }

    /// Has the machine shut down in good order.
    pub fn power_off(mut self) -> Result<Disk> {
        self.send("poweroff")?;
        while self.next_line()?.is_some() {}
        self.disk()
    }

    /// Switches the machine off as a power cut does, after what it has written is in the disk.
    pub fn halt(mut self) -> Result<Disk> {
        self.ok("sync")?;
        self.disk()
    }

    /// Switches it off as a power cut does: what it hasn't written by then is lost.
    pub fn cut(self) -> Result<Disk> {
        self.disk()
    }

    fn disk(mut self) -> Result<Disk> {
        self.switch_off();
        let none = Disk { directory: tempfile::tempdir()? };
        Ok(std::mem::replace(&mut self.disk, none))
    }

    fn switch_off(&mut self) {
        self.cancel.cancel();
        if let Some(emulator) = self.emulator.take() {
            let _ = emulator.join();
        }
    }

    fn send(&mut self, command: &str) -> Result<()> {
        let sent = writeln!(self.port.get_mut(), "{command}");
        sent.map_err(|error| self.failure(&anyhow!("sending `{command}`: {error}")))
    }

    fn line(&mut self) -> Result<String> {
        match self.next_line()? {
            Some(line) => Ok(line),
            None => Err(self.failure(&anyhow!("the machine has ended"))),
        }
    }

    /// The next line that the machine says; none once the emulator has ended.
    fn next_line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let begun = Instant::now();
        loop {
            match self.port.read_until(b'\n', &mut bytes) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) if error.kind() == ErrorKind::WouldBlock && begun.elapsed() < PATIENCE => {
                    // An emulator that is about to end has no monitor any more.
                    let _ = self.nudge();
                }
                Err(error) => {
                    let silence = begun.elapsed().as_secs();
                    return Err(self.failure(&anyhow!("no word of the machine for {silence} s: {error}")));
                }
            }
        }
    }

    /// A machine that was gone on with may forget to look at its clock while it has nothing to compute (seen with QEMU 7.2
    /// and a clock that counts instructions). Held and let go, it looks again.
    fn nudge(&mut self) -> Result<()> {
        for command in ["stop", "cont"] {
            self.ask_monitor(command)?;
        }
        Ok(())
    }

    /// Gives the emulator a command; returns what it says.
    fn ask_monitor(&mut self, command: &str) -> Result<String> {
        writeln!(self.monitor, "{command}")?;
        prompt(&mut self.monitor)
    }

    /// What went wrong, with all that the machine has said so far.
    fn failure(&mut self, what: &anyhow::Error) -> anyhow::Error {
        self.cancel.cancel();
        let ended = match self.emulator.take().map(JoinHandle::join) {
            Some(Ok(Ok(finished))) => format!("{:?} {}", finished.status, finished.stderr.text()),
            Some(Ok(Err(error))) => error.to_string(),
            _ => "nothing".to_owned(),
        };
        let console = fs::read(self.disk.in_it("console")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        anyhow!("{what:#}\nthe emulator: {ended}\nthe machine's console:\n{console}")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.switch_off();
    }
}

/// A machine that was kept.
#[derive(Debug)]
pub struct KeptMachine {
    disk: Disk,
    kernel: Kernel,
}

impl KeptMachine {
    /// Goes on with a copy of it.
    pub fn resume(&self) -> Result<Machine> {
        let mut machine = Machine::switch_on(&self.kernel, self.disk.copy()?, &["-loadvm", KEPT])?;
        machine.ok(&format!("date -s @{}", seconds_now()?))?;
        Ok(machine)
    }
}

fn seconds_now() -> Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

/// The guest's port, and the emulator's monitor at its prompt.
fn connect_both(
    disk: &Disk,
    emulator: &JoinHandle<Result<Finished, ChildError>>,
) -> Result<(UnixStream, UnixStream)> {
    let port = connect(&disk.in_it("port"), emulator)?;
    port.set_read_timeout(Some(SILENCE))?;
    let mut monitor = connect(&disk.in_it("monitor"), emulator)?;
    prompt(&mut monitor)?;
    Ok((port, monitor))
}

fn connect(socket: &Path, emulator: &JoinHandle<Result<Finished, ChildError>>) -> Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(port) => {
                port.set_read_timeout(Some(PATIENCE))?;
                return Ok(port);
            }
            Err(error) if emulator.is_finished() || begun.elapsed() > PATIENCE => {
                bail!("no connection to the machine: {error}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Reads what the emulator's monitor says up to its prompt.
fn prompt(monitor: &mut UnixStream) -> Result<String> {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"(qemu) ") {
        monitor.read_exact(&mut byte)?;
        said.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn emulator(kernel: &Kernel, disk: &Disk, more: &[&str]) -> ChildCommand {
    let socket = |name: &str, options: &str| {
        format!("socket,id={name},path={},server=on,{options}", disk.in_it(name).display())
    };
    let command = vm::emulator("tcg,tb-size=256")
        .args(["-m", "768"])
        // While the machine computes, its clock counts instructions. A busy machine around it takes none of its time, and
        // the check by which systemtap ends a script that takes more than its share isn't fooled.
        .args(["-icount", "shift=1,sleep=on,align=off"])
        // The image is a test's own: what the emulator has written needs to be in its file, not on this machine's disk.
        .arg("-drive")
        .arg(format!("file={},if=virtio,format=qcow2,cache=unsafe", disk.path().display()))
        .arg("-serial")
        .arg(format!("file:{}", disk.in_it("console").display()))
        // Nothing that the guest says may come before somebody listens.
        .args(["-chardev", &socket("port", "wait=on"), "-serial", "chardev:port"])
        .args(["-chardev", &socket("monitor", "wait=off"), "-mon", "chardev=monitor"])
        .args(more);
    match &kernel.firmware {
        Some(firmware) => firmware.start(command),
        None => command
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(&kernel.initrd)
            .args(["-append", &kernel.parameters]),
    }
}
