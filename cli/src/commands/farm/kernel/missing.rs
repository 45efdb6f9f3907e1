//! `kernel missing`: what a farm lacks for kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use builder::{Downloader, KernelPackages, KernelStore, KernelSupply, PlanError, kernel_supply};
use clap::ValueEnum;
use fleet::ListedKernel;
use serde_json::json;

use crate::commands::farm::build::{GivenKernels, KernelOptions};
use crate::commands::farm::directories::StoreOption;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::{count, first_of};

/// Say which packages a farm lacks for kernels, by their exact names
///
/// For each kernel without a build tree in the sysroots and the kernel store, those with its headers; with --debuginfo, also those with its
/// debuginfo and its own modules, as far as they aren't found. The names are those of the release's own distribution: Debian, Ubuntu, Fedora, RHEL and its
/// rebuilds. Packages of a release of any other form are unknown, and the command ends with 1.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  stap-bundle kernel missing --kernels fleet.txt --sysroot /srv/root\n  apt-get download $(stap-bundle kernel missing --kernels fleet.txt --sysroot /srv/root --for apt)\n  stap-bundle kernel add *.deb"
)]
pub(crate) struct MissingArgs {
    #[command(flatten)]
    kernels: KernelOptions,
    /// A root directory with build trees; may be given several times [default: /].
    #[arg(long, value_name = "DIR")]
    sysroot: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreOption,
    /// The kernels' debuginfo is needed too.
    #[arg(long)]
    debuginfo: bool,
    /// Print only names, one a line, as arguments for what fetches them.
    #[arg(long = "for", value_name = "TOOL")]
    tool: Option<Tool>,
}

/// What fetches packages.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tool {
    /// apt-get download
    Apt,
    /// dnf download
    Dnf,
}

impl Tool {
    const fn downloader(self) -> Downloader {
        match self {
            Self::Apt => Downloader::Apt,
            Self::Dnf => Downloader::Dnf,
        }
    }
}

/// A kernel that lacks something.
struct Lack {
    kernel: KernelSupply,
    lacks_debuginfo: bool,
    lacks_modules: bool,
    /// Names of its hosts, as far as a list has them.
    hosts: BTreeSet<String>,
    /// Names of packages; `None` if they are unknown.
    packages: Option<Vec<String>>,
}

impl Lack {
    fn of(kernel: KernelSupply, needs_debuginfo: bool, listed: &[ListedKernel]) -> Option<Self> {
        let lacks_debuginfo = needs_debuginfo && !kernel.has_debuginfo;
        let lacks_modules = needs_debuginfo && !kernel.has_modules;
        if kernel.has_build_tree && !lacks_debuginfo && !lacks_modules {
            return None;
        }
        let of_release = listed.iter().filter(|listed| listed.kernel == kernel.release.as_str());
        let hosts = of_release.filter_map(|listed| listed.host.clone()).collect();
        let names = |packages: &KernelPackages| {
            let lacking = [
                (!kernel.has_build_tree, &packages.headers),
                (lacks_debuginfo, &packages.debuginfo),
                (lacks_modules, &packages.modules),
            ];
            lacking.into_iter().filter(|(lacks, _)| *lacks).flat_map(|(_, names)| names.clone()).collect()
        };
        let packages = kernel.packages.as_ref().map(names);
        Some(Self { kernel, lacks_debuginfo, lacks_modules, hosts, packages })
    }

    fn what(&self) -> String {
        let lacking = [
            (!self.kernel.has_build_tree, "build tree"),
            (self.lacks_debuginfo, "debuginfo"),
            (self.lacks_modules, "modules"),
        ];
        let lacking: Vec<&str> =
            lacking.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what).collect();
        lacking.join(", no ")
    }
}

