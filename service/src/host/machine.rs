//! Where this host keeps what the service looks at, and how patient the service is with it.
//!
//! Everything that reads or changes the machine goes through a [`Host`], so a test can point it at a
//! directory with a made-up `/proc`. All paths but one are looked up beneath the host's own root, so that none of them leads
//! out of what `--root` names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use child::Cancel;
use files::{FileError, FileSystem};
use script_config::GlobalParameters;

use crate::host::error::ServiceError;

/// Most bytes of a file of `/proc` or `/sys` that are read: 10,000 loaded modules take 1 MB.
const MAX_KERNEL_TEXT: u64 = 4 << 20;

/// The file in the service's directory below `/run` that takes the lines of a start in the initramfs.
pub(crate) const EARLY_LOG: &str = "onboot.log";

/// The machine as the service sees it.
#[derive(Debug)]
pub struct Host {
    /// Its file system; paths here are looked up beneath its root.
    pub files: FileSystem,
    /// Where the kernel tells about modules and the boot: `/proc`.
    pub proc_dir: PathBuf,
    /// Where the kernel tells about processes, on this very machine: `/proc` too; signals always go to real processes.
    pub process_dir: PathBuf,
    /// Lockdown, signature enforcement and debugfs: `/sys`.
    pub sys_dir: PathBuf,
    /// What the service remembers until the next boot: `/run/stap-bundle`.
    pub run_dir: PathBuf,
    /// Where kernels have their modules: `/lib/modules`.
    pub modules_dir: PathBuf,
    /// What is remembered from boot to boot: `/var/lib/stap-bundle/state`.
    pub state_dir: PathBuf,
    /// Records of modules that were compiled on this host: `/var/lib/stap-bundle/local`.
    pub local_dir: PathBuf,
    /// The initscript's `STAT_PATH`: `/var/run/systemtap` (INIT-FILE-05).
    pub stat_dir: PathBuf,
    /// The initscript's `LOG_FILE`: `/var/log/systemtap.log` (INIT-FILE-06).
    pub log_file: PathBuf,
    /// The initscript's `CACHE_PATH`, with one directory for each kernel release: `/var/cache/systemtap` (INIT-FILE-04).
    pub cache_dir: PathBuf,
    /// Whether modules in the cache are scripts too: `ALLOW_CACHEONLY`.
    pub cache_only: bool,
    /// Where scripts are, if they are on this host: `SCRIPT_PATH`.
    pub script_dir: PathBuf,
    /// Where the system's log listens: `/dev/log`, a datagram socket of syslogd or journald.
    pub syslog: PathBuf,
    /// Where the kernel takes lines for its log: `/dev/kmsg`.
    pub kernel_log: PathBuf,
    /// A given `staprun`, for tests; otherwise the first of the usual places that has one, and only one that nobody but root
    /// could have put there.
    pub staprun: Option<PathBuf>,
    /// Where packages put `stapio`, the process that `staprun` becomes or leaves behind.
    pub stapio: Vec<PathBuf>,
    /// Further variables for `staprun`, which otherwise gets `PATH` and `LC_ALL=C` only.
    pub staprun_environment: Vec<(OsString, OsString)>,
    /// How long things may take.
    pub patience: Patience,
    pub clock: fn() -> SystemTime,
    /// Set to end early: running `staprun`s are stopped, nothing more is begun.
    pub cancel: Cancel,
    /// Why the first line that couldn't be logged couldn't.
    pub(crate) unlogged: OnceLock<String>,
}

/// How long the service waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one `staprun`, and once more for the daemon that it leaves behind to say that the script runs. Loading takes 0.7 s on
    /// an emulated machine, and twenty seconds with nineteen others; a wedged one must not hold up a boot.
    pub staprun: Duration,
    /// For a loaded script's own state file to say that it runs, where no process is known that works on it.
    pub confirm: Duration,
    /// For a module to vanish after `staprun -d`, or after its stapio was asked to end (INIT-STOP-03: 10 rounds of 1 s).
    pub unload: Duration,
    /// For another start or stop to let go of the lock.
    pub lock: Duration,
}

/// Where `stapio` is, by package: Debian and Arch, Debian's of an architecture, Fedora and `SUSE`, and systemtap's own `make install`.
fn stapio_places() -> impl Iterator<Item = String> {
    let of_debian = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let usual = ["usr/lib", "usr/lib64", "usr/libexec", "usr/local/lib", "usr/local/libexec"];
    usual.map(str::to_owned).into_iter().chain([of_debian]).map(|prefix| format!("{prefix}/systemtap/stapio"))
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            staprun: Duration::from_secs(60),
            confirm: Duration::from_secs(3),
            unload: Duration::from_secs(10),
            lock: Duration::from_secs(30),
        }
    }
}

