//! The bubblewrap sandbox in which everything of a sysroot runs.
//!
//! What a process inside sees: the sysroot, read-only; its work directory at `/mnt`, writable; a private `/tmp`, in memory
//! or where the initscript's `TEMP_PATH` says; fresh
//! `/proc` and `/dev`; no network; an environment that is the same on every farm.
//!
//! As root, bubblewrap's user namespace would map root inside to root outside, so that whatever is writable could be
//! written as root (measured). Hence a real unprivileged user first (`setpriv`), then bubblewrap as that user. Where
//! user namespaces are forbidden, bubblewrap fails, and so do we: there is no fallback without a sandbox.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use child::{ChildCommand, ChildError, Program};

use crate::directories::JobDirectory;
use crate::sysroot::{Sysroot, WORK_MOUNT};

/// User and group under which jobs run when we are root: "nobody" on every distribution. It owns nothing.
pub const UNPRIVILEGED_ID: u32 = 65534;

/// Where a job finds the `SYSTEMTAP_DIR` of its warm-up key.
pub(crate) const STAP_DIRECTORY: &str = "stapdir";

/// The environment inside. Part of every cache key: fixed locale, time zone, HOME and paths, and one thread, without
/// which systemtap numbers probes in the order in which threads happen to run.
///
/// (A leader may have more threads: what it makes is the same in other bytes.)
pub(crate) const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/mnt"),
    ("SYSTEMTAP_DIR", "/mnt/stapdir"),
    ("STAP_NTHREADS", "1"),
    ("LC_ALL", "C.UTF-8"),
    ("TZ", "UTC"),
];

/// The file below the work directory that says which processors there are, where that is to be one.
pub(crate) const ONE_PROCESSOR: &str = "one-processor";

/// Where the C library looks how many processors there are (`get_nprocs` of glibc, which asks for the affinity last: measured
/// with 2.41).
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Where a compile server's client keeps what it sends and is sent, below the work directory.
pub(crate) const CLIENT_TEMPORARY: &str = "client";

/// What the environment of a compile server's client has besides. A farm that loads signed modules only mustn't ask the server
/// to sign (CLIENT-07): modules are for other hosts.
const CLIENT_ENVIRONMENT: [(&str, &str); 2] = [("TMPDIR", "/mnt/client"), ("SYSTEMTAP_NOSIGN", "1")];

/// The variable of [`ENVIRONMENT`] that leaders change.
const THREADS: &str = "STAP_NTHREADS";

/// What a process inside finds, besides its own `/proc`, `/dev` and `/tmp`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inside<'a> {
    pub sysroot: &'a Sysroot,
    pub work: &'a JobDirectory,
    /// The `SYSTEMTAP_DIR`.
    pub stap_directory: Option<&'a Path>,
    /// Directories of this machine, to be seen at the same paths.
    pub shown: &'a [PathBuf],
    /// Largest size of a `/tmp` in memory, in bytes.
    pub memory: Option<u64>,
    /// Threads that stap may use; 1 for everything whose bytes count.
    pub threads: usize,
    /// Whether programs find one processor: the work directory has [`ONE_PROCESSOR`] then.
    pub one_processor: bool,
}

impl<'a> Inside<'a> {
    /// A sysroot and a work directory, and nothing else.
    pub(crate) fn new(sysroot: &'a Sysroot, work: &'a JobDirectory) -> Self {
        Self {
            sysroot,
            work,
            stap_directory: None,
            shown: &[],
            memory: None,
            threads: 1,
            one_processor: false,
        }
    }
}

