//! After `staprun` has ended well: does the script run, or has it done its work?
//!
//! A script that calls `exit()` in its begin probe has ended when the first look at it is taken. It is *done* if nothing speaks of
//! an error: `staprun` ended with 0, and neither the module nor the `stapio` of a recorder has said otherwise. Where that isn't
//! known, the script has failed.

use std::time::{Duration, Instant};

use child::{Daemons, Ended};
use script_config::ScriptName;

use crate::host::Host;
use crate::kernel::{ModuleState, ProcessId, Stapio, Unread, watch};
use crate::reasons::StartFailure;
use crate::staprun::SystemLog;

/// What a script does once its start is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It runs, with the process that writes its output, if it has one.
    Runs(Option<ProcessId>),
    /// It has ended itself, without an error.
    Done,
}

/// What is known of the daemons that write output, which have neither a parent nor a standard error.
#[derive(Debug)]
pub(crate) struct Recorders<'h> {
    daemons: Daemons,
    log: SystemLog<'h>,
}

impl<'h> Recorders<'h> {
    /// Of those that are started from now on.
    pub(crate) fn from_now(host: &'h Host) -> Self {
        Self { daemons: Daemons::adopted(), log: SystemLog::from_now(host) }
    }
}

/// A script with a recorder in memory. Probes are registered and begin probes over before `staprun -L` ends (RUN-06), so the first
/// look tells, and the module's own words tell the rest. Where it has none, a state file that doesn't say `running` isn't believed
/// before the limit. An interrupted start doesn't wait.
pub(crate) fn in_memory(host: &Host, name: &ScriptName) -> Result<Proof, StartFailure> {
    let mut state = ModuleState::observe(host, name)?;
    let mut unread = Unread::default();
    if !is_decided(state) {
        unread = Unread::take(host, name);
    }
    if !is_decided(state) && unread.answer.is_none() {
        state = watch(host, name, host.patience.confirm, |state| {
            is_decided(state) || host.cancel.is_cancelled()
        })?;
        if !is_decided(state) {
            unread = unread.and(Unread::take(host, name));
        }
    }
    match state {
        ModuleState::Running => Ok(Proof::Runs(None)),
        ModuleState::Absent => Err(StartFailure::EndedAtOnce),
        ModuleState::Ended => match unread.problem() {
            Some(problem) => Err(StartFailure::ScriptError(problem)),
            None if unread.is_known => Ok(Proof::Done),
            None => Err(StartFailure::EndedAtOnce),
        },
        _ if host.cancel.is_cancelled() => Err(StartFailure::Interrupted),
        ModuleState::NotStarted | ModuleState::Foreign => {
            Err(init_failed(host.patience.confirm, unread.problem()))
        }
    }
}

/// A script whose output a daemon writes, `pid` if `staprun` named it. The daemon starts the script, a moment later, and removes
/// its module when the script has ended; its exit code is 0 then, unless there was an error. Registering probes takes many seconds
/// where twenty scripts start at once on a slow machine, so a daemon that lives has as long as a `staprun` has.
pub(crate) fn by_daemon(
    host: &Host,
    name: &ScriptName,
    recorders: &Recorders<'_>,
    pid: Option<u32>,
) -> Result<Proof, StartFailure> {
    let started = pid.and_then(|pid| Stapio::just_started(host, pid));
    let limit = if started.is_some() { host.patience.staprun } else { host.patience.confirm };
    let state = watch(host, name, limit, |state| {
        is_decided(state) || host.cancel.is_cancelled() || started.as_ref().is_some_and(Stapio::has_ended)
    })?;
    let stapio = match pid {
        Some(_) => started.filter(|stapio| !stapio.has_ended()),
        None => Stapio::find(host, name),
    };
    match (state, stapio) {
        (ModuleState::Running, Some(stapio)) => return Ok(Proof::Runs(Some(stapio.id))),
        _ if host.cancel.is_cancelled() => return Err(StartFailure::Interrupted),
        (ModuleState::NotStarted | ModuleState::Foreign, Some(_)) => return Err(init_failed(limit, None)),
        _ => {}
    }
    // It has written what there was, or is about to.
    let until = Instant::now() + host.patience.unload;
    let end = pid.and_then(|pid| recorders.daemons.end_of(pid, until));
    if end == Some(Ended::Code(0)) && ModuleState::observe(host, name)? == ModuleState::Absent {
        return Ok(Proof::Done);
    }
    Err(StartFailure::RecorderDied { said: pid.and_then(|pid| recorders.log.said_by_stapio(pid)) })
}

const fn is_decided(state: ModuleState) -> bool {
    matches!(state, ModuleState::Running | ModuleState::Absent)
}

const fn init_failed(limit: Duration, said: Option<String>) -> StartFailure {
    StartFailure::InitFailed { seconds: limit.as_secs(), said }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_end_whose_words_nobody_can_read_is_not_taken_for_done() {
        let (dir, mut host) = Host::temporary();
        host.patience.confirm = Duration::from_millis(20);
        let name: ScriptName = "a".parse().unwrap();
        let module = dir.path().join("proc/systemtap/a");
        fs::create_dir_all(&module).unwrap();
        fs::write(dir.path().join("proc/modules"), "a 1000 0 - Live 0x0\n").unwrap();
        fs::write(module.join("srvstat"), "").unwrap();
        assert_eq!(in_memory(&host, &name), Err(StartFailure::EndedAtOnce));
        fs::write(module.join(".cmd"), "").unwrap();
        assert_eq!(in_memory(&host, &name), Ok(Proof::Done));
    }
}
