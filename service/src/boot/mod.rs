//! What a start at boot does without: by the kernel's command line, and by what became of the boots before.

mod boots_before;
mod guard;
mod starter;
mod switches;

pub(crate) use boots_before::{BootsBefore, switched_off};
pub use guard::{BootGuard, GuardProblem, GuardRecord, GuardStage};
pub(crate) use starter::{BootStarter, missed_start};
pub(crate) use switches::BootSwitches;
