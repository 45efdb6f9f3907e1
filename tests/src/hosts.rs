//! The hosts: trees that boot, made by `tests/lab/hosts.sh`, and what a test makes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use child::{Cancel, ChildCommand, Limits};

use crate::lab::{Release, repository};
use crate::programs;

/// Making the hosts takes a minute, and a package mirror may be slow.
const TIME_LIMIT: Duration = Duration::from_secs(1500);

/// Room for a root, modules and logs.
const DISK_SIZE: &str = "600M";

/// The program that starts everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// systemd, with its generator for init scripts.
    Systemd,
    /// System V's.
    Sysvinit,
}

/// The hosts as their script made them.
#[derive(Debug, Clone)]
pub struct Hosts {
    directory: PathBuf,
}

impl Hosts {
    /// Opens the hosts; makes them if they aren't there.
    pub fn open() -> Result<Self> {
        Ok(Self { directory: made_by("hosts.sh")? })
    }

    /// The first file system of a machine with a disk.
    #[must_use]
    pub fn initrd(&self, release: &Release) -> PathBuf {
        self.directory.join(format!("initrd-{}", release.release))
    }

    /// A tree with that init, to be copied.
    #[must_use]
    pub fn tree(&self, init: Init) -> PathBuf {
        self.directory.join(match init {
            Init::Systemd => "systemd",
            Init::Sysvinit => "sysvinit",
        })
    }
}

/// A program that makes initramfs images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageMaker {
    InitramfsTools,
    Dracut,
}

impl ImageMaker {
    /// A tree with systemd, that program and the lab's kernels, to be copied; made if it isn't there.
    pub fn tree(self) -> Result<PathBuf> {
        let made = made_by("onboot-hosts.sh")?;
        Ok(made.join(match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
        }))
    }
}

/// The directory that a script of the lab has made.
fn made_by(script: &str) -> Result<PathBuf> {
    let finished = ChildCommand::new("bash")
        .arg(repository().join("tests/lab").join(script))
        .arg("make")
        .inherit_environment()
        .run(&Limits::within(TIME_LIMIT), &Cancel::new())?;
    ensure!(finished.status.success(), "{script} make:\n{}", finished.stderr.text());
    Ok(PathBuf::from(finished.stdout.text().trim()))
}

/// The file system of a host that doesn't run yet.
#[derive(Debug)]
pub struct HostTree {
    directory: tempfile::TempDir,
}

impl HostTree {
    /// A copy of a tree.
    pub fn copy_of(tree: &Path) -> Result<Self> {
        let host = Self { directory: tempfile::tempdir()? };
        run(ChildCommand::new("cp").arg("-a").arg(tree.join(".")).arg(host.root()))?;
        Ok(host)
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// A path in it, given without the slash at its beginning.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Places the product in it as a package does.
    pub fn install_product(&self) -> Result<()> {
        make_install(self.root()).map(drop)
    }

    /// Enables the unit as a package's preset does, without the time limit that an emulated processor wouldn't keep.
    pub fn enable_unit(&self) -> Result<()> {
        self.chroot(&["systemctl", "preset", "stap-bundle.service"])?;
        let unit = fs::read_to_string(repository().join("packaging/stap-bundle.service"))?;
        let start =
            unit.lines().find(|line| line.starts_with("ExecStart=")).context("ExecStart= in the unit")?;
        ensure!(start.ends_with(" --timeout 120"), "{start}");
        let drop_in = format!("[Service]\nExecStart=\n{}\n", start.replace("120", "1800"));
        self.write("etc/systemd/system/stap-bundle.service.d/slow.conf", drop_in.as_bytes(), 0o644)
    }

    /// Makes a kernel count as installed.
    pub fn add_kernel(&self, release: &Release) -> Result<()> {
        fs::create_dir_all(self.path("usr/lib/modules").join(&release.release).join("kernel"))?;
        Ok(())
    }

    /// Writes a file.
    pub fn write(&self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let target = self.path(path);
        fs::create_dir_all(target.parent().context("a path in the host")?)?;
        fs::write(&target, bytes)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Runs a program of the host's own in it, as an installer does.
    pub fn chroot(&self, arguments: &[&str]) -> Result<()> {
        run(ChildCommand::new("chroot").arg(self.root()).args(arguments)).map(drop)
    }

    /// Runs a line of shell in it, with /proc, /sys and /dev; returns what it printed.
    pub fn shell(&self, line: &str) -> Result<String> {
        let mounts = r#"mount -t proc proc "$0/proc" && mount -t sysfs sysfs "$0/sys" && mount --rbind /dev "$0/dev" && exec chroot "$0" /bin/sh -c "$1""#;
        run(ChildCommand::new("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-c", mounts])
            .arg(self.root())
            .arg(line)
            .env("TMPDIR", "/var/tmp"))
    }

    /// Runs the host program with `--root`; returns what it printed.
    pub fn stap_bundle(&self, arguments: &[&str]) -> Result<String> {
        let root = self.root().display().to_string();
        let arguments = [&["--root", &root], arguments].concat();
        let finished = programs::run_expecting(&programs::host()?, Path::new("/"), &arguments, &[0])?;
        Ok(finished.stdout.text())
    }

    /// Makes a disk of it.
    pub fn image(&self, file: &Path) -> Result<()> {
        let _ = fs::remove_file(file);
        run(ChildCommand::new("mke2fs")
            .args(["-q", "-t", "ext4", "-m", "0", "-d"])
            .arg(self.root())
            .arg(file)
            .arg(DISK_SIZE))
        .map(drop)
    }
}

/// `make install DESTDIR=` with the host program under test; returns what it said.
pub fn make_install(destination: &Path) -> Result<String> {
    make_install_of("host", destination)
}

/// As [`make_install`], of the program for hosts (`host`) or the full one (`farm`).
pub fn make_install_of(role: &str, destination: &Path) -> Result<String> {
    let command = ChildCommand::new("make")
        .args(["--no-print-directory", "install"])
        .arg(format!("DESTDIR={}", destination.display()))
        .arg(format!("ROLE={role}"))
        .current_dir(repository())
        .inherit_environment();
    run(command)
}

fn run(command: ChildCommand) -> Result<String> {
    let command = command.combined_output();
    // Programs of /sbin, too; a user's PATH may lack it.
    let command = match std::env::var("PATH") {
        Ok(path) => command.env("PATH", format!("{path}:/usr/sbin:/sbin")),
        Err(_) => command,
    };
    let finished = command.run(&Limits::within(TIME_LIMIT), &Cancel::new())?;
    let said = finished.stdout.text();
    ensure!(finished.status.success(), "{command} ended with {:?}:\n{said}", finished.status);
    Ok(said)
}
