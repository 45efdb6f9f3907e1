//! What runs, as the service has written it down: a record for each script in `/run/stap-bundle/run`.

use files::{FileError, FileSystem, optional};
use serde::Deserialize;

use crate::host::paths::RUN;
use crate::host::version::{NewerState, RUN_RECORD};

/// Directory of run records in [`RUN`].
const RUN_RECORDS: &str = "run";
/// How a run record's name ends.
const RECORD_SUFFIX: &str = ".json";
/// Most bytes of a run record.
const MAX_RUN_RECORD: u64 = 1 << 20;

/// What of a run record counts here.
#[derive(Debug, Deserialize)]
pub(crate) struct Running {
    pub(crate) script: String,
    /// The generation from which it was started.
    pub(crate) generation: u64,
    boot_id: String,
}

/// A record that can't be understood, so that what it means isn't known.
#[derive(Debug)]
pub(crate) struct UnreadRecord {
    /// The script, by the name of the file.
    pub(crate) script: String,
    pub(crate) path: String,
    pub(crate) problem: String,
    /// Where a newer program wrote it.
    pub(crate) newer: Option<NewerState>,
}

/// The records of the boot `boot_id`; of any boot where that isn't known.
pub(crate) fn running(
    host: &FileSystem,
    boot_id: Option<&str>,
) -> Result<Vec<Result<Running, UnreadRecord>>, FileError> {
    let Some(run) = optional(host.open_dir(RUN))? else { return Ok(Vec::new()) };
    let Some(records) = optional(run.open_dir(RUN_RECORDS))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in records.entries()? {
        // The service writes a record under another name first.
        let Some(script) = name.strip_suffix(RECORD_SUFFIX).filter(|name| !name.starts_with('.')) else {
            continue;
        };
        // A script may end while we look.
        let Some(raw) = optional(records.read_file(&name, MAX_RUN_RECORD))? else { continue };
        let record = RUN_RECORD.read::<Running>(&raw);
        if let (Ok(record), Some(boot_id)) = (&record, boot_id)
            && record.boot_id != boot_id
        {
            continue;
        }
        found.push(record.map_err(|error| UnreadRecord {
            script: script.to_owned(),
            path: records.path().join(&name).display().to_string(),
            problem: error.to_string(),
            newer: NewerState::in_error(&error).cloned(),
        }));
    }
    Ok(found)
}
