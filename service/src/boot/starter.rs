//! What starts the scripts at boot, and what became of that in this boot.

use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use files::{Directory, FileSystem};

use crate::host::Host;

/// Directories of systemd in which units are enabled.
const SYSTEMD: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];
const UNIT: &str = "stap-bundle.service";

/// Where systemd is the init system of this boot (`sd_booted(3)`).
const BOOTED_BY_SYSTEMD: &str = "/run/systemd/system";

/// The links of System V's init for the usual run levels, by distribution.
const RUN_LEVELS: [&str; 6] =
    ["/etc/rc2.d", "/etc/rc3.d", "/etc/rc5.d", "/etc/rc.d/rc2.d", "/etc/rc.d/rc3.d", "/etc/rc.d/rc5.d"];
const INIT_SCRIPTS: [&str; 2] = ["systemtap", "stap-bundle"];

/// What `status` waits for systemd.
const PATIENCE: Duration = Duration::from_secs(3);

const PROPERTIES: &str = "ActiveState,ConditionResult,ConditionTimestampMonotonic,Job,LoadState,Result,Where";

/// The mounts that `RequiresMountsFor=` of stap-bundle-late.service may mean.
const MOUNTS: [&str; 9] = [
    "etc.mount",
    r"etc-stap\x2dbundle.mount",
    "etc-systemtap.mount",
    "usr.mount",
    "var.mount",
    "var-cache.mount",
    "var-cache-systemtap.mount",
    "var-lib.mount",
    r"var-lib-stap\x2dbundle.mount",
];

/// What starts the scripts at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootStarter {
    Systemd,
    InitScript,
    /// The host has systemd, and the unit isn't enabled.
    Nothing,
    /// The host has neither systemd nor run levels.
    Unknown,
}

impl BootStarter {
    pub(crate) fn of(files: &FileSystem) -> Self {
        if SYSTEMD.iter().any(|directory| is_wanted(files, directory)) {
            Self::Systemd
        } else if RUN_LEVELS.iter().any(|directory| has_start_link(files, directory)) {
            Self::InitScript
        } else if SYSTEMD.iter().any(|directory| files.open_dir(directory).is_ok()) {
            Self::Nothing
        } else {
            Self::Unknown
        }
    }
}

/// Why systemd hasn't started the scripts in this boot, as far as systemd knows: the unit failed, was skipped, or is
/// without a mount that it needs. To be asked only where no script was started in this boot; `has_scripts` says whether there is one.
pub(crate) fn missed_start(host: &Host, has_scripts: bool) -> Option<String> {
    let is_booted = host.files.is_real() && host.files.open_dir(BOOTED_BY_SYSTEMD).is_ok();
    if !is_booted || BootStarter::of(&host.files) != BootStarter::Systemd {
        return None;
    }
    let command = ChildCommand::new("systemctl").args(["show", "-p", PROPERTIES, UNIT]).args(MOUNTS);
    let said = command.env_from_here("PATH").run(&Limits::within(PATIENCE), &Cancel::new()).ok()?;
    what_became(&said.stdout.text(), has_scripts)
}

/// Of what `systemctl show` says of the unit and of the mounts, with an empty line between them. Without scripts the unit is rightly skipped, but a mount that
/// isn't there may have them.
fn what_became(said: &str, has_scripts: bool) -> Option<String> {
    let mut shown = said.split("\n\n").map(Properties);
    let unit = shown.next()?;
    let is_idle = matches!(unit.get("ActiveState"), "inactive" | "failed") && unit.get("Job").is_empty();
    if !is_idle || unit.get("LoadState") != "loaded" {
        return None;
    }
    let lacking =
        shown.find(|mount| mount.get("LoadState") == "loaded" && mount.get("ActiveState") != "active");
    let what = if let Some(mount) = lacking {
        format!(
            "hasn't started anything: the mount {} isn't there ({})",
            mount.get("Where"),
            mount.get("ActiveState")
        )
    } else if unit.get("ActiveState") == "failed" {
        format!("failed in this boot ({})", unit.get("Result"))
    } else if has_scripts
        && unit.get("ConditionResult") == "no"
        && unit.has_moment("ConditionTimestampMonotonic")
    {
        "was skipped in this boot: a condition wasn't met, for instance because nothing was installed then"
            .to_owned()
    } else {
        return None;
    };
    Some(format!(
        "{UNIT} {what}; `systemctl status {UNIT}` says more, `systemctl start {UNIT}` starts the scripts"
    ))
}

