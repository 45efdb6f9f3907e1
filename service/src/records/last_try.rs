//! Why the last start left a script out: `/run/stap-bundle/failed/NAME.json`, for `status`.
//!
//! A start at boot has nobody to tell it to. The reason stays until the script starts, or until the next boot.

use std::path::PathBuf;

use installer::{NewerState, StateVersion};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, own_files};
use crate::reasons::{Reason, StartRefusal};

const VERSION: StateVersion = StateVersion::new(1);

/// A script that a start couldn't start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTry {
    /// Version of this document; 0.1.0 wrote none.
    #[serde(default)]
    pub schema: u32,
    /// When, in seconds since 1970.
    pub time: u64,
    pub reason: Reason,
    /// The boot during which it was.
    pub boot_id: String,
}

fn directory(host: &Host) -> PathBuf {
    host.run_dir.join("failed")
}

fn file(script: &ScriptName) -> String {
    format!("{script}.json")
}

/// Writes down why the script wasn't started.
pub(crate) fn write(host: &Host, script: &ScriptName, reason: &Reason) -> Result<(), ServiceError> {
    let last = LastTry {
        schema: VERSION.number(),
        time: host.now(),
        reason: reason.clone(),
        boot_id: host.boot_id()?,
    };
    own_files::write(host, &directory(host), &file(script), &last)
}

/// Removes what was written down, now that the script runs.
pub(crate) fn forget(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    own_files::remove(host, &directory(host), &file(script)).map(drop)
}

/// The reason that was written down during this boot; what can't be read, or others could have written, counts as nothing.
pub(crate) fn read(host: &Host, script: &ScriptName) -> Result<Option<Reason>, ServiceError> {
    let Ok(Some(bytes)) = own_files::read(host, &directory(host), &file(script)) else { return Ok(None) };
    let boot_id = host.boot_id()?;
    Ok(match VERSION.read::<LastTry>(&bytes) {
        Ok(last) => (last.boot_id == boot_id).then_some(last.reason),
        Err(error) if NewerState::in_error(&error).is_some() => {
            let path = directory(host).join(file(script));
            Some(Reason::from(&StartRefusal::LastTryNewer { detail: format!("{}: {error}", path.display()) }))
        }
        Err(_) => None,
    })
}
