//! Why the last start left a script out: `/run/stap-bundle/failed/NAME.json`, for `status`.
//!
//! A start at boot has nobody to tell it to. The reason stays until the script starts, or until the next boot.

use std::path::PathBuf;

use files::with_causes;
use installer::{NewerState, StateVersion};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, log, own_files};
use crate::reasons::{NOT_COMPILED, Reason, StartRefusal, is_of_masks};

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
    let found = own_files::read(host, &directory(host), &file(script)).ok().flatten();
    let is_newer = |bytes: &Vec<u8>| {
        VERSION.read::<LastTry>(bytes).is_err_and(|error| NewerState::in_error(&error).is_some())
    };
    // Nothing is written over what a newer program knows.
    if found.as_ref().is_some_and(is_newer) {
        return Ok(());
    }
    let last = LastTry {
        schema: VERSION.number(),
        time: host.now(),
        reason: reason.clone(),
        boot_id: host.boot_id()?,
    };
    own_files::write(host, &directory(host), &file(script), &last)
}

/// Logs why the script wasn't started, and writes it down. A full /run doesn't change the outcome.
pub(crate) fn keep(host: &Host, script: &ScriptName, reason: &Reason) {
    log::loudly(host, &format!("Error: {script}: not started: {reason}"));
    // Each look finds a mask again, as long as it is there.
    if is_of_masks(&reason.id) {
        return;
    }
    if let Err(error) = write(host, script, reason) {
        log::line(host, &with_causes(&error));
    }
}

/// Removes what was written down, now that the script runs.
pub(crate) fn forget(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    own_files::remove(host, &directory(host), &file(script)).map(drop)
}

/// Scripts that couldn't be compiled for a start of this boot: no bundle offers them, and nothing else remembers them.
pub(crate) fn not_compiled(host: &Host) -> Result<Vec<ScriptName>, ServiceError> {
    let files = own_files::names(host, &directory(host)).unwrap_or_default();
    let mut scripts: Vec<ScriptName> =
        files.iter().filter_map(|file| file.strip_suffix(".json")?.parse().ok()).collect();
    for at in (0..scripts.len()).rev() {
        let reason = scripts.get(at).map(|script| read(host, script)).transpose()?.flatten();
        if reason.is_none_or(|reason| reason.id != NOT_COMPILED) {
            scripts.remove(at);
        }
    }
    Ok(scripts)
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
