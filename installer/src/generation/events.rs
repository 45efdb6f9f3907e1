//! What an install tells while it works. Words are the reporter's.

use bundle_format::{
    BundleName, BundleVersion, Kernel, KernelId, KernelRelease, KeyId, RootName, VerifiedSet,
};

use crate::host::Domain;

/// A step of an install, in the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallEvent {
    /// The bundle's roots were accepted, whatever becomes of the bundle.
    RootsAccepted {
        domain: Domain,
        /// The chain's name.
        name: RootName,
        /// The newest version before; 0 where there was no chain.
        from: u64,
        to: u64,
    },
    /// The manifest is signed by a trusted key.
    Verified {
        name: BundleName,
        version: BundleVersion,
        /// Whose signatures hold.
        signers: Vec<KeyId>,
    },
    /// What a killed run left was removed.
    LeftOverRemoved {
        /// Its name in `generations/`.
        name: String,
    },
    /// Reading and staging begin.
    Staging {
        /// The number of the generation to be.
        generation: u64,
        /// How many kernels will be unpacked.
        kernels: usize,
    },
    /// A part of a kernel's modules is verified and written.
    KernelStaged {
        /// The kernel's id.
        kernel: KernelId,
        release: KernelRelease,
        modules: usize,
        /// Bytes of this part.
        bytes: u64,
    },
    /// Another bundle of the old generation is in the new one too.
    CarriedOver { name: BundleName },
    /// Everything is written; waiting for the disk.
    Syncing,
    /// The new generation is complete and becomes the current one.
    Switching { from: Option<u64>, to: u64 },
    /// Links and options for the initscript are being brought in line.
    Reconciling,
}

impl InstallEvent {
    /// A part of the modules for `kernel` is verified and written.
    pub(crate) fn kernel_staged(kernel: &Kernel, set: &VerifiedSet<'_>) -> Self {
        let modules = &set.document().modules;
        Self::KernelStaged {
            kernel: kernel.id,
            release: kernel.release.clone(),
            modules: modules.len(),
            bytes: modules.iter().map(|module| module.size).sum(),
        }
    }
}

/// Takes the events of an install.
pub type Events<'e> = dyn FnMut(InstallEvent) + 'e;
