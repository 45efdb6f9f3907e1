//! `diff --installed`: a bundle beside what is installed on this host under its name.

use std::fs::File;

use bundle_format::{Bases, BundleName, VerifiedBundle};
use installer::{CurrentGeneration, HostBases};

use super::Side;
use crate::bundle_path::BundlePath;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;

/// The current generation, in which the older side lies.
pub(super) struct Installed {
    current: CurrentGeneration,
    name: BundleName,
}

impl Installed {
    /// Opens what is installed under the name `name`.
    pub(super) fn open(global: &Global, name: &BundleName) -> Result<Self, Failure> {
        let current = host::current(&host::open_root(global)?).map_err(not_different)?;
        let not_there = |there: &[String]| {
            let there = if there.is_empty() {
                "nothing is".to_owned()
            } else {
                format!("installed: {}", there.join(", "))
            };
            Failure::new(Exit::DoesNotFit, format!("bundle {name} is not installed; {there}"))
                .hint("`stap-bundle list` shows what is installed")
        };
        let Some(current) = current else { return Err(not_there(&[])) };
        if let Some(refused) = current.refused_bundles().iter().find(|refused| refused.name == name.as_str())
        {
            let what = format!("bundle {name} is installed and not believed: {}", refused.reason);
            return Err(Failure::new(Exit::Trust, what).hint("`stap-bundle fsck` says how it can be mended"));
        }
        if current.bundles().iter().all(|bundle| bundle.name != *name) {
            let there: Vec<String> = current.bundles().iter().map(|bundle| bundle.name.to_string()).collect();
            return Err(not_there(&there));
        }
        Ok(Self { current, name: name.clone() })
    }

    /// The kept file, and `new` from the file `path`; what a delta among them refers to is looked for on this host.
    pub(super) fn beside(
        &self,
        path: &BundlePath,
        new: VerifiedBundle<File>,
    ) -> Result<[Side<'_>; 2], Failure> {
        let installed = self.current.bundles().iter().find(|bundle| bundle.name == self.name);
        let about = format!("the installed bundle {}", self.name);
        let Some(installed) = installed else {
            return Err(Failure::new(Exit::Malformed, format!("{about} is gone")));
        };
        let old = installed.verified().map_err(|error| Failure::from(error).about(&about))?;
        let bases = || -> Box<dyn Bases + '_> { Box::new(HostBases::new(Some(&self.current), &self.name)) };
        Ok([
            Side { about, bundle: old, bases: bases() },
            Side { about: path.display().to_string(), bundle: new, bases: bases() },
        ])
    }
}

/// 1 says that the bundles differ, here as in diff(1).
fn not_different(failure: Failure) -> Failure {
    let exit = if failure.exit == Exit::Failed { Exit::Malformed } else { failure.exit };
    Failure { exit, ..failure }
}
