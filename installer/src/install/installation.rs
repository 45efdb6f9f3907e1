//! One proven bundle on its way, and what is known of it beside what is installed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle_format::{BundleId, BundleName, Kernel, KernelId, KeyId, Manifest, ScriptName};
use files::FileError;

use crate::compat::ReconcileReport;
use crate::generation::{
    Changes, CurrentGeneration, IndexedKernel, InstalledBundle, ModuleKeys, indexed_kernel, intact_kernels,
    unpacked_kernels,
};
use crate::host::{Domain, HostIdentity};
use crate::install::choice::Chosen;
use crate::install::error::InstallError;
use crate::install::kept_frames::{Available, KeptFrames};
use crate::install::options::InstallOptions;
use crate::install::others::{is_refused, other_refused};
use crate::install::removal::Removal;
use crate::install::report::{InstallOutcome, InstallReport, InstallWarning, KernelInstalled};
use crate::trust::RootRecord;

/// One proven bundle on its way.
pub(super) struct Installation<'i> {
    /// Whose keys signed the bundle, and which owns its name.
    pub(super) domain: Domain,
    /// By which root it was accepted.
    pub(super) record: Option<RootRecord>,
    pub(super) manifest: &'i Arc<Manifest>,
    pub(super) id: BundleId,
    pub(super) signers: &'i [KeyId],
    pub(super) identity: &'i HostIdentity,
    pub(super) options: &'i InstallOptions,
    pub(super) chosen: Chosen,
    pub(super) available: Available,
    /// Which signature of a module this host's kernel would take.
    pub(super) module_keys: ModuleKeys,
}

