//! Which scripts a start or a stop is about, and what a failure means.

use std::collections::BTreeSet;

use script_config::{GlobalParameters, ScriptName};

/// Which scripts a start is about.
#[derive(Debug, Clone, Copy)]
pub struct StartChoice<'a> {
    /// Scripts named; none for `DEFAULT_START` or all.
    pub named: &'a BTreeSet<ScriptName>,
    /// `-R`: what they require is started too.
    pub with_requirements: bool,
    /// The host's configuration: `DEFAULT_START`, `RECURSIVE`, `PASSALL`.
    pub parameters: &'a GlobalParameters,
}

/// How a start goes on after a failure (`PASSALL`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// `PASSALL=yes`: nothing that comes after it runs in the end.
    EndThere,
    /// `PASSALL=no`: only what requires it, directly or not, doesn't run.
    LeaveOut,
}
