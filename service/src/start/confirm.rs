//! After `staprun` has ended: does the script really run?

use script_config::ScriptName;

use crate::host::{Host, ServiceError};
use crate::kernel::{ModuleState, watch};

/// The state of a script whose `staprun -L` or `-D` ended well: it runs, or won't any more. Probes are registered
/// before `staprun -L` ends (RUN-06), so a running one is seen at the first look; a daemon may be a moment later.
/// A state file that doesn't say `running` may be that of a script whose begin probes still run, so it isn't believed
/// before the limit. An interrupted start doesn't wait.
pub(crate) fn after_load(host: &Host, name: &ScriptName) -> Result<ModuleState, ServiceError> {
    watch(host, name, host.patience.confirm, |state| {
        matches!(state, ModuleState::Running | ModuleState::Absent) || host.cancel.is_cancelled()
    })
}
