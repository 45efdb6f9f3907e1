//! `coverage`: what a fleet's hosts would get of bundles, and what they would lose with another kernel.

mod page;
mod plan;
mod shown;

use std::path::PathBuf;

use bundle_format::{KernelRelease, Manifest};
use fleet::{Coverage, FleetHost, Loss, Offer, loss, measure};

use crate::bundle_path::{BundlePath, a_file};
use crate::commands::farm::host_reports::hosts as hosts_of;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::{Kind, Outputs, ReplaceOption};
use crate::trust_options::{TrustOptions, open_believed};
use crate::ui::Ui;

/// Show which hosts of a fleet would get all scripts of bundles
///
/// Each kernel of the fleet has a row, with its hosts: all scripts, some, none; or modules for another build of the kernel, another machine, other
/// builds of programs. Ends with 0 if every host gets all scripts, or as many percent of them as --min says; else with 1. With --next it shows what
/// would be lost if all hosts moved to that kernel, and ends with 1 if anything would be.
///
/// Several bundles are looked at together. In place of bundles, --plan takes what a build would do, so that a farm sees what its cache has.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle coverage --fleet hosts.txt scripts.stapb --key farm.pub\n  stap-bundle coverage --fleet hosts.txt scripts.stapb --key farm.pub --next 6.12.107+deb13-amd64\n  stap-bundle --json build --kernels hosts.txt --dry-run | stap-bundle coverage --fleet hosts.txt --plan -"
)]
pub(crate) struct Args {
    /// The hosts: a list as `build --kernels` reads it, or reports (`status --report`), also a directory of
    /// them; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    fleet: Vec<PathBuf>,
    /// The bundles.
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    bundle: Vec<BundlePath>,
    /// What `build --dry-run --json` says, in place of bundles; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// End with 0 if so many percent of the hosts get all scripts.
    #[arg(long, value_name = "PCT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    min: u8,
    /// Show what would be lost if all hosts moved to this kernel.
    #[arg(long, value_name = "REL")]
    next: Option<KernelRelease>,
    /// Also write a page, whose name ends in `.html`.
    #[arg(long, value_name = "FILE.html", value_parser = a_file)]
    report: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceOption,
    #[command(flatten)]
    trust: TrustOptions,
}

/// What was found.
struct Found {
    coverage: Coverage,
    next: Option<Next>,
}

/// What a move of all hosts would cost.
struct Next {
    kernel: KernelRelease,
    losses: Vec<Loss>,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let hosts = self.hosts(ui)?;
        let offer = self.offer(global, ui)?;
        let coverage = measure(&offer, hosts);
        let next = self.next.clone().map(|kernel| Next { losses: loss(&offer, &coverage, &kernel), kernel });
        let found = Found { coverage, next };
        if let Some(path) = &self.report {
            self.write_page(path, &offer, &found, ui)?;
        }
        shown::show(ui, &offer, &found);
        let Found { coverage, next } = &found;
        let is_enough = coverage.covered * 100 >= coverage.hosts * usize::from(self.min);
        let loses = next.as_ref().is_some_and(|next| !next.losses.is_empty());
        Ok(if is_enough && !loses { Exit::Done } else { Exit::Failed })
    }

    fn hosts(&self, ui: &mut Ui) -> Result<Vec<FleetHost>, Failure> {
        let mut hosts = Vec::new();
        for path in &self.fleet {
            hosts.extend(hosts_of(path, ui)?);
        }
        if hosts.is_empty() {
            return Err(Failure::new(Exit::Usage, "the list of hosts is empty").hint(
                "each line is a release, with the host's name if you like, or a report of `status --report`",
            ));
        }
        Ok(hosts)
    }

    fn offer(&self, global: &Global, ui: &mut Ui) -> Result<Offer, Failure> {
        if let Some(plan) = &self.plan {
            return plan::read(plan);
        }
        let bundles: Vec<&BundlePath> = self.bundle.iter().collect();
        let keys = self.trust.keys(&bundles, global, ui)?;
        let manifests =
            bundles.into_iter().map(|bundle| Ok(open_believed(bundle, &keys)?.manifest().clone()));
        let manifests = manifests.collect::<Result<Vec<Manifest>, Failure>>()?;
        Ok(Offer::of(&manifests))
    }

    fn write_page(
        &self,
        path: &std::path::Path,
        offer: &Offer,
        found: &Found,
        ui: &mut Ui,
    ) -> Result<(), Failure> {
        let mut outputs = Outputs::new(self.replace.replace);
        outputs.inputs("the fleet", &self.fleet);
        for bundle in &self.bundle {
            outputs.input("the bundle", bundle);
        }
        let page = page::page(offer, found);
        let place = outputs.place("--report", path, Kind::Page)?;
        let ((), written) = place.write(|target| {
            std::io::Write::write_all(target, page.as_bytes())
                .map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))
        })?;
        written.tell(ui, path);
        Ok(())
    }
}
