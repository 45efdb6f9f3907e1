//! What starts the scripts at boot, and what became of that in this boot.

use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use files::{Directory, FileSystem};

use crate::boot::GuardRecord;
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

const PATIENCE: Duration = Duration::from_secs(10);

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

/// Why systemd hasn't started the scripts in this boot, if it should have: its condition wasn't met, a mount that it needs failed.
/// To be asked only where no script was started in this boot; `has_scripts` says whether there is one to start.
pub(crate) fn missed_start(host: &Host, has_scripts: bool) -> Option<String> {
    let is_booted = host.files.is_real() && host.files.open_dir(BOOTED_BY_SYSTEMD).is_ok();
    if !is_booted || BootStarter::of(&host.files) != BootStarter::Systemd {
        return None;
    }
    let boot_id = host.boot_id().ok()?;
    let began = GuardRecord::read(host).ok().flatten().is_some_and(|record| record.boot_id == boot_id);
    if began {
        return None;
    }
    let properties = "ActiveState,ConditionResult,ConditionTimestampMonotonic,Job,Result";
    let command = ChildCommand::new("systemctl").args(["show", "-p", properties, UNIT]).env_from_here("PATH");
    let said = command.run(&Limits::within(PATIENCE), &Cancel::new()).ok()?;
    what_became(&said.stdout.text(), has_scripts)
}

/// Of what `systemctl show` says of the unit. Without scripts it is right to be skipped, but a mount that failed may have them.
fn what_became(properties: &str, has_scripts: bool) -> Option<String> {
    let value = |name: &str| {
        properties.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    };
    let is_set = |name: &str| !matches!(value(name), "" | "0");
    let what = if is_set("Job") {
        return has_scripts.then(|| format!("{UNIT} has yet to run in this boot"));
    } else if value("ActiveState") == "failed" {
        format!("failed in this boot ({})", value("Result"))
    } else if has_scripts && is_set("ConditionTimestampMonotonic") && value("ConditionResult") == "no" {
        "was skipped in this boot: nothing was installed when its turn came".to_owned()
    } else if value("ActiveState") == "inactive" && !is_set("ConditionTimestampMonotonic") {
        "didn't run in this boot: a mount that it needs may have failed".to_owned()
    } else {
        return None;
    };
    Some(format!(
        "{UNIT} {what}; `systemctl status {UNIT}` says more, `systemctl start {UNIT}` starts the scripts"
    ))
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

    /// As systemd 257 says it.
    #[test]
    fn what_became_of_the_unit_is_in_words() {
        let of = |has_scripts: bool, state: &str, condition: &str, checked: u64, job: &str, result: &str| {
            let text = format!(
                "Job={job}\nResult={result}\nActiveState={state}\nConditionResult={condition}\n\
                 ConditionTimestampMonotonic={checked}\n"
            );
            what_became(&text, has_scripts).unwrap_or_default()
        };
        let shown = |state: &str, condition: &str, checked: u64, job: &str, result: &str| {
            of(true, state, condition, checked, job, result)
        };
        assert!(shown("inactive", "no", 912_345, "", "success").contains("was skipped in this boot"));
        assert!(shown("inactive", "no", 0, "", "success").contains("a mount that it needs"));
        assert!(shown("inactive", "no", 0, "57", "success").ends_with("has yet to run in this boot"));
        assert!(shown("failed", "yes", 912_345, "", "timeout").contains("failed in this boot (timeout)"));
        // It ran, and was stopped.
        assert_eq!(shown("inactive", "yes", 912_345, "", "success"), "");
        assert_eq!(shown("active", "yes", 912_345, "", "success"), "");
        assert_eq!(what_became("", true), None);
        // Without a script only a mount matters.
        assert_eq!(of(false, "inactive", "no", 912_345, "", "success"), "");
        assert!(of(false, "inactive", "no", 0, "", "success").contains("a mount that it needs"));
    }
}