impl Host {
    /// A machine with the initscript's default paths.
    #[must_use]
    pub fn of(files: FileSystem) -> Self {
        Self {
            proc_dir: "/proc".into(),
            process_dir: "/proc".into(),
            sys_dir: "/sys".into(),
            run_dir: "/run/stap-bundle".into(),
            modules_dir: "/lib/modules".into(),
            state_dir: "/var/lib/stap-bundle/state".into(),
            local_dir: "/var/lib/stap-bundle/local".into(),
            stat_dir: "/var/run/systemtap".into(),
            log_file: "/var/log/systemtap.log".into(),
            cache_dir: "/var/cache/systemtap".into(),
            cache_only: false,
            script_dir: "/etc/systemtap/script.d".into(),
            syslog: "/dev/log".into(),
            kernel_log: "/dev/kmsg".into(),
            staprun: None,
            stapio: stapio_places().map(|place| files.path().join(place)).collect(),
            staprun_environment: Vec::new(),
            patience: Patience::default(),
            clock: SystemTime::now,
            cancel: Cancel::new(),
            unlogged: OnceLock::new(),
            files,
        }
    }

    /// A machine in a directory that goes with the value.
    #[cfg(test)]
    pub(crate) fn temporary() -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Self::of(FileSystem::open(dir.path()).expect("the directory"));
        (dir, host)
    }

    /// The same with the host's own `STAT_PATH`, `LOG_FILE`, `CACHE_PATH`, `ALLOW_CACHEONLY` and
    /// `SCRIPT_PATH`.
    #[must_use]
    pub fn configured(files: FileSystem, parameters: &GlobalParameters) -> Self {
        Self {
            stat_dir: parameters.stat_path.clone(),
            log_file: parameters.log_file.clone(),
            cache_dir: parameters.cache_path.clone(),
            cache_only: parameters.allow_cache_only,
            script_dir: parameters.script_path.clone(),
            ..Self::of(files)
        }
    }

    /// The same in an initramfs, whose `/var` is gone when the root file system takes over: what tools of the original look for, and the
    /// log, are in `/run`.
    #[must_use]
    pub fn before_root(self) -> Self {
        // No boot waits for one script as long as a host would.
        let seconds = Duration::from_secs;
        let patience =
            Patience { staprun: seconds(10), confirm: seconds(2), unload: seconds(1), lock: seconds(2) };
        Self { stat_dir: "/run/systemtap".into(), log_file: self.run_dir.join(EARLY_LOG), patience, ..self }
    }

    /// Where a path of the host is on this machine: for other programs, and for commands in messages.
    #[must_use]
    pub fn on_this_machine(&self, path: &Path) -> PathBuf {
        self.files.path().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Seconds since 1970, by the host's clock; 0 for a clock before that.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.clock)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// The id that the kernel gave this boot.
    pub fn boot_id(&self) -> Result<String, ServiceError> {
        Ok(self.kernel_text(&self.proc_dir.join("sys/kernel/random/boot_id"))?.trim().to_owned())
    }

    /// A file of `/proc` or `/sys`.
    pub(crate) fn kernel_text(&self, path: &Path) -> Result<String, FileError> {
        let bytes = self.files.read_file(path, MAX_KERNEL_TEXT)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(parameters: &GlobalParameters) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::configured(FileSystem::open(dir.path()).unwrap(), parameters);
        (dir, host)
    }

    #[test]
    fn init_file_05_the_configuration_moves_status_files_and_log() {
        let mut parameters = GlobalParameters::default();
        let (dir, plain) = host(&parameters);
        let usual = Host::of(FileSystem::open(dir.path()).unwrap());
        assert_eq!((plain.stat_dir, plain.log_file), (usual.stat_dir, usual.log_file));
        parameters.stat_path = "/srv/stat".into();
        let (dir, moved) = host(&parameters);
        assert_eq!(moved.stat_dir, Path::new("/srv/stat"));
        assert_eq!(moved.on_this_machine(&moved.stat_dir), dir.path().join("srv/stat"));
    }

    #[test]
    fn a_missing_boot_id_names_its_file() {
        let (_dir, host) = host(&GlobalParameters::default());
        assert_eq!(host.boot_id().unwrap_err().to_string(), "can't open /proc/sys/kernel/random/boot_id");
    }
}
