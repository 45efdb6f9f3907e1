//! Why the last start left a script out: `/run/stap-bundle/failed/NAME.json`, for `status`.
//!
//! A start at boot has nobody to tell it to. The reason stays until the script starts, or until the next boot.

use std::path::PathBuf;

use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, own_files};
use crate::reasons::Reason;

/// A script that a start couldn't start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTry {
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
    let last = LastTry { time: host.now(), reason: reason.clone(), boot_id: host.boot_id()? };
    own_files::write(host, &directory(host), &file(script), &last)
}

/// Removes what was written down, now that the script runs.
pub(crate) fn forget(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    own_files::remove(host, &directory(host), &file(script)).map(drop)
}

/// What was written down during this boot; what can't be read, or others could have written, counts as nothing.
pub(crate) fn read(host: &Host, script: &ScriptName) -> Result<Option<LastTry>, ServiceError> {
    let Ok(Some(bytes)) = own_files::read(host, &directory(host), &file(script)) else { return Ok(None) };
    let boot_id = host.boot_id()?;
    let last: Option<LastTry> = serde_json::from_slice(&bytes).ok();
    Ok(last.filter(|last| last.boot_id == boot_id))
}
