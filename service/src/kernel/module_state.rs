//! Whether a loaded module is a systemtap module, and whether its script runs.
//!
//! A line in `/proc/modules` isn't proof: a `staprun` that fails may leave the module loaded but not started.
//! The proof is the state file that every script gets at compile time: a probe that makes
//! `/proc/systemtap/NAME/srvstat`, which reads `running` as long as probes fire (INIT-PRE-02). It appears when the
//! script is started; the directory around it, with the transport's files, when the module is loaded.

use std::io::Read;
use std::path::PathBuf;

use files::Directory;
use script_config::ScriptName;

use crate::host::{Host, ServiceError};
use crate::kernel::modules::LoadedModules;

const STATE_FILE: &str = "srvstat";

/// More than a state file ever holds; a foreign file of that name may be endless.
const STATE_FILE_LIMIT: u64 = 64;

/// What is known of the module of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleState {
    /// No module of that name is loaded.
    Absent,
    /// One is loaded, but systemtap knows nothing of it.
    Foreign,
    /// A systemtap module is loaded, and has no state file: its script wasn't started, or its init failed, or it
    /// wasn't compiled for the service.
    NotStarted,
    /// Its state file no longer says `running`: the script has ended itself.
    Ended,
    /// Its script runs.
    Running,
}

impl ModuleState {
    /// Looks at the module `name`.
    pub fn observe(host: &Host, name: &ScriptName) -> Result<Self, ServiceError> {
        Ok(Self::among(host, &LoadedModules::read(host)?, name))
    }

    /// As [`ModuleState::observe`], with modules that were read before.
    #[must_use]
    pub fn among(host: &Host, modules: &LoadedModules, name: &ScriptName) -> Self {
        if !modules.contains(name.as_str()) {
            return Self::Absent;
        }
        let opened = systemtap_dirs(host).map(|dir| host.files.open_dir(dir.join(name.as_str())));
        let dirs: Vec<Directory> = opened.filter_map(Result::ok).collect();
        if dirs.is_empty() {
            return Self::Foreign;
        }
        match dirs.iter().find_map(state_text) {
            None => Self::NotStarted,
            Some(text) if text.contains("running") => Self::Running,
            Some(_) => Self::Ended,
        }
    }

    /// All scripts that run by the evidence of their state files, whoever loaded them (INIT-PRE-02).
    pub fn all_running(host: &Host) -> Result<Vec<ScriptName>, ServiceError> {
        let modules = LoadedModules::read(host)?;
        let mut names: Vec<ScriptName> = systemtap_dirs(host)
            .filter_map(|dir| host.files.open_dir(dir).and_then(|dir| dir.entries()).ok())
            .flatten()
            .filter_map(|entry| entry.parse().ok())
            .filter(|name| Self::among(host, &modules, name) == Self::Running)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// procfs since systemtap 5 and under lockdown; debugfs before (RUN-05).
pub(crate) fn systemtap_dirs(host: &Host) -> impl Iterator<Item = PathBuf> {
    [host.proc_dir.join("systemtap"), host.sys_dir.join("kernel/debug/systemtap")].into_iter()
}

/// The state file's text; `None` if there is none. One that can't be read says nothing, so it isn't `running`.
fn state_text(directory: &Directory) -> Option<String> {
    let file = directory.open_file(STATE_FILE).ok()?;
    let mut bytes = Vec::new();
    let _ = file.take(STATE_FILE_LIMIT).read_to_end(&mut bytes);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn world(modules: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let (dir, host) = Host::temporary();
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/modules"), modules).unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (dir, host)
    }

    #[test]
    fn run_05_and_init_pre_02_only_the_state_file_proves_a_running_script() {
        let line = |name: &str| format!("{name} 1000 0 - Live 0x0\n");
        let modules = ["runs", "old", "ended", "fresh", "ext4"].map(line).concat();
        let (_dir, host) = world(
            &modules,
            &[
                ("proc/systemtap/runs/srvstat", "running\n"),
                ("sys/kernel/debug/systemtap/old/srvstat", "running\n"),
                ("proc/systemtap/ended/srvstat", ""),
                ("proc/systemtap/fresh/trace0", ""),
                ("proc/systemtap/gone/srvstat", "running\n"),
            ],
        );
        let state = |name: &str| ModuleState::observe(&host, &name.parse().unwrap()).unwrap();
        assert_eq!(state("runs"), ModuleState::Running);
        assert_eq!(state("old"), ModuleState::Running);
        assert_eq!(state("ended"), ModuleState::Ended);
        assert_eq!(state("fresh"), ModuleState::NotStarted);
        assert_eq!(state("ext4"), ModuleState::Foreign);
        assert_eq!(state("gone"), ModuleState::Absent);
        let running: Vec<String> =
            ModuleState::all_running(&host).unwrap().into_iter().map(String::from).collect();
        assert_eq!(running, ["old", "runs"]);
    }

    #[test]
    fn init_cfg_05_an_entry_that_no_script_can_be_called_is_passed_over() {
        let long = "x".repeat(56);
        let names = ["good", "9x", "bad-name", &long];
        let modules = names.map(|name| format!("{name} 1000 0 - Live 0x0\n")).concat();
        let paths: Vec<String> = names.iter().map(|name| format!("proc/systemtap/{name}/srvstat")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "running\n")).collect();
        let (_dir, host) = world(&modules, &files);
        let running = ModuleState::all_running(&host).unwrap();
        assert_eq!(running.iter().map(ScriptName::as_str).collect::<Vec<_>>(), ["good"]);
    }
}
