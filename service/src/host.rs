//! Where this host keeps what the service looks at, and how patient the service is with it.
//!
//! Everything that reads or changes the machine goes through a [`Host`], so a test can point it at a
//! directory with a made-up `/proc`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use child::Cancel;
use script_config::GlobalParameters;

use crate::error::PathContext;
use crate::{ServiceError, log};

/// The machine as the service sees it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where the kernel tells about modules and the boot: `/proc`.
    pub proc_dir: PathBuf,
    /// Where the kernel tells about processes: `/proc` too; signals always go to real processes.
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
    /// Where scripts are, if they are on this host: `SCRIPT_PATH`.
    pub script_dir: PathBuf,
    /// Where the system's log listens: `/dev/log`, a datagram socket of syslogd or journald.
    pub syslog: PathBuf,
    /// A given `staprun`; otherwise `/usr/bin/staprun`, then the one along PATH.
    pub staprun: Option<PathBuf>,
    /// Where packages put `stapio`, the process that `staprun` becomes or leaves behind.
    pub stapio: Vec<PathBuf>,
    /// Further variables for `staprun`, which otherwise gets `PATH` and `LC_ALL=C` only.
    pub staprun_environment: Vec<(OsString, OsString)>,
    /// How long things may take.
    pub patience: Patience,
    /// The clock.
    pub clock: fn() -> SystemTime,
    /// Set to end early: running `staprun`s are stopped, nothing more is begun.
    pub cancel: Cancel,
}

/// How long the service waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one `staprun`. Loading takes 0.7 s on an emulated machine; a wedged one must not hold up a boot.
    pub staprun: Duration,
    /// For a loaded script's own state file to say that it runs.
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
    /// This machine, with the initscript's default paths.
    #[must_use]
    pub fn this_machine() -> Self {
        Self::beneath(Path::new("/"))
    }

    /// A machine whose files are all beneath `root`, except for its processes.
    #[must_use]
    pub fn beneath(root: &Path) -> Self {
        Self {
            proc_dir: root.join("proc"),
            process_dir: PathBuf::from("/proc"),
            sys_dir: root.join("sys"),
            run_dir: root.join("run/stap-bundle"),
            modules_dir: root.join("lib/modules"),
            state_dir: root.join("var/lib/stap-bundle/state"),
            local_dir: root.join("var/lib/stap-bundle/local"),
            stat_dir: root.join("var/run/systemtap"),
            log_file: root.join("var/log/systemtap.log"),
            cache_dir: root.join("var/cache/systemtap"),
            script_dir: root.join("etc/systemtap/script.d"),
            syslog: root.join("dev/log"),
            staprun: None,
            stapio: stapio_places().map(|place| root.join(place)).collect(),
            staprun_environment: Vec::new(),
            patience: Patience::default(),
            clock: SystemTime::now,
            cancel: Cancel::new(),
        }
    }

    /// The same with the host's own `STAT_PATH`, `LOG_FILE`, `CACHE_PATH` and `SCRIPT_PATH`, which are taken relative to `root` too.
    #[must_use]
    pub fn configured(root: &Path, parameters: &GlobalParameters) -> Self {
        let beneath = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        Self {
            stat_dir: beneath(&parameters.stat_path),
            log_file: beneath(&parameters.log_file),
            cache_dir: beneath(&parameters.cache_path),
            script_dir: beneath(&parameters.script_path),
            ..Self::beneath(root)
        }
    }

    /// Seconds since 1970, by the host's clock; 0 for a clock before that.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.clock)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// The id that the kernel gave this boot.
    pub fn boot_id(&self) -> Result<String, ServiceError> {
        let path = self.proc_dir.join("sys/kernel/random/boot_id");
        let text = std::fs::read_to_string(&path).context("read", &path)?;
        Ok(text.trim().to_owned())
    }

    /// Writes a line to `LOG_FILE` (INIT-LOG-01), for what the program itself has to say there.
    pub fn log(&self, text: &str) {
        log::line(self, text);
    }

    /// As [`Host::log`], and tells the system's log too: errors and warnings (README 3.5, INIT-LOG-02).
    pub fn log_loudly(&self, text: &str) {
        log::loudly(self, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_file_05_the_configuration_moves_status_files_and_log() {
        let mut parameters = GlobalParameters::default();
        let host = Host::configured(Path::new("/x"), &parameters);
        assert_eq!((host.stat_dir, host.log_file), {
            let plain = Host::beneath(Path::new("/x"));
            (plain.stat_dir, plain.log_file)
        });
        parameters.stat_path = "/srv/stat".into();
        assert_eq!(Host::configured(Path::new("/x"), &parameters).stat_dir, Path::new("/x/srv/stat"));
    }

    #[test]
    fn a_missing_boot_id_names_its_file() {
        let error = Host::beneath(Path::new("/nowhere")).boot_id().unwrap_err();
        assert_eq!(error.to_string(), "can't read /nowhere/proc/sys/kernel/random/boot_id");
    }
}
