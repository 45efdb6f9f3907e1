//! Whether the modules of a kernel are those of the manifest, however they are split into frames.

use std::collections::BTreeMap;

use crate::document::{FileRecord, Kernel, Manifest, ModuleRecord, SetDocument, modules_digest};
use crate::names::{ScriptName, UPROBES_NAME};

/// What the SETs of one kernel hold together.
#[derive(Default)]
pub(crate) struct Found {
    modules: BTreeMap<ScriptName, ModuleRecord>,
    uprobes: Option<FileRecord>,
}

impl Found {
    /// Takes in one more SET; the problem if it repeats something.
    pub(crate) fn add(&mut self, set: &SetDocument) -> Result<(), String> {
        for module in &set.modules {
            // Trailers are not part of what is compared later, and may be large.
            let record = ModuleRecord { trailers: Vec::new(), ..module.clone() };
            if self.modules.insert(module.name.clone(), record).is_some() {
                return Err(format!("module {} is in two frames", module.name));
            }
        }
        if set.uprobes.is_some() && self.uprobes.is_some() {
            return Err(format!("{UPROBES_NAME} is in two frames"));
        }
        self.uprobes = self.uprobes.take().or_else(|| set.uprobes.clone());
        Ok(())
    }

    /// Compares with what the manifest says of `kernel`; the problem if it isn't that.
    pub(crate) fn check(&self, manifest: &Manifest, kernel: &Kernel) -> Result<(), String> {
        let scripts = manifest.scripts.iter().map(|script| &script.name);
        if !scripts.filter(|name| kernel.is_green(name)).eq(self.modules.keys()) {
            return Err("its modules are not the green cells of the manifest".to_owned());
        }
        if self.modules.values().any(|module| module.needs_uprobes) != self.uprobes.is_some() {
            return Err(format!("{UPROBES_NAME} must be there exactly if a module needs it"));
        }
        let found = modules_digest(self.modules.values(), self.uprobes.as_ref());
        if found != kernel.modules_sha256 {
            return Err(format!("modules_sha256 is {}, computed {found}", kernel.modules_sha256));
        }
        Ok(())
    }
}
