//! What an install would take away though it is used here: a kernel that this host has, a script that runs.

use std::fmt;

use bundle_format::{KernelRelease, ScriptName};

/// What an install takes away though it is used here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Releases of this host that would have fewer modules than now.
    pub kernels: Vec<KernelRelease>,
    /// Scripts that run, and that couldn't be started again.
    pub scripts: Vec<ScriptName>,
}

impl Removal {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.kernels.is_empty() && self.scripts.is_empty()
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernels: Vec<&str> = self.kernels.iter().map(KernelRelease::as_str).collect();
        let scripts: Vec<&str> = self.scripts.iter().map(ScriptName::as_str).collect();
        let kernels = part("kernel", &kernels, "which this host has");
        let scripts = part("script", &scripts, if scripts.len() == 1 { "which runs" } else { "which run" });
        let parts: Vec<String> = kernels.into_iter().chain(scripts).collect();
        f.write_str(&parts.join(", and "))
    }
}

fn part(noun: &str, names: &[&str], which: &str) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{noun} {one}, {which}")),
        several => Some(format!("{noun}s {}, {which}", several.join(", "))),
    }
}
