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
//! Numbers such as INIT-START-17 or RUN-06 name facts about the initscript and `staprun`; see `docs/compatibility.md`.

mod attach;
mod boot_guard;
mod boot_switches;
mod budget;
mod causes;
mod cleanup;
mod confirm;
mod coverage;
mod directories;
mod disbelief;
mod error;
mod event;
mod generation;
mod host;
mod host_settings;
mod kernel_memory;
mod kernel_modules;
mod last_try;
mod load;
mod load_dir;
mod local;
mod local_source;
mod local_switch;
mod lock;
mod log;
mod module_check;
mod module_rules;
mod module_state;
mod offer;
mod own_files;
mod permission;
mod plan;
mod ready_queue;
mod reason;
mod refusal;
mod restart;
mod run_record;
mod service;
mod stapio;
mod stapio_identity;
mod staprun;
mod staprun_refusal;
mod start;
mod start_failure;
mod start_report;
mod status;
mod status_file;
mod stop;
mod taint;
mod unload;
mod watch;

#[cfg(test)]
mod tests;

pub use attach::{AttachEnd, AttachError, AttachOutput};
pub use boot_guard::{BootGuard, GuardRecord, GuardStage};
pub use cleanup::{CleanupChoice, CleanupPlan, CleanupReport, KeptReason, KeptScript};
pub use coverage::KernelCoverage;
pub use disbelief::Disbelief;
pub use error::ServiceError;
pub use event::{EventSink, ServiceEvent};
pub use host::{Host, Patience};
pub use local::LocalModule;
pub use module_check::ModuleMismatch;
pub use module_rules::ModuleRules;
pub use module_state::ModuleState;
pub use offer::RefusedBundle;
pub use plan::{StartChoice, StartPlan};
pub use reason::Reason;
pub use refusal::Refusal;
pub use restart::{RestartChoice, RestartReport};
pub use run_record::{Phase, RecorderMode, RunRecord};
pub use service::Service;
pub use stapio::ProcessId;
pub use staprun_refusal::StaprunRefusal;
pub use start::StartOptions;
pub use start_failure::StartFailure;
pub use start_report::{LeftOutScript, StartOutcome, StartReport, StartedScript};
pub use status::{BundleStatus, ScriptState, ScriptStatus, StatusReport};
pub use stop::{StopOutcome, StopReport, StoppedScript};
pub use taint::Taint;
pub use unload::StopFailure;
