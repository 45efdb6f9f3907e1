//! Why scripts can't be put in order, started or stopped.

use serde::Serialize;
use thiserror::Error;

use super::Names;
use crate::name::{ScriptName, names};

/// Why scripts can't be put in order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DependencyError {
    /// Scripts require each other (INIT-DEP-02).
    #[error("requirements form a cycle: {}", names(path))]
    Cycle {
        /// The cycle, beginning and ending with the smallest of its names.
        path: Vec<ScriptName>,
    },
    /// A script that doesn't exist is required (INIT-DEP-04).
    #[error("script {requirement} doesn't exist, and is required by {}", list(required_by))]
    Missing {
        /// The script that doesn't exist.
        requirement: ScriptName,
        required_by: Names,
    },
    /// A script that doesn't exist was named.
    #[error("there is no script {script}")]
    Unknown { script: ScriptName },
}

/// Why a script can never start, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocked {
    /// It requires these, directly or not, and they don't exist.
    Missing(Names),
    /// It is on this cycle, or requires a script that is.
    Cycle(Vec<ScriptName>),
}

/// A script isn't stopped, because running ones require it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{script} is required by {}, still running", list(dependants))]
pub struct StopRefused {
    pub script: ScriptName,
    /// Running scripts that require it, directly or not, and weren't named.
    pub dependants: Names,
}

fn list(scripts: &Names) -> String {
    scripts.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(", ")
}