/// The programs that make the sandbox.
#[derive(Debug, Clone)]
pub struct Sandbox {
    bwrap: Program,
    /// Present if we are root.
    setpriv: Option<Program>,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A program is missing.
    #[error("the sandbox needs {program}: the Debian package {package} would bring it")]
    Missing {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// Where it was looked for.
        source: ChildError,
    },
    /// The unprivileged user can't get to a directory that jobs work in.
    #[error("jobs run as user {UNPRIVILEGED_ID}, who can't pass {closed} on the way to {directory}")]
    Unreachable {
        /// The directory that jobs need.
        directory: PathBuf,
        /// The first directory on the way that is closed to others.
        closed: PathBuf,
    },
    /// A directory for jobs can't be made or given to the unprivileged user.
    #[error("work directory {path} can't be prepared")]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Sandbox {
    /// Finds the programs along PATH.
    pub fn find() -> Result<Self, SandboxError> {
        let find = |program: &'static str, package: &'static str| {
            Program::find(program).map_err(|source| SandboxError::Missing { program, package, source })
        };
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self {
            bwrap: find("bwrap", "bubblewrap")?,
            setpriv: if is_root { Some(find("setpriv", "util-linux")?) } else { None },
        })
    }

    #[cfg(test)]
    pub(crate) fn without_user_change() -> Self {
        Self { bwrap: Program::find("/bin/sh").unwrap(), setpriv: None }
    }

    /// Makes `path` a directory that a sandboxed process may write to.
    pub(crate) fn prepare_directory(&self, path: &Path) -> Result<(), SandboxError> {
        let prepare = || {
            fs::create_dir_all(path)?;
            if self.setpriv.is_some() {
                chown(path, Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID))?;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        };
        prepare().map_err(|source| SandboxError::Prepare { path: path.to_owned(), source })
    }

    /// Makes a file one that a sandboxed process may write to.
    pub(crate) fn give_file(&self, path: &Path) -> Result<(), SandboxError> {
        let give = || {
            if self.setpriv.is_some() {
                chown(path, Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID))?;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        };
        give().map_err(|source| SandboxError::Prepare { path: path.to_owned(), source })
    }

    /// Checks that the user of jobs can get to `directory` from outside (root's own home is closed, for one).
    pub(crate) fn check_reachable(&self, directory: &Path) -> Result<(), SandboxError> {
        if self.setpriv.is_none() {
            return Ok(());
        }
        match first_closed(directory) {
            Some(closed) => Err(SandboxError::Unreachable { directory: directory.to_owned(), closed }),
            None => Ok(()),
        }
    }

    /// Gives the user of jobs the right to read a private directory and the files in it, and nobody else.
    pub(crate) fn let_read(&self, directory: &Path) -> Result<(), SandboxError> {
        let give = |path: &Path, mode: u32| {
            if self.setpriv.is_some() {
                chown(path, None, Some(UNPRIVILEGED_ID))?;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        };
        let give_all = || {
            for entry in fs::read_dir(directory)? {
                give(&entry?.path(), 0o440)?;
            }
            give(directory, 0o750)
        };
        give_all().map_err(|source| SandboxError::Prepare { path: directory.to_owned(), source })
    }

    /// The command that runs `argv` where only this machine's programs and `readable`, at `mount`, are to be seen. Nothing
    /// can be written but the command's own output, and the environment is empty.
    pub(crate) fn reading_command(&self, readable: &Path, mount: &str, argv: &[&str]) -> ChildCommand {
        let command = programs_of(self.outer_command(), Path::new("/"));
        command
            // Debian's `awk` and its like are links through there.
            .args(["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"])
            .args(["--proc", "/proc", "--dev", "/dev", "--ro-bind"])
            .arg(readable)
            .args([mount, "--remount-ro", "/dev", "--remount-ro", "/"])
            // A value mustn't depend on the farm's name.
            .args(["--unshare-all", "--hostname", "localhost", "--die-with-parent", "--new-session"])
            .args(["--clearenv", "--chdir", "/"])
            .args(argv)
    }

    /// The command that runs a compile server's client: `argv` with the programs of a sysroot, the work directory at `/mnt`,
    /// and `sent`, each a path and where it is inside, to be read.
    ///
    /// It has this machine's network, for a server may be anywhere; and for that reason little else: no configuration of sysroot
    /// or machine (the server is given by its number, so no name is looked up), no build tree, none of stap's caches, and an
    /// `/etc` that is empty. What it runs is the sysroot's own `stap`, `zip` and `unzip`; a script isn't compiled here, only sent.
    pub(crate) fn client_command(
        &self,
        inside: &Inside<'_>,
        sent: &[(PathBuf, String)],
        argv: &[String],
    ) -> ChildCommand {
        let work_mount = format!("/{WORK_MOUNT}");
        let mut command = programs_of(self.outer_command(), inside.sysroot.path());
        command = command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind"]);
        command = command.arg(inside.work.path()).arg(&work_mount);
        for (path, place) in sent {
            command = command.arg("--ro-bind").arg(path).arg(place);
        }
        command = command.args(["--remount-ro", "/", "--unshare-all", "--share-net", "--die-with-parent"]);
        command = command.args(["--new-session", "--clearenv"]);
        for (name, value) in ENVIRONMENT.into_iter().chain(CLIENT_ENVIRONMENT) {
            command = command.args(["--setenv", name, value]);
        }
        command.args(["--chdir", &work_mount]).args(argv)
    }

    /// The programs that make the sandbox, up to the options of bubblewrap.
    fn outer_command(&self) -> ChildCommand {
        let id = UNPRIVILEGED_ID.to_string();
        match &self.setpriv {
            Some(setpriv) => ChildCommand::of(setpriv)
                .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
                .arg(self.bwrap.path()),
            None => ChildCommand::of(&self.bwrap),
        }
    }

    /// The command that runs `argv` in a sysroot, with the work directory at `/mnt`.
    pub(crate) fn command(&self, inside: &Inside<'_>, argv: &[String]) -> ChildCommand {
        let Inside { sysroot, work, stap_directory, shown, memory, threads, one_processor } = *inside;
        let work_mount = format!("/{WORK_MOUNT}");
        let mut command =
            mounted(self.outer_command(), sysroot.path(), shown).args(["--proc", "/proc", "--dev", "/dev"]);
        command = match (work.temporary(), memory) {
            (Some(directory), _) => command.arg("--bind").arg(directory).arg("/tmp"),
            (None, Some(bytes)) => command.args(["--size", &bytes.to_string(), "--tmpfs", "/tmp"]),
            (None, None) => command.args(["--tmpfs", "/tmp"]),
        };
        command = command.arg("--bind").arg(work.path()).arg(&work_mount);
        if let Some(directory) = stap_directory {
            command = command.arg("--bind").arg(directory).arg(format!("{work_mount}/{STAP_DIRECTORY}"));
        }
        if one_processor {
            command = command.args(["--tmpfs", "/sys", "--dir", PROCESSORS, "--ro-bind"]);
            command = command.arg(work.path().join(ONE_PROCESSOR)).arg(format!("{PROCESSORS}/online"));
        }
        // What a compile writes mustn't depend on the farm's name.
        command = command.args(["--unshare-all", "--hostname", "localhost", "--die-with-parent"]);
        command = command.args(["--new-session", "--clearenv"]);
        let threads = threads.to_string();
        for (name, value) in ENVIRONMENT {
            command = command.args(["--setenv", name, if name == THREADS { &threads } else { value }]);
        }
        command.args(["--chdir", &work_mount]).args(argv)
    }
}

