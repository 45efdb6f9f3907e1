//! What a host says about itself, as handed in: this crate asks no `uname`.

use bundle_format::{Kernel, KernelRelease, Machine, ScriptName};

/// The facts by which a bundle's kernels are compared with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    /// What `uname -r` prints; `None` under `--root`, where no kernel runs.
    pub release: Option<KernelRelease>,
    /// What `uname -m` prints.
    pub machine: Machine,
    /// What `uname -v` prints; `None` under `--root`.
    pub version: Option<String>,
    /// The line that `uname -a` prints, without its line end; `None` under `--root`.
    pub uname_a: Option<String>,
    /// What `uname -n` prints; under `--root` the content of its `/etc/hostname`.
    pub node: String,
}

/// Why a kernel of a bundle isn't this host's although its release is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another architecture.
    #[error("{release} is built for {bundle}, this host is {host}")]
    Machine {
        release: KernelRelease,
        /// The bundle's kernel's machine.
        bundle: Machine,
        /// The host's.
        host: Machine,
    },
    /// The same release, built with other options: its kernel loads none of the bundle's modules.
    #[error("{release} is built with `{bundle}` (vermagic), the modules of this host's kernel have `{host}`")]
    Vermagic {
        release: KernelRelease,
        /// The vermagic of the bundle's modules.
        bundle: String,
        /// That of the kernel's own modules here.
        host: String,
    },
    /// The same release and options, but another build: its kernel refuses the module for this symbol.
    #[error(
        "{release} is a different build from this host's: {script} needs the symbol {symbol} with CRC {bundle:#010x}, {file} has {host:#010x}"
    )]
    Symbol {
        release: KernelRelease,
        /// A module that uses the symbol.
        script: ScriptName,
        symbol: String,
        /// Its CRC, as the module was compiled.
        bundle: u32,
        /// Its CRC by this host's Module.symvers.
        host: u32,
        file: String,
    },
    /// The same release, built again.
    #[error("{release} is built for the kernel `{bundle}`, this host runs `{host}`")]
    Version {
        release: KernelRelease,
        /// `uname -v` of the bundle's kernel.
        bundle: String,
        /// The host's.
        host: String,
    },
}

impl HostIdentity {
    /// Whether `kernel` is the running one: release, machine and, where the bundle states it,
    /// `uname -v`.
    #[must_use]
    pub fn runs(&self, kernel: &Kernel) -> bool {
        self.release.as_ref() == Some(&kernel.release) && self.mismatch(kernel).is_none()
    }

    /// What separates this host from `kernel`, whose release is the running one. A release that doesn't
    /// run is compared by machine only: its `uname -v` can't be known.
    #[must_use]
    pub fn mismatch(&self, kernel: &Kernel) -> Option<Mismatch> {
        let release = kernel.release.clone();
        if kernel.machine != self.machine {
            return Some(Mismatch::Machine {
                release,
                bundle: kernel.machine.clone(),
                host: self.machine.clone(),
            });
        }
        if self.release.as_ref() != Some(&kernel.release) {
            return None;
        }
        match (&kernel.uname_v, &self.version) {
            (Some(bundle), Some(host)) if bundle != host => {
                Some(Mismatch::Version { release, bundle: bundle.clone(), host: host.clone() })
            }
            _ => None,
        }
    }
}
