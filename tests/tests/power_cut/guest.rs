//! The machine that loses its power: a real kernel, ext4 on a virtio disk, the static host program.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use child::{Cancel, ChildCommand, ChildError, Ended, Finished, Limits};
use end_to_end::lab::{Lab, Release, repository};
use end_to_end::programs;
use end_to_end::vm;
use signing::SigningKey;

use crate::plan::{self, LAST, STORAGE, Step};

/// Emulation is slow and machines are shared.
const PATIENCE: Duration = Duration::from_secs(1200);
const POLL: Duration = Duration::from_millis(10);

/// Blocks of 4 KiB of the file system; behind it is room for the marks.
const BLOCKS: u64 = 8192;

/// Where the marks are, in bytes.
pub(crate) const MARKS: u64 = BLOCKS * 4096;

/// A host: its disk as it is before the first step, and what boots it.
pub(crate) struct Host {
    work: tempfile::TempDir,
    lab: Lab,
    pub(crate) release: Release,
}

/// A machine that runs.
pub(crate) struct Running {
    emulator: Option<JoinHandle<Result<Finished, ChildError>>>,
    cancel: Cancel,
    console: PathBuf,
    serial: PathBuf,
}

impl Host {
    /// A host with a kernel of that family, which believes the key of its bundles.
    pub(crate) fn new(family: &str) -> Self {
        Self::with_features(family, "")
    }

    /// The same whose file system has further features (`mke2fs -O`).
    pub(crate) fn with_features(family: &str, features: &str) -> Self {
        let lab = Lab::open().unwrap();
        let release = lab.bootable(family).unwrap().clone();
        let host = Self { work: tempfile::tempdir().unwrap(), lab, release };
        fs::create_dir(host.path("media")).unwrap();
        let key = SigningKey::generate().unwrap();
        fs::write(host.path("farm.pub"), key.public().to_pem().unwrap()).unwrap();
        for serial in STORAGE..=LAST {
            let bytes = plan::bundle(serial, &host.release.release, &key);
            fs::write(host.path("media").join(file_of(serial)), bytes).unwrap();
        }
        host.make_disk(features);
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// The disk before the first step.
    pub(crate) fn disk(&self) -> PathBuf {
        self.path("disk")
    }

    fn make_disk(&self, features: &str) {
        let tree = self.path("tree");
        let modules = format!("lib/modules/{}/kernel", self.release.release);
        for directory in ["proc", "run", "tmp", "etc", "var/cache", &modules] {
            fs::create_dir_all(tree.join(directory)).unwrap();
        }
        fs::write(tree.join("etc/hostname"), "airgap\n").unwrap();
        let (root, key) = (tree.display().to_string(), self.path("farm.pub").display().to_string());
        let program = programs::host().unwrap();
        let trust = ["--quiet", "--root", &root, "trust", "add", &key];
        programs::run_expecting(&program, self.work.path(), &trust, &[0]).unwrap();
        let file = fs::File::create(self.disk()).unwrap();
        file.set_len(MARKS + (1 << 20)).unwrap();
        let extended = "lazy_itable_init=0,lazy_journal_init=0";
        let mut made =
            ChildCommand::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "4096", "-E", extended]);
        if !features.is_empty() {
            made = made.args(["-O", features]);
        }
        let made = made
            .arg("-d")
            .arg(&tree)
            .arg(self.disk())
            .arg(BLOCKS.to_string())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let made = made.run(&Limits::within(PATIENCE), &Cancel::new()).unwrap();
        assert!(made.status.success(), "{}", made.stderr.text());
    }

    /// The first file system of a machine that takes the steps from number `first` on.
    fn initrd(&self, first: usize, steps: &[Step]) -> PathBuf {
        let tree = self.path("initrd-tree");
        let _ = fs::remove_dir_all(&tree);
        for directory in ["bin", "media"] {
            fs::create_dir_all(tree.join(directory)).unwrap();
        }
        let copy = |from: &Path, to: &str| fs::copy(from, tree.join(to)).unwrap();
        copy(&self.lab.host().join("bin/busybox"), "bin/busybox");
        copy(&programs::host().unwrap(), "stap-bundle");
        let init = fs::read_to_string(repository().join("tests/vm/power-cut-init")).unwrap();
        fs::write(tree.join("init"), init.replace("$MARKS", &BLOCKS.to_string())).unwrap();
        let script = "xz -dc \"$1\" > virtio_blk.ko && chmod 755 init stap-bundle bin/busybox";
        let driver = self.lab.vmlinuz(&self.release).unwrap().with_file_name("virtio_blk.ko.xz");
        let unpacked = ChildCommand::new("sh").args(["-c", script, "sh"]).arg(driver).current_dir(&tree);
        let unpacked = unpacked.env_from_here("PATH").run(&Limits::within(PATIENCE), &Cancel::new()).unwrap();
        assert!(unpacked.status.success(), "{}", unpacked.stderr.text());
        for entry in fs::read_dir(self.path("media")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), tree.join("media").join(entry.file_name())).unwrap();
        }
        let numbered = steps.iter().enumerate().skip(first);
        let lines: Vec<String> = numbered.map(|(number, step)| format!("{number} {}\n", step.line)).collect();
        for tool in fs::read_dir(self.path("tools")).into_iter().flatten() {
            let tool = tool.unwrap();
            fs::copy(tool.path(), tree.join(tool.file_name())).unwrap();
        }
        fs::write(tree.join("steps"), lines.concat()).unwrap();
        let initrd = self.path("initrd");
        let _ = fs::remove_file(&initrd);
        vm::archive(&tree, &initrd).unwrap();
        initrd
    }

    /// Boots it and takes the steps from number `first` on. What is written to `disk` goes to `log` too, if there is one.
    pub(crate) fn boot(&self, disk: &Path, log: Option<&Path>, first: usize, steps: &[Step]) -> Running {
        let (console, serial) = (self.path("console"), self.path("serial"));
        for file in [&console, &serial] {
            let _ = fs::remove_file(file);
        }
        let file = |path: &Path| format!("file:{}", path.display());
        let mut command = vm::emulator("tcg")
            .args(["-m", "512", "-no-reboot"])
            .args(["-serial", &file(&console), "-serial", &file(&serial)])
            .arg("-kernel")
            .arg(self.lab.vmlinuz(&self.release).unwrap())
            .arg("-initrd")
            .arg(self.initrd(first, steps))
            .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]);
        let disk = disk.display();
        command = match log {
            // TERM would be an orderly end, with all requests of the disk carried out; QUIT isn't handled.
            None => command
                .arg("-drive")
                .arg(format!("file={disk},if=virtio,format=raw,cache=writeback"))
                .asked_with_quit(PATIENCE),
            Some(log) => command
                .args(["-blockdev", &format!("node-name=file,driver=file,filename={disk}")])
                .args(["-blockdev", "node-name=raw,driver=raw,file=file"])
                .args(["-blockdev", &format!("node-name=log-file,driver=file,filename={}", log.display())])
                .args(["-blockdev", "node-name=log,driver=raw,file=log-file"])
                .args([
                    "-blockdev",
                    "node-name=disk,driver=blklogwrites,file=raw,log=log,log-sector-size=512",
                ])
                .args(["-device", "virtio-blk-pci,drive=disk"]),
        };
        let cancel = Cancel::new();
        let token = cancel.clone();
        let emulator = std::thread::spawn(move || command.run(&Limits::within(PATIENCE), &token));
        Running { emulator: Some(emulator), cancel, console, serial }
    }
}

