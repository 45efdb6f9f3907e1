//! Finds what an install would take away though it is used here.
//!
//! That may be meant, and often is a mistake of whoever built the bundle, or another team's bundle of the same name. So it is
//! done only where the command line or the policy allows it.

use std::collections::BTreeSet;

use bundle_format::{Kernel, KernelId, KernelRelease, Manifest, ScriptName};
use files::FileError;

use crate::generation::{CurrentGeneration, Presence, unpacked_kernels};
use crate::host::{HostKernels, running};
use crate::install::installation::Installation;
use crate::install::removal::Removal;
use crate::state::State;

impl Installation<'_> {
    /// What of the bundle with this name in `current` this one, which is another one, doesn't have any more.
    ///
    /// A bundle that isn't believed now starts nothing: of it only scripts that run are asked for, by what it claims.
    pub(super) fn removal(
        &self,
        state: &State<'_>,
        current: &CurrentGeneration,
        here: &HostKernels<'_>,
    ) -> Result<Removal, FileError> {
        let name = &self.manifest.name;
        let Some(old) = current.bundles().iter().find(|bundle| bundle.name == *name) else {
            let refused = current.refused_bundles().iter().find(|refused| refused.name == name.as_str());
            let claimed = refused.map(|refused| refused.claimed_scripts.clone()).unwrap_or_default();
            let gone: Vec<ScriptName> =
                claimed.into_iter().filter(|script| self.manifest.script(script).is_none()).collect();
            return Ok(Removal { kernels: Vec::new(), scripts: self.that_run(state, gone)? });
        };
        let unpacked = unpacked_kernels(current.directory(), name.as_str(), &old.manifest)?;
        let unpacked: BTreeSet<KernelId> = unpacked.iter().map(|kernel| kernel.id).collect();
        let loses = |release: &&KernelRelease| {
            presence(&self.manifest.kernels, &self.chosen.kernels, here, release)
                < presence(&old.manifest.kernels, &unpacked, here, release)
        };
        let mut releases: BTreeSet<&KernelRelease> = here.installed().iter().collect();
        releases.extend(&here.identity().release);
        let kernels: Vec<KernelRelease> = releases.into_iter().filter(loses).cloned().collect();
        let gone = self.scripts_gone(&old.manifest, here, &kernels);
        Ok(Removal { kernels, scripts: self.that_run(state, gone)? })
    }

    /// Scripts that the bundle no longer has, or has no longer for the running kernel, unless that one goes altogether.
    fn scripts_gone(
        &self,
        old: &Manifest,
        here: &HostKernels<'_>,
        kernels: &[KernelRelease],
    ) -> Vec<ScriptName> {
        let release = here.identity().release.as_ref().filter(|release| !kernels.contains(release));
        let of = |manifest: &Manifest, script: &ScriptName| {
            let has = manifest.script(script).is_some();
            let fits = |kernel: &&Kernel| Some(&kernel.release) == release && here.mismatch(kernel).is_none();
            has && manifest.kernels.iter().filter(fits).any(|kernel| kernel.is_green(script))
        };
        let goes = |script: &&ScriptName| {
            self.manifest.script(script).is_none() || (of(old, script) && !of(self.manifest.as_ref(), script))
        };
        old.scripts.iter().map(|script| &script.name).filter(goes).cloned().collect()
    }

    /// Those of `scripts` that run. A record that can't be understood is one of a script that may run.
    fn that_run(&self, state: &State<'_>, scripts: Vec<ScriptName>) -> Result<Vec<ScriptName>, FileError> {
        if scripts.is_empty() {
            return Ok(scripts);
        }
        let records = running(state.host, self.options.boot_id.as_deref())?;
        let names = records.into_iter().map(|record| match record {
            Ok(record) => record.script,
            Err(unread) => unread.script,
        });
        let names: BTreeSet<String> = names.collect();
        Ok(scripts.into_iter().filter(|script| names.contains(script.as_str())).collect())
    }
}

/// How much of a release's kernel there is, where `unpacked` are, for a kernel that is this host's.
fn presence(
    kernels: &[Kernel],
    unpacked: &BTreeSet<KernelId>,
    here: &HostKernels<'_>,
    release: &KernelRelease,
) -> Presence {
    let ours = kernels.iter().filter(|kernel| kernel.release == *release && !kernel.frames.is_empty());
    let ours = ours.filter(|kernel| here.mismatch(kernel).is_none());
    let of = |kernel: &Kernel| {
        if unpacked.contains(&kernel.id) { Presence::Unpacked } else { Presence::Listed }
    };
    ours.map(of).max().unwrap_or(Presence::Absent)
}
