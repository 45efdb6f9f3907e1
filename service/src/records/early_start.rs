//! What the start in the initramfs did: `/run/stap-bundle/onboot.json`. It is written before anything is loaded, and again at the end;
//! /run goes along when the root file system takes over.

use std::collections::{BTreeMap, BTreeSet};

use installer::StateVersion;
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, own_files};
use crate::reasons::Reason;

const VERSION: StateVersion = StateVersion::new(1);
const FILE: &str = "onboot.json";

/// The start of this boot that came before the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyStart {
    /// Version of this document.
    pub schema: u32,
    pub boot_id: String,
    /// The generation that the image has.
    pub generation: Option<u64>,
    /// Whether the start came to its end.
    pub ended: bool,
    /// Scripts that ran at its end.
    pub running: BTreeSet<ScriptName>,
    /// Scripts that didn't.
    pub failed: BTreeMap<ScriptName, Reason>,
    /// Why nothing at all was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl EarlyStart {
    /// A start that has done nothing yet.
    pub(crate) fn begin(host: &Host, generation: Option<u64>) -> Result<Self, ServiceError> {
        let early = Self::new(host.boot_id()?, generation);
        early.write(host)?;
        Ok(early)
    }

    pub(crate) fn write(&self, host: &Host) -> Result<(), ServiceError> {
        own_files::write(host, &host.run_dir, FILE, self)
    }

    /// That of this boot. Of one that can't be read, or that others could have written, only that is known.
    pub(crate) fn read(host: &Host) -> Option<Self> {
        let boot_id = host.boot_id().ok()?;
        let read = match own_files::read(host, &host.run_dir, FILE) {
            Ok(None) => return None,
            Ok(Some(bytes)) => VERSION.read::<Self>(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(early) => (early.boot_id == boot_id).then_some(early),
            Err(why) => {
                let error =
                    Some(format!("what it did isn't known: {}: {why}", host.run_dir.join(FILE).display()));
                Some(Self { error, ended: true, ..Self::new(boot_id, None) })
            }
        }
    }

    fn new(boot_id: String, generation: Option<u64>) -> Self {
        Self {
            schema: VERSION.number(),
            boot_id,
            generation,
            ended: false,
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
            error: None,
        }
    }
}
