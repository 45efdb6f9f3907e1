//! What happens during a start or a stop, as it happens. The program turns it into words; nothing here prints.

use std::time::Duration;

use script_config::ScriptName;

use crate::reasons::Reason;

/// One happening.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// All modules were looked at; loading begins.
    Planned {
        ready: usize,
        refused: usize,
    },
    /// `staprun` is called.
    Loading(ScriptName),
    /// The script really runs.
    Started(ScriptName, Duration),
    /// The script has done its work, and has ended itself.
    Done(ScriptName, Duration),
    /// The script was refused, or its load failed.
    Failed(ScriptName, Reason),
    /// The script was started, and is stopped again because an earlier one failed (`PASSALL`).
    StoppingAgain(ScriptName),
    /// A restart stops what runs.
    RestartStops,
    /// A restart has stopped what ran, or all but some of it, and begins its start.
    RestartStarts {
        all_stopped: bool,
    },
    /// The script is being stopped.
    Stopping(ScriptName),
    Stopped(ScriptName, Duration),
    /// The script couldn't be stopped.
    StopFailed(ScriptName, String),
}

/// Where events go; called from several threads.
pub type EventSink<'a> = dyn Fn(ServiceEvent) + Sync + 'a;
