//! Start, stop and status of `SystemTap` scripts from the current, verified generation.
//!
//! The one entry is [`Service`]. A start goes through these states, each of which can only be made from the one before:
//! the current generation → [`StartPlan`] (every module verified, order fixed, nothing changed yet) → private copies →
//! `staprun` → proof from the kernel that the script runs → [`RunRecord`]. A stop reads the kernel and the records.
//!
//! ```text
//! /run/stap-bundle/                0755
//!   lock                           one start or stop at a time; covers all of the below and STAT_PATH
//!   load/                 0700     private copies while they are loaded; emptied by the next start
//!   run/NAME.json                  what runs: written before the load, again when it runs
//!   failed/NAME.json               why the last start left a script out
//! STAT_PATH/NAME                   the initscript's status file
//! LOG_FILE                         in the initscript's format
//! ```
//!
//! A crash at any point leaves at worst a module that is loaded and recorded as `loading`: the next start or stop takes
//! it out. The lock goes with the process.
//!
//! The rooms, each of which knows only those above it:
//!
//! - `host`: the machine, the service's own files, the lock, the log.
//! - `kernel`: what the kernel tells now.
//! - `staprun`: the program that loads and removes modules.
//! - `reasons`: why a script isn't started or doesn't run.
//! - `records`: what is remembered until the next boot.
//! - `local`: what was compiled on this host.
//! - `offers`: what could be started.
//! - `boot`: what a start at boot does without.
//! - `plan`: what a start will do.
//! - `stop`: out of the kernel.
//! - `start`: into the kernel.
//! - `seen`: status, and the data of recorders.
//! - `service`: the commands.
//!
//! Numbers such as INIT-START-17 or RUN-06 name facts about the initscript and `staprun`; see `docs/compatibility.md`.

mod event;
mod service;

mod host;

mod kernel;

mod staprun;

mod reasons;

mod records;

mod local;

mod offers;

mod boot;

mod plan;

mod stop;

mod start;

mod seen;

#[cfg(test)]
mod tests;

pub use boot::{BootGuard, GuardRecord, GuardStage};
pub use event::{EventSink, ServiceEvent};
pub use host::{Disbelief, Host, Patience, ServiceError};
pub use kernel::{ModuleRules, ModuleState, ProcessId, Taint};
pub use local::{CleanupChoice, CleanupPlan, CleanupReport, KeptReason, KeptScript, LocalModule};
pub use offers::LeftOutBundle;
pub use plan::{StartChoice, StartPlan};
pub use reasons::{ModuleMismatch, Reason, Refusal, StartFailure};
pub use records::{Phase, RecorderMode, RunRecord};
pub use seen::{
    AttachEnd, AttachError, AttachOutput, BundleStatus, KernelCoverage, ScriptState, ScriptStatus,
    StatusReport,
};
pub use service::Service;
pub use staprun::StaprunRefusal;
pub use start::{
    LeftOutScript, RestartChoice, RestartReport, StartOptions, StartOutcome, StartReport, StartedScript,
};
pub use stop::{StopFailure, StopOutcome, StopReport, StoppedScript};