/// The lines `NAME=VALUE` of one unit.
struct Properties<'t>(&'t str);

impl<'t> Properties<'t> {
    /// Empty where systemd doesn't know the property.
    fn get(&self, name: &str) -> &'t str {
        let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix('=');
        let found = self.0.lines().find_map(value).unwrap_or_default();
        // Older ones show a job that there isn't as number 0.
        if name == "Job" && found == "0" { "" } else { found }
    }

    fn has_moment(&self, name: &str) -> bool {
        !matches!(self.get(name), "" | "0")
    }
}

/// Whether a target wants the unit, by a link in a directory such as `basic.target.wants`.
fn is_wanted(files: &FileSystem, directory: &str) -> bool {
    let Ok(units) = files.open_dir(directory) else { return false };
    let names = units.entries().unwrap_or_default();
    let wants = names.iter().filter(|name| name.strip_suffix(".wants").is_some());
    let has_unit = |wants: Directory| wants.kind(UNIT).is_ok_and(|kind| kind.is_some());
    wants.filter_map(|name| units.open_dir(name).ok()).any(has_unit)
}

/// Whether a run level starts the init script, by a link such as `S20systemtap`.
fn has_start_link(files: &FileSystem, directory: &str) -> bool {
    let is_start = |name: &String| {
        let script = name.strip_prefix('S').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        script.is_some_and(|script| INIT_SCRIPTS.contains(&script))
    };
    let names = files.open_dir(directory).and_then(|directory| directory.entries());
    names.is_ok_and(|names| names.iter().any(is_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 257 writes it. The first mount isn't one of this host.
    fn said(unit: &str, mount: &str) -> String {
        format!(
            "Result=success\nLoadState=loaded\nConditionResult=no\n{unit}\n\n\
             Where=/var\nLoadState=not-found\nActiveState=inactive\n\n\
             Where=/var/lib/stap-bundle\nLoadState=loaded\nActiveState={mount}\n"
        )
    }

    #[test]
    fn what_became_of_the_unit_is_in_words() {
        let skipped = "ActiveState=inactive\nConditionTimestampMonotonic=912345";
        let shown = |unit: &str, mount: &str| what_became(&said(unit, mount), true).unwrap_or_default();
        assert!(shown(skipped, "active").contains("was skipped in this boot"));
        assert!(shown(skipped, "failed").contains("the mount /var/lib/stap-bundle isn't there (failed)"));
        assert!(shown("ActiveState=failed", "active").contains("failed in this boot (success)"));
        for nothing in [
            // It runs, it will run, and it was enabled only now.
            "ActiveState=active\nConditionTimestampMonotonic=912345",
            "ActiveState=activating\nConditionTimestampMonotonic=912345\nJob=17",
            "ActiveState=inactive\nConditionTimestampMonotonic=0\nJob=17",
            "ActiveState=inactive\nConditionTimestampMonotonic=0",
        ] {
            assert_eq!(shown(nothing, "active"), "", "{nothing}");
        }
        assert_eq!(what_became("", true), None);
        // Without a script only a mount matters.
        assert_eq!(what_became(&said(skipped, "active"), false), None);
        assert!(what_became(&said(skipped, "inactive"), false).unwrap().contains("isn't there (inactive)"));
    }
}