impl Installation<'_> {
    /// What was done, but for what follows it for the initscript.
    pub(super) fn placed(
        &self,
        outcome: InstallOutcome,
        kernels: &[IndexedKernel],
        warnings: Vec<InstallWarning>,
    ) -> InstallReport {
        InstallReport {
            outcome,
            changes: Changes::default(),
            removal: Removal::default(),
            removal_is_refused: false,
            name: self.manifest.name.clone(),
            domain: self.domain.clone(),
            version: self.manifest.version.clone(),
            serial: self.manifest.serial,
            id: self.id,
            signers: self.signers.to_vec(),
            kernels: self.kernels_installed(kernels),
            module_signers: Vec::new(),
            warnings,
            compat: Ok(ReconcileReport::default()),
        }
    }

    /// The bundle that is to be installed, where it is in `current` and believed.
    pub(super) fn same<'c>(
        &self,
        current: &'c CurrentGeneration,
    ) -> Option<(&'c CurrentGeneration, &'c InstalledBundle)> {
        let same = current.bundles().iter().find(|bundle| bundle.id == self.id)?;
        Some((current, same))
    }

    /// What `same` has unpacked; chosen kernels of which there is nothing to unpack count as there.
    pub(super) fn kernels_there(
        &self,
        current: &CurrentGeneration,
        same: &InstalledBundle,
    ) -> Result<Vec<IndexedKernel>, FileError> {
        let mut there = unpacked_kernels(current.directory(), same.name.as_str(), &same.manifest)?;
        let all_red = same.manifest.kernels.iter().filter(|kernel| kernel.frames.is_empty());
        there.extend(all_red.filter(|kernel| self.chosen.kernels.contains(&kernel.id)).map(indexed_kernel));
        Ok(there)
    }

    /// Where a damaged copy of this bundle is mended, the kernels that it had come back too.
    pub(super) fn choose_again(
        &mut self,
        current: &CurrentGeneration,
    ) -> Result<Vec<InstallWarning>, FileError> {
        if !is_refused(current, &self.manifest.name) {
            return Ok(Vec::new());
        }
        let intact = intact_kernels(current.directory(), self.manifest)?;
        let (given, other): (Vec<_>, Vec<_>) = intact.into_iter().partition(|id| self.available.has(id));
        self.chosen.kernels.extend(given);
        Ok(self.no_longer_kept(&other.into_iter().collect()).into_iter().collect())
    }

    /// A word on kernels that the kept file had and the new one doesn't have.
    pub(super) fn no_longer_kept(&self, kernels: &BTreeSet<KernelId>) -> Option<InstallWarning> {
        let of_release = self.manifest.kernels_by_release().into_iter();
        let releases: Vec<_> = of_release
            .filter(|kernel| kernels.contains(&kernel.id))
            .map(|kernel| kernel.release.clone())
            .collect();
        (!releases.is_empty()).then_some(InstallWarning::NoLongerKept { releases })
    }

    /// The same for a bundle that takes the place of another one of its name: what that had kept, this one has by
    /// its account, and the new file hasn't.
    pub(super) fn replaced(
        &self,
        current: Option<&CurrentGeneration>,
        in_file: &BTreeSet<KernelId>,
    ) -> Option<InstallWarning> {
        let absent = self.manifest.kernels.iter().filter(|kernel| !in_file.contains(&kernel.id));
        let absent: Vec<&Kernel> = absent.collect();
        if absent.is_empty() {
            return None;
        }
        let is_old = |bundle: &&InstalledBundle| bundle.name == self.manifest.name && bundle.id != self.id;
        let old = current?.bundles().iter().find(is_old)?;
        let kept = KeptFrames::of(old)?;
        let kept: BTreeSet<_> = old
            .manifest
            .kernels
            .iter()
            .filter(|kernel| kept.kernels().contains(&kernel.id))
            .map(|kernel| &kernel.release)
            .collect();
        let lost = absent.into_iter().filter(|kernel| kept.contains(&kernel.release));
        self.no_longer_kept(&lost.map(|kernel| kernel.id).collect())
    }

    /// Refuses a script that another bundle has, or claims to have, and to go on beside a bundle of
    /// which nobody can say what it has. Only what is itself to be mended may pass by such a one, for
    /// otherwise two of them would keep each other from being mended.
    pub(super) fn check_conflicts(&self, current: &CurrentGeneration) -> Result<(), InstallError> {
        let believed = current.bundles().iter().filter(|bundle| bundle.name != self.manifest.name);
        for other in believed {
            self.check_scripts(&other.name, &other.manifest)?;
        }
        let mends = is_refused(current, &self.manifest.name);
        for (name, refused) in other_refused(current, Some(&self.manifest.name)) {
            match refused.claimed() {
                Some((_, claimed)) => self.check_scripts(&name, claimed)?,
                None if mends => {}
                None => {
                    return Err(InstallError::Unreadable {
                        name: refused.name.clone(),
                        generation: current.number(),
                        reason: refused.reason.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Refuses a script for which an administrator vouches already.
    pub(super) fn check_adopted(&self) -> Result<(), InstallError> {
        let InstallOptions { adopted, move_foreign, .. } = self.options;
        let ours = self.manifest.scripts.iter().map(|script| &script.name);
        match ours.filter(|_| !move_foreign).find(|script| adopted.contains(*script)) {
            Some(script) => {
                let offered = self.manifest.name.clone();
                Err(InstallError::Adopted { script: script.clone(), offered })
            }
            None => Ok(()),
        }
    }

    fn check_scripts(&self, installed: &BundleName, other: &Manifest) -> Result<(), InstallError> {
        let ours: BTreeSet<&ScriptName> = self.manifest.scripts.iter().map(|script| &script.name).collect();
        let twin = other.scripts.iter().map(|script| &script.name).find(|script| ours.contains(script));
        twin.cloned().map_or(Ok(()), |script| {
            Err(InstallError::Conflict {
                script,
                installed: installed.clone(),
                offered: self.manifest.name.clone(),
            })
        })
    }

    fn kernels_installed(&self, unpacked: &[IndexedKernel]) -> Vec<KernelInstalled> {
        let kernels = self.manifest.kernels_by_release().into_iter();
        let installed = kernels.filter_map(|kernel| {
            let entry = unpacked.iter().find(|entry| entry.id == kernel.id)?;
            Some(KernelInstalled {
                id: kernel.id,
                release: kernel.release.clone(),
                modules: entry.modules.len(),
                red: kernel.red.clone(),
            })
        });
        installed.collect()
    }
}
