//! After `staprun` has ended: does the script really run?

use std::time::{Duration, Instant};

use script_config::ScriptName;

use crate::{Host, ModuleState, ServiceError};

/// First pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Looks at the module until `done` is content with its state, or `limit` is over; returns the last state seen.
pub(crate) fn watch(
    host: &Host,
    name: &ScriptName,
    limit: Duration,
    done: impl Fn(ModuleState) -> bool,
) -> Result<ModuleState, ServiceError> {
    let until = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        let state = ModuleState::observe(host, name)?;
        if done(state) || Instant::now() >= until {
            return Ok(state);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The state of a script whose `staprun -L` or `-D` ended well: it runs, or won't any more. Probes are registered
/// before `staprun -L` ends (RUN-06), so a running one is seen at the first look; a daemon may be a moment later.
/// A state file that doesn't say `running` may be that of a script whose begin probes still run, so it isn't believed
/// before the limit. An interrupted start doesn't wait.
pub(crate) fn after_load(host: &Host, name: &ScriptName) -> Result<ModuleState, ServiceError> {
    watch(host, name, host.patience.confirm, |state| {
        matches!(state, ModuleState::Running | ModuleState::Absent) || host.cancel.is_cancelled()
    })
}
