//! Whether this host would load what is installed, found out without loading anything.

mod bundles;
mod kernel;
mod setup;

use installer::{CurrentGeneration, ModuleKeys};
use serde::Serialize;

use crate::host::Host;
use crate::seen::StatusReport;

/// How bad a finding is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Good,
    /// To be known, not to be mended.
    Note,
    /// It couldn't be found out.
    Unknown,
    /// It will become a problem, or is one for some scripts.
    Warning,
    /// Scripts don't start for it.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which thing; it stays.
    pub id: &'static str,
    pub level: Level,
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn new(id: &'static str, level: Level, text: impl Into<String>) -> Self {
        Self { id, level, text: text.into(), advice: None }
    }

    fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// What the findings are made of.
struct Examined<'e> {
    host: &'e Host,
    current: Option<&'e CurrentGeneration>,
    status: &'e StatusReport,
    keys: ModuleKeys,
}

/// All findings, in the order in which things must be right: the kernel, its keys, the host's programs, the bundles.
#[must_use]
pub fn examine(host: &Host, current: Option<&CurrentGeneration>, status: &StatusReport) -> Vec<Finding> {
    let keys = current.map(|current| ModuleKeys::of(&host.files, current)).unwrap_or_default();
    let examined = Examined { host, current, status, keys };
    let mut findings = examined.kernel();
    findings.extend(examined.module_keys());
    findings.extend(examined.setup());
    findings.extend(examined.bundles());
    findings
}
