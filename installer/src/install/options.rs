//! What the user of an install decides.

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_format::{KernelId, KernelRelease, ScriptName};

/// Which of a bundle's kernels are unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KernelChoice {
    /// Those whose modules are in /lib/modules of this host, and the running one.
    #[default]
    Installed,
    Named(Vec<KernelRelease>),
    /// These, for any machine.
    These(BTreeSet<KernelId>),
    /// All, for any machine.
    All,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line or a fact")]
pub struct InstallOptions {
    /// Which kernels to unpack.
    pub kernels: KernelChoice,
    /// Seconds since 1970; `None` where no clock can be believed.
    pub now: Option<u64>,
    /// Whether something keeps that clock right, so that a bundle from the future is none of its mistakes.
    pub clock_is_synchronised: bool,
    /// Take a bundle below the floor of its name, this once.
    pub allow_downgrade: bool,
    /// Take away a kernel that this host has, or a script that runs, if the bundle lacks it.
    pub allow_removal: bool,
    /// This boot's id: run records of another boot say nothing. `None` believes all.
    pub boot_id: Option<String>,
    /// Leave out kernels whose frames are damaged or absent, instead of refusing the bundle.
    pub partial: bool,
    /// Place the scripts that travel with the bundle where the host has none of that name.
    pub with_source: bool,
    /// Scripts whose modules were adopted on this host: a bundle that has one is refused, unless foreign files are moved aside.
    pub adopted: BTreeSet<ScriptName>,
    /// Move foreign files aside where links of ours should be.
    pub move_foreign: bool,
    /// Write nothing, and tell what would happen.
    pub dry_run: bool,
    /// How long to wait for another writer.
    pub wait: Duration,
}
