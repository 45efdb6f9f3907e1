//! What a start has done, script by script.

use script_config::ScriptName;
use serde::Serialize;

use crate::offers::LeftOutBundle;
use crate::reasons::Reason;
use crate::records::RunRecord;

#[derive(Debug, Serialize)]
pub struct StartReport {
    /// `PASSALL`.
    pub pass_all: bool,
    /// The number of the current generation; absent if nothing is installed.
    pub generation: Option<u64>,
    /// The scripts that were to be started, in the order of the plan.
    pub scripts: Vec<StartedScript>,
    /// Scripts of installed bundles that have no module for this kernel, when all were to be started.
    pub left_out: Vec<LeftOutScript>,
    /// Installed bundles that aren't believed. Scripts of theirs are in `scripts` as far as they are known. Empty if
    /// scripts were named and none of them was refused.
    pub refused_bundles: Vec<LeftOutBundle>,
    /// What on the kernel's command line isn't understood, and what the boot guard has to say.
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct StartedScript {
    pub script: ScriptName,
    pub outcome: StartOutcome,
}

/// A script that a start of all passes over.
#[derive(Debug, Serialize)]
pub struct LeftOutScript {
    pub script: ScriptName,
    pub reason: Reason,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum StartOutcome {
    /// It was started, and runs.
    Started {
        /// What is remembered of it.
        record: Box<RunRecord>,
    },
    /// It ran before.
    AlreadyRunning,
    /// It was started, has done its work and has ended itself without an error.
    Done {
        /// What is remembered of it.
        record: Box<RunRecord>,
    },
    /// An earlier start has had it done; a restart does it again.
    AlreadyDone,
    /// It was refused, and nothing was tried.
    Refused { reason: Reason },
    /// It was tried in vain.
    Failed { reason: Reason },
    /// It was started, and stopped again because of an earlier failure.
    StoppedAgain { reason: Reason },
}

impl StartReport {
    /// The exit code: 1 if a script doesn't run that should, or a bundle is refused that may have had one, and `PASSALL`
    /// is yes; else 0 (INIT-EXIT-01).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.pass_all && !(self.all_run() && self.refused_bundles.is_empty()))
    }

    /// Whether every script of the plan runs now, or has done its work.
    #[must_use]
    pub fn all_run(&self) -> bool {
        self.scripts.iter().all(|script| script.outcome.problem().is_none())
    }
}

impl StartOutcome {
    /// Why the script doesn't run and hasn't done its work.
    #[must_use]
    pub const fn problem(&self) -> Option<&Reason> {
        match self {
            Self::Started { .. } | Self::AlreadyRunning | Self::Done { .. } | Self::AlreadyDone => None,
            Self::Refused { reason } | Self::Failed { reason } | Self::StoppedAgain { reason } => {
                Some(reason)
            }
        }
    }
}