/// Mounts the programs and libraries of `root`, read-only, and nothing else of it.
fn programs_of(command: ChildCommand, root: &Path) -> ChildCommand {
    let mut command = command.arg("--ro-bind").arg(root.join("usr")).arg("/usr");
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let (from, path) = (root.join(name), format!("/{name}"));
        command = match fs::symlink_metadata(&from) {
            Ok(metadata) if metadata.is_symlink() => {
                command.args(["--symlink", &format!("usr/{name}"), &path])
            }
            Ok(_) => command.arg("--ro-bind").arg(from).arg(path),
            Err(_) => command,
        };
    }
    command
}

/// Mounts `root` read-only, and in it the directories `shown`, which it may not have.
///
/// Nothing can be mounted where the root has no directory, so the way to each of them is laid out anew: what stands beside
/// it is mounted piece by piece.
fn mounted(command: ChildCommand, root: &Path, shown: &[PathBuf]) -> ChildCommand {
    let shown: Vec<&Path> = shown
        .iter()
        .filter_map(|path| path.strip_prefix("/").ok())
        .filter(|path| !root.join(path).is_dir())
        .collect();
    if shown.is_empty() {
        return command.arg("--ro-bind").arg(root).arg("/");
    }
    let mut command = beside(command, root, Path::new(""), &shown);
    for path in shown {
        let whole = Path::new("/").join(path);
        command = command.arg("--ro-bind").arg(&whole).arg(&whole);
    }
    command
}

