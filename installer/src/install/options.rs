//! What the user of an install decides.

use bundle_format::KernelRelease;

/// Which of a bundle's kernels are unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KernelChoice {
    /// Those whose modules are in /lib/modules of this host, and the running one.
    #[default]
    Installed,
    /// Those of these releases.
    Named(Vec<KernelRelease>),
    /// All, for any machine.
    All,
}

/// How to install.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstallOptions {
    /// Which kernels to unpack.
    pub kernels: KernelChoice,
    /// Seconds since 1970; `None` where no clock can be believed.
    pub now: Option<u64>,
}
