//! Whether the host has what starts need: something that starts them, `staprun`, the right, room, a clock.

use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use rustix::fs::fstatvfs;

use crate::boot::BootStarter;
use crate::doctor::{Examined, Finding, Level};
use crate::kernel::may_load_modules;
use crate::staprun::Staprun;

const STATE: &str = "/var/lib/stap-bundle";

/// With less room an install of what is installed may fail.
const LEAST_ROOM: u64 = 64 << 20;

const PATIENCE: Duration = Duration::from_secs(10);

impl Examined<'_> {
    pub(super) fn setup(&self) -> Vec<Finding> {
        let mut findings = vec![self.boot(), self.staprun()];
        if !may_load_modules(self.host) {
            let text = "this process may not load modules: it runs without CAP_SYS_MODULE";
            let advice = "run it as root on the host itself, outside of containers";
            findings.push(Finding::new("permission", Level::Problem, text).advice(advice));
        }
        findings.extend(self.debugfs());
        findings.extend(self.room());
        findings.extend(self.clock());
        findings
    }

    fn boot(&self) -> Finding {
        let finding = |level, text: &str| Finding::new("start-at-boot", level, text);
        match BootStarter::of(&self.host.files) {
            BootStarter::Systemd => finding(Level::Good, "systemd starts the scripts at boot"),
            BootStarter::InitScript => finding(Level::Good, "the init script starts the scripts at boot"),
            BootStarter::Nothing => finding(Level::Warning, "nothing starts the scripts at boot")
                .advice("systemctl enable stap-bundle"),
            BootStarter::Unknown => {
                let text = "it isn't known what starts scripts at boot: this host has neither systemd nor run levels";
                finding(Level::Unknown, text)
            }
        }
    }

    fn staprun(&self) -> Finding {
        let finding = |level, text: String| Finding::new("staprun", level, text);
        match Staprun::find(self.host) {
            Err(error) => finding(Level::Problem, files::with_causes(&error)),
            Ok(staprun) => match self.version(&staprun) {
                Some(version) => {
                    finding(Level::Good, format!("staprun {version} at {}", staprun.path().display()))
                }
                None => finding(Level::Good, format!("staprun at {}", staprun.path().display())),
            },
        }
    }

    /// What it calls its version, where it is this machine's own.
    fn version(&self, staprun: &Staprun<'_>) -> Option<String> {
        if !self.host.files.is_real() {
            return None;
        }
        let command = ChildCommand::new(staprun.path()).arg("-V").env("LC_ALL", "C");
        let said = command.run(&Limits::within(PATIENCE), &Cancel::new()).ok()?;
        let text = said.stdout.text() + &said.stderr.text();
        let (_, rest) = text.split_once("version ")?;
        let version = rest.split([',', ')', '/']).next()?.trim();
        Some(version.to_owned())
    }

    /// Before systemtap 5 a script's files are in debugfs, and `staprun` mounts it itself.
    fn debugfs(&self) -> Option<Finding> {
        let mounts = self.host.kernel_text(&self.host.proc_dir.join("mounts")).ok()?;
        let is_mounted = mounts.lines().any(|line| line.split(' ').nth(2) == Some("debugfs"));
        (!is_mounted).then(|| {
            let text = "debugfs isn't mounted; staprun mounts it where it needs it";
            Finding::new("debugfs", Level::Note, text)
        })
    }

    fn room(&self) -> Option<Finding> {
        let directory = self.host.files.nearest_dir(STATE).ok()?;
        let found = fstatvfs(directory.fd()).ok()?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let left = in_words(free);
        if free < LEAST_ROOM || (found.f_files > 0 && found.f_favail < 1000) {
            let text = format!("{left} and {} inodes are free in {STATE}", found.f_favail);
            return Some(Finding::new("room", Level::Warning, text).advice("stap-bundle gc --keep 1"));
        }
        Some(Finding::new("room", Level::Good, format!("{left} free in {STATE}")))
    }

    /// A clock that is before the newest bundle's making can't judge its best-before.
    fn clock(&self) -> Option<Finding> {
        let bundles = self.current?.bundles();
        let newest = bundles.iter().map(|bundle| bundle.manifest.created).max()?;
        (self.host.now() < newest).then(|| {
            let text = "the clock is wrong: the newest bundle was made later";
            Finding::new("clock", Level::Warning, text)
                .advice("set the clock; an install compares best-before with it")
        })
    }
}

/// An amount with one decimal.
fn in_words(bytes: u64) -> String {
    let scaled = |shift: u32| {
        let tenths = (bytes >> (shift - 10)) * 10 / 1024;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    if bytes >= 1 << 30 { format!("{} GiB", scaled(30)) } else { format!("{} MiB", scaled(20)) }
}