/// Mounts what is in `directory` of the root, and goes down where a shown directory lies below.
fn beside(mut command: ChildCommand, root: &Path, directory: &Path, shown: &[&Path]) -> ChildCommand {
    let mut names: Vec<PathBuf> = fs::read_dir(root.join(directory))
        .map(|entries| entries.flatten().map(|entry| directory.join(entry.file_name())).collect())
        .unwrap_or_default();
    names.sort();
    for inside in names {
        let (host, target) = (root.join(&inside), Path::new("/").join(&inside));
        let link = fs::read_link(&host).ok();
        if let Some(link) = link {
            command = command.arg("--symlink").arg(link).arg(target);
        } else if shown.iter().any(|path| path.starts_with(&inside)) {
            command = beside(command.arg("--dir").arg(target), root, &inside, shown);
        } else if !MADE_ANEW.iter().any(|name| inside == Path::new(name)) {
            command = command.arg("--ro-bind").arg(host).arg(target);
        } else {
            command = command.arg("--dir").arg(target);
        }
    }
    command
}

/// Directories of a root over which others are mounted.
const MADE_ANEW: [&str; 4] = ["proc", "dev", "tmp", WORK_MOUNT];

/// Whether this output is the sandbox's own complaint and not that of the program inside.
pub(crate) fn is_sandbox_failure(output: &str) -> bool {
    output.lines().next().is_some_and(|line| line.starts_with("bwrap: ") || line.starts_with("setpriv: "))
}