impl MissingArgs {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        // No bundle is at stake here.
        let of_list = |failure: Failure| match failure.exit {
            Exit::NoBundle => Failure { exit: Exit::Storage, ..failure },
            _ => failure,
        };
        let GivenKernels { releases, listed } = self.kernels.read(ui).map_err(of_list)?;
        let store = KernelStore::at(self.store.directory()?);
        let supply = kernel_supply(&releases, self.kernels.all(), &self.sysroot, &store);
        let supply = supply.map_err(|error| cannot_look(&error))?;
        let asked = supply.len();
        let mut lacks: Vec<Lack> =
            supply.into_iter().filter_map(|kernel| Lack::of(kernel, self.debuginfo, &listed)).collect();
        // What most hosts wait for comes first.
        lacks.sort_by_key(|lack| std::cmp::Reverse(lack.hosts.len()));
        let all_known = lacks.iter().all(|lack| lack.packages.is_some());
        if ui.json {
            show_json(ui, &lacks);
        } else if let Some(tool) = self.tool {
            let mut names = by_downloader(&lacks);
            for name in names.remove(&tool.downloader()).unwrap_or_default() {
                ui.line(name);
            }
            for (other, names) in names {
                let which = count(names.len(), "package");
                ui.warning(format!("{which} more, for `{}`: see --for", other.command()));
            }
        } else {
            show(ui, &lacks, asked);
        }
        warn(ui, &lacks);
        Ok(if all_known { Exit::Done } else { Exit::Failed })
    }
}

/// A release that is none, or a sysroot that can't be opened.
fn cannot_look(error: &PlanError) -> Failure {
    let mut failures = error.problems.iter().map(|problem| Failure::of(Exit::Usage, problem));
    let Some(first) = failures.next() else { return Failure::new(Exit::Usage, "no kernel is named") };
    failures.fold(first, |mut all, next| {
        all.because.push(next.one_line());
        all
    })
}

/// All names for each downloader, sorted: kernels share some.
fn by_downloader(lacks: &[Lack]) -> BTreeMap<Downloader, BTreeSet<&str>> {
    let mut names: BTreeMap<Downloader, BTreeSet<&str>> = BTreeMap::new();
    for lack in lacks {
        let Some((known, packages)) = lack.kernel.packages.as_ref().zip(lack.packages.as_ref()) else {
            continue;
        };
        names.entry(known.downloader).or_default().extend(packages.iter().map(String::as_str));
    }
    names
}

fn show(ui: &mut Ui, lacks: &[Lack], asked: usize) {
    if lacks.is_empty() {
        return ui.line(format!("nothing is missing for {}", count(asked, "kernel")));
    }
    for lack in lacks {
        let hosts = if lack.hosts.is_empty() {
            String::new()
        } else {
            let names = first_of(lack.hosts.iter().map(String::as_str));
            format!(" ({}: {names})", count(lack.hosts.len(), "host"))
        };
        let release = &lack.kernel.release;
        match (&lack.kernel.packages, &lack.packages) {
            (Some(known), Some(packages)) => {
                ui.line(format!("{release}{hosts}: no {}; {}'s packages:", lack.what(), known.distribution));
                for package in packages {
                    ui.line(format!("  {package}"));
                }
            }
            _ => ui.line(format!("{release}{hosts}: no {}; its packages are unknown", lack.what())),
        }
    }
    for (downloader, names) in by_downloader(lacks) {
        let names: Vec<&str> = names.into_iter().collect();
        ui.line(format!("\n{} {}", downloader.command(), names.join(" ")));
    }
}

fn warn(ui: &mut Ui, lacks: &[Lack]) {
    let mut beside: BTreeSet<(&str, &str)> = BTreeSet::new();
    for lack in lacks {
        let Some(packages) = &lack.kernel.packages else { continue };
        let headers = packages.beside_headers.filter(|_| !lack.kernel.has_build_tree);
        let debuginfo = packages.beside_debuginfo.filter(|_| lack.lacks_debuginfo || lack.lacks_modules);
        beside.extend(headers.into_iter().chain(debuginfo).map(|what| (packages.distribution, what)));
    }
    for (distribution, what) in beside {
        ui.warning(format!("{distribution}: besides these, {what}"));
    }
    for lack in lacks.iter().filter(|lack| lack.packages.is_none()) {
        ui.warning(format!(
            "kernel {}: no distribution is known that gives releases such names; ask on a host what owns /lib/modules/{}",
            lack.kernel.release, lack.kernel.release
        ));
    }
}

fn show_json(ui: &mut Ui, lacks: &[Lack]) {
    let kernels: Vec<_> = lacks
        .iter()
        .map(|lack| {
            let known = lack.kernel.packages.as_ref();
            json!({
                "kernel": lack.kernel.release, "hosts": lack.hosts, "has_build_tree": lack.kernel.has_build_tree,
                "has_debuginfo": lack.kernel.has_debuginfo, "has_modules": lack.kernel.has_modules, "packages": lack.packages,
                "distribution": known.map(|packages| packages.distribution),
                "downloader": known.map(|packages| packages.downloader),
            })
        })
        .collect();
    ui.document(&json!({ "missing": kernels }));
}