/// The name of a bundle's file.
pub(crate) fn file_of(serial: u64) -> String {
    if serial == STORAGE { "storage.stapb".to_owned() } else { format!("fleet-{serial}.stapb") }
}

impl Running {
    /// How many steps have begun, and how many have ended.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let said = fs::read_to_string(&self.serial).unwrap_or_default();
        assert!(!said.contains("failed"), "{said}");
        // A line that isn't whole yet may have a number that isn't.
        let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let count = |word: &str| whole.lines().filter(|line| line.starts_with(word)).count();
        (count("begin "), count("end "))
    }

    /// Waits until `until` holds of the progress; the machine must not end before.
    pub(crate) fn wait(&self, until: &dyn Fn((usize, usize)) -> bool) {
        let begun = Instant::now();
        while !until(self.progress()) {
            let ended = self.emulator.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(!ended || until(self.progress()), "the machine has ended\n{}", self.said());
            assert!(begun.elapsed() < PATIENCE, "{}", self.said());
            std::thread::sleep(POLL);
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let finished = self.emulator.take().unwrap().join().unwrap().unwrap();
        assert!(finished.status.success(), "{}{}", finished.stderr.text(), self.said());
        finished.status
    }

    /// Kills the emulator at once; the steps that had begun and ended by then.
    pub(crate) fn kill(mut self) -> (usize, usize) {
        self.cancel.cancel();
        let finished = self.emulator.take().unwrap().join().unwrap().unwrap();
        assert!(matches!(finished.status, Ended::Cancelled | Ended::Code(0)), "{:?}", finished.status);
        self.progress()
    }

    fn said(&self) -> String {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        format!("its console:\n{}\nits serial port:\n{}", read(&self.console), read(&self.serial))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(emulator) = self.emulator.take() {
            let _ = emulator.join();
        }
    }
}
