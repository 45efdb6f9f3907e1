//! Which of the installed kernels the installed bundles have modules for: the next boot may be into another one.

use bundle_format::{BundleName, KernelRelease};
use installer::{CurrentGeneration, HostIdentity};
use serde::Serialize;

use crate::host::Host;

/// One kernel that is installed on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelCoverage {
    pub release: KernelRelease,
    /// Whether it runs now.
    pub running: bool,
    /// Bundles that were built for it.
    pub covered_by: Vec<BundleName>,
    /// Bundles that weren't: their scripts won't run when it is booted.
    pub lacking: Vec<BundleName>,
}

/// Every release in `/lib/modules` that has modules of its own, and the running one.
pub(crate) fn of_installed_kernels(
    host: &Host,
    identity: &HostIdentity,
    current: &CurrentGeneration,
) -> Vec<KernelCoverage> {
    let mut releases = installed(host);
    releases.extend(identity.release.clone());
    releases.sort();
    releases.dedup();
    let coverage = |release: KernelRelease| {
        let has = |bundle: &&installer::InstalledBundle| {
            bundle.manifest.kernels.iter().any(|kernel| kernel.release == release)
        };
        let names = |covered: bool| {
            let bundles = current.bundles().iter().filter(|bundle| has(bundle) == covered);
            bundles.map(|bundle| bundle.name.clone()).collect()
        };
        let running = identity.release.as_ref() == Some(&release);
        KernelCoverage { covered_by: names(true), lacking: names(false), running, release }
    };
    releases.into_iter().map(coverage).collect()
}

/// A directory with the headers alone, or with what another program left, is no kernel.
fn installed(host: &Host) -> Vec<KernelRelease> {
    let entries = host.files.open_dir(&host.modules_dir).and_then(|directory| directory.entries());
    let release = |name: String| {
        let path = host.modules_dir.join(&name);
        let is_kernel = host.files.open_file(path.join("modules.order")).is_ok()
            || host.files.open_dir(path.join("kernel")).is_ok();
        is_kernel.then(|| name.parse().ok()).flatten()
    };
    entries.unwrap_or_default().into_iter().filter_map(release).collect()
}
