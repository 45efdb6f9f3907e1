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
        let early = Self {
            schema: VERSION.number(),
            boot_id: host.boot_id()?,
            generation,
            ended: false,
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
            error: None,
        };
        early.write(host)?;
        Ok(early)
    }

    pub(crate) fn write(&self, host: &Host) -> Result<(), ServiceError> {
        own_files::write(host, &host.run_dir, FILE, self)
    }

    /// That of this boot. One that can't be read, or that others could have written, counts as none.
    pub(crate) fn read(host: &Host) -> Option<Self> {
        let bytes = own_files::read(host, &host.run_dir, FILE).ok()??;
        let early: Self = VERSION.read(&bytes).ok()?;
        (early.boot_id == host.boot_id().ok()?).then_some(early)
    }
}
