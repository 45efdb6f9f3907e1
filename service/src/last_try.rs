//! Why the last start left a script out: `/run/stap-bundle/failed/NAME.json`, for `status`.
//!
//! A start at boot has nobody to tell it to. The reason stays until the script starts, or until the next boot.

use std::path::PathBuf;

use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::error::PathContext;
use crate::refusal::Reason;
use crate::{Host, ServiceError, atomic_file};

/// A script that a start couldn't start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTry {
    /// When, in seconds since 1970.
    pub time: u64,
    /// Why.
    pub reason: Reason,
    /// The boot during which it was.
    pub boot_id: String,
}

fn path(host: &Host, script: &ScriptName) -> PathBuf {
    host.run_dir.join("failed").join(format!("{script}.json"))
}

/// Writes down why the script wasn't started.
pub(crate) fn write(host: &Host, script: &ScriptName, reason: &Reason) -> Result<(), ServiceError> {
    let last = LastTry { time: host.now(), reason: reason.clone(), boot_id: host.boot_id()? };
    let path = path(host, script);
    let text = serde_json::to_vec(&last).map_err(std::io::Error::other).context("write", &path)?;
    atomic_file::replace(&path, &text)
}

/// Removes what was written down, now that the script runs.
pub(crate) fn forget(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    atomic_file::remove(&path(host, script))
}

/// What was written down during this boot; what can't be read counts as nothing.
pub(crate) fn read(host: &Host, script: &ScriptName) -> Result<Option<LastTry>, ServiceError> {
    let Ok(Some(bytes)) = atomic_file::read(&path(host, script)) else { return Ok(None) };
    let boot_id = host.boot_id()?;
    let last: Option<LastTry> = serde_json::from_slice(&bytes).ok();
    Ok(last.filter(|last| last.boot_id == boot_id))
}
