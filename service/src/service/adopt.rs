//! Adopting modules of the initscript's cache.

use std::collections::BTreeSet;

use script_config::{Configuration, ScriptName};

use super::Service;
use crate::host::{ServiceError, log};
use crate::local::{
    Adopter, AdoptionPlan, AdoptionRefusal, AdoptionReport, LocalModule, RefusedAdoption, in_cache,
};

impl Service<'_> {
    /// Looks at the modules of the named scripts, or at all that came as files and have no record; changes nothing.
    /// `configuration` is the host's own.
    pub fn plan_adoption(
        &self,
        named: &BTreeSet<ScriptName>,
        configuration: &Configuration,
    ) -> Result<AdoptionPlan, ServiceError> {
        let adopter = self.adopter()?;
        let release = adopter.release.clone();
        let all = || -> Result<BTreeSet<ScriptName>, ServiceError> {
            let mut found = in_cache(self.host, &release)?;
            found.retain(|script| self.owner(script).is_none() && !self.has_record(script));
            Ok(found.into_iter().collect())
        };
        let scripts = if named.is_empty() { all()? } else { named.clone() };
        let mut plan = AdoptionPlan { kernel: release, modules: Vec::new(), refused: Vec::new() };
        for script in scripts {
            let found =
                self.adoptable(&script).and_then(|()| adopter.look(&script)).and_then(|(found, _)| {
                    found.check_options(configuration)?;
                    Ok(found)
                });
            match found {
                Ok(found) => plan.modules.push(found),
                Err(reason) => plan.refused.push(RefusedAdoption { script, reason }),
            }
        }
        Ok(plan)
    }

    /// Records the modules of a plan, as far as they are still what was shown. `by` says who vouches for them. To be called under
    /// the installer's lock, so that no bundle comes to offer one meanwhile.
    pub fn adopt(&self, agreed: AdoptionPlan, by: &str) -> Result<AdoptionReport, ServiceError> {
        let adopter = self.adopter()?;
        let _lock = self.lock()?;
        let AdoptionPlan { kernel, modules, refused, .. } = agreed;
        let mut report = AdoptionReport { kernel, adopted: Vec::new(), refused };
        for module in modules {
            let script = module.script.clone();
            match self.adoptable(&script).and_then(|()| adopter.adopt(&module, by)) {
                Ok(()) => {
                    let line = format!("{script}: adopted by {by}, SHA-256 {}", module.sha256);
                    log::line(self.host, &line);
                    report.adopted.push(module);
                }
                Err(reason) => report.refused.push(RefusedAdoption { script, reason }),
            }
        }
        Ok(report)
    }

    /// Forgets what was adopted of scripts that an installed bundle has: they are the bundle's.
    pub fn leave_to_bundles(&self) -> Result<(), ServiceError> {
        let bundles = self.current.iter().flat_map(|current| current.bundles());
        let offered = bundles.flat_map(|bundle| &bundle.manifest.scripts).map(|script| &script.name);
        let adopted = LocalModule::adopted(self.host);
        let lost: BTreeSet<ScriptName> =
            offered.filter(|script| adopted.contains(*script)).cloned().collect();
        if lost.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        LocalModule::forget_adopted(self.host, &lost)
    }

    fn adopter(&self) -> Result<Adopter<'_>, ServiceError> {
        let release = self.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
        let vermagic = installer::kernel_vermagic(&self.host.files, release);
        Ok(Adopter { host: self.host, identity: self.identity, release, vermagic })
    }

    fn has_record(&self, script: &ScriptName) -> bool {
        self.identity
            .release
            .as_ref()
            .is_some_and(|release| LocalModule::is_recorded(self.host, release, script))
    }

    fn adoptable(&self, script: &ScriptName) -> Result<(), AdoptionRefusal> {
        match self.owner(script) {
            Some(bundle) => Err(AdoptionRefusal::OwnedByBundle { bundle: bundle.to_owned() }),
            None => Ok(()),
        }
    }
}
