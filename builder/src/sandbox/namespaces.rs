//! Whether the sandbox works here, found out before any job is begun; and if not, which setting forbids it and what to do.
//!
//! Bubblewrap says "No permissions to create new namespace" whatever the reason is.

use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Ended, Limits};

/// What the sandbox is tried with: its own namespaces and mounts, and nothing to do.
pub(crate) const TRIAL: [&str; 16] = [
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
    "--unshare-all",
    "--die-with-parent",
    "--new-session",
    "--",
    "/bin/sh",
    "-c",
    ":",
];

/// Time that the trial may take; it needs some ten milliseconds.
const TRIAL_LIMIT: Duration = Duration::from_secs(60);

/// The sandbox doesn't work here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("jobs can't be sandboxed here: {what} ({said})")]
pub struct NoNamespaces {
    /// Which setting forbids it, as far as that can be seen.
    pub what: String,
    pub way_out: String,
    pub said: String,
}

/// A setting of the machine that forbids namespaces.
struct Setting {
    /// By its name for sysctl(8).
    name: &'static str,
    /// The value that forbids them.
    forbids: &'static str,
    way_out: &'static str,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        name: "user.max_user_namespaces",
        forbids: "0",
        way_out: "allow them: sysctl -w user.max_user_namespaces=15000, and the same line in /etc/sysctl.d/60-stap-bundle.conf",
    },
    Setting {
        name: "kernel.unprivileged_userns_clone",
        forbids: "0",
        way_out: "allow them: sysctl -w kernel.unprivileged_userns_clone=1, and the same line in \
                  /etc/sysctl.d/60-stap-bundle.conf",
    },
    Setting {
        name: "kernel.apparmor_restrict_unprivileged_userns",
        forbids: "1",
        way_out: "give bubblewrap a profile: write `abi <abi/4.0>, include <tunables/global> profile bwrap /usr/bin/bwrap \
                  flags=(unconfined) { userns, }` to /etc/apparmor.d/bwrap and run apparmor_parser -r /etc/apparmor.d/bwrap; or \
                  allow them to all: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    },
];

/// What a machine says of itself.
#[derive(Debug, Clone, Default)]
struct Machine {
    /// The values of [`SETTINGS`], as far as there are such.
    values: [Option<String>; SETTINGS.len()],
    /// System calls of this process are filtered (`Seccomp: 2` in /proc/self/status).
    filtered: bool,
    in_container: bool,
}

/// Runs the command of a trial.
pub(crate) fn attempt(command: ChildCommand) -> Result<(), NoNamespaces> {
    let finished = command.combined_output().run(&Limits::within(TRIAL_LIMIT), &Cancel::new());
    let said = match finished {
        Ok(finished) if finished.status == Ended::Code(0) => return Ok(()),
        Ok(finished) => {
            let output = finished.stdout.text();
            let line = output.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
            if line.is_empty() { finished.status.to_string() } else { line }
        }
        Err(error) => error.to_string(),
    };
    Err(Machine::read().judge(&said))
}

impl Machine {
    fn read() -> Self {
        let read = |path: &str| files::read::read_text(Path::new(path), 1 << 20).ok();
        let value = |setting: Setting| {
            read(&format!("/proc/sys/{}", setting.name.replace('.', "/")))
                .map(|value| value.trim().to_owned())
        };
        let status = read("/proc/self/status").unwrap_or_default();
        let filter = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        let marks = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
        Self {
            values: SETTINGS.map(value),
            filtered: filter.is_some_and(|mode| mode.trim() == "2"),
            in_container: marks.iter().any(|mark| Path::new(mark).exists()),
        }
    }

    fn judge(&self, said: &str) -> NoNamespaces {
        let found = |what: &str, way_out: &str| NoNamespaces {
            what: what.to_owned(),
            way_out: way_out.to_owned(),
            said: said.to_owned(),
        };
        for (setting, value) in SETTINGS.iter().zip(&self.values) {
            if value.as_deref() == Some(setting.forbids) {
                let what = format!("user namespaces are forbidden by {} = {}", setting.name, setting.forbids);
                return found(&what, setting.way_out);
            }
        }
        // Nested namespaces are allowed, and a fresh /proc in them isn't: parts of the container's own are masked.
        if said.contains("/newroot/proc") || said.contains("mount proc") {
            return found(
                "this container masks parts of /proc, so no fresh one can be mounted in it",
                "start the container with --security-opt systempaths=unconfined (docker) or --security-opt unmask=ALL (podman)",
            );
        }
        if self.filtered || self.in_container {
            return found(
                "the system call filter or the rights of this container forbid nested namespaces",
                "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined (docker and podman), \
                 or build outside of it",
            );
        }
        let looked_at: Vec<String> = SETTINGS
            .iter()
            .zip(&self.values)
            .map(|(setting, value)| format!("{} = {}", setting.name, value.as_deref().unwrap_or("absent")))
            .collect();
        found(
            &format!("bubblewrap fails, but no known setting forbids it ({})", looked_at.join(", ")),
            "run `bwrap --ro-bind / / --unshare-all true` as an ordinary user and see what a security module logs (journalctl -k)",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "bwrap: No permissions to create new namespace";

    fn judged(change: impl FnOnce(&mut Machine)) -> NoNamespaces {
        let mut machine = Machine::default();
        change(&mut machine);
        machine.judge(SAID)
    }

    #[test]
    fn names_the_setting_that_forbids_namespaces_and_the_way_out() {
        for (at, (value, command)) in [
            ("0", "sysctl -w user.max_user_namespaces=15000"),
            ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
            ("1", "apparmor_parser -r /etc/apparmor.d/bwrap"),
        ]
        .into_iter()
        .enumerate()
        {
            let found = judged(|machine| machine.values[at] = Some(value.to_owned()));
            assert!(found.what.contains(&format!("{} = {value}", SETTINGS[at].name)), "{found}");
            assert!(found.way_out.contains(command), "{found:?}");
        }
        let docker = judged(|machine| machine.filtered = true);
        assert!(docker.way_out.contains("--security-opt seccomp=unconfined"), "{docker:?}");
        let masked = Machine::default().judge("bwrap: Can't mount proc on /newroot/proc: EPERM");
        assert!(masked.way_out.contains("systempaths=unconfined"), "{masked:?}");
        let unknown = judged(|machine| machine.values[0] = Some("15000".to_owned()));
        assert!(unknown.to_string().contains("user.max_user_namespaces = 15000"), "{unknown}");
        assert!(unknown.to_string().contains(SAID), "{unknown}");
    }

    /// What the next test runs where namespaces are really forbidden.
    #[test]
    #[ignore = "run by `a_machine_that_forbids_namespaces_is_recognised`"]
    fn in_a_place_without_namespaces() {
        let error = crate::sandbox::bubblewrap::Sandbox::find().unwrap().check().unwrap_err();
        println!("found: {error}");
    }

    #[test]
    fn a_machine_that_forbids_namespaces_is_recognised() {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" --ignored --exact --nocapture \
                      sandbox::namespaces::tests::in_a_place_without_namespaces";
        let command = ChildCommand::new("unshare")
            .args(["--user", "--map-root-user", "/bin/sh", "-c", script])
            .arg(std::env::current_exe().unwrap())
            .inherit_environment()
            .combined_output();
        let output = command.run(&Limits::within(TRIAL_LIMIT), &Cancel::new()).unwrap().stdout.text();
        let found = "found: jobs can't be sandboxed here: user namespaces are forbidden by user.max_user_namespaces = 0";
        assert!(output.contains(found), "{output}");
    }
}
