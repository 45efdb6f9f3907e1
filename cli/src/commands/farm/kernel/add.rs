//! `kernel add`: taking packages into the kernel store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use builder::{AddReport, KernelStore, PackageChecks};
use bundle_format::KernelRelease;
use serde_json::json;

use super::store_failure;
use crate::commands::farm::directories::StoreOption;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::count;

/// Take packages of kernels into the kernel store
///
/// Packages as they are downloaded anywhere, .deb and .rpm: headers, kbuild, kernel-devel, modules, debuginfo. They are checked and
/// unpacked without root; nothing of them is run. Builds find the kernels over any sysroot that has their compiler. A package that
/// is refused leaves the store as it was.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  stap-bundle kernel add *.deb --keyring /usr/share/keyrings/debian-archive-keyring.gpg \\\n    --index InRelease --index Packages.xz\n  stap-bundle kernel add kernel-*.rpm --keyring RPM-GPG-KEY-redhat-release\n  stap-bundle kernel add --debuginfod https://debuginfod.debian.net 6.1.0-50-amd64"
)]
pub(crate) struct AddArgs {
    /// Packages, or directories of them.
    #[arg(required_unless_present = "debuginfod", value_name = "FILE|DIR")]
    packages: Vec<PathBuf>,
    /// Public keys whose signatures count, of RPM packages and of `InRelease` files; may be given several times.
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// An `InRelease` file of an archive, or a `Packages` file that it lists; .deb packages need both, and --keyring.
    #[arg(long, value_name = "FILE")]
    index: Vec<PathBuf>,
    /// A list of SHA-256 digests, as `sha256sum` writes it; a package that nothing vouches for is refused then.
    #[arg(long, value_name = "FILE")]
    digests: Vec<PathBuf>,
    /// Fetch the debuginfo of a kernel of the store from a debuginfod server, by build id, with `debuginfod-find`.
    #[arg(long, num_args = 2, value_names = ["URL", "REL"], conflicts_with_all = ["packages", "keyring", "index", "digests"])]
    debuginfod: Option<Vec<String>>,
    /// The kernel's build id, where the store has no image of it.
    #[arg(long, value_name = "HEX", requires = "debuginfod", value_parser = a_build_id)]
    build_id: Option<String>,
    #[command(flatten)]
    store: StoreOption,
    /// How long to wait for another command that changes the store, in seconds.
    #[arg(hide_short_help = true, long, value_name = "SEC", default_value_t = 60)]
    wait: u64,
}

fn a_build_id(text: &str) -> Result<String, String> {
    let is_one =
        text.len() >= 4 && text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| "a build id is an even number of hexadecimal digits".to_owned())
}

impl AddArgs {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let store = self.store.open()?;
        let failed = |error| store_failure(&error, store.directory());
        let report = if let Some([url, release]) = self.debuginfod.as_deref() {
            self.fetch(&store, url, release, ui)?
        } else {
            let checks = PackageChecks::read(&self.keyring, &self.index, &self.digests).map_err(failed)?;
            let mut begun = |file: &Path| ui.progress(format!("taking in {}", file.display()));
            store.add(&self.packages, &checks, Duration::from_secs(self.wait), &mut begun).map_err(failed)?
        };
        if ui.json {
            show_json(ui, &report);
        } else {
            show(ui, &report);
        }
        let unverified = report.unverified().count();
        if unverified > 0 {
            ui.warning(format!(
                "{} unverified, and the bills of materials say so; check with --keyring, --index or --digests",
                count(unverified, "package")
            ));
        }
        for kernel in &report.kernels {
            for lacks in kernel.lacks() {
                ui.warning(format!(
                    "kernel {} can't be built for yet: its build tree refers to {}, which no package has brought",
                    kernel.release,
                    lacks.display()
                ));
            }
        }
        Ok(Exit::Done)
    }
}

impl AddArgs {
    fn fetch(
        &self,
        store: &KernelStore,
        url: &str,
        release: &str,
        ui: &mut Ui,
    ) -> Result<AddReport, Failure> {
        let release: KernelRelease = release.parse().map_err(|error| Failure::of(Exit::Usage, &error))?;
        let id = self.build_id.as_deref();
        let mut begun = |what: &str| ui.progress(format!("fetching {what}"));
        let fetched = store.fetch_debuginfo(url, &release, id, Duration::from_secs(self.wait), &mut begun);
        let fetched = fetched.map_err(|error| store_failure(&error, store.directory()))?;
        if fetched.missing > 0 {
            let modules = count(fetched.missing, "module");
            ui.warning(format!("{url} has no debuginfo of {modules} of kernel {release}"));
        }
        if fetched.added.packages.is_empty() {
            ui.progress(format!("nothing to fetch for kernel {release}"));
        }
        Ok(fetched.added)
    }
}

fn show(ui: &mut Ui, report: &AddReport) {
    for added in &report.packages {
        let package = &added.package;
        let name = format!("{} {} ({})", package.name, package.version, package.architecture);
        let place = if added.was_there {
            "is there already".to_owned()
        } else if added.is_empty {
            "has nothing that a compile reads, and isn't kept".to_owned()
        } else if added.releases.is_empty() {
            "is kept for the kernels that need it".to_owned()
        } else {
            let releases: Vec<&str> = added.releases.iter().map(KernelRelease::as_str).collect();
            format!("for {}", releases.join(", "))
        };
        ui.line(format!("{name}: {}; {place}", package.checked.in_words()));
    }
    for kernel in &report.kernels {
        ui.line(format!("kernel {}: {}", kernel.release, super::stored::what_it_has(kernel)));
    }
}

fn show_json(ui: &mut Ui, report: &AddReport) {
    let packages: Vec<_> = report
        .packages
        .iter()
        .map(|added| {
            json!({
                "file": added.package.file, "name": added.package.name, "version": added.package.version,
                "architecture": added.package.architecture, "sha256": added.package.sha256, "checked": added.package.checked,
                "kernels": added.releases, "was_there": added.was_there, "kept": !added.is_empty,
            })
        })
        .collect();
    let kernels: Vec<_> = report.kernels.iter().map(super::stored::in_json).collect();
    ui.document(&json!({ "packages": packages, "kernels": kernels }));
}
