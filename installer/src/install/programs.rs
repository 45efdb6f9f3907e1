//! The programs that a bundle's scripts probe, beside those of this host.

use bundle_format::{KernelId, ScriptRecord};
use files::FileSystem;

use crate::host::{HostPrograms, OtherProgram};
use crate::install::installation::Installation;
use crate::install::report::InstallWarning;
use crate::trust::policy::{OtherBuild, Policy};

impl Installation<'_> {
    /// A word on each script whose module, for a chosen kernel, is made for another build of a program than this host has.
    pub(super) fn other_programs(&self, host: &FileSystem, policy: &Policy) -> Vec<InstallWarning> {
        let programs = HostPrograms::of(host);
        let is_refused = policy.programs.other_build == OtherBuild::Refuse;
        let scripts = self.manifest.scripts.iter();
        let others = scripts.filter_map(|script| Some((script, self.other_program(&programs, script)?)));
        others
            .map(|(script, other)| InstallWarning::OtherProgram {
                script: script.name.clone(),
                other,
                is_refused,
            })
            .collect()
    }

    fn other_program(&self, programs: &HostPrograms<'_>, script: &ScriptRecord) -> Option<OtherProgram> {
        let kernels = self.manifest.kernels.iter().filter(|kernel| kernel.is_green(&script.name));
        let mut chosen =
            kernels.map(|kernel| kernel.id).filter(|id: &KernelId| self.chosen.kernels.contains(id));
        chosen.find_map(|kernel| programs.other(script, &kernel))
    }
}
