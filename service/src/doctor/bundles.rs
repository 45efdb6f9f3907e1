//! Whether what is installed is believed, fresh and made for the kernels of this host.

use installer::{TrustStore, aging};

use crate::doctor::{Examined, Finding, Level};

impl Examined<'_> {
    pub(super) fn bundles(&self) -> Vec<Finding> {
        let mut findings = vec![self.trust()];
        let errors = self.status.errors.iter();
        findings.extend(errors.map(|error| Finding::new("state", Level::Problem, error.what.clone())));
        let Some(current) = self.current else {
            if self.status.errors.is_empty() {
                let text = "nothing is installed";
                findings
                    .push(Finding::new("installed", Level::Note, text).advice("stap-bundle install FILE"));
            }
            return findings;
        };
        for refused in current.refused_bundles() {
            let text = format!("bundle {} is not believed: {}", refused.name, refused.reason);
            findings.push(
                Finding::new("bundle-refused", Level::Problem, text)
                    .advice("stap-bundle fsck says what is wrong"),
            );
        }
        findings.extend(self.best_before());
        findings.extend(self.kernels());
        if let Some(problem) = &self.status.masks_unknown {
            let text = format!("it isn't known which scripts are masked, so none starts: {problem}");
            findings.push(Finding::new("masks", Level::Problem, text));
        }
        findings
    }

    fn trust(&self) -> Finding {
        match TrustStore::open(&self.host.files) {
            Err(error) => Finding::new("trust", Level::Problem, files::with_causes(&error)),
            Ok(store) if store.is_empty() => {
                let text = "no farm's key is trusted, so no bundle can be installed";
                Finding::new("trust", Level::Problem, text).advice("stap-bundle trust add NAME.pub")
            }
            Ok(_) => Finding::new("trust", Level::Good, "the key of a farm is trusted"),
        }
    }

    fn best_before(&self) -> Vec<Finding> {
        let Some(current) = self.current else { return Vec::new() };
        let found = aging(&self.host.files, current, Some(self.host.now()));
        let finding = |aging: &installer::Aging| {
            let how = if aging.has_passed() { "has passed" } else { "is near" };
            let text = format!("the best-before of bundle {} {} {how}", aging.name, aging.version);
            Finding::new("best-before", Level::Warning, text).advice("install a newer bundle")
        };
        found.iter().map(finding).collect()
    }

    /// The installed kernels for which bundles have nothing.
    fn kernels(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for kernel in &self.status.kernels {
            let release = &kernel.release;
            let runs = if kernel.running { ", which runs" } else { "" };
            let lacking: Vec<&str> = kernel.lacking.iter().map(bundle_format::BundleName::as_str).collect();
            let finding = match (kernel.covered_by.is_empty(), lacking.is_empty()) {
                (_, true) => {
                    Finding::new("kernel", Level::Good, format!("all bundles are for kernel {release}{runs}"))
                }
                (true, false) => {
                    let level = if kernel.running { Level::Problem } else { Level::Warning };
                    let text = format!("no bundle has modules for kernel {release}{runs}");
                    Finding::new("kernel", level, text).advice("build a bundle for it and install it")
                }
                (false, false) => {
                    let text =
                        format!("bundle {} has no modules for kernel {release}{runs}", lacking.join(", "));
                    Finding::new("kernel", Level::Warning, text)
                        .advice("build a bundle for it and install it")
                }
            };
            findings.push(finding);
        }
        findings
    }
}
