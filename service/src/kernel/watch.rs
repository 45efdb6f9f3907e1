//! Looking at a module again and again until it is in a state, or time is over.

use std::time::{Duration, Instant};

use script_config::ScriptName;

use crate::host::{Host, ServiceError};
use crate::kernel::module_state::ModuleState;

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