/// The first directory on the way to `directory` that others may not pass. What doesn't exist yet will be made passable.
pub(crate) fn first_closed(directory: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = directory.ancestors().collect();
    way.reverse();
    way.into_iter()
        .find(|part| fs::metadata(part).is_ok_and(|metadata| metadata.mode() & 0o001 == 0))
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directories::BuildDirectories;
    use crate::testing::fake_sysroot;

    #[test]
    fn the_command_line_is_the_one_that_was_seen_working() {
        let root = fake_sysroot(&[]);
        let base = tempfile::tempdir().unwrap();
        let sysroot = Sysroot::open(root.path()).unwrap();
        let directories = BuildDirectories::beneath(&base.path().join("cache"));
        directories.prepare(&Sandbox::without_user_change()).unwrap();
        let sandbox = Sandbox {
            bwrap: Program::find("/bin/sh").unwrap(),
            setpriv: Some(Program::find("/bin/sh").unwrap()),
        };
        let argv = ["stap".to_owned(), "-p4".to_owned()];
        let line = |directories: &BuildDirectories| {
            let work = directories.new_work(&Sandbox::without_user_change()).unwrap();
            let inside = Inside { stap_directory: Some(Path::new("/warm")), ..Inside::new(&sysroot, &work) };
            let line = sandbox.command(&inside, &argv).display();
            line.replace(work.path().to_str().unwrap(), "/w")
                .replace(work.temporary().unwrap_or(Path::new("/none")).to_str().unwrap(), "/t")
        };
        let expected = |tmp: &str| {
            format!(
                "/bin/sh --reuid 65534 --regid 65534 --clear-groups /bin/sh --ro-bind {} / --proc /proc --dev /dev \
                 {tmp} --bind /w /mnt --bind /warm /mnt/stapdir --unshare-all --hostname localhost \
                 --die-with-parent --new-session --clearenv --setenv PATH /usr/bin:/bin --setenv HOME /mnt --setenv SYSTEMTAP_DIR /mnt/stapdir \
                 --setenv STAP_NTHREADS 1 --setenv LC_ALL C.UTF-8 --setenv TZ UTC --chdir /mnt stap -p4",
                sysroot.path().display()
            )
        };
        assert_eq!(line(&directories), expected("--tmpfs /tmp"));
        let work = directories.new_work(&Sandbox::without_user_change()).unwrap();
        let alone = Inside { one_processor: true, ..Inside::new(&sysroot, &work) };
        let processors = format!(
            "--tmpfs /sys --dir /sys/devices/system/cpu --ro-bind {}/one-processor /sys/devices/system/cpu/online",
            work.path().display()
        );
        assert!(sandbox.command(&alone, &argv).display().contains(&processors));
        let elsewhere = directories.with_temporary(&base.path().join("temp"));
        elsewhere.prepare(&Sandbox::without_user_change()).unwrap();
        assert_eq!(line(&elsewhere), expected("--bind /t /tmp"));
    }

    #[test]
    fn a_directory_that_the_root_lacks_is_shown_at_its_own_path() {
        let root = fake_sysroot(&[]);
        let base = root.path().display().to_string();
        fs::create_dir_all(root.path().join("srv/other")).unwrap();
        let line = |shown: &str| {
            let command = mounted(ChildCommand::new("bwrap"), root.path(), &[PathBuf::from(shown)]);
            command.display().replace(&base, "ROOT")
        };
        assert_eq!(line("/usr/share"), "bwrap --ro-bind ROOT /");
        assert_eq!(
            line("/srv/tree/x"),
            "bwrap --symlink usr/lib /lib --dir /mnt --dir /srv --ro-bind ROOT/srv/other /srv/other \
             --ro-bind ROOT/usr /usr --ro-bind /srv/tree/x /srv/tree/x"
        );
    }

    #[test]
    fn a_closed_directory_on_the_way_is_found() {
        let base = tempfile::tempdir().unwrap();
        let closed = base.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(first_closed(&base.path().join("open/later")), None);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(first_closed(&closed.join("below")), Some(closed));
    }

    #[test]
    fn the_sandbox_own_complaints_are_told_from_those_of_stap() {
        assert!(is_sandbox_failure("bwrap: No permissions to create new namespace\n"));
        assert!(is_sandbox_failure("setpriv: setresuid failed\nmore"));
        assert!(!is_sandbox_failure("semantic error: bwrap: nothing\n"));
        assert!(!is_sandbox_failure(""));
    }

    /// The reason for `setpriv`: with bubblewrap alone, root outside could write this file.
    #[cfg(feature = "lab-tests")]
    #[test]
    fn a_root_owned_file_on_a_writable_mount_is_not_written() {
        use child::{Cancel, Limits};

        assert!(rustix::process::geteuid().is_root(), "this test must be run as root");
        // Not the default place for temporary files: bubblewrap puts a fresh one over /tmp.
        let base = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let sandbox = Sandbox::find().unwrap();
        let directories = BuildDirectories::beneath(base.path());
        directories.prepare(&sandbox).unwrap();
        let work = directories.new_work(&sandbox).unwrap();
        let precious = work.path().join("precious");
        fs::write(&precious, "before").unwrap();
        let script =
            "id -u; echo own > own; echo after > precious; echo x > /usr/x; cat /proc/net/dev | wc -l";
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let sysroot = Sysroot::open(Path::new("/")).unwrap();
        let command = sandbox.command(&Inside::new(&sysroot, &work), &argv).combined_output();
        let output = command.run(&Limits::default(), &Cancel::new()).unwrap().stdout.text();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "before", "{output}");
        assert_eq!(fs::read_to_string(work.path().join("own")).unwrap(), "own\n", "{output}");
        assert_eq!(fs::metadata(work.path().join("own")).unwrap().uid(), UNPRIVILEGED_ID);
        assert!(output.starts_with("65534\n") && output.contains("Permission denied"), "{output}");
        assert!(output.contains("Read-only file system") && output.trim_end().ends_with("\n3"), "{output}");
    }
}
