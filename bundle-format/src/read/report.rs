//! What a check has found: each problem, and what of each kernel can still be had.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{BundleError, Manifest};
use crate::names::KernelId;
use crate::read::frames::Present;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Headers, padding and the digests of all members.
    Digests,
    /// Also decode all frames and compare every module.
    Modules,
}

/// What can be had of a kernel from this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelState {
    /// All its frames and their references are good, as far as was looked.
    Good,
    /// A frame that it needs is not in the file, which is a subset.
    Absent,
    /// A frame that it needs is damaged, or behind damage that nothing can be found behind.
    Damaged,
    /// Its frames have the signed digests, but what they refer to in another bundle isn't here, so none was decoded.
    Undecoded,
}

/// What was found.
#[derive(Debug)]
pub struct CheckReport {
    /// Frames in the file.
    pub present: Present,
    /// Modules that were decoded and compared.
    pub modules: usize,
    /// Frames of a delta that were not decoded, for want of what they refer to.
    pub undecoded: usize,
    /// All problems, in the order of the file.
    pub problems: Vec<BundleError>,
    /// Each kernel of the manifest, in the natural order of the releases.
    pub kernels: Vec<(KernelId, KernelState)>,
    /// The frames that are in the file, by index, and whether their bytes are those that were signed.
    pub frames: BTreeMap<usize, bool>,
}

impl CheckReport {
    /// The kernels all of whose frames are in the file with the signed digests.
    #[must_use]
    pub fn intact(&self) -> BTreeSet<KernelId> {
        let is_intact = |state: KernelState| matches!(state, KernelState::Good | KernelState::Undecoded);
        self.kernels.iter().filter(|(_, state)| is_intact(*state)).map(|(id, _)| *id).collect()
    }

    /// What keeps the file from being called seen as a whole: a kernel whose frames are absent or couldn't be decoded.
    pub(crate) fn unseen(&self, manifest: &Manifest) -> Option<BundleError> {
        let (id, state) = self.kernels.iter().find(|(_, state)| *state != KernelState::Good)?;
        let kernel = manifest.kernels.iter().find(|kernel| kernel.id == *id)?;
        let release = kernel.release.clone();
        let base =
            kernel.frames.iter().find_map(|frame| frame.base).filter(|_| *state == KernelState::Undecoded);
        Some(match base {
            Some(base) => {
                BundleError::BaseAbsent { release, base, from: manifest.from.clone().map(Box::new) }
            }
            None => BundleError::AbsentFrame { release, kernel: *id },
        })
    }
}
