//! What a start at boot does without: by the kernel's command line, and by what became of the boots before.

mod guard;
mod switches;

pub(crate) use guard::switched_off;
pub use guard::{BootGuard, GuardRecord, GuardStage};
pub(crate) use switches::BootSwitches;
