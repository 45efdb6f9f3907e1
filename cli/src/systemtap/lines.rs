//! What the initscript's commands say of single scripts.

use script_config::ScriptName;
use service::{Reason, ScriptState, ScriptStatus, StartReport};

use crate::words::date;

/// A script's line, as the original has it. Where that would show a module that is loaded as running, and its script has done
/// its work, the line says so.
pub(super) fn status_line(script: &ScriptStatus) -> String {
    let name = &script.script;
    let pid = script.pid.map(|pid| format!("({pid})")).unwrap_or_default();
    match script.state {
        ScriptState::Running => format!("{name}{pid} is running..."),
        ScriptState::Done => {
            let when = script.record.as_ref().and_then(|record| record.done).map(date).unwrap_or_default();
            format!("{name} is stopped (done {when})")
        }
        ScriptState::Stopped | ScriptState::Dead => format!("{name} is stopped"),
        ScriptState::AnotherModule => format!("{name} is dead, but another script is running."),
    }
}

/// What a start of all has passed over, the same reason once.
pub(super) fn by_reason(report: &StartReport) -> Vec<(&Reason, Vec<&str>)> {
    let mut all: Vec<(&Reason, Vec<&str>)> = Vec::new();
    for left_out in &report.left_out {
        let name = left_out.script.as_str();
        match all.iter_mut().find(|(reason, _)| *reason == &left_out.reason) {
            Some((_, scripts)) => scripts.push(name),
            None => all.push((&left_out.reason, vec![name])),
        }
    }
    all
}

pub(super) fn list<'n>(scripts: impl Iterator<Item = &'n ScriptName>) -> String {
    scripts.map(ScriptName::as_str).collect::<Vec<_>>().join(" ")
}
